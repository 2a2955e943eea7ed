"""Set-up of the object store with its root credentials: buckets, object lock, expiry, one user and policy per actor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import urllib3
from minio import Minio, MinioAdmin
from minio.commonconfig import COMPLIANCE, ENABLED, Filter
from minio.credentials import StaticProvider
from minio.error import MinioAdminException, MinioException, S3Error
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule
from minio.objectlockconfig import DAYS, ObjectLockConfig
from minio.versioningconfig import VersioningConfig

from pipeline.errors import Misconfigured, Unavailable
from pipeline.identity import StoreCredentials
from pipeline.places import DVC, MAILBOX, MODELS, REPORTS
from pipeline.store.policies import Policy

BUCKETS = (MAILBOX, MODELS, REPORTS, DVC)

LOCKED = (MODELS, REPORTS)
"""Buckets whose objects nobody can delete before their retention ends, not even with the root credentials."""


@dataclass(frozen=True)
class Terms:
    """How long the store keeps things."""

    retention_days: int = 365
    """Object lock of models and reports (COMPLIANCE mode)."""
    mailbox_days: int = 7
    """Life of a sealed envelope."""


class Administrator:
    """The store's root account; used at set-up only, never by a round."""

    def __init__(self, endpoint: str, root: StoreCredentials) -> None:
        parts = urlsplit(endpoint)
        secure = parts.scheme == "https"
        http = urllib3.PoolManager(timeout=urllib3.Timeout(connect=3, read=30), retries=urllib3.Retry(3, backoff_factor=0.2))
        secret = root.secret_key.text()
        self._endpoint = endpoint
        self._client: Any = Minio(
            parts.netloc, access_key=root.access_key, secret_key=secret, secure=secure, region="us-east-1", http_client=http
        )
        self._admin: Any = MinioAdmin(
            endpoint=parts.netloc, credentials=StaticProvider(root.access_key, secret), secure=secure, region="us-east-1", http_client=http
        )

    def make_buckets(self, terms: Terms) -> None:
        """Create the buckets that are missing and set lock, versions and expiry; raises Unavailable."""
        try:
            there = {bucket.name for bucket in self._client.list_buckets()}
            for bucket in BUCKETS:
                if bucket not in there:
                    self._client.make_bucket(bucket, object_lock=bucket in LOCKED)
            for bucket in LOCKED:
                self._client.set_object_lock_config(bucket, ObjectLockConfig(COMPLIANCE, terms.retention_days, DAYS))
            self._client.set_bucket_versioning(DVC, VersioningConfig(ENABLED))
            expiry = Rule(ENABLED, rule_filter=Filter(prefix=""), rule_id="envelopes", expiration=Expiration(days=terms.mailbox_days))
            self._client.set_bucket_lifecycle(MAILBOX, LifecycleConfig([expiry]))
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise self._failed("creating buckets", error) from error

    def admit(self, user: StoreCredentials, policy: Policy) -> None:
        """Make `user` with exactly `policy` and its secret key as given; raises Unavailable."""
        name = f"wardround-{user.access_key}"
        try:
            self._admin.policy_add(policy_name=name, policy=policy)
            self._admin.user_add(user.access_key, user.secret_key.text())
            self._admin.policy_set(policy_name=name, user=user.access_key)
        except (MinioAdminException, MinioException, urllib3.exceptions.HTTPError) as error:
            raise self._failed(f"admitting {user.access_key}", error) from error

    def _failed(self, what: str, error: Exception) -> Misconfigured | Unavailable:
        if isinstance(error, S3Error) and error.code in {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"}:
            return Misconfigured(
                f"{self._endpoint}: {what}: got {error.code} for the root account; want the credentials that the store started with"
            )
        return Unavailable(f"{self._endpoint}: {what}: got {type(error).__name__}: {error}; is the store up?")
