"""The last task of a round, finished or aborted: write its report, and record it in the study repository."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import yaml

from pipeline.audit import statement_archive
from pipeline.audit.interfaces import HistoryReader, ObjectStore
from pipeline.audit.round_objects import RoundObjects
from pipeline.domain import RoundId, RoundStatus, Sha256
from pipeline.errors import EvidenceRejected, Refused
from pipeline.evidence.canonical import sha256
from pipeline.report import render
from pipeline.report.render import RoundReport
from pipeline.report.round_list import RoundSummary, summary, views
from pipeline.report.round_view import RoundView, gather
from pipeline.report.stage_timings import stored_report
from pipeline.site.settings import PROJECT
from pipeline.store import object_keys
from pipeline.study.study import Study
from pipeline.study_repository.repository import EndedRound, Recorded, Remote, commit_round


class WritableStore(ObjectStore, Protocol):
    """The store with the provider's right to write reports."""

    def put_once(self, bucket: str, key: str, data: bytes) -> object:
        """Write `data` under a key that ends in its SHA-256."""


def publish(
    round_id: RoundId,
    ledger: HistoryReader,
    store: WritableStore,
    study: Study,
    study_file: bytes,
    records: Path,
    remote: Remote,
) -> Recorded:
    """Report and record a finished round; a rerun changes nothing. Raises Refused before the round is finalised."""
    state = ledger.round(round_id)
    if state.status is not RoundStatus.FINALISED:
        raise Refused(
            f"round {round_id}: the ledger says {state.status}, want {RoundStatus.FINALISED}; there is nothing to"
            " record"
        )
    line = ledger.line(state.study)
    round_views = views(line[: [one.round for one in line].index(round_id) + 1], ledger, store)
    mine = next(view for view in round_views if view.round == round_id)
    if mine.trouble is not None:
        raise EvidenceRejected(mine.trouble)
    history = [summary(view) for view in round_views]
    objects = RoundObjects(store, round_id)
    written = _stored(objects, round_id) or _store(
        store, round_id, render.render(mine, history, study.title), objects.pack()
    )
    return commit_round(records, _finished(mine, history, written, store, study, study_file, records), remote)


def publish_aborted(
    round_id: RoundId, ledger: HistoryReader, store: WritableStore, study: Study, records: Path, remote: Remote
) -> Recorded:
    """Report and record a round that ended without a model; a rerun changes nothing. Raises Refused unless it did."""
    state = ledger.round(round_id)
    objects = RoundObjects(store, round_id)
    mine = gather(state, ledger, store, {state.study: study.name})
    page = render.render_aborted(mine, study.hospitals, study.title).encode()
    written = _stored(objects, round_id) or _write(store, round_id, {"html": page}, mine.to_json())
    folder = f"rounds/{round_id}"
    ended = EndedRound(
        round=round_id,
        seconds=mine.time or 0,
        message=_message(mine, study),
        files={f"{folder}/report.html": written["html"], f"{folder}/report.json": written["json"]},
        anchor=f"{folder}/report.json",
        models={},
    )
    return commit_round(records, ended, remote)


def _finished(
    mine: RoundView,
    history: list[RoundSummary],
    written: Mapping[str, bytes],
    store: ObjectStore,
    study: Study,
    study_file: bytes,
    records: Path,
) -> EndedRound:
    if mine.record is None or mine.model is None:
        raise Refused(f"round {mine.round}: got no record of it, want the one that the ledger anchors")
    folder = f"rounds/{mine.round}"
    numbers = _json(render.metrics(mine))
    return EndedRound(
        round=mine.round,
        seconds=mine.time or 0,
        message=_message(mine, study),
        files={
            f"{folder}/record.json": mine.record.to_bytes(),
            f"{folder}/report.html": written["html"],
            f"{folder}/report.json": written["json"],
            f"{folder}/verdicts.csv": written["csv"],
            f"{folder}/history.png": written["png"],
            f"{folder}/metrics.json": numbers,
            f"metrics/{study.name}.json": numbers,
            f"plots/{study.name}.csv": render.history_csv(history).encode(),
            f"plots/{study.name}-roc.csv": render.roc_csv(mine).encode(),
            f"plots/{study.name}-calibration.csv": render.calibration_csv(mine).encode(),
            f"studies/{study.name}.yaml": study_file,
            "dvc.yaml": (PROJECT / "dvc.yaml").read_bytes(),
            ".dvc/plots/by_class.json": (render.TEMPLATES / "by_class.json").read_bytes(),
            "params.yaml": yaml.safe_dump(_params(mine, study, records), sort_keys=False).encode(),
        },
        anchor=f"{folder}/record.json",
        models={
            digest: store.get(object_keys.MODELS, object_keys.model().key(digest), digest)
            for digest in (mine.previous_model, mine.model)
        },
    )


def _params(mine: RoundView, study: Study, records: Path) -> dict[str, Any]:
    return {
        "code": os.path.relpath(PROJECT, records),
        "python": os.path.relpath(PROJECT / ".venv" / "bin" / "python", records),
        "records": ".",
        "study": study.name,
        "round": int(mine.round),
        "hospitals": [name for name in study.hospitals if mine.record and name in mine.record.inputs],
    }


def _message(mine: RoundView, study: Study) -> str:
    verdicts = "".join(
        f"\n{row.name}: {row.verdict.value}" + (f" ({row.reason})" if row.reason else "") for row in mine.hospitals
    )
    accuracy = "" if mine.accuracy is None else f", accuracy {100 * mine.accuracy:.1f} %"
    if mine.end is not None:
        why = render.ENDS.get(mine.end.reason, mine.end.reason)
        return (
            f"Round {mine.round} of {study.name}, no model: {why}\n\nModel: {mine.previous_model} stays\nTransaction:"
            f" {mine.tx}\n"
        )
    return f"Round {mine.round} of {study.name}{accuracy}\n{verdicts}\n\nModel: {mine.model}\nTransaction: {mine.tx}\n"


def _store(store: WritableStore, round_id: RoundId, made: RoundReport, evidence: bytes) -> Mapping[str, bytes]:
    """Write the report; its JSON names the other forms and comes last, so that it stands for a whole report."""
    return _write(
        store,
        round_id,
        {"html": made.html, "csv": made.csv, "png": made.png, statement_archive.SUFFIX: evidence},
        json.loads(made.json),
    )


def _write(
    store: WritableStore, round_id: RoundId, forms: Mapping[str, bytes], content: Mapping[str, Any]
) -> Mapping[str, bytes]:
    parts = dict(forms)
    parts["json"] = _json(dict(content) | {"files": {suffix: sha256(data) for suffix, data in parts.items()}})
    for suffix, data in parts.items():
        key_prefix = object_keys.report(round_id, suffix)
        store.put_once(key_prefix.bucket, key_prefix.key(sha256(data)), data)
    return parts


def _stored(objects: RoundObjects, round_id: RoundId) -> Mapping[str, bytes] | None:
    """The report that was written before, if it was written whole."""
    report = stored_report(objects, round_id)
    if report is None:
        return None
    parts = {
        suffix: objects.read(object_keys.report(round_id, suffix), Sha256(digest))
        for suffix, digest in report["files"].items()
    }
    return parts | {"json": _json(report)}


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
