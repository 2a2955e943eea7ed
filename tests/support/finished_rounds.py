"""Finished rounds made by hand, with fresh keys and real signatures, on any ledger and store.

What an audit must pass, and then refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Protocol

import numpy as np

from pipeline.audit.round_record import RecordGroup, RecordSubgroups, RoundRecord, build
from pipeline.chain.ledger import HospitalStatus, RoundState, StudyState, study_id
from pipeline.domain import (
    Address,
    Context,
    HospitalName,
    Kind,
    NodeName,
    Reason,
    Result,
    RoundId,
    RoundStatus,
    Sha256,
    Statement,
    Verdict,
)
from pipeline.errors import EvidenceRejected, ObjectMissing
from pipeline.evidence import merkle, signing
from pipeline.evidence.canonical import canonical_json, digest, joint_digest, sha256
from pipeline.host.secret import Secret
from pipeline.ledger_types.events import (
    AbortDecidedEvent,
    AbortedEvent,
    CommittedEvent,
    FinalisedEvent,
    OpenedEvent,
    StudyRegisteredEvent,
    TxLocation,
)
from pipeline.measures.confusion import Confusion
from pipeline.model_file import model_bytes
from pipeline.site.consortium import Consortium
from pipeline.site.identity import SigningKey
from pipeline.store import object_keys
from pipeline.store.object_keys import KeyPrefix
from pipeline.store.objects import ObjectInfo
from pipeline.study.study import Study

CONTRACT = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
STUDY_DIGEST = sha256(b"the approved study")
ABSENT_REASON = "invalid_data"
CLASSES = ("malignant", "benign")
_NOBODY = ((0, 0), (0, 0))


@cache
def key(name: str) -> SigningKey:
    return SigningKey(Secret(bytes.fromhex(sha256(f"test key of {name}".encode()))))


def study(hospitals: int = 5, nodes: int = 3, **fields: Any) -> Study:
    names = ("northgate", "eastfield", "westbrook", "southmoor", "hillside", "lakeview", "riverside")
    engine = {"engine": "spu", "protocol": "aby3"} if nodes == 3 else {"engine": "mp-spdz", "protocol": "rep4-ring"}
    content = {
        "name": "wisconsin",
        "title": "Breast cancer, fine-needle aspirates",
        "dataset": "breast_cancer",
        "hospitals": names[:hospitals],
        "nodes": ("alder", "birch", "cedar", "dogwood")[:nodes],
        "model": ({"Linear": {"outputs": 2}},),
    }
    return Study.model_validate(content | engine | fields)


def consortium(of: Study, chain_id: int = 31337, contract: Address = CONTRACT) -> Consortium:
    return Consortium.model_validate(
        {
            "ledger": {"chain_id": chain_id, "contract": contract, "development": True},
            "hospitals": {name: key(name).address for name in of.hospitals},
            "nodes": {
                name: {
                    "address": key(name).address,
                    "certificate_sha256": sha256(name.encode()),
                    "host": "127.0.0.1:9000",
                }
                for name in of.nodes
            },
        }
    )


def model(seed: int, size: int = 62) -> bytes:
    return model_bytes(np.random.default_rng(seed).integers(-1000, 1000, size))


class LedgerDriver(Protocol):
    """Moves a ledger through a round."""

    def open(self, round_id: RoundId, previous: Sha256, sealing_keys: Sequence[Sha256]) -> None: ...

    def commit(self, round_id: RoundId, root: Sha256, count: int) -> None: ...

    def finalise(self, result: Result, signatures: Sequence[str]) -> None: ...


Put = Callable[[str, str, bytes], object]


@dataclass
class RoundMaker:
    """Plays every role of a round honestly; what a test wants otherwise it changes through the hooks."""

    of: Study
    members: Consortium
    put: Put
    ledger: LedgerDriver
    current: Sha256 = STUDY_DIGEST
    budget: int | None = None
    strikes: dict[HospitalName, tuple[RoundId, ...]] = field(default_factory=dict)
    done: list[RoundId] = field(default_factory=list)

    def post(self, location: KeyPrefix, data: bytes) -> Sha256:
        self.put(location.bucket, location.key(sha256(data)), data)
        return sha256(data)

    def context(self, round_id: RoundId) -> Context:
        ledger = self.members.ledger
        return Context(ledger.chain_id, Address(ledger.contract), STUDY_DIGEST, round_id, self.current)

    def say(self, round_id: RoundId, kind: Kind, name: str, body: Mapping[Any, Any]) -> Sha256:
        statement = signing.sign(kind, name, body, self.context(round_id), key(name))
        return self.post(object_keys.statement(round_id, kind, HospitalName(name)), signing.to_bytes(statement))

    def start(self, initial: bytes) -> None:
        self.current = self.post(object_keys.model(), initial)

    def open(self, round_id: RoundId) -> None:
        keys = [sha256(f"sealing {name} {round_id}".encode()) for name in self.of.nodes]
        for name, public in zip(self.of.nodes, keys, strict=True):
            self.say(round_id, Kind.SEALING_KEY, name, {"public_key": public})
        self.ledger.open(round_id, self.current, [digest({"public_key": public}) for public in keys])

    def finish(
        self,
        round_id: RoundId,
        *,
        rejected: Sequence[str] = (),
        absent: Sequence[str] = (),
        signers: Sequence[str] | None = None,
        unconfirmed: Sequence[str] = (),
        change: Callable[[RoundRecord], RoundRecord] = lambda record: record,
        new_model: bytes | None = None,
    ) -> Result:
        self.open(round_id)
        inputs = {}
        for name in self.of.hospitals:
            here = name not in absent
            validation = self.say(round_id, Kind.VALIDATION, name, validation_body(here))
            if here:
                inputs[name] = self.say(
                    round_id, Kind.MANIFEST, name, manifest_body(self.of, name, round_id, validation)
                )
        self.post(object_keys.commit(round_id), canonical_json(inputs))
        root = merkle.root(list(inputs.values()))
        out = dict.fromkeys(map(HospitalName, absent), ABSENT_REASON)
        self.ledger.commit(round_id, root, len(inputs))
        for node in self.of.nodes:
            self.say(round_id, Kind.INVENTORY, node, {"held": {name: [0, 1] for name in inputs}, "absent": out})
            self.say(round_id, Kind.INPUT_SET, node, {"inputs": inputs, "absent": out})
        new = self.post(object_keys.model(), new_model or model(int(round_id)))
        record = change(self._record(round_id, root, inputs, rejected, absent, new))
        self.post(object_keys.record(round_id), record.to_bytes())
        votes = [self.vote(record.result, node) for node in self.of.nodes]
        sent = [vote.signature for vote in votes if signers is None or vote.signer in signers]
        self.ledger.finalise(record.result, sent)
        for index, name in enumerate(self.of.hospitals):
            if name not in unconfirmed:
                right = 20 + index + min(int(round_id), 9)
                wrong = 14 - min(int(round_id), 9)
                body = {"model": new, "correct": right, "tested": right + wrong}
                matrix = Confusion(CLASSES, ((10, wrong), (0, right - 10)))
                body["confusion"] = matrix.to_json()
                body["scores"] = [{"own": _scored(0, right - 10), "others": _scored(10, wrong)}]
                self.say(round_id, Kind.CONFIRMATION, name, body)
        self.current = new
        self.budget = record.next_budget
        self.strikes = dict(record.strikes)
        self.done.append(round_id)
        return record.result

    def vote(self, result: Result, node: NodeName) -> Statement:
        ledger = self.members.ledger
        vote = signing.sign_vote(node, result, ledger.chain_id, Address(ledger.contract), key(node))
        self.post(object_keys.statement(result.round, Kind.VOTE, node), signing.to_bytes(vote))
        return vote

    def _record(
        self,
        round_id: RoundId,
        root: Sha256,
        inputs: Mapping[HospitalName, Sha256],
        rejected: Sequence[str],
        absent: Sequence[str],
        new: Sha256,
    ) -> RoundRecord:
        accepted = [name for name in inputs if name not in rejected]
        window = {round_id, *self.done[-(self.of.rule.strike_window - 1) :]}
        kept = {
            name: {*self.strikes.get(name, ())} & window | ({round_id} if name in rejected else set())
            for name in self.of.hospitals
        }
        strikes = {name: tuple(sorted(rounds)) for name, rounds in kept.items() if rounds}
        return build(
            self.of,
            self.members,
            self.context(round_id),
            commit_root=root,
            inputs=inputs,
            absent=dict.fromkeys(map(HospitalName, absent), ABSENT_REASON),
            failed={},
            accepted=accepted,
            budget=self.budget,
            next_budget=1_000_000 - int(round_id),
            strikes=strikes,
            quarantined=[name for name, rounds in strikes.items() if len(rounds) >= self.of.rule.strikes],
            new_model=new,
            averaged=len(accepted),
            programs=sha256(b"programs"),
        )


def with_subgroups(record: RoundRecord) -> RoundRecord:
    """The record of a round that counted by sex and age, of whose groups two are withheld and one is nobody's."""
    told: dict[str, dict[str, tuple[tuple[int, int], tuple[int, int]] | None]] = {
        "sex": {"women": ((31, 4), (6, 28)), "men": ((52, 3), (2, 61))},
        "age": {"below 40": None, "40 to below 65": None, "65 or more": ((40, 5), (6, 44)), "not stated": _NOBODY},
    }
    groups = [
        RecordGroup(column=column, name=name, counts=matrix and _as_counted(matrix))
        for column, of_column in told.items()
        for name, matrix in of_column.items()
    ]
    subgroups = RecordSubgroups(
        floor=10,
        scored=True,
        hospitals=tuple(member.name for member in record.hospitals),
        uncounted=(),
        broke=(),
        groups=tuple(groups),
    )
    return record.model_copy(update={"subgroups": subgroups})


