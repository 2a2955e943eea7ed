"""Consent: what each owner approved, and the log of all owners' decisions."""
