"""The console: pages inside the Airflow UI for the service provider, hospitals and auditors.

Decides nothing and holds no data key.
"""
