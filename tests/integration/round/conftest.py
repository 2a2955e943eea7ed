"""One installation for all tests of rounds; each test plays a study of its own on it."""

from tests.support.fixtures import checked_once, site

__all__ = ["checked_once", "site"]
