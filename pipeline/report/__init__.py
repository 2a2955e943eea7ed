"""The report of a round, and the list of all rounds."""
