"""Who uses how much of a real store."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.domain import HospitalName
from pipeline.errors import Refused
from pipeline.evidence.canonical import sha256
from pipeline.site.identity import StoreCredentials
from pipeline.site.installation import Quota
from pipeline.store import policies
from pipeline.store.objects import Store
from pipeline.store.usage import Share, usage
from tests.support.minio import StoreServer


def test_every_version_stands_against_whoever_wrote_it(own_server: StoreServer) -> None:
    elm = own_server.admit("hospital-elm", policies.hospital(HospitalName("elm")))
    east = own_server.admit("node-east", policies.node("east"))
    auditor = own_server.admit("auditor", policies.auditor())
    for _ in range(3):
        elm._client.put_object(Bucket="reports", Key="rounds/abc/hospitals/elm/junk", Body=b"x" * 1000)
    elm._client.put_object(Bucket="reports", Key="consents/hospitals/elm/pneumonia/1", Body=b"x" * 10)
    east._client.put_object(Bucket="reports", Key="rounds/1/record/junk", Body=b"x" * 20)
    east._client.put_object(Bucket="models", Key="junk.safetensors", Body=b"x" * 30)
    found = usage(auditor, 60)
    assert found.complete
    assert found.trouble is None
    assert found.shares == [
        Share("hospital elm", 4, 3010),
        Share("the nodes and the service provider", 1, 30),
        Share("the nodes", 1, 20),
    ]
    assert str(found.shares[0]) == "hospital elm 4 objects, 0.0 MiB"
    assert not usage(auditor, 0).complete


def test_a_store_that_does_not_answer_is_said(own_server: StoreServer, tmp_path: Path) -> None:
    own_server.kill()
    found = usage(Store(own_server.endpoint, StoreCredentials.generate("auditor")), 60)
    assert found.shares == ()
    assert "is the store up?" in str(found.trouble)


def test_whoever_has_more_than_its_quota_reads_and_no_longer_writes_until_it_may_again(own_server: StoreServer) -> None:
    rights = {f"hospital-{name}": policies.hospital(HospitalName(name)) for name in ("elm", "oak")}
    elm, oak = (own_server.admit(account, policy) for account, policy in rights.items())
    quota = Quota(mebibytes=1, objects=3)

    def write(store: Store, name: str, number: int) -> None:
        data = b"junk %d" % number
        store.put_once("reports", f"rounds/1/hospitals/{name}/manifest/{sha256(data)}.json", data)

    for number in range(4):
        write(elm, "elm", number)
    for number in range(3):
        write(oak, "oak", number)
    (beyond,) = usage(own_server.as_root(), 60).beyond(quota)
    assert (beyond.who, beyond.account, beyond.objects) == ("hospital elm", "hospital-elm", 4)
    own_server.administrator.allow("hospital-elm", policies.reading(rights["hospital-elm"]))
    with pytest.raises(Refused, match="does not let hospital-elm"):
        write(elm, "elm", 9)
    assert len(elm.list("reports", "rounds/1/hospitals/elm/")) == 4
    assert (
        elm.get("reports", f"rounds/1/hospitals/elm/manifest/{sha256(b'junk 0')}.json", sha256(b"junk 0")) == b"junk 0"
    )
    write(oak, "oak", 9)
    own_server.administrator.allow("hospital-elm", rights["hospital-elm"])
    write(elm, "elm", 9)


def test_what_several_may_have_written_is_beyond_nobodys_quota() -> None:
    quota = Quota(mebibytes=1, objects=1)
    assert not Share("the nodes and the service provider", 9, 9 << 20).beyond(quota)
    assert not Share("the service provider", 9, 9 << 20).beyond(quota)
    assert Share("node east", 1, (1 << 20) + 1).beyond(quota)
