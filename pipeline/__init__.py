"""Wardround: verified federated-learning rounds for hospital consortia."""

__version__ = "0.1.0"
