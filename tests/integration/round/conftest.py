"""One installation for all tests of rounds; each test plays a study of its own on it."""

from tests.support.fixtures import checked_once, site
from tests.support.offices import office_chain, owner

__all__ = ["checked_once", "office_chain", "owner", "site"]
