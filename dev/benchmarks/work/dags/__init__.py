"""What the Airflow of part 7 runs."""
