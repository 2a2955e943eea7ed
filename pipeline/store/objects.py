"""Write-once objects: the key is the digest, the first write wins, and every read is hashed again."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from threading import Lock
from typing import Any, BinaryIO

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from pipeline.domain import ObjectRef, Sha256
from pipeline.errors import EvidenceRejected, Misconfigured, ObjectMissing, Refused, Unavailable
from pipeline.evidence.canonical import sha256 as sha256_of
from pipeline.identity import StoreCredentials

MAX_BYTES = 256 * 2**20
"""Largest object that is read unless the caller says otherwise; a sealed vector of the largest model fits."""

_CHUNK = 1 << 20
_CREDENTIALS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed"}
_MISSING = {"NoSuchKey", "NoSuchVersion", "NoSuchObject", "404", "MethodNotAllowed", "405"}

_ONE_AT_A_TIME = Lock()
"""Clients may be used by many threads, a session's making of them may not."""


@cache
def _session() -> boto3.Session:
    """One for all clients: each session reads the description of S3 for itself, which takes ten times as long as to make a client."""
    session = boto3.Session()
    # When an object was written is nobody's evidence, and reading it as a time is most of what a listing costs.
    session._session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=str)
    return session


@dataclass(frozen=True)
class ObjectInfo:
    """One stored version as the store lists it; `deleted` marks a delete marker, which has no bytes."""

    key: str
    version_id: str
    size: int
    latest: bool = True
    deleted: bool = False


