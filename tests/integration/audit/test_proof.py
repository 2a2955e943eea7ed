"""Proof bundles of rounds on a real chain and store, verified with sockets forbidden."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import pytest_socket
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from pipeline.audit import proof_bundle
from pipeline.audit.round_evidence import RoundEvidence
from pipeline.cli import commands
from pipeline.domain import RoundId
from pipeline.errors import EvidenceRejected, WardroundError
from pipeline.evidence.canonical import sha256
from pipeline.store import object_keys
from tests.adversary import attack
from tests.support.chains import CHAIN_ID
from tests.support.finished_rounds import consortium, key, model

from .conftest import Rounds

pytestmark = [pytest.mark.minio, pytest.mark.anvil]

Change = Callable[[dict[str, bytes]], None]


@pytest.fixture(scope="module")
def packed(finished: Rounds) -> bytes:
    """The bundle of round 2, in which hillside was absent, southmoor rejected, and two of three nodes signed."""
    evidence = RoundEvidence(RoundId(2), finished.driver.ledger, finished.auditor)
    transcript = finished.driver.ledger.transcript(finished.driver.ledger.round(RoundId(2)))
    data = proof_bundle.pack(evidence, transcript)
    assert proof_bundle.pack(evidence, transcript) == data
    return data


@pytest.fixture
def members(finished: Rounds, tmp_path: Path) -> Path:
    path = tmp_path / "consortium.yaml"
    consortium(finished.maker.of, CHAIN_ID, finished.driver.ledger.contract).save(path)
    return path


@pytest.fixture
def _offline() -> Iterator[None]:
    pytest_socket.disable_socket()
    yield
    pytest_socket.enable_socket()


def _verify(data: bytes, nodes: Path, *more: str) -> Result:
    file = nodes.parent / "round.zip"
    file.write_bytes(data)
    return CliRunner().invoke(commands, ["verify", str(file), "--nodes", str(nodes), *more], env={"COLUMNS": "200"})


def _changed(data: bytes, change: Change) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return written.getvalue()


def _refused(data: bytes, nodes: Path, *more: str) -> str:
    said = _verify(data, nodes, *more)
    assert said.exit_code != 0, said.output
    if said.exit_code == 1 and not isinstance(said.exception, WardroundError):
        assert "FIRST PROBLEM" in said.output
        return said.output
    assert isinstance(said.exception, WardroundError), said.exception
    return str(said.exception)


@pytest.mark.usefixtures("_offline")
def test_a_bundle_holds_without_a_network(packed: bytes, members: Path) -> None:
    said = _verify(packed, members)
    assert said.exit_code == 0, said.output
    assert "13 checks passed" in said.output
    assert "southmoor rejected" in said.output.replace("\n", " ")


@pytest.mark.usefixtures("_offline")
def test_the_nodes_addresses_alone_are_enough(packed: bytes, finished: Rounds, tmp_path: Path) -> None:
    nodes = tmp_path / "nodes.yaml"
    nodes.write_text(yaml.safe_dump({name: key(name).address for name in finished.maker.of.nodes}))
    assert _verify(packed, nodes).exit_code == 0


@pytest.mark.usefixtures("_offline")
def test_a_hospital_proves_that_its_update_was_in_or_was_rejected(packed: bytes) -> None:
    proofs = dict(proof_bundle.Bundle(packed).proofs())
    assert proofs["northgate"]["verdict"] == "accepted"
    assert proofs["southmoor"]["verdict"] == "rejected"
    assert "hillside" not in proofs


@pytest.mark.usefixtures("_offline")
def test_the_model_is_the_one_that_was_decided(packed: bytes, members: Path, tmp_path: Path) -> None:
    right = tmp_path / "right"
    wrong = tmp_path / "wrong"
    right.write_bytes(model(2))
    wrong.write_bytes(model(1))
    assert _verify(packed, members, "--model", str(right)).exit_code == 0
    assert "model: got a file" in _refused(packed, members, "--model", str(wrong))


@pytest.mark.usefixtures("_offline")
@attack(
    by="stranger",
    to="change",
    tries="to pass off a proof bundle in which a byte of any file was changed",
    costs="nothing",
    seen="the file, by name",
)
def test_one_flipped_byte_in_any_file_is_found(packed: bytes, members: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        names = [name for name in archive.namelist() if name != "ledger.json"]
    assert len(names) > 20
    for name in names:

        def flip(files: dict[str, bytes], name: str = name) -> None:
            middle = len(files[name]) // 2
            files[name] = files[name][:middle] + bytes([files[name][middle] ^ 1]) + files[name][middle + 1 :]

        _refused(_changed(packed, flip), members)


@pytest.mark.usefixtures("_offline")
def test_a_file_that_is_missing_is_missed(packed: bytes, members: Path) -> None:
    for part in ("/record/", "/commit/", "nodes/alder/vote/", "hospitals/northgate/manifest/", "proofs/southmoor"):

        def drop(files: dict[str, bytes], part: str = part) -> None:
            (name,) = (name for name in files if part in name)
            del files[name]

        _refused(_changed(packed, drop), members)


@pytest.mark.usefixtures("_offline")
@attack(
    by="stranger",
    to="change",
    tries="to prove a round by nodes of its own",
    costs="nothing",
    seen="the address that does not fit",
)
def test_other_nodes_than_those_of_the_file_prove_nothing(packed: bytes, finished: Rounds, members: Path) -> None:
    content = yaml.safe_load(members.read_text())
    content["nodes"]["birch"]["address"] = key("northgate").address
    members.write_text(yaml.safe_dump(content))
    _refused(packed, members)
    del content["nodes"]["birch"]
    members.write_text(yaml.safe_dump(content))
    assert "the record names nodes" in _refused(packed, members)


@pytest.mark.usefixtures("_offline")
def test_a_round_of_another_ledger_is_refused(packed: bytes, members: Path) -> None:
    content = yaml.safe_load(members.read_text())
    content["ledger"]["contract"] = key("northgate").address
    members.write_text(yaml.safe_dump(content))
    assert "got a round of chain" in _refused(packed, members)


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize("field", ["chain_id", "contract", "round", "raw", "logs"])
@attack(
    by="stranger",
    to="change",
    tries="to pass off another ledger's words in a proof bundle",
    costs="nothing",
    seen="the field that does not fit",
)
def test_a_transcript_that_was_changed_is_refused(packed: bytes, finished: Rounds, tmp_path: Path, field: str) -> None:
    def change(files: dict[str, bytes]) -> None:
        content = json.loads(files["ledger.json"])
        last = content["transactions"][-1]
        match field:
            case "chain_id" | "round":
                content[field] += 1
            case "contract":
                content[field] = key("northgate").address
            case "raw":
                last["raw"] = last["raw"].replace(finished.driver.ledger.round(RoundId(2)).result.record, "ab" * 32)
            case "logs":
                last["logs"][0]["data"] = last["logs"][0]["data"][:-64] + f"{7:064x}"
        files["ledger.json"] = json.dumps(content).encode()

    pytest_socket.enable_socket()
    data = _changed(packed, change)
    pytest_socket.disable_socket()
    nodes = tmp_path / "nodes.yaml"
    nodes.write_text(yaml.safe_dump({name: key(name).address for name in finished.maker.of.nodes}))
    _refused(data, nodes)


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize(
    "odd",
    [None, [], {}, "", "zz", -1, 1 << 80, 1.5, True, [[]], {"a": []}],
    ids=lambda value: json.dumps(value).replace(" ", "")[:12],
)
def test_a_transcript_of_any_other_form_is_refused_with_a_clear_message(
    packed: bytes, members: Path, odd: object
) -> None:
    whole = json.loads(zipfile.ZipFile(io.BytesIO(packed)).read("ledger.json"))
    places_of = [
        (),
        *((name,) for name in whole),
        ("transactions", 0),
        *(("transactions", 0, name) for name in whole["transactions"][0]),
    ]
    places_of += [
        ("transactions", 0, "logs", 0),
        *(("transactions", 0, "logs", 0, name) for name in ("topics", "data")),
    ]
    for path in places_of:
        content = json.loads(json.dumps({"": whole}))
        inside = content
        last = ""
        for step in path:
            inside = inside[last]
            last = step
        if type(inside[last]) is type(odd) and (odd is True or last in ("data", "raw", "block_hash")):
            continue
        inside[last] = odd
        data = json.dumps(content[""]).encode()
        _refused(_changed(packed, lambda files, data=data: files.update({"ledger.json": data})), members)  # type: ignore[misc]


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize("name", ["ledger.json", "record", "vote", "commit", "manifest"])
@attack(
    by="stranger",
    to="stop",
    tries="to overflow the stack of whoever checks a bundle, by nested JSON",
    costs="nothing",
    seen="a refusal in a sentence",
)
def test_deeply_nested_json_in_a_bundle_is_refused(packed: bytes, members: Path, name: str) -> None:
    deep = b'{"a":' * 1_000_000

    def change(files: dict[str, bytes]) -> None:
        key = name if name in files else next(key for key in files if f"/{name}/" in key)
        folder = key.rpartition("/")[0]
        files[key] = deep
        files[f"{folder}/{sha256(deep)}.json"] = deep

    _refused(_changed(packed, change), members)


@pytest.mark.usefixtures("_offline")
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
@attack(
    by="stranger",
    to="stop",
    tries="to crash whoever checks a bundle by junk in its files",
    costs="nothing",
    seen="a finding in a sentence",
)
def test_whatever_stands_in_a_bundles_files_nothing_leaves_but_a_finding(
    packed: bytes, members: Path, data: st.DataObject
) -> None:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        name = data.draw(st.sampled_from(archive.namelist()))
    junk = data.draw(st.binary(max_size=80))
    at = data.draw(st.integers(0, 3000))
    length = data.draw(st.integers(0, 200))

    def change(files: dict[str, bytes]) -> None:
        before = files[name]
        files[name] = before[: at % len(before)] + junk + before[at % len(before) + length :]

    said = _verify(_changed(packed, change), members)
    assert said.exception is None or isinstance(said.exception, WardroundError | SystemExit), said.exception


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_damaged_archive_is_refused_in_a_sentence(packed: bytes, members: Path, method: int) -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(packed)) as archive, zipfile.ZipFile(written, "w", method) as other:
        for name in archive.namelist():
            other.writestr(name, archive.read(name))
    data = bytearray(written.getvalue())
    data[60:100] = bytes(40)
    assert re.search("no whole zip file|got compression method 14", _refused(bytes(data), members))


def test_what_is_no_zip_file_is_refused() -> None:
    with pytest.raises(EvidenceRejected, match="no whole zip file"):
        proof_bundle.Bundle(b"PK")


def test_a_round_that_is_not_finalised_has_no_bundle(finished: Rounds) -> None:
    with pytest.raises(EvidenceRejected, match="got none of that number"):
        proof_bundle.pack(RoundEvidence(RoundId(99), finished.driver.ledger, finished.auditor), {})


def test_the_bundle_carries_everything_an_auditor_reads(packed: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        names = archive.namelist()
    assert len(json.loads(zipfile.ZipFile(io.BytesIO(packed)).read("ledger.json"))["transactions"]) == 3
    for part in ("sealing-key", "vote", "manifest", "validation", "input-set", "confirmation", "commit", "record"):
        assert any(f"/{part}/" in name for name in names), part
    assert all(name.startswith(("ledger.json", "proofs/", f"{object_keys.REPORTS}/rounds/2/")) for name in names)
