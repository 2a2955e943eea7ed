"""Write-once objects on real servers."""

from __future__ import annotations

import io
import multiprocessing
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore import auth
from botocore.exceptions import ClientError

from pipeline.domain import ObjectRef, StoreKind
from pipeline.errors import EvidenceRejected, Misconfigured, ObjectMissing, Unavailable
from pipeline.evidence.canonical import sha256
from pipeline.host import ports
from pipeline.host.secret import Secret
from pipeline.site.identity import StoreCredentials
from pipeline.store import objects
from pipeline.store.objects import Store
from tests.adversary import attack
from tests.support.minio import ROOT, StoreServer


def key_of(data: bytes, prefix: str = "rounds/1/report/") -> str:
    return f"{prefix}{sha256(data)}.json"


def put(store: Store, data: bytes, bucket: str = "reports") -> ObjectRef:
    return store.put_once(bucket, key_of(data), data)


def plant(store: Store, ref: ObjectRef, data: bytes) -> None:
    """What an operator with root credentials can do: another version under the same key."""
    store._client.put_object(Bucket=ref.bucket, Key=ref.key, Body=data)


def test_what_is_put_comes_back(server: StoreServer) -> None:
    store = server.as_root()
    ref = put(store, b"a report")
    assert store.read(ref) == store.get(ref.bucket, ref.key, ref.sha256) == b"a report"
    assert (ref.size, ref.sha256) == (8, sha256(b"a report"))


def test_a_process_and_its_forked_children_read_at_the_same_time(server: StoreServer) -> None:
    """Each on connections of its own, though accounts share theirs within a process."""
    store = server.as_root()
    refs = [put(store, bytes([number]) * 200_000) for number in range(8)]

    def read_all() -> None:
        again = server.as_root()
        for ref in refs * 5:
            assert sha256(again.read(ref)) == ref.sha256

    children = [multiprocessing.get_context("fork").Process(target=read_all) for _ in range(3)]
    for child in children:
        child.start()
    read_all()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]


def test_an_object_is_read_into_a_file_with_the_same_checks(server: StoreServer) -> None:
    store = server.as_root()
    file = io.BytesIO()
    ref = put(store, b"a long report")
    assert store.save(ref.bucket, ref.key, ref.sha256, file, max_bytes=13) == 13
    assert file.getvalue() == b"a long report"
    with pytest.raises(EvidenceRejected, match="want at most 12"):
        store.save(ref.bucket, ref.key, ref.sha256, io.BytesIO(), max_bytes=12)
    plant(store, ref, b"another text")
    file.seek(0)
    file.truncate()
    assert store.save(ref.bucket, ref.key, ref.sha256, file, max_bytes=13) == 13
    assert file.getvalue() == b"a long report"


