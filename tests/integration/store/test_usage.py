"""Who uses how much of a real store."""

from __future__ import annotations

from pathlib import Path

from pipeline.domain import HospitalName
from pipeline.identity import StoreCredentials
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
