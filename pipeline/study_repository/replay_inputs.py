"""What the stages of `dvc repro` need to run a recorded round again, from the records of the rounds before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.audit.round_record import RoundRecord
from pipeline.domain import REMEMBERED, HospitalName, RoundId, Verdict
from pipeline.errors import EvidenceRejected, Misconfigured


@dataclass(frozen=True)
class ReplayInputs:
    """A recorded round's public inputs."""

    record: RoundRecord
    finished: int
    """Rounds that trained a model before this one, of the study and of those that it continues."""
    verdicts: Mapping[HospitalName, tuple[Verdict, ...]]
    """What remembered rounds decided about each hospital that took part in them, oldest first."""

    def training(self, records: Path, hospital: HospitalName) -> tuple[str, ...]:
        """Arguments of `python -m pipeline.train update` that depend on the round."""
        budget = () if self.record.budget is None else ("--budget", str(self.record.budget))
        verdicts = ",".join(verdict.value for verdict in self.verdicts[hospital])
        past = ("--verdicts", verdicts) if verdicts else ()
        number = ("--round", str(self.record.round), "--rounds-finished", str(self.finished))
        return ("--model", self._previous_model(records), *number, *budget, *past)

    def verification(self, records: Path) -> tuple[str, ...]:
        """Arguments of `python -m pipeline.replay.reproduce` that depend on the round."""
        path = _path(records, self.record.round)
        return (
            "--record",
            str(path),
            "--previous-model",
            self._previous_model(records),
            "--rounds-finished",
            str(self.finished),
        )

    def _previous_model(self, records: Path) -> str:
        return str(records / "models" / f"{self.record.previous_model}.safetensors")


def read_inputs(records: Path, round_id: RoundId) -> ReplayInputs:
    """Read from the study repository what a recorded round started from.

    Raises Misconfigured when it, or one before it, is not recorded there.
    """
    record = _read(records, round_id)
    record_by_model = {}
    for path in (records / "rounds").glob("*/record.json"):
        if path.parent.name.isdecimal() and int(path.parent.name) != round_id:
            earlier = _read(records, RoundId(int(path.parent.name)))
            record_by_model[earlier.new_model] = earlier
    past: list[RoundRecord] = []
    current = record
    # Only the first round that trains, or the one before it that measures the inputs, has no budget in force.
    while current.budget is not None:
        before = record_by_model.pop(current.previous_model, None)
        if before is None:
            raise Misconfigured(
                f"{records}: got no record of the round that made model {current.previous_model}, on"
                f" which round {current.round} stands; check out the tag of round {round_id}, or run the record task of"
                " the round before"
            )
        past.append(before)
        current = before
    remembered = past[:REMEMBERED][::-1]
    verdicts = {hospital: tuple(_taken_part(earlier, hospital) for earlier in remembered) for hospital in record.inputs}
    return ReplayInputs(record, len(past), {hospital: tuple(filter(None, past)) for hospital, past in verdicts.items()})


def _taken_part(record: RoundRecord, hospital: HospitalName) -> Verdict | None:
    verdict = record.verdicts.get(hospital)
    return None if verdict is Verdict.ABSENT else verdict


def _read(records: Path, round_id: RoundId) -> RoundRecord:
    path = _path(records, round_id)
    try:
        return RoundRecord.from_bytes(path.read_bytes())
    except FileNotFoundError as error:
        recorded = sorted(int(folder.name) for folder in (records / "rounds").glob("*") if folder.name.isdecimal())
        listed = ", ".join(map(str, recorded)) or "none"
        raise Misconfigured(f"{path}: got no such record, want one of the recorded rounds: {listed}") from error
    except EvidenceRejected as error:
        raise EvidenceRejected(f"{path}: {error}") from error


def _path(records: Path, round_id: RoundId) -> Path:
    return records / "rounds" / str(round_id) / "record.json"
