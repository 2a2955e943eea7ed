"""What a study's finished rounds hand on to the next one, read from the ledger and the records that it anchors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from pipeline.chain.ledger import Ledger, RoundState, study_id
from pipeline.domain import REMEMBERED, Address, HospitalName, RoundId, Verdict
from pipeline.round import strikes
from pipeline.round.strikes import Strikes
from pipeline.round.worker import Worker
from pipeline.site.consortium import Consortium
from pipeline.store import object_keys
from pipeline.study.study import Study


@dataclass(frozen=True)
class StudyHistory:
    """The public state of a study before a round, and of those that it continues before it."""

    finished: int
    """Rounds that trained a model: all that were finalised, but for the one that measured the inputs' scale."""
    budget: int | None
    """Largest squared norm of an update, 32 fractional bits; None before the first round that trained."""
    strikes: Mapping[HospitalName, tuple[RoundId, ...]]
    quarantined: frozenset[HospitalName]
    records: tuple[Mapping[str, Any], ...]
    """The canonical records of the last finished rounds, oldest first."""
    judged: tuple[RoundId, ...] = ()
    """The last rounds that judged hospitals, oldest first: these, and those that a majority aborted blaming some."""

    @property
    def counted(self) -> tuple[HospitalName, ...] | None:
        """Over whom totals by subgroup are opened; None while none were."""
        last = self.records[-1].get("subgroups") if self.records else None
        return tuple(map(HospitalName, last["hospitals"])) or None if last else None

    def verdicts(self, hospital: HospitalName) -> tuple[bool, ...]:
        """Whether the hospital was accepted in each remembered round in which it took part, oldest first."""
        # A hospital that joined since stands in no earlier record; a scale says nothing about updates.
        trained = [record["verdicts"] for record in self.records if record["next_budget"] is not None]
        past = [Verdict(verdicts.get(hospital, Verdict.ABSENT)) for verdicts in trained]
        return tuple(verdict is Verdict.ACCEPTED for verdict in past if verdict is not Verdict.ABSENT)


def lineage(worker: Worker, until: RoundId | None = None) -> StudyHistory:
    """Read the study's lineage, up to round `until`.

    Raises EvidenceRejected when a record is not the one that the ledger anchors.
    """
    rounds = takewhile(lambda state: state.round != until, worker.ledger.line(worker.study_id))
    states = [state for state in rounds if state.judged]
    finished = [state for state in states if state.finalised]
    ended = [state.finalised for state in finished[-REMEMBERED:] if state.finalised]
    records = tuple(worker.board.json(object_keys.record(event.round), event.record) for event in ended)
    last = records[-1] if records else {"strikes": {}, "quarantined": [], "next_budget": None}
    struck: Strikes = {
        HospitalName(name): tuple(RoundId(number) for number in rounds) for name, rounds in last["strikes"].items()
    }
    held = tuple(HospitalName(name) for name in last["quarantined"])
    struck, quarantined = carried(worker.ledger, worker.consortium, worker.study, states, struck, held)
    return StudyHistory(
        finished=len(finished) - bool(finished and worker.study.source.measured),
        budget=last["next_budget"],
        strikes=struck,
        quarantined=frozenset(quarantined),
        records=records,
        judged=tuple(state.round for state in states[-REMEMBERED:]),
    )


def carried(
    ledger: Ledger,
    consortium: Consortium,
    study: Study,
    judged: Sequence[RoundState],
    struck: Strikes,
    quarantined: tuple[HospitalName, ...],
) -> tuple[Strikes, tuple[HospitalName, ...]]:
    """Strikes and quarantine with which the study's next round starts.

    They are those in the record of the last model, and what the nodes decided since: whom they blame for aborted
    rounds, whom they released. `judged` are the rounds of the study's line that judged hospitals, oldest first. Who is
    no hospital of the study any more has neither.
    """
    struck = {name: rounds for name, rounds in struck.items() if name in study.hospitals}
    quarantined = tuple(name for name in quarantined if name in study.hospitals)
    last = next((state for state in reversed(judged) if state.finalised), None)
    aborted = judged[judged.index(last) + 1 :] if last else judged
    if not aborted and not quarantined:
        return struck, quarantined
    members = [name for name in study.hospitals if name in consortium.hospitals] if aborted else []
    names = {ledger.first_account(consortium.hospital(name)): name for name in members}
    freed: tuple[Address, ...] = ()
    for state in (*aborted, None):
        until = state.opened.location.block if state else None
        released = ledger.released(study_id(study.name), last, until)
        for hospital in quarantined:
            if consortium.hospitals.get(hospital) in released[len(freed) :]:
                struck, quarantined = strikes.released(struck, quarantined, hospital)
        freed = released
        if state is not None and state.decided is not None:
            blamed = [names[first] for one in state.decided.blamed if (first := ledger.first_account(one)) in names]
            recent = [one.round for one in judged[: judged.index(state)]]
            struck, quarantined = strikes.blamed(struck, quarantined, blamed, state.round, recent, study.rule)
    return struck, quarantined
