"""What the design needs of a store, tried on the one that is deployed, by one member's own account.

All that is written lies in a folder of round 0, which no round has: a few bytes, which stay as long as the store keeps
evidence. What an account must not do is tried on these bytes, in the name of a member that nobody can have, or with the
settings that are there already, so that a store that lets it happen takes no harm.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from pipeline.errors import EvidenceRejected, ObjectMissing, Unavailable
from pipeline.evidence.canonical import sha256
from pipeline.host import trust
from pipeline.site.identity import StoreCredentials
from pipeline.store.object_keys import MAILBOX, MODELS, REPORTS
from pipeline.store.objects import Store

_NOBODY = "Nobody"
"""No member's name has a capital."""

_PROVIDER_ADVICE = "tell the provider, whose `wardround up` sets buckets and accounts up"
_OPERATOR_ADVICE = "tell the provider: no round counts on this store until it runs a server, and a version, that does"
_GUARD_ADVICE = "tell the provider: the store is reached past its guard, which every installation has before it"


_UNDER_LOCK = ("put_object_retention", "put_object_lock_configuration", "delete_object")
"""What MinIO's lock forbids to everybody, whatever they may do: it calls that an invalid request."""


@dataclass(frozen=True)
class Promise:
    """One thing that the design needs of the store: whether it held, what was seen, and what to do where it did not."""

    what: str
    held: bool
    seen: str


@dataclass(frozen=True)
class TrialFolder:
    """Where an account may write in the reports' bucket, as a prefix; None for one that may nowhere."""

    prefix: str | None

    @classmethod
    def of(cls, actor: str) -> TrialFolder:
        """The folder of an account by its name, `hospital-elm`."""
        side, _, name = actor.partition("-")
        if side in ("hospital", "node"):
            return cls(f"rounds/0/{side}s/{name}/trial/")
        return cls("rounds/0/report/trial/" if actor == "provider" else None)


def promises(endpoint: str, credentials: StoreCredentials, authority: Path | None = None) -> Iterator[Promise]:
    """Try them one by one; raises Unavailable where the store does not answer, Misconfigured where it knows nobody."""
    trial = _Trial(endpoint, credentials, authority)
    yield trial.answers()
    if trial.prefix is not None:
        yield trial.written_once()
        yield trial.versions()
    yield from trial.locks()
    yield from trial.refusals()
    yield from trial.guard()


