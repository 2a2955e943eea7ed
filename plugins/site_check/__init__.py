"""What a site may ask of Airflow: its own queue's work and nothing else.

Airflow's Edge API knows one secret, and who has it may take, fail and log into everybody's work. Here each site has a
token of its own, and what it asks under `/sites/QUEUE/` is held to that queue before Airflow sees it. What a task asks
by the token that Airflow gave it for itself is held to that task likewise.
"""