@pytest.mark.usefixtures("own_clients")
def test_a_listing_goes_on_behind_a_folder_in_which_too_much_lies(
    server: StoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_PAGE", 5)
    store = server.as_root()
    asked = []
    wanted = [
        *(
            f"rounds/8/hospitals/{name}/manifest/{sha256(name.encode())}.json"
            for name in ("aster", "elm", "elm0", "fern")
        ),
        f"rounds/8/record/{sha256(b'record')}.json",
    ]
    junk = [f"rounds/8/hospitals/elm/{'nested/' * (number % 3)}{number:02d}" for number in range(40)]
    for key in (*wanted, *junk):
        store._client.put_object(Bucket="reports", Key=key, Body=b"x")
    store._client.meta.events.register("before-call.s3.ListObjectVersions", lambda **_: asked.append(1))
    listed = [info.key for info in store.history("reports", "rounds/8/", 4)]
    assert len(asked) <= 5
    assert listed == sorted(listed)
    assert set(listed) >= set(wanted) - {wanted[1]}
    assert len(set(listed) & set(junk)) <= 10
    asked.clear()
    assert [info.key for info in store.first("reports", "rounds/8/hospitals/elm/", 3)] == sorted(junk + wanted)[1:4]
    assert len(asked) == 1
    assert [info.key for info in store.history("reports", "rounds/8/")] == sorted(wanted + junk)


def test_a_second_put_of_the_same_is_the_first(server: StoreServer) -> None:
    store = server.as_root()
    assert put(store, b"twice") == put(store, b"twice")
    assert len(store.versions("reports", key_of(b"twice"))) == 1


def test_a_key_must_end_in_the_digest(server: StoreServer) -> None:
    with pytest.raises(EvidenceRejected, match="want a key that ends in it"):
        server.as_root().put_once("reports", key_of(b"something else"), b"something")


@attack(
    by="node",
    to="stop",
    tries="to take a model's place in the store by other bytes that come first",
    costs="nothing",
    seen="an older version with other bytes, in the audit's findings",
)
def test_other_bytes_that_came_first_take_no_place(server: StoreServer) -> None:
    store = server.as_root()
    planted = ObjectRef("reports", key_of(b"wanted"), "", sha256(b"wanted"), 6)
    plant(store, planted, b"junk!!")
    ref = put(store, b"wanted")
    assert store.get(ref.bucket, ref.key, ref.sha256) == store.read(ref) == b"wanted"
    assert put(store, b"wanted") == ref
    assert len(store.versions("reports", ref.key)) == 2


def test_reading_looks_past_newer_versions_and_says_so(server: StoreServer, caplog: pytest.LogCaptureFixture) -> None:
    store = server.as_root()
    ref = put(store, b"the model that was voted for")
    plant(store, ref, b"the model that an operator prefers")
    plant(store, ref, b"x" * 100_000)
    assert store.get(ref.bucket, ref.key, ref.sha256) == store.read(ref) == b"the model that was voted for"
    assert f"{ref.key}: read version {ref.version_id} of 3, since the newest does not fit" in caplog.text
    assert [item.version_id == ref.version_id for item in store.versions(ref.bucket, ref.key)] == [False, False, True]


def test_a_reader_that_says_how_far_looks_no_further(server: StoreServer) -> None:
    store = server.as_root()
    ref = put(store, b"written first")
    for number in range(4):
        plant(store, ref, b"junk %d" % number)
    assert store.get(ref.bucket, ref.key, ref.sha256, most=1) == b"written first"
    late = ObjectRef("reports", key_of(b"written late"), "", sha256(b"written late"), 12)
    for data in (b"junk 1", b"junk 2", b"written late", b"junk 3"):
        plant(store, late, data)
    assert (
        store.get(late.bucket, late.key, late.sha256)
        == store.get(late.bucket, late.key, late.sha256, most=3)
        == b"written late"
    )
    with pytest.raises(EvidenceRejected, match="somebody changed"):
        store.get(late.bucket, late.key, late.sha256, most=2)


def test_other_bytes_alone_are_named(server: StoreServer) -> None:
    store = server.as_root()
    alone = ObjectRef("reports", key_of(b"never written"), "", sha256(b"never written"), 13)
    plant(store, alone, b"written by another")
    with pytest.raises(EvidenceRejected, match=f"reports/{alone.key}.*somebody changed"):
        store.get(alone.bucket, alone.key, alone.sha256)


def test_a_delete_marker_hides_nothing(server: StoreServer) -> None:
    store = server.as_root()
    ref = put(store, b"hidden by its operator")
    server.past_guard()._client.delete_object(Bucket=ref.bucket, Key=ref.key)
    assert [item.deleted for item in store.versions(ref.bucket, ref.key)] == [True, False]
    assert store.get(ref.bucket, ref.key, ref.sha256) == b"hidden by its operator"
    assert ref.key in [item.key for item in store.list(ref.bucket, "rounds/1/report/")]


@attack(
    by="store_operator",
    to="stop",
    tries="to delete evidence by the store's root account",
    costs="nothing",
    seen="nothing: the store keeps it",
)
def test_nobody_deletes_or_shortens_before_the_retention_ends(server: StoreServer) -> None:
    store = server.as_root()
    ref = put(store, b"kept")
    version = {"Bucket": ref.bucket, "Key": ref.key, "VersionId": ref.version_id}
    shorter = {"Mode": "COMPLIANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(seconds=2)}
    with pytest.raises(ClientError, match="The guard before the store"):
        store._client.delete_object(**version, BypassGovernanceRetention=True)
    with pytest.raises(ClientError, match="The guard before the store"):
        store._client.put_object_retention(**version, Retention=shorter)
    with pytest.raises(ClientError, match=r"WORM protected|object locked|AccessDenied"):
        server.past_guard()._client.delete_object(**version, BypassGovernanceRetention=True)
    assert store.read(ref) == b"kept"


@pytest.mark.parametrize(
    "kind", [pytest.param("minio", marks=pytest.mark.minio), pytest.param("versitygw", marks=pytest.mark.versitygw)]
)
@attack(
    by="store_operator",
    to="stop",
    tries="to shorten a retention and delete then",
    costs="being inside the store's machine",
    seen="what is missing, in every audit",
)
def test_who_passes_by_the_guard_shortens_the_retention_of_versitygw_and_not_of_minio(
    kind: StoreKind, tmp_path: Path
) -> None:
    server = StoreServer(tmp_path / "store", kind)
    ref = put(server.as_root(), b"kept")
    version = {"Bucket": ref.bucket, "Key": ref.key, "VersionId": ref.version_id}
    operator = server.past_guard()._client
    shorter = {"Mode": "COMPLIANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(seconds=5)}
    try:
        if kind == "minio":
            with pytest.raises(ClientError, match=r"WORM protected|AccessDenied"):
                operator.put_object_retention(**version, Retention=shorter)
        else:
            operator.put_object_retention(**version, Retention=shorter)
    finally:
        server.stop()


def test_what_is_missing_is_said_to_be_expired_or_never_written(server: StoreServer) -> None:
    with pytest.raises(ObjectMissing, match="expired, was never written"):
        server.as_root().get("mailbox", key_of(b"never"), sha256(b"never"))


def test_an_object_larger_than_allowed_is_not_read(server: StoreServer) -> None:
    store = server.as_root()
    ref = put(store, b"x" * 1000)
    with pytest.raises(EvidenceRejected, match="got 1000 bytes, want at most 999"):
        store.read(ref, max_bytes=999)


def test_listing_shows_current_versions_below_a_prefix_in_order(server: StoreServer) -> None:
    store = server.as_root()
    keys = sorted(store.put_once("mailbox", key_of(data, "rounds/44/"), data).key for data in (b"1", b"2", b"3"))
    store.put_once("mailbox", key_of(b"1", "rounds/45/"), b"1")
    assert [item.key for item in store.list("mailbox", "rounds/44/")] == keys
    assert store.list("mailbox", "rounds/46/") == ()


@pytest.mark.minio
@pytest.mark.parametrize(
    ("size", "part"), [(9, "xl.meta"), (400_000, "xl.meta"), (400_000, "part."), (3_000_000, "part.")]
)
def test_what_is_damaged_on_the_stores_disk_is_missing(own_minio: StoreServer, size: int, part: str) -> None:
    store = own_minio.as_root()
    ref = put(store, b"m" * size)
    other = put(store, b"whole")
    files = [
        file
        for file in (own_minio.folder / ref.bucket / ref.key).rglob("*")
        if file.is_file() and file.name.startswith(part)
    ]
    assert files
    for file in files:
        flip_a_byte(file)
    with pytest.raises(ObjectMissing, match=f"{ref.key}: the store .*: it is damaged on the store's disk"):
        store.get(ref.bucket, ref.key, ref.sha256)
    assert store.read(other) == b"whole"


@pytest.mark.minio
def test_a_damaged_newest_version_is_looked_past(own_minio: StoreServer) -> None:
    store = own_minio.as_root()
    ref = put(store, b"n" * 400_000)
    data = b"n" * 400_000
    plant(store, ref, data)
    newest = next(item.version_id for item in store.versions(ref.bucket, ref.key) if item.latest)
    parts = {file: file.stat().st_mtime_ns for file in (own_minio.folder / ref.bucket / ref.key).rglob("part.*")}
    assert len(parts) == 2
    flip_a_byte(max(parts, key=lambda file: parts[file]))
    assert newest != ref.version_id
    assert store.get(ref.bucket, ref.key, ref.sha256) == data


@pytest.mark.parametrize(
    ("minutes", "said"), [(16, "16 minutes ahead of the store's"), (-16, "16 minutes behind the store's")]
)
def test_a_clock_that_is_wrong_is_called_that(
    server: StoreServer, monkeypatch: pytest.MonkeyPatch, minutes: int, said: str
) -> None:
    store = server.as_root()
    now = auth.get_current_datetime
    clock = time.time
    monkeypatch.setattr(
        auth, "get_current_datetime", lambda *given, **more: now(*given, **more) + timedelta(minutes=minutes)
    )
    monkeypatch.setattr("pipeline.store.objects.time.time", lambda: clock() + 60 * minutes)
    with pytest.raises(Misconfigured, match=f"this machine's clock is {said}, want at most 15; set the clock"):
        store.list("models", "")


@pytest.mark.versitygw
@pytest.mark.parametrize("size", [9, 400_000])
def test_versitygw_tells_no_damage_on_its_disk_and_reading_does(tmp_path: Path, size: int) -> None:
    server = StoreServer(tmp_path / "store", "versitygw")
    try:
        store = server.as_root()
        ref = put(store, b"m" * size)
        other = put(store, b"whole")
        flip_a_byte(server.folder / "objects" / ref.bucket / ref.key)
        with pytest.raises(EvidenceRejected, match=ref.key):
            store.get(ref.bucket, ref.key, ref.sha256)
        assert store.read(other) == b"whole"
    finally:
        server.stop()


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) * 9 // 10] ^= 1
    file.write_bytes(content)


def test_kill_9_loses_no_acknowledged_object(own_server: StoreServer) -> None:
    store = own_server.as_root()
    refs = [put(store, f"object {number}".encode()) for number in range(20)]
    own_server.kill()
    with pytest.raises(Unavailable, match=own_server.endpoint):
        store.read(refs[0])
    own_server.start()
    assert [store.read(ref) for ref in refs] == [f"object {number}".encode() for number in range(20)]
    assert put(store, b"object 7") == refs[7]


@attack(
    by="store_operator",
    to="delay",
    tries="to answer nobody",
    costs="its service",
    seen="that the store does not answer; each step is taken again",
)
def test_a_store_that_is_down_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="is the store up"):
        Store(f"http://127.0.0.1:{ports.choose()}", ROOT).list("models", "")


def test_wrong_credentials_are_a_misconfiguration_and_are_not_repeated(server: StoreServer) -> None:
    with pytest.raises(Misconfigured, match="SignatureDoesNotMatch") as caught:
        Store(server.endpoint, StoreCredentials("root", ROOT.access_key, Secret(b"a-guessed-password"))).list(
            "models", ""
        )
    assert "a-guessed-password" not in repr(caught.value)


def test_a_missing_bucket_is_a_misconfiguration(server: StoreServer) -> None:
    with pytest.raises(Misconfigured, match="got no bucket archive"):
        server.past_guard().list("archive", "")
