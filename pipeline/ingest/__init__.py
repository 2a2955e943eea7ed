"""Validation of a hospital's records against the data contract."""
