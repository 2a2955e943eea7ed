"""Local training: deterministic, a fixed number of steps, an update in integers within the public budget."""
