"""Where every object of a round lies in the store; each key ends in the object's own SHA-256."""

from __future__ import annotations

import re
from typing import NamedTuple

from pipeline.domain import HospitalName, Kind, NodeName, RoundId, Sha256

MAILBOX = "mailbox"
MODELS = "models"
REPORTS = "reports"
DVC = "dvc"

CONSENTS = "consents/"
"""What owners decided about studies, in the reports' bucket."""

MOST_OF_MEMBER = 32
"""Objects of one member in one round of the reports' bucket that a listing shows; an honest one writes ten."""

_MOST_STATEMENTS = 16
_MOST_LISTS = 300
"""A list for each direct commit, of which each of a study's 200 hospitals makes one at most, and some for reruns."""
_MOST_LOANS = 2000
"""A node lends another at most every component of every hospital that it lacks."""

_HOSPITAL_KINDS = {Kind.VALIDATION: "validation", Kind.MANIFEST: "manifest", Kind.CONFIRMATION: "confirmation"}
_NODE_KINDS = {
    Kind.SEALING_KEY: "sealing-key",
    Kind.INVENTORY: "inventory",
    Kind.INPUT_SET: "input-set",
    Kind.NONCE: "nonce",
    Kind.COMPONENT_SUMS: "component-sums",
    Kind.VOTE: "vote",
    Kind.ABORT: "abort",
    Kind.CAUSE: "cause",
    Kind.CONCLUSION: "conclusion",
}

WORDS = frozenset(
    ("rounds", "consents", "hospitals", "nodes", "to", "sums", "timings", "provider", "commit", "record", "report")
).union(_HOSPITAL_KINDS.values(), _NODE_KINDS.values())
"""What the paths of objects say by themselves, and so no member's name: the store's policies could not tell one from
the other."""

_KINDS = "|".join(
    (
        *(f"hospitals/[^/]+/{kind}" for kind in _HOSPITAL_KINDS.values()),
        *(f"nodes/[^/]+/{kind}" for kind in _NODE_KINDS.values()),
        "commit",
        "record",
        "report",
    )
)
_OWNED = re.compile(r"rounds/\d+/(?:hospitals|nodes)/([^/]+)/")
_SHARED = re.compile(r"rounds/\d+/(commit|report|record)/")
_AUTHORED = re.compile(r"(?:rounds/[^/]+|consents)/(?:(hospitals|nodes)/([^/]+)/|(commit|report|record)/)")
_REPORTED = re.compile(rf"rounds/\d+/(?:{_KINDS})/[^/]+")


def key_digest(key: str) -> Sha256:
    """What ends `key`, before its extension: the SHA-256 of the object, unless somebody named it otherwise."""
    return Sha256(key.rpartition("/")[2].partition(".")[0])


class KeyPrefix(NamedTuple):
    """A folder of objects that differ in their digest only."""

    bucket: str
    prefix: str
    suffix: str
    most: int = _MOST_STATEMENTS
    """Objects that may lie there, with all their versions; beyond that nothing in it is read, and its owner has said
    nothing."""

    def key(self, digest: Sha256) -> str:
        """Key of the object with this digest."""
        return f"{self.prefix}{digest}.{self.suffix}"

    @property
    def owned(self) -> bool:
        """Whether one hospital or node alone may write there."""
        return _OWNED.match(self.prefix) is not None


def holds(key: str) -> bool:
    """Whether `key` lies in a place of the reports' bucket.

    What others put beneath a place, or elsewhere, is nobody's evidence.
    """
    return _REPORTED.fullmatch(key) is not None


def author(bucket: str, key: str) -> str:
    """Who alone may have written under a key, in words, whether or not that is a place.

    `hospital elm`, `the service provider`.
    """
    if bucket == REPORTS and (match := _AUTHORED.match(key)):
        side, name, shared = match.groups()
        return (
            f"{side.removesuffix('s')} {name}" if side else {"record": "the nodes"}.get(shared, "the service provider")
        )
    return "the nodes and the service provider" if bucket == MODELS else "the store's operator"


def writers(key: str) -> str:
    """Who may write under a key of the reports' or models' bucket, in words; the store's operator can everywhere."""
    if owned := _OWNED.match(key):
        return f"{owned[1]} or the store's operator"
    if shared := _SHARED.match(key):
        return f"{'a node' if shared[1] == 'record' else 'the service provider'} or the store's operator"
    return "a node, the service provider or the store's operator"


def member_folder(key: str, prefix: str) -> str:
    """The folder in which a key under `prefix` lies, at most two deep: in a round, its member's."""
    return "/".join((prefix[:-1], *key.removeprefix(prefix).split("/")[:-1][:2], ""))


def by_node(kind: Kind) -> bool:
    """Whether nodes make statements of this kind."""
    return kind in _NODE_KINDS


def model() -> KeyPrefix:
    """Global models, by digest."""
    return KeyPrefix(MODELS, "", "safetensors")


def backbone() -> KeyPrefix:
    """Public networks that make features of pictures, by digest."""
    return KeyPrefix(MODELS, "", "onnx")


def statement(round_id: RoundId, kind: Kind, signer: HospitalName | NodeName) -> KeyPrefix:
    """A hospital's or node's statements of one kind in one round."""
    side, name = ("hospitals", _HOSPITAL_KINDS[kind]) if kind in _HOSPITAL_KINDS else ("nodes", _NODE_KINDS[kind])
    return KeyPrefix(REPORTS, f"rounds/{round_id}/{side}/{signer}/{name}/", "json")


def consents(study: str, name: HospitalName | NodeName, *, node: bool) -> KeyPrefix:
    """What a hospital's or node's owner decided about a study, in every version of it."""
    return KeyPrefix(REPORTS, f"{CONSENTS}{'nodes' if node else 'hospitals'}/{name}/{study}/", "json")


def envelope(round_id: RoundId, hospital: HospitalName, node: NodeName) -> KeyPrefix:
    """Sealed envelopes from a hospital to a node."""
    return KeyPrefix(MAILBOX, f"rounds/{round_id}/hospitals/{hospital}/to/{node}/", "bin")


def resealed(round_id: RoundId, holder: NodeName, node: NodeName) -> KeyPrefix:
    """Components that one node resealed for another that misses them."""
    return KeyPrefix(MAILBOX, f"rounds/{round_id}/nodes/{holder}/to/{node}/", "bin", _MOST_LOANS)


def lent_sum(round_id: RoundId, holder: NodeName, node: NodeName, block: int) -> KeyPrefix:
    """One block of a component sum that a large model's mean is opened from, sealed for the node that lacks it."""
    return KeyPrefix(MAILBOX, f"rounds/{round_id}/nodes/{holder}/to/{node}/sums/{block}/", "bin")


def commit(round_id: RoundId) -> KeyPrefix:
    """The list of committed manifests."""
    return KeyPrefix(REPORTS, f"rounds/{round_id}/commit/", "json", _MOST_LISTS)


def record(round_id: RoundId) -> KeyPrefix:
    """The canonical record that the nodes voted for."""
    return KeyPrefix(REPORTS, f"rounds/{round_id}/record/", "json")


def report(round_id: RoundId, suffix: str) -> KeyPrefix:
    """The round report in one format: html, json or csv."""
    return KeyPrefix(REPORTS, f"rounds/{round_id}/report/", suffix)


def timing(round_id: RoundId, actor: str, stage: str) -> KeyPrefix:
    """Seconds that an actor's stage took; for reports only."""
    return KeyPrefix(MAILBOX, f"rounds/{round_id}/timings/{actor}/{stage}/", "json")
