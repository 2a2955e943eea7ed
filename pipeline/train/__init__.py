"""Local training and the update codec."""
