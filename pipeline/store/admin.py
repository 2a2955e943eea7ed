"""Set-up of the object store with its root credentials: buckets, object lock, expiry, one account per actor."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from minio import Minio, MinioAdmin
from minio.commonconfig import COMPLIANCE, ENABLED, Filter
from minio.credentials import StaticProvider
from minio.error import MinioAdminException, MinioException, S3Error
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule
from minio.objectlockconfig import DAYS, ObjectLockConfig
from minio.versioningconfig import VersioningConfig

from pipeline.domain import StoreKind
from pipeline.errors import Misconfigured, Unavailable
from pipeline.evidence.canonical import read_json
from pipeline.host import trust
from pipeline.site.identity import StoreCredentials
from pipeline.store.object_keys import DVC, MAILBOX, MODELS, REPORTS
from pipeline.store.policies import Policy

BUCKETS = (MAILBOX, MODELS, REPORTS, DVC)

LOCKED = (MODELS, REPORTS)
"""Buckets whose objects nobody can delete before their retention ends, not even with the root credentials."""

_REGION = "us-east-1"

_RETRIES = urllib3.Retry(
    8,
    other=0,  # a certificate that does not hold
    backoff_factor=0.1,
    backoff_max=5,
    status_forcelist=[503],
    allowed_methods=None,
    respect_retry_after_header=False,
)
"""MinIO calls itself ready and then, for a moment, asks to come again in a minute. All that set-up asks for may be
asked twice."""

_OWNER = "wardround"
"""Owns versitygw's buckets, which tells everybody who lists one the access key of its owner; nobody keeps this
account's other key."""


@dataclass(frozen=True)
class Terms:
    """How long the store keeps things."""

    retention_days: int = 365
    """Object lock of models and reports (COMPLIANCE mode)."""
    mailbox_days: int = 7
    """Life of a sealed envelope."""


