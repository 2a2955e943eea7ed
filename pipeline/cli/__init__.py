"""The wardround command."""
