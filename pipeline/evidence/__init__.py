"""The signed things that an auditor checks: canonical bytes, EIP-712 statements, Merkle trees."""
