"""MP-SPDZ as an engine."""