class Store:
    """One actor's access to the object store; the store's own policy limits what it may do."""

    def __init__(self, endpoint: str, credentials: StoreCredentials) -> None:
        self.endpoint = endpoint
        self._actor = credentials.access_key
        with _ONE_AT_A_TIME:
            self._client: Any = _session().client(
                "s3",
                endpoint_url=endpoint,
                region_name="us-east-1",
                aws_access_key_id=credentials.access_key,
                aws_secret_access_key=credentials.secret_key.text(),
                config=Config(
                    connect_timeout=3,
                    read_timeout=30,
                    response_checksum_validation="when_required",  # every read is hashed here anyway
                    retries={"mode": "standard", "total_max_attempts": 4},
                    s3={"addressing_style": "path"},
                ),
            )

    def put_once(self, bucket: str, key: str, data: bytes) -> ObjectRef:
        """Write `data` under `key` (which ends in its SHA-256) unless it is there already; raises EvidenceRejected when other bytes are."""
        digest = sha256_of(data)
        if key_digest(key) != digest:
            raise EvidenceRejected(f"{bucket}/{key}: got data with SHA-256 {digest}, want a key that ends in it")
        try:
            with self._border(bucket, key):
                answer = self._client.put_object(
                    Bucket=bucket,
                    Key=key,
                    Body=data,
                    IfNoneMatch="*",
                    ChecksumSHA256=base64.b64encode(bytes.fromhex(digest)).decode(),
                )
        except _AlreadyThere:
            return self._existing(bucket, key, digest, len(data))
        return ObjectRef(bucket, key, answer.get("VersionId", "null"), digest, len(data))

    def get(self, bucket: str, key: str, sha256: Sha256, *, version_id: str | None = None, max_bytes: int = MAX_BYTES) -> bytes:
        """Read the current (or the named) version; raises EvidenceRejected naming an object that does not fit, ObjectMissing."""
        return self._read(bucket, key, sha256, version_id, max_bytes)[0]

    def save(self, bucket: str, key: str, sha256: Sha256, file: BinaryIO, *, max_bytes: int) -> int:
        """Append the current version to `file`, never all of it in memory; its size; raises as `get` does, and then it means nothing."""
        name, digest, size = f"{bucket}/{key}", hashlib.sha256(), 0
        with self._opened(bucket, key, sha256, None, max_bytes) as (body, version):
            while chunk := body.read(_CHUNK):
                digest.update(chunk)
                size += file.write(chunk)
        _fits(name, version, digest.hexdigest(), sha256)
        return size

    def read(self, ref: ObjectRef, *, max_bytes: int = MAX_BYTES) -> bytes:
        """Read the very version that `ref` names, with the checks of `get`."""
        data = self.get(ref.bucket, ref.key, ref.sha256, version_id=ref.version_id, max_bytes=max_bytes)
        if len(data) != ref.size:
            raise EvidenceRejected(f"{ref.bucket}/{ref.key}: got {len(data)} bytes, want {ref.size}")
        return data

    def list(self, bucket: str, prefix: str) -> tuple[ObjectInfo, ...]:
        """Current versions under `prefix`, in the order of their keys."""
        return tuple(item for item in self._versions(bucket, prefix) if item.latest and not item.deleted)

    def versions(self, bucket: str, key: str) -> tuple[ObjectInfo, ...]:
        """Every version and delete marker of `key`, newest first; more than one means that somebody wrote over it."""
        return tuple(item for item in self._versions(bucket, key) if item.key == key)

    def history(self, bucket: str, prefix: str) -> tuple[ObjectInfo, ...]:
        """Every version and delete marker of every key under `prefix`, by key and newest first."""
        return tuple(self._versions(bucket, prefix))

    def folders(self, bucket: str, prefix: str) -> tuple[str, ...]:
        """The prefixes one slash deeper than `prefix`, each ending in its slash, of whatever ever lay there."""
        with self._border(bucket, prefix):
            pages = self._client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
            return tuple(item["Prefix"] for page in pages for item in page.get("CommonPrefixes", ()))

    def _existing(self, bucket: str, key: str, digest: Sha256, size: int) -> ObjectRef:
        _, version = self._read(bucket, key, digest, None, size)
        return ObjectRef(bucket, key, version, digest, size)

    def _read(self, bucket: str, key: str, digest: Sha256, version_id: str | None, max_bytes: int) -> tuple[bytes, str]:
        with self._opened(bucket, key, digest, version_id, max_bytes) as (body, version):
            data = body.read(max_bytes + 1)
        _fits(f"{bucket}/{key}", version, sha256_of(data), digest)
        return data, version

    @contextmanager
    def _opened(self, bucket: str, key: str, digest: Sha256, version_id: str | None, max_bytes: int) -> Iterator[tuple[Any, str]]:
        """The body and version of an object of at most `max_bytes`."""
        name = f"{bucket}/{key}"
        if key_digest(key) != digest:
            raise EvidenceRejected(f"{name}: got a key that does not end in the wanted SHA-256 {digest}")
        with self._border(bucket, key):
            chosen = {"VersionId": version_id} if version_id is not None else {}
            answer = self._client.get_object(Bucket=bucket, Key=key, **chosen)
            size = answer["ContentLength"]
            with answer["Body"] as body:
                if size > max_bytes:
                    raise EvidenceRejected(f"{name}: got {size} bytes, want at most {max_bytes}")
                yield body, answer.get("VersionId", "null")

    def _versions(self, bucket: str, prefix: str) -> Iterator[ObjectInfo]:
        with self._border(bucket, prefix):
            for page in self._client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
                found = [
                    *(ObjectInfo(item["Key"], item["VersionId"], item["Size"], item["IsLatest"]) for item in page.get("Versions", ())),
                    *(ObjectInfo(item["Key"], item["VersionId"], 0, item["IsLatest"], True) for item in page.get("DeleteMarkers", ())),
                ]
                yield from sorted(found, key=lambda item: (item.key, not item.latest))

    @contextmanager
    def _border(self, bucket: str, key: str) -> Iterator[None]:
        """Wrap the S3 client's errors in ours."""
        name = f"{bucket}/{key}"
        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if status == 412:
                raise _AlreadyThere(name) from error
            if code in _MISSING:
                raise ObjectMissing(f"{name}: got nothing from the store; it expired, was never written or is damaged on disk") from error
            if code == "AccessDenied":
                raise Refused(f"{name}: the store's policy does not let {self._actor} do this ({error.operation_name})") from error
            if code in _CREDENTIALS:
                raise Misconfigured(
                    f"{self.endpoint}: got {code} for {self._actor}; run `wardround up` to renew the actors' access"
                ) from error
            if code == "NoSuchBucket":
                raise Misconfigured(f"{self.endpoint}: got no bucket {bucket}; run `wardround up` to create it") from error
            raise Unavailable(f"{name}: the store answered {code or status} ({error.operation_name}); try again") from error
        except (BotoCoreError, HTTPClientError) as error:
            raise Unavailable(
                f"{self.endpoint}: got {type(error).__name__} for {name}; is the store up? `wardround status` tells"
            ) from error


class _AlreadyThere(EvidenceRejected):
    """The key holds an object already."""


def _fits(name: str, version: str, found: str, wanted: Sha256) -> None:
    if found != wanted:
        raise EvidenceRejected(f"{name} (version {version}): got bytes with SHA-256 {found}, want {wanted}; somebody changed the object")


def key_digest(key: str) -> str:
    """The SHA-256 that ends `key`, before its extension."""
    return PurePosixPath(key).name.partition(".")[0]
