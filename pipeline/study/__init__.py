"""A study: what its members agree on, its file, and what differs between two versions of it."""
