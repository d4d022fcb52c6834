"""What Airflow keeps of a task and its run over retries and clears."""
