"""The audit of rounds that ended: their evidence, its checks, and a bundle that proves one round."""
