"""A consortium in memory: the real programs of every actor, on a store, a chain and an engine without a process."""