def _as_counted(matrix: tuple[tuple[int, int], tuple[int, int]]) -> tuple[int, ...]:
    """A group's counts with this matrix, each record of another patient, and its scores in two bins."""
    (well, false), (missed, found) = matrix
    return (well, false, missed, found, well + false, missed + found, *_scored(missed, found), *_scored(well, false))


def validation_body(passed: bool) -> dict[str, Any]:
    expectations = {"columns are those of the data set": True, "at least 10 samples of each class": passed}
    return {"dataset_version": "3f2a9c", "rows": "50-99", "expectations": expectations, "passed": passed}


def manifest_body(of: Study, name: str, round_id: RoundId, validation: Sha256) -> dict[str, Any]:
    def made_up(what: str) -> Sha256:
        return sha256(f"{name} {round_id} {what}".encode())

    return {
        "hospital": name,
        "length": 1022,
        "components": [made_up(f"component {index}") for index, _ in enumerate(of.nodes)],
        "envelopes": {node: {"sha256": made_up(node), "size": 16400} for node in of.nodes},
        "validation": validation,
    }


class DictStore:
    """Objects with versions, in memory; a change of stored bytes shows as the hash that it has."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], list[tuple[str, bytes | None]]] = {}

    def put(self, bucket: str, key: str, data: bytes | None) -> None:
        versions = self.objects.setdefault((bucket, key), [])
        if data is None or data not in [stored for _, stored in versions]:
            versions.insert(0, (f"v{len(versions) + 1}", data))

    def get(self, bucket: str, key: str, sha256: Sha256) -> bytes:
        held = [data for _, data in self.objects.get((bucket, key), ()) if data is not None]
        if not held:
            raise ObjectMissing(f"{bucket}/{key}: got nothing")
        for data in held:
            if _digest(data) == sha256:
                return data
        raise EvidenceRejected(f"{bucket}/{key}: got bytes with SHA-256 {_digest(held[0])}, want {sha256}")

    def history(self, bucket: str, prefix: str, most: int | None = None) -> tuple[ObjectInfo, ...]:
        return tuple(
            ObjectInfo(key, version, len(data or b""), latest=version == versions[0][0], deleted=data is None)
            for (within, key), versions in sorted(self.objects.items())
            if within == bucket and key.startswith(prefix)
            for version, data in versions
        )

    def list(self, bucket: str, prefix: str) -> tuple[ObjectInfo, ...]:
        return tuple(item for item in self.history(bucket, prefix) if item.latest and not item.deleted)

    def first(self, bucket: str, prefix: str, count: int) -> tuple[ObjectInfo, ...]:
        return self.history(bucket, prefix)[:count]

    def flip(self, bucket: str, key: str) -> None:
        """Change one byte of what is stored, as a damaged disk would."""
        version, data = self.objects[bucket, key][0]
        assert data is not None
        self.objects[bucket, key][0] = (version, bytes([data[0] ^ 1]) + data[1:])


class DictLedger:
    """A ledger in memory that checks nothing: what an audit finds there may be anything."""

    development = True

    def __init__(self, of: Study, members: Consortium) -> None:
        self.chain_id = members.ledger.chain_id
        self.contract = Address(members.ledger.contract)
        self.id = study_id(of.name)
        self.nodes = tuple(key(name).address for name in of.nodes)
        self.hospitals = {key(name).address: HospitalStatus.AUTHORISED for name in of.hospitals}
        self.states: dict[RoundId, RoundState] = {}
        self.sent: dict[RoundId, tuple[str, ...]] = {}
        self.releases: list[tuple[RoundId, Address]] = []
        self.moved: dict[Address, Address] = {}
        self.initial: Sha256 | None = None
        self.continues: RoundId | None = None
        self.block = 10

    def open(self, round_id: RoundId, previous: Sha256, sealing_keys: Sequence[Sha256]) -> None:
        self.initial = self.initial or previous
        opened = OpenedEvent(
            round_id, self.id, STUDY_DIGEST, previous, joint_digest(list(sealing_keys)), 180, 600, self._place()
        )
        self.states[round_id] = RoundState(opened)

    def commit(self, round_id: RoundId, root: Sha256, count: int) -> None:
        committed = CommittedEvent(round_id, root, self._place())
        self.states[round_id] = replace(self.states[round_id], committed=committed)

    def finalise(self, result: Result, signatures: Sequence[str]) -> None:
        self.sent[result.round] = tuple(signatures)
        signed = [self._signer(result, signature) for signature in signatures]
        signers = sum(1 << index for index, node in enumerate(self.nodes) if node in signed)
        end = FinalisedEvent(result.round, result.verdicts, result.new_model, result.record, signers, self._place())
        self.states[result.round] = replace(self.states[result.round], finalised=end)

    def abort(self, round_id: RoundId, *blamed: Address) -> None:
        state = self.states[round_id]
        if blamed:
            state = replace(
                state, decided=AbortDecidedEvent(round_id, Reason.TOO_FEW_ACCEPTED, blamed, 0b11, self._place())
            )
        self.states[round_id] = replace(state, aborted=AbortedEvent(round_id, state.status, self._place()))

    def round(self, round_id: RoundId) -> RoundState:
        if round_id not in self.states:
            raise EvidenceRejected(f"round {round_id}: got none of that number on the ledger")
        return self.states[round_id]

    def rounds(self, study: None = None) -> tuple[RoundState, ...]:
        return tuple(self.states.values())

    def line(self, study: str) -> tuple[RoundState, ...]:
        return tuple(self.states.values())

    def before(self, state: RoundState, count: int) -> tuple[RoundState, ...]:
        states = list(self.states.values())
        earlier = [other for other in states[: states.index(state)] if other.finalised]
        return tuple(earlier[len(earlier) - min(count, len(earlier)) :])

    def judged(self, state: RoundState, count: int) -> tuple[RoundState, ...]:
        states = list(self.states.values())
        earlier = [other for other in states[: states.index(state)] if other.judged]
        last = max((index for index, other in enumerate(earlier) if other.finalised), default=0)
        return tuple(earlier[min(last, len(earlier) - min(count, len(earlier))) :])

    def first_account(self, address: Address) -> Address:
        return self.moved.get(address, address)

    def after(self, state: RoundState) -> RoundState | None:
        states = list(self.states.values())
        return next(iter(states[states.index(state) + 1 :]), None)

    def study(self, study: str) -> StudyState:
        ended = [state.result.new_model for state in self.states.values() if state.result]
        current = ended[-1] if ended else self.initial
        assert current is not None
        return StudyState(self.id, self.nodes, len(self.nodes) // 2 + 1, 1, 0, current, RoundId(0), None)

    def registration(self, study: str) -> StudyRegisteredEvent:
        assert self.initial is not None
        return StudyRegisteredEvent(self.id, self.initial, TxLocation("0x00", 2, 0))

    def parent_round(self, study: str) -> RoundId | None:
        return self.continues

    def released(self, study: str, last: RoundState | None, until: int | None = None) -> tuple[Address, ...]:
        return tuple(hospital for after, hospital in self.releases if last is not None and after == last.round)

    def hospital(self, address: Address) -> HospitalStatus:
        return self.hospitals.get(address, HospitalStatus.UNKNOWN)

    def signatures(self, finalised: FinalisedEvent) -> tuple[str, ...]:
        return self.sent[finalised.round]

    def verify_model(self, round_id: RoundId, model: Sha256) -> bool:
        result = self.states[round_id].result
        return result is not None and result.new_model == model

    def _place(self) -> TxLocation:
        self.block += 1
        return TxLocation("0x" + sha256(str(self.block).encode()), self.block, 1_790_000_000 + 12 * self.block)

    def _signer(self, result: Result, signature: str) -> Address | None:
        for node in self.nodes:
            try:
                body = {name: getattr(result, name) for name in Result.__dataclass_fields__}
                signing.check_vote(Statement(Kind.VOTE, "", body, signature), self.chain_id, self.contract, node)
            except EvidenceRejected:
                continue
            return node
        return None


def _scored(low: int, high: int) -> list[int]:
    """So many records below a half, and so many above it, most of them at the ends."""
    return [low - low // 2, 0, low // 2, 0, 0, 0, 0, high // 3, 0, high - high // 3]


def _digest(data: bytes) -> Sha256:
    return sha256(data)


__all__ = ["DictLedger", "DictStore", "RoundMaker", "RoundStatus", "Verdict", "consortium", "key", "model", "study"]
