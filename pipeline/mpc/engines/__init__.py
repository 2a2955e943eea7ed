"""Engines of encrypted computation, behind one interface."""
