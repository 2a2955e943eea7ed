"""What the README's figures come from: each writes JSON into results/, `python -m benchmarks.pages` makes the tables."""
