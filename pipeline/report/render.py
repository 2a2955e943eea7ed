"""The report of a round that ended, for its hospitals and their auditors: one HTML page.

Of a finished one a CSV of verdicts too.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.audit.round_record import RoundRecord
from pipeline.domain import Condition, HospitalName, Reason, Verdict
from pipeline.errors import Refused
from pipeline.report import pictures
from pipeline.report.round_list import RoundSummary, summary
from pipeline.report.round_view import HospitalRow, RoundView
from pipeline.report.subgroups import SubgroupsView

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
"""Pages, and what the console's pages show alike."""

_COLUMNS = (
    "round",
    "study",
    "hospital",
    "verdict",
    "reason",
    "rows",
    "validation",
    "failed_expectations",
    "correct",
    "tested",
    "accuracy",
)

TRUST: Mapping[str, str] = {
    "aby3": (
        "Three nodes, at most one corrupt, and that one follows the protocol: no single node learns anything of an"
        " update. The votes prove that the nodes agree, not that a node computed honestly."
    ),
    "replicated-ring": (
        "Three nodes, at most one corrupt, and that one follows the protocol: no single node learns anything of an"
        " update. The votes prove that the nodes agree, not that a node computed honestly."
    ),
    "rep4-ring": (
        "Four nodes, at most one corrupt, which may do anything: it can stop a round, but neither learn nor change one."
    ),
}
"""Protocol to what has to be trusted."""

REASONS: Mapping[str, str] = {
    "quarantined": "in quarantine after repeated rejections",
    "invalid_data": "its records failed the data contract",
    "no_manifest": "it shared no update in time",
    "forged_manifest": "its manifest did not hold",
    "conflicting_manifests": "it signed two different manifests",
    "crowded_place": "more lies in its own place than anybody reads",
    "duplicate_component": "it shared a copy of another hospital's component",
    "wrong_length": "it shared an update of another length",
    "shown_differently": "the nodes did not see the same of it",
    "unrecoverable_component": "a part of its update reached no node intact",
    "no_validation": "it published nothing about its records",
    "rejected": "the nodes rejected its update",
    "unknown": "the ledger does not know its key",
    "registered": "the provider has not authorised it",
    "revoked": "the provider has revoked it",
    "retired": "it moved on to another key, which the study does not name yet",
    Condition.SIZE: "its update was too large, or next to nothing",
    Condition.DIRECTION: "its update pushed against the others",
    Condition.PEERS: "its model answered the others' samples worse",
}
"""Machine word of an absence, or of a rejection where the study reveals why, to words."""

ENDS: Mapping[str | None, str] = {
    Reason.TOO_FEW_TOOK_PART: "too few hospitals took part",
    Reason.TOO_FEW_ACCEPTED: "too few hospitals were accepted",
    Reason.ENGINE_FAILED: "the encrypted computation failed at every try",
    None: "its deadline passed",
}
"""Why a round was aborted, in words; None where no majority of its nodes said so."""


@dataclass(frozen=True)
class RoundReport:
    """The report in each of its forms."""

    html: bytes
    csv: bytes
    json: bytes
    png: bytes
    """History of the study: accuracy and verdicts per round."""


