"""Proof bundles: what a reader without a network finds in them."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import eth_abi

from pipeline.audit import proof_bundle
from pipeline.audit.proof_bundle import Bundle
from pipeline.audit.round_evidence import RoundEvidence
from pipeline.chain import contract
from pipeline.chain.contract import Call
from pipeline.chain.transactions import Calls
from pipeline.chain.transcript import Transcript
from pipeline.domain import Result, RoundId, Sha256
from pipeline.errors import EvidenceRejected
from pipeline.evidence.canonical import sha256
from pipeline.ledger_types.events import TxLocation
from pipeline.site.consortium import Consortium
from pipeline.study.study import Study
from tests.support.finished_rounds import DictLedger, DictStore, RoundMaker, consortium, key, model, study
from tests.vectors.files import Given

ABOUT = (
    "given.zip is a bundle in base64, given.nodes the accounts of the nodes that its reader trusts, in the record's"
    " order; want.files has the digest of every file, want.checks the checks that pass, want.verdicts what each"
    " hospital proves. Where given.of stands for given.zip, take that vector's bundle with given.files in place of its"
    " own (null: left out). A bundle that fails a check counts as EvidenceRejected, which says the first problem"
)

_ROUND = RoundId(2)
_PACKED = "a_round_with_a_rejected_and_an_absent_hospital"


def _changed(name: str, before: str, after: str) -> Callable[[Mapping[str, bytes]], Mapping[str, str | None]]:
    def change(files: Mapping[str, bytes]) -> Mapping[str, str | None]:
        (found,) = (file for file in files if file.startswith(name))
        text = files[found].decode()
        assert before in text
        return {found: text.replace(before, after, 1)}

    return change


def _without(name: str) -> Callable[[Mapping[str, bytes]], Mapping[str, str | None]]:
    return lambda files: {next(file for file in files if file.startswith(name)): None}


_REPORTS = f"reports/rounds/{_ROUND}"
_CHANGED: dict[str, tuple[Callable[[Mapping[str, bytes]], Mapping[str, str | None]], str]] = {
    "bad_proof_says_another_verdict": (
        _changed("proofs/southmoor", "rejected", "accepted"),
        "want the record's verdict",
    ),
    "bad_proof_under_another_root": (
        _changed("proofs/northgate", '"manifest":"', '"manifest":"0'),
        "does not stand under",
    ),
    "bad_proof_is_missing": (_without("proofs/westbrook"), "want one for each of"),
    "bad_record_with_another_verdict": (
        _changed(f"{_REPORTS}/record/", '"southmoor":"rejected"', '"southmoor":"accepted"'),
        "got bytes with SHA-256",
    ),
    "bad_record_is_missing": (_without(f"{_REPORTS}/record/"), "got 0 records in the bundle, want one"),
    "bad_ledger_with_a_damaged_transaction": (
        _changed("ledger.json", '"raw": "f9', '"raw": "f8'),
        "of a form that no ledger",
    ),
    "bad_ledger_in_another_form": (_changed("ledger.json", '"chain_id": 31337', '"chain_id": "31337"'), "chain_id"),
    "bad_two_records": (lambda files: {f"{_REPORTS}/record/{'00' * 32}.json": "{}"}, "got 2 records in the bundle"),
}
_DAMAGED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "bad_damaged_deflate": (lambda data: data[:45] + bytes(15) + data[60:], "no whole zip file"),
    "bad_truncated": (lambda data: data[:-30], "no whole zip file"),
    "bad_no_zip": (lambda data: b"PK\3\4", "no whole zip file"),
    "bad_other_compression": (lambda data: _zipped(zipfile.ZIP_BZIP2, "ledger.json"), "got compression method 12"),
    "bad_a_file_twice": (
        lambda data: _zipped(zipfile.ZIP_STORED, "ledger.json", "ledger.jsom").replace(b"jsom", b"json"),
        "in which a file stands twice",
    ),
}
_OTHER_NODES = "bad_nodes_that_nobody_trusts"
REFUSED = {name: says for name, (_, says) in (_CHANGED | _DAMAGED).items()} | {_OTHER_NODES: "its receipt counts nodes"}


def given(kept: Mapping[str, Given]) -> dict[str, Given]:
    nodes = list(_round().nodes)
    files = _files(_packed())
    whole = kept.get(_PACKED) or {"zip": _text(_packed()), "nodes": nodes}
    assert _files(_bytes(whole["zip"])) == files, "the round is packed into other files than those of the bundle"
    small = _zipped(zipfile.ZIP_DEFLATED, "ledger.json")
    damaged = {
        name: kept.get(name) or {"zip": _text(damage(small)), "nodes": nodes} for name, (damage, _) in _DAMAGED.items()
    }
    changed = {name: {"of": _PACKED, "files": change(files), "nodes": nodes} for name, (change, _) in _CHANGED.items()}
    strangers = [key(f"stranger {index}").address for index in range(len(nodes))]
    return {_PACKED: whole, **damaged, **changed, _OTHER_NODES: {"of": _PACKED, "files": {}, "nodes": strangers}}


def answer(given: Given) -> dict[str, Any]:
    data = _bytes(given["zip"]) if "zip" in given else _with(_files(_packed()), given["files"])
    bundle = Bundle(data)
    content = bundle.json("ledger.json")
    round_id = Transcript.read(content, ()).round_id
    bundle.record(round_id)
    transcript = Transcript.read(content, tuple(given["nodes"]))
    report = proof_bundle.verify(round_id, bundle, transcript, None)
    if not report.passed:
        raise EvidenceRejected(report.first_problem)
    return {
        "round": round_id,
        "checks": [check.name for check in report.checks],
        "verdicts": {hospital: proof["verdict"] for hospital, proof in bundle.proofs()},
        "files": {name: sha256(content) for name, content in _files(data).items()},
    }


class _Chain(DictLedger):
    """A ledger in memory whose transactions and logs are the contract's own, as a bundle takes them from a chain."""

    def __init__(self, of: Study, members: Consortium) -> None:
        super().__init__(of, members)
        self._calls = Calls(self.contract)
        self._transactions: dict[RoundId, list[dict[str, Any]]] = {}

    def open(self, round_id: RoundId, previous: Sha256, sealing_keys: Sequence[Sha256]) -> None:
        super().open(round_id, previous, sealing_keys)
        opened = self.states[round_id].opened
        call = self._calls.open_round(
            round_id,
            opened.study,
            study_digest=opened.study_digest,
            previous_model=previous,
            sealing_keys=sealing_keys,
            commit_deadline=opened.commit_deadline,
            result_deadline=opened.result_deadline,
        )
        digests = map(bytes.fromhex, (opened.study_digest, previous, opened.sealing_keys))
        values = (*digests, opened.commit_deadline, opened.result_deadline)
        location = self._send(call, opened.location, "RoundOpened", (round_id, bytes.fromhex(opened.study)), values)
        self.states[round_id] = replace(self.states[round_id], opened=replace(opened, location=location))

    def commit(self, round_id: RoundId, root: Sha256, count: int) -> None:
        super().commit(round_id, root, count)
        committed = self.states[round_id].committed
        assert committed is not None
        call = self._calls.commit_round(round_id, root)
        location = self._send(call, committed.location, "RoundCommitted", (round_id,), (bytes.fromhex(root),))
        self.states[round_id] = replace(self.states[round_id], committed=replace(committed, location=location))

    def finalise(self, result: Result, signatures: Sequence[str]) -> None:
        call = self._calls.finalise(self.states[result.round], result, signatures)
        super().finalise(result, signatures)
        ended = self.states[result.round].finalised
        assert ended is not None
        values = (ended.verdicts, *map(bytes.fromhex, (ended.new_model, ended.record)), ended.signers)
        location = self._send(call, ended.location, "RoundFinalised", (result.round,), values)
        self.states[result.round] = replace(self.states[result.round], finalised=replace(ended, location=location))

    def transcript(self, round_id: RoundId) -> dict[str, Any]:
        """What `pipeline.chain.transcript.export` takes from a chain."""
        return {
            "chain_id": self.chain_id,
            "contract": self.contract,
            "development": self.development,
            "round": round_id,
            "transactions": self._transactions[round_id],
        }

    def _send(
        self, call: Call, location: TxLocation, event: str, indexed: Sequence[Any], values: Sequence[Any]
    ) -> TxLocation:
        """Sign and keep a call with the one log that the contract answers."""
        fields = {"to": self.contract, "data": call.data, "chainId": self.chain_id, "nonce": location.block}
        signed = key("provider").account.sign_transaction({**fields, "value": 0, "gas": 500_000, "gasPrice": 0})
        (entry,) = (entry for entry in contract.abi() if entry["type"] == "event" and entry["name"] == event)
        kinds = [[item["type"] for item in entry["inputs"] if item["indexed"] is here] for here in (True, False)]
        topics = [eth_abi.encode([kind], [value]) for kind, value in zip(kinds[0], indexed, strict=True)]
        self._transactions.setdefault(RoundId(indexed[0]), []).append(
            {
                "raw": bytes(signed.raw_transaction).hex(),
                "block": location.block,
                "block_hash": f"0x{sha256(f'block {location.block}'.encode())}",
                "time": location.time,
                "gas_used": 100_000,
                "logs": [
                    {
                        "topics": [contract.topic(event).hex(), *(topic.hex() for topic in topics)],
                        "data": eth_abi.encode(kinds[1], values).hex(),
                    }
                ],
            }
        )
        return replace(location, transaction=f"0x{bytes(signed.hash).hex()}")


