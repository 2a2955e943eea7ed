"""Write-once objects: the key is the digest, so every version with those bytes is the object; every read is hashed.

What the store answers is sorted: other bytes (EvidenceRejected), nothing (ObjectMissing), no right (Refused), a wrong
clock or access key (Misconfigured), no answer (Unavailable). An object that it does not give out while it answers else
is missing: others may hold its bytes.
"""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from urllib3.exceptions import HTTPError

from pipeline.domain import ObjectRef, Sha256
from pipeline.errors import EvidenceRejected, Misconfigured, ObjectMissing, Refused, Unavailable
from pipeline.evidence.canonical import sha256 as sha256_of
from pipeline.host import trust
from pipeline.site.identity import StoreCredentials
from pipeline.store import object_keys

MAX_BYTES = 256 * 2**20
"""Largest object that is read unless the caller says otherwise; a sealed vector of the largest model fits."""

_CHUNK = 1 << 20
_TRANSFERS = 3
_PAUSE_SECONDS = 0.5
"""After the first transfer that breaks off; twice that after the second."""
_PAGE = 1000
"""Versions that S3 lists at once."""
_LOG = logging.getLogger(__name__)
_CREDENTIALS = {"InvalidAccessKeyId", "SignatureDoesNotMatch"}
_MISSING = {"NoSuchKey", "NoSuchVersion", "NoSuchObject", "404", "MethodNotAllowed", "405"}

_ONE_AT_A_TIME = Lock()
"""Clients may be used by many threads, a session's making of them may not."""


@cache
def _session() -> boto3.Session:
    """One for all clients: each session reads the description of S3 for itself.

    That takes ten times as long as to make a client.
    """
    session = boto3.Session()
    # When an object was written is nobody's evidence, and reading it as a time is most of what a listing costs.
    session._session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=str)
    return session


@lru_cache(maxsize=64)
def _client(endpoint: str, access_key: str, secret_key: str, authority: str | None) -> Any:
    """One for each account: its making costs more than a dozen requests."""
    return _session().client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        verify=authority,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(
            connect_timeout=3,
            read_timeout=30,
            max_pool_connections=32,
            response_checksum_validation="when_required",  # every read is hashed here anyway
            retries={"mode": "standard", "total_max_attempts": 4},
            s3={"addressing_style": "path"},
        ),
    )


