"""A hospital's records: dealt out for a demonstration, versioned, and checked against the data contract."""