@cache
def _round() -> _Chain:
    return _played()[0]


@cache
def _packed() -> bytes:
    chain, store = _played()
    # Read from its own transcript, as whoever checks it will.
    transcript = chain.transcript(_ROUND)
    return proof_bundle.pack(RoundEvidence(_ROUND, Transcript.read(transcript, chain.nodes), store), transcript)


@cache
def _played() -> tuple[_Chain, DictStore]:
    """Two rounds; in the second southmoor is rejected, hillside absent, and two of three nodes sign."""
    of = study()
    members = consortium(of)
    store = DictStore()
    chain = _Chain(of, members)
    maker = RoundMaker(of, members, store.put, chain)
    maker.start(model(0))
    maker.finish(RoundId(1), rejected=["southmoor"])
    maker.finish(_ROUND, rejected=["southmoor"], absent=["hillside"], signers=["alder", "cedar"])
    return chain, store


def _files(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _with(files: Mapping[str, bytes], others: Mapping[str, str | None]) -> bytes:
    texts = {name: content.decode() for name, content in files.items()} | others
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, text in texts.items():
            if text is not None:
                archive.writestr(name, text)
    return written.getvalue()


def _zipped(method: int, *names: str) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", method) as archive:
        for name in names:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = method
            archive.writestr(entry, b'{"chain_id": 31337}' * 20)
    return written.getvalue()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)
