"""The round: what each hospital, each node and the service provider do in it, step by step."""
