"""Where the figures of README and docs come from.

Each writes JSON into results/, `python -m benchmarks.pages` makes the tables.
"""