def render(view: RoundView, history: Sequence[RoundSummary], title: str) -> RoundReport:
    """The report of a finished round.

    `history` holds the rounds of the study's line up to this one, oldest first, `title` the study's.
    """
    drawn = pictures.history([*(item for item in history if item.round != view.round), summary(view)], view.round)
    return RoundReport(
        html=_page(view, history, title, pictures.svg(drawn)).encode(),
        csv=verdicts_csv(view).encode(),
        json=(json.dumps(view.to_json(), indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode(),
        png=pictures.png(drawn),
    )


def render_aborted(view: RoundView, hospitals: Sequence[HospitalName], title: str) -> str:
    """The page of a round that ended without a model; `hospitals` are the study's, as far as they are known."""
    end = view.end
    if end is None:
        raise Refused(
            f"round {view.round}: the ledger says {view.status}, want finalised or aborted; it has no report yet"
        )
    named = end.named
    return (
        _templates()
        .get_template("aborted.html.j2")
        .render(
            view=view,
            end=end,
            title=title,
            why=ENDS.get(end.reason, end.reason),
            ended=_moment(view.time or 0),
            deadline=_moment(end.deadline),
            hospitals=hospitals,
            rows=[(name, named.get(name, {})) for name in dict.fromkeys((*hospitals, *named))],
            words=REASONS,
            said=sum(cause.saw is not None for cause in end.causes),
            silent=[cause.node for cause in end.causes if cause.saw is None],
        )
    )


def verdicts_csv(view: RoundView) -> str:
    """One line per hospital."""
    rows = []
    for row in view.hospitals:
        validation = {True: "passed", False: "failed", None: ""}[row.validated]
        accuracy = "" if row.accuracy is None else f"{row.accuracy:.4f}"
        cells = (
            row.verdict,
            row.reason or "",
            row.rows or "",
            validation,
            "; ".join(row.failed),
            row.correct,
            row.tested,
            accuracy,
        )
        rows.append((view.round, view.study, row.name, *cells))
    return _csv(_COLUMNS, rows)


def metrics(view: RoundView) -> dict[str, Any]:
    """The round's numbers for `dvc metrics`."""
    return {
        "round": view.round,
        "accuracy": None if view.accuracy is None else round(view.accuracy, 4),
        "measures": view.measures.to_json() if view.measures else None,
        "subgroups": _by_group(view.subgroups) if view.subgroups else None,
        "accepted": view.counted(Verdict.ACCEPTED),
        "rejected": view.counted(Verdict.REJECTED),
        "absent": view.counted(Verdict.ABSENT),
        "confirmed": sum(row.tested is not None for row in view.hospitals),
        "seconds": round(sum(view.seconds.values()), 1),
    }


def _by_group(found: SubgroupsView) -> dict[str, Any]:
    """Column to group to what is told, as `dvc metrics` compares it round by round."""
    return {
        column: {row.name: row.measures.to_json() if row.measures else None for row in rows}
        for column, rows in found.columns
    }


def history_csv(history: Sequence[RoundSummary]) -> str:
    """Accuracy and verdicts per finished round of a study, for `dvc plots`."""
    rows: list[Sequence[object]] = []
    for item in history:
        if item.verdicts:
            verdicts = list(item.verdicts.values())
            accuracy = "" if item.accuracy is None else f"{item.accuracy:.4f}"
            rows.append((item.round, accuracy, *(verdicts.count(verdict) for verdict in Verdict)))
    return _csv(("round", "accuracy", "accepted", "rejected", "absent"), rows)


def roc_csv(view: RoundView) -> str:
    """The points of each drawn class's ROC curve, for `dvc plots`; its head alone where no scores are told."""
    drawn = view.measures.drawn if view.measures else ()
    points = [(name, f"{alarms:.4f}", f"{hits:.4f}") for name, found, _ in drawn for alarms, hits in found.roc]
    return _csv(("class", "false_alarms", "sensitivity"), points)


def calibration_csv(view: RoundView) -> str:
    """Of each drawn class the shares observed by score, for `dvc plots`; its head alone where no scores are told."""
    drawn = view.measures.drawn if view.measures else ()
    bins = [
        (name, f"{one.score:.2f}", one.records, *(f"{number:.4f}" for number in vars(one.observed).values()))
        for name, _, calibration in drawn
        for one in calibration.bins
        if one.observed
    ]
    return _csv(("class", "score", "records", "observed", "low", "high"), bins)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue()


def _remarks(row: HospitalRow, record: RoundRecord | None) -> list[str]:
    """What a reader should know about a hospital's part beside its verdict."""
    remarks = []
    if row.reason:
        remarks.append(REASONS.get(row.reason, row.reason) + (f": {', '.join(row.failed)}" if row.failed else ""))
    strikes = record.strikes.get(row.name, ()) if record else ()
    if record and strikes:
        rounds = ", ".join(map(str, strikes))
        remarks.append(
            f"strikes in round{'s' if len(strikes) > 1 else ''} {rounds} of the last {record.strike_rule.window}"
        )
    if record and row.name in record.quarantined and row.reason != "quarantined":
        remarks.append("in quarantine from the next round on")
    if row.accuracy is None and row.verdict is not Verdict.ABSENT:
        remarks.append("has not confirmed the model")
    return remarks


def _without_model(view: RoundView, history: Sequence[RoundSummary]) -> list[RoundSummary]:
    """The rounds that were aborted between the finished one before and this one."""
    earlier = [item for item in history if item.round < view.round]
    last = max((index for index, item in enumerate(earlier) if item.model_sha256), default=-1)
    return [item for item in earlier[last + 1 :] if item.end]


def _page(view: RoundView, history: Sequence[RoundSummary], title: str, drawn: str) -> str:
    protocol = view.record.protocol if view.record else ""
    measures = view.measures
    return (
        _templates()
        .get_template("report.html.j2")
        .render(
            view=view,
            record=view.record,
            title=title,
            history=history,
            ended=_moment(view.time or 0),
            trust=TRUST.get(protocol, "See docs/explanation/threat-model.md for what this protocol trusts."),
            remarks=lambda row: _remarks(row, view.record),
            drawn=drawn,
            local=pictures.svg(pictures.local_accuracy(view)) if view.tested else "",
            measures=measures,
            curves=[pictures.svg(draw(measures)) for draw in (pictures.roc, pictures.reliability)]
            if measures and measures.drawn
            else [],
            by_subgroup=pictures.svg(pictures.subgroups(view.subgroups))
            if view.subgroups and view.subgroups.drawn
            else "",
            stages=pictures.svg(pictures.stages(view)) if view.seconds else "",
            ends=ENDS,
            without=_without_model(view, history),
            lineage=[item for item in history if item.model_sha256 and item.round <= view.round],
        )
    )


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%-d %B %Y, %H:%M:%S UTC")


def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
