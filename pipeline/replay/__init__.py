"""Rounds played again: in plain integers, or under encryption from their records."""
