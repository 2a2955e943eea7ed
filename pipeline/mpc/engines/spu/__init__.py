"""SPU as an engine."""
