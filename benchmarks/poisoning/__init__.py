"""Laboratory of attacks on federated learning and defences against them: `python -m benchmarks.poisoning --cell base`.

Attacks and defences are small pure functions, one file each with its paper; Wardround's rule is the product's own
integer reference.
"""
