"""A model that leaves: files that other software loads, and from which round such a file comes."""
