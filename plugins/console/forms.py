"""What people type about themselves, checked: each function raises EvidenceRejected in words for the page."""

from __future__ import annotations

import unicodedata

from email_validator import EmailNotValidError, validate_email

from pipeline.errors import EvidenceRejected

SHORTEST_PASSWORD = 12
_LONGEST_PASSWORD = 128
"""A longer one only makes the server's hashing slow."""


def email(text: str) -> str:
    """An e-mail address, in small letters: it is a login."""
    try:
        return validate_email(text.strip(), check_deliverability=False).normalized.lower()
    except EmailNotValidError as error:
        raise EvidenceRejected(f"The e-mail address: {error}") from error


def line(text: str, what: str, longest: int = 120) -> str:
    """One line of text."""
    cleaned = " ".join(text.split())
    if not 1 <= len(cleaned) <= longest or not _printable(cleaned):
        raise EvidenceRejected(f"{what}: want one line of at most {longest} characters.")
    return cleaned


def postal(text: str) -> str:
    """A postal address of some lines."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    cleaned = "\n".join(line for line in lines if line)
    if not 1 <= len(cleaned) <= 400 or not _printable(cleaned.replace("\n", "")):
        raise EvidenceRejected("The postal address: want some lines of at most 400 characters in sum.")
    return cleaned


def password(text: str, again: str) -> str:
    """A new password, typed twice."""
    if not SHORTEST_PASSWORD <= len(text) <= _LONGEST_PASSWORD:
        raise EvidenceRejected(f"The password: want {SHORTEST_PASSWORD} to {_LONGEST_PASSWORD} characters.")
    if text != again:
        raise EvidenceRejected("The password: you typed it differently the second time.")
    return text


def _printable(text: str) -> bool:
    # Control and formatting characters (Cc, Cf) could make a name look like another one in the provider's list.
    return not any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn") for character in text)
