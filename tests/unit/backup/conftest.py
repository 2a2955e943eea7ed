"""What tests of backups share."""

from __future__ import annotations

from tests.support.fixtures import cheap_passphrases

__all__ = ["cheap_passphrases"]
