"""Every actor writes its own prefix only; nobody deletes or touches retention."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from pipeline.domain import HospitalName
from pipeline.errors import Misconfigured, Refused
from pipeline.evidence.canonical import sha256
from pipeline.site.identity import StoreCredentials
from pipeline.store import admin, policies
from pipeline.store.objects import Store
from tests.adversary import attack
from tests.support.minio import ROOT, TERMS, StoreServer

OWN = {
    "hospital-elm": [
        "mailbox/rounds/1/hospitals/elm/to/east/",
        "mailbox/rounds/1/timings/elm/train/",
        "reports/rounds/1/hospitals/elm/manifest/",
        "reports/consents/hospitals/elm/pneumonia/",
    ],
    "node-east": [
        "mailbox/rounds/1/nodes/east/to/west/",
        "mailbox/rounds/1/timings/east/verify/",
        "reports/rounds/1/nodes/east/vote/",
        "reports/consents/nodes/east/pneumonia/",
        "reports/rounds/1/record/",
        "models/",
    ],
    "provider": [
        "reports/rounds/1/commit/",
        "reports/rounds/1/report/",
        "models/",
        "dvc/files/",
        "mailbox/rounds/1/timings/provider/open/",
    ],
    "auditor": [],
}
"""Prefixes that each actor may write."""

ELSEWHERE = [
    "mailbox/rounds/1/hospitals/oak/to/east/",
    "mailbox/rounds/1/nodes/west/to/east/",
    "reports/rounds/1/hospitals/oak/manifest/",
    "reports/rounds/1/nodes/west/vote/",
    "reports/consents/hospitals/oak/pneumonia/",
    "reports/consents/nodes/west/pneumonia/",
    "reports/consents/hospitals/elmwood/pneumonia/",
    "mailbox/elsewhere/",
    "mailbox/rounds/1/hospitals/oak/to/east/hospitals/elm/",
    "reports/rounds/1/hospitals/oak/hospitals/elm/",
    "reports/rounds/1/hospitals/oak/manifest/hospitals/elm/",
    "reports/rounds/1/hospitals/oak/manifest/nodes/east/",
    "reports/rounds/1/hospitals/oak/manifest/record/",
    "reports/rounds/1/hospitals/oak/manifest/commit/",
]
"""Prefixes that none of them may write."""


@dataclass(frozen=True)
class Actors:
    server: StoreServer
    stores: dict[str, Store]


@pytest.fixture(scope="module")
def actors(server: StoreServer) -> Actors:
    chosen = {
        "hospital-elm": policies.hospital("elm"),
        "node-east": policies.node("east"),
        "provider": policies.provider(),
        "auditor": policies.auditor(),
    }
    return Actors(server, {name: server.admit(name, policy) for name, policy in chosen.items()})


def put(store: Store, place: str, data: bytes) -> None:
    bucket, _, prefix = place.partition("/")
    suffix = "safetensors" if bucket == "models" else "bin"
    store.put_once(bucket, f"{prefix}{sha256(data)}.{suffix}", data)


@pytest.mark.parametrize(("name", "place"), [(name, place) for name, places in OWN.items() for place in places])
def test_an_actor_writes_its_own_prefix_and_may_repeat_itself(actors: Actors, name: str, place: str) -> None:
    for _ in range(2):
        put(actors.stores[name], place, f"by {name}".encode())


@pytest.mark.parametrize("name", OWN)
@attack(
    by="hospital",
    to="change",
    tries="to write into anybody else's folders",
    costs="nothing",
    seen="nothing: the store refuses it",
)
def test_an_actor_is_refused_everywhere_else(actors: Actors, name: str) -> None:
    others = {place for places in OWN.values() for place in places} - set(OWN[name])
    for place in [*others, *ELSEWHERE]:
        with pytest.raises(Refused, match=f"does not let {name}"):
            put(actors.stores[name], place, b"not mine")


@attack(
    by="hospital",
    to="learn",
    tries="to read another hospital's envelopes",
    costs="nothing",
    seen="nothing: the store refuses it",
)
def test_an_envelope_is_read_by_its_sender_and_its_addressee_only(actors: Actors) -> None:
    data = b"sealed"
    key = f"rounds/2/hospitals/elm/to/east/{sha256(data)}.bin"
    actors.stores["hospital-elm"].put_once("mailbox", key, data)
    assert actors.stores["node-east"].get("mailbox", key, sha256(data)) == data
    stranger = actors.server.admit("node-west", policies.node("west"))
    for store in (
        stranger,
        actors.stores["provider"],
        actors.stores["auditor"],
        actors.server.admit("hospital-oak", policies.hospital("oak")),
    ):
        with pytest.raises(Refused):
            store.get("mailbox", key, sha256(data))


@attack(
    by="node",
    to="learn",
    tries="to list what others have in the mailbox",
    costs="nothing",
    seen="nothing: the store refuses it",
)
def test_the_mailbox_is_listed_below_ones_own_prefix_only(actors: Actors) -> None:
    actors.stores["node-east"].list("mailbox", "rounds/2/hospitals/elm/to/east/")
    for name, prefix in (
        ("node-east", "rounds/2/"),
        ("node-east", "rounds/2/hospitals/elm/to/west/"),
        ("hospital-elm", "rounds/2/hospitals/oak/"),
        ("provider", "rounds/2/hospitals/"),
        ("auditor", ""),
    ):
        with pytest.raises(Refused):
            actors.stores[name].list("mailbox", prefix)


def test_everybody_reads_statements_and_models(actors: Actors) -> None:
    data = b"a vote"
    key = f"rounds/3/nodes/east/vote/{sha256(data)}.json"
    actors.stores["node-east"].put_once("reports", key, data)
    for store in actors.stores.values():
        assert store.get("reports", key, sha256(data)) == data
        assert [item.key for item in store.list("reports", "rounds/3/")] == [key]
        store.list("models", "")


@pytest.mark.parametrize("name", OWN)
@attack(
    by="hospital",
    to="stop",
    tries="to delete evidence, or end its retention",
    costs="nothing",
    seen="nothing: the store refuses it",
)
def test_nobody_deletes_or_touches_retention(actors: Actors, name: str) -> None:
    data = f"kept from {name}".encode()
    key = f"rounds/4/hospitals/elm/manifest/{sha256(data)}.json"
    ref = actors.stores["hospital-elm"].put_once("reports", key, data)
    client = actors.stores[name]._client
    version = {"Bucket": "reports", "Key": key, "VersionId": ref.version_id}
    now = datetime.now(UTC)
    sooner = now + timedelta(hours=1)
    later = now + timedelta(days=3653)
    governance = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": sooner}
    attempts = [
        lambda: client.delete_object(Bucket="reports", Key=key),
        lambda: client.delete_object(**version),
        lambda: client.delete_object(**version, BypassGovernanceRetention=True),
        lambda: client.put_object_retention(**version, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": sooner}),
        lambda: client.put_object_retention(**version, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": later}),
        lambda: client.put_object(Bucket="reports", Key=key, Body=b"x", **governance),
        lambda: client.put_object_lock_configuration(
            Bucket="reports", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
        ),
        lambda: client.put_bucket_versioning(Bucket="models", VersioningConfiguration={"Status": "Suspended"}),
        lambda: client.delete_bucket(Bucket="dvc"),
    ]
    for attempt in attempts:
        with pytest.raises(ClientError, match=r"AccessDenied|WORM protected"):
            attempt()
    assert actors.stores["auditor"].read(ref) == data


def test_the_mailbox_expires_and_evidence_does_not(own_server: StoreServer) -> None:
    store = own_server.as_root()
    data = b"sealed"
    envelope = ("mailbox", f"rounds/1/{sha256(data)}.bin")
    statement = ("reports", f"rounds/1/{sha256(data)}.json")
    for bucket, key in (envelope, statement):
        store.put_once(bucket, key, data)
    own_server.administrator.expire_envelopes(TERMS, datetime.now(UTC) + timedelta(hours=25))
    if own_server.kind == "minio":
        (rule,) = store._client.get_bucket_lifecycle_configuration(Bucket="mailbox")["Rules"]
        assert (rule["Status"], rule["Expiration"]["Days"]) == ("Enabled", 1)
    else:
        assert store.list("mailbox", "") == ()
    assert [item.key for item in store.list("reports", "")] == [statement[1]]
    for bucket in ("models", "reports"):
        lock = store._client.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
        assert lock["Rule"]["DefaultRetention"] == {"Mode": "COMPLIANCE", "Days": 1}
        with pytest.raises(ClientError, match=r"NoSuchLifecycle|NotImplemented"):
            store._client.get_bucket_lifecycle_configuration(Bucket=bucket)


def test_an_actor_that_is_admitted_again_has_the_new_account_alone(server: StoreServer) -> None:
    policy = policies.hospital(HospitalName("yew"))
    place = "reports/rounds/1/hospitals/yew/manifest/"
    first = server.admit("hospital-yew", policy)
    put(first, place, b"first")
    # An administrator that was started anew: set-up of another day.
    own = admin.administrator(server.kind, server.endpoint, ROOT)
    again = StoreCredentials.generate("hospital-yew")
    own.admit(again, policy)
    put(Store(server.endpoint, again), place, b"again")
    with pytest.raises(Misconfigured, match="InvalidAccessKeyId for hospital-yew"):
        put(first, place, b"with the former keys")
