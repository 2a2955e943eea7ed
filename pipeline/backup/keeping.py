"""What of a site's folder must be kept, and what may be lost: one table, by which backups go and docs are made."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import NamedTuple

from pipeline.site.site import SiteRole

_EVERY = tuple(SiteRole)
_HOSPITAL = (SiteRole.HOSPITAL,)
_NODE = (SiteRole.NODE,)
_PROVIDER = (SiteRole.PROVIDER,)
_MEMBERS = (*_HOSPITAL, *_NODE)

_FOLDERS = {
    SiteRole.HOSPITAL: "hospitals/*",
    SiteRole.NODE: "nodes/*",
    SiteRole.PROVIDER: "provider",
    SiteRole.AUDITOR: "auditor",
}
"""Each role's private folder; the provider has an auditor's account beside its own."""


class FolderPart(NamedTuple):
    """Files of one purpose."""

    what: str
    roles: tuple[SiteRole, ...]
    private: tuple[str, ...]
    """In the member's private folder, all that lies beneath included; a star stands for any part of a name."""
    common: tuple[str, ...]
    """In the site's folder."""
    why: str
    """Why it is kept, or may be lost."""
    kept: bool = True

    @property
    def patterns(self) -> tuple[str, ...]:
        """All of them, below the site's folder."""
        return (*self.common, *(f"{_FOLDERS[role]}/{name}" for role in self.roles for name in self.private))


PARTS = (
    FolderPart(
        "signing keys: the present one, the next, the former ones",
        _EVERY,
        ("signing-key*", "former-keys"),
        (),
        "the ledger knows a member by its key; a lost one means a new card",
    ),
    FolderPart("the key that opens invitations", _EVERY, ("seal-key",), (), "a lost one means a new card"),
    FolderPart("the sharing secret", _HOSPITAL, ("sharing-secret",), (), "shares and samples are drawn by it"),
    FolderPart(
        "certificates and their keys",
        (*_NODE, *_PROVIDER),
        ("tls",),
        (),
        "another one of a node's means that all owners approve anew; another authority, that all sites join anew",
    ),
    FolderPart(
        "the site's own files: role, card, addresses, members",
        _EVERY,
        (),
        (
            "site.yaml",
            "card.json",
            "installation.yaml",
            "consortium.yaml",
            "certificates",
            "invitation.json",
            "authority.pem",
        ),
        "a member gets most of it again by a new invitation, the provider does not",
    ),
    FolderPart("study files", _EVERY, (), ("studies",), "what owners approved"),
    FolderPart(
        "tokens, passwords, accounts at the store, addresses of notices",
        _EVERY,
        ("store-credentials.json",),
        ("secrets",),
        "a member gets its own again by a new invitation; the provider's open its database and store",
    ),
    FolderPart("the owner's decisions, as signed", _MEMBERS, ("decisions",), (), "they are numbered"),
    FolderPart(
        "the journal", _NODE, ("journal",), (), "what the node has signed and opened, so that it says nothing else"
    ),
    FolderPart(
        "transactions, as signed",
        (*_MEMBERS, *_PROVIDER),
        ("outbox",),
        (),
        "by them a site sees that the chain lost blocks",
    ),
    FolderPart(
        "patients' records, with their versions",
        _HOSPITAL,
        ("data",),
        (),
        "a hospital may have the records elsewhere, and the versions nowhere",
    ),
    FolderPart(
        "the hospital's settings, and the address of its database",
        _HOSPITAL,
        ("hospital.yaml", "database-url"),
        (),
        "somebody wrote them",
    ),
    FolderPart("numbers given to runs", _PROVIDER, ("rounds.json",), (), "a rerun keeps its round"),
    FolderPart(
        "members' cards and invitations", _PROVIDER, (), ("cards", "invitations"), "tell a changed key from a known one"
    ),
    FolderPart("Airflow's database and the console's", _PROVIDER, (), ("postgres", "console"), "accounts, roles, runs"),
    FolderPart("the object store", _PROVIDER, (), ("minio", "versitygw"), "the evidence of all rounds"),
    FolderPart(
        "the embedded development chain", _PROVIDER, (), ("chain",), "the ledger, where no other chain holds it"
    ),
    FolderPart("the study repository", _PROVIDER, (), ("records",), "the rounds in git and DVC"),
    FolderPart(
        "consents in force",
        _MEMBERS,
        ("approvals",),
        (),
        "never in a backup: one may have been taken back since, so the owner approves again",
        kept=False,
    ),
    FolderPart(
        "keys of running rounds, and what they opened",
        _NODE,
        ("sealing", "opened", "journal/total-*"),
        (),
        "never in a backup: they are destroyed when a round ends, and a copy would outlive them",
        kept=False,
    ),
    FolderPart(
        "the running round's update",
        _HOSPITAL,
        ("rounds",),
        (),
        "never in a backup, for the same reason",
        kept=False,
    ),
    FolderPart("data docs", _HOSPITAL, ("docs",), (), "made again by the next check", kept=False),
    FolderPart(
        "measured scales, and pictures as they were decoded",
        _HOSPITAL,
        ("scales", "decoded"),
        (),
        "made again by the next round",
        kept=False,
    ),
    FolderPart("studies' backbones", _MEMBERS, ("backbones",), (), "fetched again from the store", kept=False),
    FolderPart(
        "logs, services' settings, work in progress",
        _EVERY,
        ("work", "logs"),
        ("logs", "airflow", "worker", "supervisor", "watch.json"),
        "`wardround up` makes what is needed; old logs are lost",
        kept=False,
    ),
    FolderPart(
        "locks, and what was left half made",
        _EVERY,
        ("*.lock",),
        ("*.lock", ".*", "postgres/postmaster.pid", "postgres/.s.*"),
        "nothing is in them",
        kept=False,
    ),
)
"""Kept ones first. What no row names is kept."""


def part_of(path: PurePosixPath) -> FolderPart | None:
    """The row of a file or folder below the site's folder; where two name it, the one that may be lost."""
    rows = [part for part in PARTS if any(_covers(pattern, path) for pattern in part.patterns)]
    return rows[-1] if rows else None


def is_kept(path: PurePosixPath) -> bool:
    """Whether a backup holds it."""
    part = part_of(path)
    return part is None or part.kept


def _covers(pattern: str, path: PurePosixPath) -> bool:
    wanted = pattern.split("/")
    return len(path.parts) >= len(wanted) and all(map(fnmatchcase, path.parts, wanted))
