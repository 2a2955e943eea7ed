"""Encrypted verification and aggregation: sharing, the rule, engines."""
