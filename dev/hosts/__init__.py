"""Real hosts on loopback: start an Airflow or a Prefect, talk to it, leave nothing of it behind."""
