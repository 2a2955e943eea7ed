"""An object store in memory, at the place where `pipeline.store.objects` has its S3 client.

It has versions, write-once keys and each user's policy, as far as actors ask for them.
"""

from __future__ import annotations

import hashlib
import io
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from threading import RLock
from typing import Any

from botocore.exceptions import ClientError

from pipeline.site.identity import StoreCredentials
from pipeline.store.policies import Policy


@dataclass(frozen=True)
class _Version:
    number: str
    data: bytes | None
    """None for a delete marker."""


@dataclass
class Buckets:
    """What all clients share."""

    objects: dict[tuple[str, str], list[_Version]] = field(default_factory=dict)
    """Bucket and key to versions, newest first."""
    users: dict[str, tuple[str, Policy | None]] = field(default_factory=dict)
    """Access key to secret key and policy; None for the operator, who may do everything."""
    lock: RLock = field(default_factory=RLock)

    def admit(self, credentials: StoreCredentials, policy: Policy | None) -> None:
        """Let a user in."""
        self.users[credentials.access_key.text()] = (credentials.secret_key.text(), policy)

    def client(self, _: str, *, aws_access_key_id: str, aws_secret_access_key: str, **__: Any) -> _Client:
        """As `boto3.Session.client`."""
        return _Client(self, aws_access_key_id, aws_secret_access_key)

    def lay_over(self, bucket: str, key: str, data: bytes | None) -> None:
        """A newer version, or a delete marker: what only the store's operator can do."""
        with self.lock:
            versions = self.objects.setdefault((bucket, key), [])
            versions.insert(0, _Version(f"v{len(versions) + 1}", data))


@dataclass(frozen=True)
class _Client:
    """What an actor's store asks of S3."""

    buckets: Buckets
    access_key: str
    secret_key: str

    def put_object(
        self, *, Bucket: str, Key: str, Body: bytes, ChecksumSHA256: str, IfNoneMatch: str | None = None
    ) -> Mapping[str, Any]:
        self._require("PutObject", f"{Bucket}/{Key}")
        if b64encode(hashlib.sha256(Body).digest()).decode() != ChecksumSHA256:
            raise _refusal("PutObject", "XAmzContentChecksumMismatch", 400)
        with self.buckets.lock:
            versions = self.buckets.objects.get((Bucket, Key), [])
            if IfNoneMatch == "*" and versions and versions[0].data is not None:
                raise _refusal("PutObject", "PreconditionFailed", 412)
            self.buckets.lay_over(Bucket, Key, Body)
            return {"VersionId": self.buckets.objects[Bucket, Key][0].number}

    def get_object(self, *, Bucket: str, Key: str, VersionId: str | None = None) -> Mapping[str, Any]:
        self._require("GetObject", f"{Bucket}/{Key}")
        with self.buckets.lock:
            versions = self.buckets.objects.get((Bucket, Key), [])
        chosen = [version for version in versions if VersionId in (None, version.number)][:1]
        for version in chosen:
            if version.data is not None:
                return {
                    "VersionId": version.number,
                    "ContentLength": len(version.data),
                    "Body": io.BytesIO(version.data),
                }
        raise _refusal("GetObject", "NoSuchKey", 404)

    def list_object_versions(
        self,
        *,
        Bucket: str,
        Prefix: str,
        MaxKeys: int,
        KeyMarker: str | None = None,
        VersionIdMarker: str | None = None,
    ) -> Mapping[str, Any]:
        self._require("ListBucketVersions", Bucket, Prefix)
        with self.buckets.lock:
            found = list(self._listed(Bucket, Prefix))
        if KeyMarker is not None:
            places = [(key, version.number) for key, version, _ in found]
            at = (KeyMarker, VersionIdMarker)
            start = (
                places.index(at) + 1
                if at in places
                else next((index for index, (key, _) in enumerate(places) if key > KeyMarker), len(places))
            )
            found = found[start:]
        page = found[:MaxKeys]
        answer: dict[str, Any] = {"Versions": [], "DeleteMarkers": [], "IsTruncated": len(found) > len(page)}
        for key, version, latest in page:
            item = {"Key": key, "VersionId": version.number, "IsLatest": latest, "Size": len(version.data or b"")}
            answer["DeleteMarkers" if version.data is None else "Versions"].append(item)
        if answer["IsTruncated"]:
            answer |= {"NextKeyMarker": page[-1][0], "NextVersionIdMarker": page[-1][1].number}
        return answer

    def _listed(self, bucket: str, prefix: str) -> Iterator[tuple[str, _Version, bool]]:
        for place in sorted(one for one in self.buckets.objects if one[0] == bucket and one[1].startswith(prefix)):
            versions = self.buckets.objects[place]
            for version in versions:
                yield place[1], version, version is versions[0]

    def _require(self, action: str, resource: str, prefix: str = "") -> None:
        """Raise what S3 answers unless this user may do it."""
        if self.access_key not in self.buckets.users:
            raise _refusal(action, "InvalidAccessKeyId", 403)
        secret, policy = self.buckets.users[self.access_key]
        if secret != self.secret_key:
            raise _refusal(action, "SignatureDoesNotMatch", 403)
        if policy is None:
            return
        effects = {
            statement["Effect"]
            for statement in policy["Statement"]
            if f"s3:{action}" in statement["Action"]
            and _fits(f"arn:aws:s3:::{resource}", statement["Resource"])
            and _fits(prefix, statement.get("Condition", {}).get("StringLike", {}).get("s3:prefix", ["*"]))
        }
        if effects != {"Allow"}:
            raise _refusal(action, "AccessDenied", 403)


def _fits(value: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(value, pattern) for pattern in patterns)


def _refusal(operation: str, code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, operation)
