"""Somebody who fills the store with its own account: many objects, or many versions of one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.domain import Sha256
from pipeline.evidence.canonical import sha256
from pipeline.store.object_keys import KeyPrefix
from pipeline.store.objects import Store
from tests.support.consortia import Site


def heap(site: Site, home: Path, bucket: str, prefix: str, count: int) -> None:
    """Write objects of no meaning, with the access of a folder's actor."""
    junk = [b"junk %d" % number for number in range(count)]
    _each(lambda data: _put(site, home)(Bucket=bucket, Key=f"{prefix}{sha256(data)}.json", Body=data), junk)


def heap_versions(site: Site, home: Path, place: KeyPrefix, digest: Sha256, size: int, count: int) -> None:
    """Write versions of `size` bytes under one key, none of which it names."""
    junk = [number.to_bytes(size) for number in range(count)]
    _each(lambda data: _put(site, home)(Bucket=place.bucket, Key=place.key(digest), Body=data), junk)


def reads(patch: pytest.MonkeyPatch) -> list[str]:
    """The key of each object that anybody of this process asks the store for from now on, once for every try."""
    asked: list[str] = []
    transfer = Store._transfer
    patch.setattr(
        Store, "_transfer", lambda store, bucket, key, *rest: asked.append(key) or transfer(store, bucket, key, *rest)
    )
    return asked


def listings(patch: pytest.MonkeyPatch) -> list[str]:
    """The prefix of each listing from now on."""
    asked: list[str] = []
    versions = Store._versions
    patch.setattr(
        Store,
        "_versions",
        lambda store, bucket, prefix, *rest, **more: (
            asked.append(prefix) or versions(store, bucket, prefix, *rest, **more)
        ),
    )
    return asked


def _put(site: Site, home: Path) -> Callable[..., object]:
    put: Callable[..., object] = site.store(home)._client.put_object
    return put


def _each(write: Callable[[bytes], object], junk: list[bytes]) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, junk))