# A connection that parent and child both held would give one the other's answers.
os.register_at_fork(after_in_child=_client.cache_clear)


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

    def __init__(self, endpoint: str, credentials: StoreCredentials, authority: Path | None = None) -> None:
        self.endpoint = endpoint
        self._actor = credentials.actor
        with _ONE_AT_A_TIME:
            self._client: Any = _client(
                endpoint, credentials.access_key.text(), credentials.secret_key.text(), trust.checked(authority)
            )

    @property
    def client(self) -> Any:
        """The S3 client of this account, for whoever tries a store rather than uses it; its errors are botocore's."""
        return self._client

    def put_once(self, bucket: str, key: str, data: bytes) -> ObjectRef:
        """Write `data` under `key` (which ends in its SHA-256) unless it is there already.

        Other bytes that somebody wrote there first do not keep it from being written.
        """
        digest = sha256_of(data)
        if object_keys.key_digest(key) != digest:
            raise EvidenceRejected(f"{bucket}/{key}: got data with SHA-256 {digest}, want a key that ends in it")
        try:
            version = self._put(bucket, key, data, digest, IfNoneMatch="*")
        except _AlreadyThere:
            try:
                _, version = self._read(bucket, key, digest, None, io.BytesIO(), len(data))
            except EvidenceRejected:
                version = self._put(bucket, key, data, digest)
        return ObjectRef(bucket, key, version, digest, len(data))

    def _put(self, bucket: str, key: str, data: bytes, digest: Sha256, **condition: str) -> str:
        checksum = base64.b64encode(bytes.fromhex(digest)).decode()
        with self.border(bucket, key):
            answer = self._client.put_object(Bucket=bucket, Key=key, Body=data, ChecksumSHA256=checksum, **condition)
        return str(answer.get("VersionId", "null"))

    def get(
        self,
        bucket: str,
        key: str,
        sha256: Sha256,
        *,
        version_id: str | None = None,
        max_bytes: int = MAX_BYTES,
        most: int | None = None,
    ) -> bytes:
        """Read the version that fits, or the named one.

        Raises EvidenceRejected naming an object that does not fit, ObjectMissing.

        With `most` it tries no more than the newest version and that many of the oldest.
        """
        file = io.BytesIO()
        self._read(bucket, key, sha256, version_id, file, max_bytes, most)
        return file.getvalue()

    def save(self, bucket: str, key: str, sha256: Sha256, file: BinaryIO, *, max_bytes: int) -> int:
        """Append the version that fits to `file`, never all of it in memory; its size; raises as `get` does."""
        return self._read(bucket, key, sha256, None, file, max_bytes)[0]

    def read(self, ref: ObjectRef, *, max_bytes: int = MAX_BYTES) -> bytes:
        """Read the very version that `ref` names, with the checks of `get`."""
        data = self.get(ref.bucket, ref.key, ref.sha256, version_id=ref.version_id, max_bytes=max_bytes)
        if len(data) != ref.size:
            raise EvidenceRejected(f"{ref.bucket}/{ref.key}: got {len(data)} bytes, want {ref.size}")
        return data

    def list(self, bucket: str, prefix: str) -> tuple[ObjectInfo, ...]:
        """Every key under `prefix` by its newest version with bytes, in their order.

        A delete marker takes nothing away.
        """
        return newest(self._versions(bucket, prefix))

    def versions(self, bucket: str, key: str) -> tuple[ObjectInfo, ...]:
        """Every version and delete marker of `key`, newest first; more than one means that somebody wrote over it."""
        return tuple(item for item in self._versions(bucket, key) if item.key == key)

    def history(self, bucket: str, prefix: str, most: int | None = None) -> tuple[ObjectInfo, ...]:
        """Every version and delete marker of every key under `prefix`, by key and newest first.

        Of a folder two below `prefix` that holds more than `most` it lists no more than the page on which it finds
        that.
        """
        return tuple(self._versions(bucket, prefix, most, most + 1 if most else _PAGE))

    def walk(self, bucket: str) -> Iterator[ObjectInfo]:
        """What `history` lists of a whole bucket, page by page."""
        return self._versions(bucket, "")

    def first(self, bucket: str, prefix: str, count: int) -> tuple[ObjectInfo, ...]:
        """The first `count` of what `history` lists, by one request of no more."""
        return tuple(islice(self._versions(bucket, prefix, page=count), count))

    def _read(
        self,
        bucket: str,
        key: str,
        digest: Sha256,
        version_id: str | None,
        file: BinaryIO,
        max_bytes: int,
        most: int | None = None,
    ) -> tuple[int, str]:
        """Append an object to `file`; its size and version.

        Looks past versions that others wrote over it, and past damaged ones.
        """
        name = f"{bucket}/{key}"
        if object_keys.key_digest(key) != digest:
            raise EvidenceRejected(f"{name}: got a key that does not end in the wanted SHA-256 {digest}")
        try:
            return self._version(bucket, key, digest, version_id, file, max_bytes)
        except (EvidenceRejected, _Busy) as error:
            trouble = error
        # The store answers this listing: what it does not give out is this object, not everything.
        versions = self.versions(bucket, key)
        # The first was mostly written alone, under If-None-Match: whoever heaps versions over it costs readers no more
        # than this listing.
        others = [
            other for other in reversed(versions) if not other.latest and not other.deleted and other.size <= max_bytes
        ]
        for other in others[:most] if version_id is None else ():
            with suppress(EvidenceRejected, _Busy):
                size_and_version = self._version(bucket, key, digest, other.version_id, file, max_bytes)
                _LOG.warning(
                    "%s: read version %s of %s, since the newest does not fit", name, other.version_id, len(versions)
                )
                return size_and_version
        if isinstance(trouble, _Busy):
            raise ObjectMissing(
                f"{trouble}, but lists it or its neighbours: it is damaged on the store's disk"
            ) from trouble
        raise trouble

    def _version(
        self, bucket: str, key: str, digest: Sha256, version_id: str | None, file: BinaryIO, max_bytes: int
    ) -> tuple[int, str]:
        """Append one version to `file`, or leave that as it was.

        A transfer that breaks off is begun again a few times.
        """
        start = file.tell()
        for attempt in range(1, _TRANSFERS + 1):
            try:
                return self._transfer(bucket, key, digest, version_id, file, max_bytes)
            except (EvidenceRejected, _Busy) as error:
                file.seek(start)
                file.truncate()
                if not isinstance(error, _BrokenOff) or attempt == _TRANSFERS:
                    raise
                # Seen on a busy machine: what resets one connection resets the next one too, for a moment.
                time.sleep(attempt * _PAUSE_SECONDS)
        raise AssertionError("the last attempt returns or raises")

    def _transfer(
        self, bucket: str, key: str, digest: Sha256, version_id: str | None, file: BinaryIO, max_bytes: int
    ) -> tuple[int, str]:
        name = f"{bucket}/{key}"
        hashed = hashlib.sha256()
        size = 0
        with self.border(bucket, key):
            chosen = {"VersionId": version_id} if version_id is not None else {}
            answer = self._client.get_object(Bucket=bucket, Key=key, **chosen)
        version = answer.get("VersionId", "null")
        length = answer["ContentLength"]
        with answer["Body"] as body:
            if length > max_bytes:
                raise EvidenceRejected(f"{name}: got {length} bytes, want at most {max_bytes}")
            try:
                while chunk := body.read(_CHUNK):
                    hashed.update(chunk)
                    size += file.write(chunk)
            except (BotoCoreError, HTTPClientError, HTTPError) as error:
                raise _BrokenOff(f"{name}: the store broke off after {size} of {length} bytes") from error
        if size < length:
            raise _BrokenOff(f"{name}: the store broke off after {size} of {length} bytes")
        actual = hashed.hexdigest()
        if actual != digest:
            raise EvidenceRejected(
                f"{name} (version {version}): got bytes with SHA-256 {actual}, want {digest}; somebody changed the"
                " object"
            )
        return size, version

    def _versions(self, bucket: str, prefix: str, most: int | None = None, page: int = _PAGE) -> Iterator[ObjectInfo]:
        asked: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": min(page, _PAGE)}
        after: dict[str, str] = {}
        before: frozenset[ObjectInfo] = frozenset()
        held: Counter[str] = Counter()
        with self.border(bucket, prefix):
            while True:
                answer = self._client.list_object_versions(**asked, **after)
                listed = [
                    *(
                        ObjectInfo(item["Key"], item["VersionId"], item["Size"], item["IsLatest"])
                        for item in answer.get("Versions", ())
                    ),
                    *(
                        ObjectInfo(item["Key"], item["VersionId"], 0, item["IsLatest"], True)
                        for item in answer.get("DeleteMarkers", ())
                    ),
                ]
                # versitygw begins a page with what the last one ended with.
                listed = [item for item in listed if item not in before]
                before = frozenset(listed)
                listed.sort(key=lambda item: (item.key, not item.latest))
                yield from listed
                if not answer.get("IsTruncated"):
                    return
                after = {"KeyMarker": answer["NextKeyMarker"]}
                if marker := answer.get("NextVersionIdMarker"):
                    after["VersionIdMarker"] = marker
                if most is not None:
                    held.update(object_keys.member_folder(item.key, prefix) for item in listed)
                    folder = object_keys.member_folder(answer["NextKeyMarker"], prefix)
                    if folder != prefix and held[folder] > most:
                        # "0" follows "/": on behind everything in the folder.
                        after = {"KeyMarker": folder[:-1] + "0"}

    @contextmanager
    def border(self, bucket: str, key: str) -> Iterator[None]:
        """Sort what `client` raises into the tree of our errors."""
        name = f"{bucket}/{key}"
        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if status == 412:
                raise _AlreadyThere(name) from error
            if code in _MISSING:
                raise ObjectMissing(
                    f"{name}: got nothing from the store; it expired, was never written or is damaged on disk"
                ) from error
            if code == "AccessDenied":
                raise Refused(
                    f"{name}: the store's policy does not let {self._actor} do this ({error.operation_name})"
                ) from error
            if code == "RequestTimeTooSkewed":
                raise Misconfigured(f"{self.endpoint}: {_skew(error)}; set the clock that is wrong, by NTP") from error
            if code in _CREDENTIALS:
                raise Misconfigured(
                    f"{self.endpoint}: got {code} for {self._actor}; run `wardround up` to renew the actors' access"
                ) from error
            if code == "NoSuchBucket":
                raise Misconfigured(
                    f"{self.endpoint}: got no bucket {bucket}; run `wardround up` to create it"
                ) from error
            if status >= 500 and error.operation_name == "GetObject":
                raise _Busy(f"{name}: the store answered {code or status} to every try") from error
            raise Unavailable(
                f"{name}: the store answered {code or status} ({error.operation_name}); try again"
            ) from error
        except (BotoCoreError, HTTPClientError) as error:
            if trouble := trust.bad_certificate(error):
                raise Misconfigured(f"{self.endpoint}: {trouble}") from error
            raise Unavailable(
                f"{self.endpoint}: got {type(error).__name__} for {name}; is the store up? `wardround status` tells"
            ) from error


class _AlreadyThere(EvidenceRejected):
    """The key holds an object already."""


class _Busy(Unavailable):
    """The store did not give an object out, however often it was asked."""


class _BrokenOff(_Busy):
    """The store began to give an object out and stopped."""


def _skew(error: ClientError) -> str:
    """How far this machine's clock is from the store's, which dates its answers."""
    date = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        minutes = (time.time() - parsedate_to_datetime(str(date)).timestamp()) / 60
    except ValueError:
        return "the store's clock and this machine's are more than 15 minutes apart"
    return (
        f"this machine's clock is {abs(minutes):.0f} minutes {'ahead of' if minutes > 0 else 'behind'} the store's,"
        " want at most 15"
    )


def newest(versions: Iterable[ObjectInfo]) -> tuple[ObjectInfo, ...]:
    """Of every key the newest version with bytes, out of versions by key and newest first."""
    newest_by_key: dict[str, ObjectInfo] = {}
    for item in versions:
        if not item.deleted:
            newest_by_key.setdefault(item.key, item)
    return tuple(newest_by_key.values())
