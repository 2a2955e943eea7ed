"""Who may read and write what in the store: least privilege, no deletion, no say over retention for anybody."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipeline.domain import HospitalName, NodeName
from pipeline.store.object_keys import CONSENTS, DVC, MAILBOX, MODELS, REPORTS

Policy = dict[str, Any]

_PUBLIC = (MODELS, REPORTS)
"""Buckets that every member and the auditor may read: statements, records and models hold no patient data."""


def hospital(name: HospitalName) -> Policy:
    """Writes its own envelopes and statements; reads the public buckets and what it wrote itself."""
    mailbox_patterns = (f"{MAILBOX}/rounds/*/hospitals/{name}/*", f"{MAILBOX}/rounds/*/timings/{name}/*")
    return _policy(
        write=(*mailbox_patterns, f"{REPORTS}/rounds/*/hospitals/{name}/*", f"{REPORTS}/{CONSENTS}hospitals/{name}/*"),
        read=mailbox_patterns,
        enumerate_={MAILBOX: (f"rounds/*/hospitals/{name}/*", f"rounds/*/timings/{name}/*")},
    )


def node(name: NodeName) -> Policy:
    """Writes its own statements, re-sealed components, the record and the new model.

    Reads the envelopes addressed to it.
    """
    mailbox_patterns = (f"{MAILBOX}/rounds/*/nodes/{name}/*", f"{MAILBOX}/rounds/*/timings/{name}/*")
    addressed = (f"rounds/*/hospitals/*/to/{name}/*", f"rounds/*/nodes/*/to/{name}/*")
    return _policy(
        write=(
            *mailbox_patterns,
            f"{REPORTS}/rounds/*/nodes/{name}/*",
            f"{REPORTS}/{CONSENTS}nodes/{name}/*",
            f"{REPORTS}/rounds/*/record/*",
            f"{MODELS}/*.safetensors",
        ),
        read=(*mailbox_patterns, *(f"{MAILBOX}/{pattern}" for pattern in addressed)),
        enumerate_={MAILBOX: (*addressed, f"rounds/*/nodes/{name}/*", f"rounds/*/timings/{name}/*")},
    )


def provider() -> Policy:
    """Writes the input set, reports, models, backbones and DVC's remote.

    Never an actor's statement; never reads an envelope.
    """
    kinds = ("commit", "report")
    return _policy(
        write=(
            *(f"{REPORTS}/rounds/*/{kind}/*" for kind in kinds),
            f"{MODELS}/*.safetensors",
            f"{MODELS}/*.onnx",
            f"{MAILBOX}/rounds/*/timings/provider/*",
            f"{DVC}/*",
        ),
        read=(f"{MAILBOX}/rounds/*/timings/*", f"{DVC}/*"),
        enumerate_={MAILBOX: ("rounds/*/timings/*",), DVC: ("*",)},
    )


def auditor() -> Policy:
    """Reads the public buckets and DVC's remote; writes nothing."""
    return _policy(write=(), read=(f"{DVC}/*",), enumerate_={DVC: ("*",)})


def reading(policy: Policy) -> Policy:
    """The same without the right to write anything."""
    return policy | {"Statement": [item for item in policy["Statement"] if "s3:PutObject" not in item["Action"]]}


def _policy(*, write: Iterable[str], read: Iterable[str], enumerate_: dict[str, tuple[str, ...]]) -> Policy:
    statements: list[dict[str, Any]] = [
        _allow(["s3:GetBucketLocation"], (MAILBOX, MODELS, REPORTS, DVC)),
        # How long evidence is kept is every member's business: `wardround doctor --store` asks.
        _allow(["s3:GetBucketObjectLockConfiguration"], _PUBLIC),
        _allow(["s3:GetObject", "s3:GetObjectVersion"], [*(f"{bucket}/*" for bucket in _PUBLIC), *read]),
        _allow(["s3:ListBucket", "s3:ListBucketVersions"], _PUBLIC),
    ]
    if write := list(write):
        statements.append(_allow(["s3:PutObject"], write))
        statements.append(_allow(["s3:PutObject"], _deeper(write)) | {"Effect": "Deny"})
    for bucket, prefixes in enumerate_.items():
        listing = _allow(["s3:ListBucket", "s3:ListBucketVersions"], (bucket,))
        statements.append(listing | {"Condition": {"StringLike": {"s3:prefix": list(prefixes)}}})
    return {"Version": "2012-10-17", "Statement": statements}


def _deeper(write: Iterable[str]) -> list[str]:
    """What these patterns match beyond a round's own folders, since `*` takes slashes too.

    Such a folder would lie deep within another member's.
    """
    return [pattern.replace("/rounds/*/", "/rounds/*/*/") for pattern in write if "/rounds/*/" in pattern]


def _allow(actions: list[str], resources: Iterable[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": [f"arn:aws:s3:::{resource}" for resource in resources]}
