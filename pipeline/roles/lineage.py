"""What a study's finished rounds hand on to the next one, read from the ledger and the records that it anchors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline import models, places
from pipeline.audit.orders import REMEMBERED
from pipeline.domain import HospitalName, RoundId, Sha256, Verdict
from pipeline.mpc import strikes
from pipeline.mpc.sharing import Vector
from pipeline.mpc.strikes import Strikes
from pipeline.roles.desk import Desk


@dataclass(frozen=True)
class Lineage:
    """The public state of a study before a round."""

    finished: int
    """Rounds that ended in a model."""
    budget: int | None
    """Largest squared norm of an update, 32 fractional bits; None before the first finished round."""
    strikes: Mapping[HospitalName, tuple[RoundId, ...]]
    quarantined: frozenset[HospitalName]
    records: tuple[Mapping[str, Any], ...]
    """The canonical records of the last finished rounds, oldest first."""

    def verdicts(self, hospital: HospitalName) -> tuple[bool, ...]:
        """Whether the hospital was accepted in each remembered round in which it took part, oldest first."""
        past = [Verdict(record["verdicts"][hospital]) for record in self.records]
        return tuple(verdict is Verdict.ACCEPTED for verdict in past if verdict is not Verdict.ABSENT)


def lineage(desk: Desk) -> Lineage:
    """Read the study's lineage; raises EvidenceRejected when a record is not the one that the ledger anchors."""
    finished = [state for state in desk.ledger.rounds(desk.study_id) if state.finalised]
    ended = [state.finalised for state in finished[-REMEMBERED:] if state.finalised]
    records = tuple(desk.board.json(places.record(event.round), event.record) for event in ended)
    if not records:
        return Lineage(0, None, {}, frozenset(), ())
    last = records[-1]
    struck: Strikes = {HospitalName(name): tuple(RoundId(number) for number in rounds) for name, rounds in last["strikes"].items()}
    quarantined = tuple(HospitalName(name) for name in last["quarantined"])
    released = desk.ledger.released(desk.study_id, finished[-1]) if quarantined else ()
    for hospital in quarantined:
        if desk.consortium.hospital(hospital) in released:
            struck, quarantined = strikes.released(struck, quarantined, hospital)
    return Lineage(
        finished=len(finished),
        budget=last["next_budget"],
        strikes=struck,
        quarantined=frozenset(quarantined),
        records=records,
    )


def global_model(desk: Desk, digest: Sha256) -> Vector:
    """The model with this digest, (parameters,) int64 with 16 fractional bits; raises EvidenceRejected when its bytes are others."""
    return models.parse_model(desk.board.fetch(places.model(), digest), desk.study.network.size)
