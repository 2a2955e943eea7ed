"""The study repository: every finished round as a git commit with its DVC-tracked model."""
