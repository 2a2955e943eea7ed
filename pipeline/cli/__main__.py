"""`python -m pipeline.cli`: the `wardround` command of this very checkout."""

from __future__ import annotations

from pipeline.cli import app

if __name__ == "__main__":
    app()
