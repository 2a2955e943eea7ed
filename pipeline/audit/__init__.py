"""Records, reports and the audit of a finished round."""
