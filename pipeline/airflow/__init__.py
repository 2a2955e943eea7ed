"""Airflow's side of an installation: its configuration, database and accounts, and what it knows of each site."""