class _Trial:
    """One account's tries."""

    def __init__(self, endpoint: str, credentials: StoreCredentials, authority: Path | None) -> None:
        self._store = Store(endpoint, credentials, authority)
        self._credentials = credentials
        self._endpoint = endpoint
        self._authority = authority
        self.prefix = TrialFolder.of(credentials.actor).prefix
        self._first = f"{credentials.actor} tried the store".encode()
        self._version = ""

    @property
    def _key(self) -> str:
        return f"{self.prefix}{sha256(self._first)}.json"

    def answers(self) -> Promise:
        """The account, by a true certificate and a clock that is right."""
        self._store.first(REPORTS, "rounds/0/", 1)
        return Promise("answers this account", True, f"{self._endpoint} knows {self._credentials.actor}")

    def written_once(self) -> Promise:
        """A second writer under `If-None-Match` is told that it came late."""
        self._version = self._write(self._first)
        code = self._code("put_object", Bucket=REPORTS, Key=self._key, Body=b"second", IfNoneMatch="*")
        held = code in ("PreconditionFailed", "412")
        seen = (
            "a second write under If-None-Match is refused"
            if held
            else f"a second write under If-None-Match was {code or 'taken'}, want it refused; {_OPERATOR_ADVICE}"
        )
        return Promise("conditional write", held, seen)

    def versions(self) -> Promise:
        """What was written stays, by its version, below whatever is written over it."""
        after = self._write(b"written over it")
        listed = {item.version_id for item in self._store.versions(REPORTS, self._key)}
        held = after != self._version and {self._version, after} <= listed and self._reads_below()
        seen = (
            "what was written over is read by its version"
            if held
            else f"what was written over is gone; want versions in the bucket {REPORTS}; {_OPERATOR_ADVICE}"
        )
        return Promise("versions", held, seen)

    def locks(self) -> Iterator[Promise]:
        """Each locked bucket keeps every object for a time that nobody can shorten."""
        for bucket in (MODELS, REPORTS):
            code, answer = self._answer("get_object_lock_configuration", Bucket=bucket)
            kept = answer.get("ObjectLockConfiguration", {}).get("Rule", {}).get("DefaultRetention", {})
            days = int(kept.get("Days", 0)) or 365 * int(kept.get("Years", 0))
            held = kept.get("Mode") == "COMPLIANCE" and days > 0
            seen = f"every object of {bucket} is kept for {days} days, in mode COMPLIANCE"
            if code == "AccessDenied":
                seen = (
                    "this account may not ask for it; the provider gives it an account of today:"
                    " `wardround site invite --renew`"
                )
            elif not held:
                seen = f"got {kept.get('Mode') or code or 'no retention'}, want mode COMPLIANCE; {_OPERATOR_ADVICE}"
            yield Promise(f"retention of {bucket}", held, seen)

    def refusals(self) -> Iterator[Promise]:
        """What no member's account may do."""
        elsewhere = f"rounds/0/hospitals/{_NOBODY}/trial/{sha256(b'')}.json"
        yield self._refused("writes nothing of others", "put_object", Bucket=REPORTS, Key=elsewhere, Body=b"")
        yield self._refused("lists nobody's mail", "list_object_versions", Bucket=MAILBOX, Prefix="rounds/0/hospitals/")
        mail = f"rounds/0/hospitals/{_NOBODY}/to/{_NOBODY}/{sha256(b'')}.bin"
        yield self._refused("reads nobody's mail", "get_object", Bucket=MAILBOX, Key=mail)
        setting = {"ObjectLockEnabled": "Enabled"}
        _, answer = self._answer("get_object_lock_configuration", Bucket=REPORTS)
        present = answer.get("ObjectLockConfiguration", setting)
        asked = {"Bucket": REPORTS, "ObjectLockConfiguration": present}
        yield self._refused("changes no retention of a bucket", "put_object_lock_configuration", **asked)
        enabled = {"Bucket": REPORTS, "VersioningConfiguration": {"Status": "Enabled"}}
        yield self._refused("changes no bucket's versions", "put_bucket_versioning", **enabled)
        if self.prefix is not None:
            yield from self._refusals_of_its_own()

    def _refusals_of_its_own(self) -> Iterator[Promise]:
        version = {"Bucket": REPORTS, "Key": self._key, "VersionId": self._version}
        # The retention first: a version that can be deleted is not there any more.
        shorter = {"Mode": "GOVERNANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(days=1)}
        yield self._refused("shortens no retention", "put_object_retention", **version, Retention=shorter)
        yield self._refused("hides nothing", "delete_object", Bucket=REPORTS, Key=self._key)
        yield self._refused("deletes nothing", "delete_object", **version)

    def guard(self) -> Iterator[Promise]:
        """The guard before the server refuses what bears no true signature, in forms that a server may take."""
        key = self._key if self.prefix is not None else f"rounds/0/report/trial/{'0' * 64}.json"
        now = datetime.now(UTC)
        scope = f"{self._credentials.access_key.text()}/{now:%Y%m%d}/us-east-1/s3/aws4_request"
        plain = {"x-amz-date": f"{now:%Y%m%dT%H%M%SZ}"}
        trailer = {
            **plain,
            "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "x-amz-decoded-content-length": "5",
            "x-amz-trailer": "x-amz-checksum-crc32",
            "content-encoding": "aws-chunked",
        }
        false = (
            f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-content-sha256;x-amz-date,"
            f" Signature={'0' * 64}"
        )
        chunks = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
        signed = {**plain, "x-amz-content-sha256": sha256(b"hello")}
        forms: Mapping[str, tuple[str, dict[str, str], bytes]] = {
            "without a signature": (key, plain, b"hello"),
            "with a false signature": (
                key,
                {**signed, "authorization": false},
                b"hello",
            ),
            "in chunks that nobody signed": (f"{key}?X-Amz-Credential={scope}", trailer, chunks),
            "in chunks, with a false signature": (key, {**trailer, "authorization": false}, chunks),
        }
        for form, (target, headers, body) in forms.items():
            status = self._status(target, headers, body)
            held = status in (400, 403)
            seen = f"answered {status}" if held else f"answered {status}, want 403; {_GUARD_ADVICE}"
            yield Promise(f"refuses an object {form}", held, seen)

    def _write(self, data: bytes) -> str:
        """Write these bytes over whatever is there; their version."""
        with self._store.border(REPORTS, self._key):
            return str(self._store.client.put_object(Bucket=REPORTS, Key=self._key, Body=data).get("VersionId", "null"))

    def _reads_below(self) -> bool:
        try:
            self._store.get(REPORTS, self._key, sha256(self._first), version_id=self._version)
        except (EvidenceRejected, ObjectMissing):
            return False
        return True

    def _status(self, target: str, headers: Mapping[str, str], body: bytes) -> int:
        try:
            return httpx.put(
                f"{self._endpoint}/{REPORTS}/{target}",
                headers=dict(headers),
                content=body,
                verify=trust.context(self._authority),
                timeout=30,
            ).status_code
        except httpx.HTTPError as error:
            raise Unavailable(f"{self._endpoint}: got {type(error).__name__}; is the store up?") from error

    def _refused(self, what: str, operation: str, **asked: Any) -> Promise:
        code = self._code(operation, **asked)
        held = code == "AccessDenied" or (code == "InvalidRequest" and operation in _UNDER_LOCK)
        return Promise(
            what,
            held,
            "refused" if held else f"got {code or 'taken'}, want AccessDenied; {_PROVIDER_ADVICE}",
        )

    def _code(self, operation: str, **asked: Any) -> str | None:
        return self._answer(operation, **asked)[0]

    def _answer(self, operation: str, **asked: Any) -> tuple[str | None, Mapping[str, Any]]:
        """S3's word for why it refused, None where it did not; and its answer."""
        if operation == "put_object":
            asked["ChecksumSHA256"] = base64.b64encode(hashlib.sha256(asked["Body"]).digest()).decode()
        request: Callable[..., Mapping[str, Any]] = getattr(self._store.client, operation)
        try:
            return None, request(**asked)
        except ClientError as error:
            return str(error.response.get("Error", {}).get("Code", "an error")), {}
        except (BotoCoreError, HTTPClientError) as error:
            raise Unavailable(f"{self._endpoint}: got {type(error).__name__}; is the store up?") from error