class Administrator(ABC):
    """The store's root account; used at set-up only, never by a round."""

    def __init__(self, endpoint: str, root: StoreCredentials, authority: Path | None = None) -> None:
        parts = urlsplit(endpoint)
        self._endpoint = endpoint
        self._root = root
        self._connection: Mapping[str, Any] = {
            "secure": parts.scheme == "https",
            "region": _REGION,
            "http_client": urllib3.PoolManager(
                timeout=urllib3.Timeout(connect=3, read=30), retries=_RETRIES, ssl_context=trust.context(authority)
            ),
        }
        self._client: Any = Minio(
            parts.netloc, access_key=root.access_key.text(), secret_key=root.secret_key.text(), **self._connection
        )

    def make_buckets(self, terms: Terms) -> None:
        """Create the buckets that are missing and set lock, versions and expiry; raises Unavailable."""
        with self._border("creating buckets"):
            there = {bucket.name for bucket in self._client.list_buckets()}
            for bucket in BUCKETS:
                if bucket not in there:
                    self._client.make_bucket(bucket, object_lock=bucket in LOCKED)
            for bucket in LOCKED:
                self._client.set_object_lock_config(bucket, ObjectLockConfig(COMPLIANCE, terms.retention_days, DAYS))
            self._client.set_bucket_versioning(DVC, VersioningConfig(ENABLED))

    def admit(self, user: StoreCredentials, policy: Policy) -> None:
        """Make the one account of `user.actor`, with exactly `policy`, in the place of an earlier one.

        Raises Unavailable.
        """
        with self._border(f"admitting {user.actor}"):
            self._admit(user, policy)

    def allow(self, actor: str, policy: Policy) -> None:
        """Give the account of `actor`, whoever holds its keys, exactly `policy`; nothing where it has none.

        Raises Unavailable.
        """
        with self._border(f"changing what {actor} may do"):
            self._allow(actor, policy)

    def expire_envelopes(self, terms: Terms, now: datetime) -> None:
        """Have envelopes deleted that are older than they may be, from now on or just now, as the server can.

        Raises Unavailable.
        """
        with self._border("expiring envelopes"):
            self._expire(terms.mailbox_days, now)

    @abstractmethod
    def _expire(self, days: int, now: datetime) -> None: ...

    @abstractmethod
    def _allow(self, actor: str, policy: Policy) -> None: ...

    @abstractmethod
    def _admit(self, user: StoreCredentials, policy: Policy) -> None: ...

    @contextmanager
    def _border(self, what: str) -> Iterator[None]:
        try:
            yield
        except (MinioAdminException, MinioException, urllib3.exceptions.HTTPError) as error:
            if trouble := trust.bad_certificate(error):
                raise Misconfigured(f"{self._endpoint}: {what}: {trouble}") from None
            # A client's message may hold the account's keys.
            code = error.code if isinstance(error, S3Error) else type(error).__name__
            if code in {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"}:
                raise Misconfigured(
                    f"{self._endpoint}: {what}: got {code} for the root account; want the credentials that the store"
                    " started with"
                ) from None
            raise Unavailable(f"{self._endpoint}: {what}: got {code}; is the store up?") from None


class _Minio(Administrator):
    """MinIO has accounts with policies of their own, and expires objects by itself."""

    @cached_property
    def _admin(self) -> Any:
        keys = StaticProvider(self._root.access_key.text(), self._root.secret_key.text())
        return MinioAdmin(endpoint=urlsplit(self._endpoint).netloc, credentials=keys, **self._connection)

    @cached_property
    def _earlier(self) -> Mapping[str, Mapping[str, str]]:
        """Accounts by access key, as they were before the first was admitted."""
        accounts: Mapping[str, Mapping[str, str]] = read_json(self._admin.user_list().encode()) or {}
        return accounts

    def _expire(self, days: int, now: datetime) -> None:
        expiry = Rule(ENABLED, rule_filter=Filter(prefix=""), rule_id="envelopes", expiration=Expiration(days=days))
        self._client.set_bucket_lifecycle(MAILBOX, LifecycleConfig([expiry]))

    def _allow(self, actor: str, policy: Policy) -> None:
        # An account has its policy by name.
        self._admin.policy_add(policy_name=f"wardround-{actor}", policy=policy)

    def _admit(self, user: StoreCredentials, policy: Policy) -> None:
        name = f"wardround-{user.actor}"
        access_key = user.access_key.text()
        former = [
            key for key, account in self._earlier.items() if account.get("policyName") == name and key != access_key
        ]
        self._admin.policy_add(policy_name=name, policy=policy)
        self._admin.user_add(access_key, user.secret_key.text())
        self._admin.policy_set(policy_name=name, user=access_key)
        for key in former:
            self._admin.user_remove(key)


class _Versitygw(Administrator):
    """versitygw has accounts, and each bucket's policy says what they may do; envelopes are deleted by each set-up."""

    def make_buckets(self, terms: Terms) -> None:
        super().make_buckets(terms)
        with self._border("creating buckets"):
            owner = StoreCredentials.generate(_OWNER)
            self._account(_OWNER, owner.secret_key.text())
            for bucket in BUCKETS:
                self._ask("change-bucket-owner", {"bucket": bucket, "owner": _OWNER})

    def _expire(self, days: int, now: datetime) -> None:
        for item in self._client.list_objects(MAILBOX, recursive=True):
            if now - item.last_modified > timedelta(days=days):
                self._client.remove_object(MAILBOX, item.object_name)

    def _admit(self, user: StoreCredentials, policy: Policy) -> None:
        access_key = user.access_key.text()
        self._account(access_key, user.secret_key.text())
        former = self._keys(user.actor) - {access_key}
        self._set(user.actor, access_key, policy)
        for key in former:
            self._ask("delete-user", {"access": key})

    def _allow(self, actor: str, policy: Policy) -> None:
        for access_key in self._keys(actor):
            self._set(actor, access_key, policy)

    def _keys(self, actor: str) -> set[str]:
        """Access keys of the actor's accounts; more than one only where an admission was interrupted."""
        statements = (item for bucket in BUCKETS for item in self._statements(bucket))
        return {item["Principal"]["AWS"] for item in statements if item["Sid"] == actor}

    def _set(self, actor: str, access_key: str, policy: Policy) -> None:
        """Have the buckets' policies say this about the actor, and nothing else."""
        for bucket in BUCKETS:
            kept = [item for item in self._statements(bucket) if item["Sid"] != actor]
            granted = [{"Sid": actor, "Principal": {"AWS": access_key}, **item} for item in _within(bucket, policy)]
            self._client.set_bucket_policy(
                bucket, json.dumps({"Version": policy["Version"], "Statement": [*kept, *granted]})
            )

    def _statements(self, bucket: str) -> list[dict[str, Any]]:
        try:
            statements: list[dict[str, Any]] = read_json(self._client.get_bucket_policy(bucket).encode())["Statement"]
        except S3Error as error:
            if error.code != "NoSuchBucketPolicy":
                raise
            return []
        return statements

    def _account(self, access_key: str, secret_key: str) -> None:
        """Make the account, or give it this secret key."""
        account = f"<Account><Access>{access_key}</Access><Secret>{secret_key}</Secret><Role>user</Role></Account>"
        if self._ask("create-user", {}, account, allowed=(201, 409)) == 409:
            change = f"<MutableProps><Secret>{secret_key}</Secret></MutableProps>"
            self._ask("update-user", {"access": access_key}, change)

    def _ask(self, what: str, query: Mapping[str, str], body: str = "", *, allowed: tuple[int, ...] = (200,)) -> int:
        """One call of its admin API, signed as S3 is; the status."""
        url = f"{self._endpoint}/{what}" + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        request = AWSRequest("PATCH", url, data=body.encode())
        request.headers["X-Amz-Content-SHA256"] = hashlib.sha256(body.encode()).hexdigest()
        S3SigV4Auth(Credentials(self._root.access_key.text(), self._root.secret_key.text()), "s3", _REGION).add_auth(
            request
        )
        pool: urllib3.PoolManager = self._connection["http_client"]
        status = pool.request("PATCH", url, body=body.encode(), headers=dict(request.headers)).status
        if status not in allowed:
            raise Unavailable(
                f"{self._endpoint}: {what}: got status {status}, want {' or '.join(map(str, allowed))}; is the"
                " store up?"
            )
        return status


def _within(bucket: str, policy: Policy) -> Iterator[dict[str, Any]]:
    """The statements of an account's policy as one bucket's policy has them."""
    for statement in policy["Statement"]:
        resources = [
            item for item in statement["Resource"] if item.removeprefix("arn:aws:s3:::").partition("/")[0] == bucket
        ]
        if resources:
            yield statement | {"Resource": resources}


def administrator(
    kind: StoreKind, endpoint: str, root: StoreCredentials, authority: Path | None = None
) -> Administrator:
    """The root account of this server."""
    return (_Minio if kind == "minio" else _Versitygw)(endpoint, root, authority)
