"""A model's card as model hubs read it: Markdown under a YAML header with a `model-index`, and the same as JSON.

The header is Hugging Face's (huggingface.co/docs/hub/model-cards). An interval stands in a metric's `args`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from pipeline.domain import Sha256, Verdict
from pipeline.export.content import LABEL, SHARES, Content
from pipeline.export.forms.base import Form
from pipeline.measures.estimates import Measures
from pipeline.measures.intervals import LEVEL, Estimate, share
from pipeline.report.render import REASONS
from pipeline.report.round_view import HospitalRow, RoundView
from pipeline.report.subgroups import SubgroupsView
from pipeline.views.model_card import ModelCard

_TAGS = ("federated-learning", "medical", "not-a-medical-device", "wardround")

LIMITS = (
    "Each hospital counted its own answers on its own test records and signed them. Nobody else has seen those"
    " records.",
    "It says nothing about patients of other hospitals, of other devices, or of later years.",
    "Refuse records that `preparation.json` refuses: the model answers them too, and the answer means nothing.",
    "A share is the model's own softmax, and no probability of illness.",
    "A model tells something of the records that it learned from. Whoever has the file may ask it without end, and"
    " whether a given patient was among them can be guessed better than by chance.",
    "The files state no licence: the hospitals whose patients it learned from decide who may use it.",
)

_KINDS = {"table": "tabular-classification", "pictures": "image-classification"}
"""A preparation's kind to the task as hubs call it."""

_NOT_TOLD = "not told"
_SIGNS = frozenset("\\`*_[]<>|#~&$@:.")
"""What renderers of Markdown make something of within a line, be it a link of a mere address."""


def to_json(
    card: ModelCard, view: RoundView, content: Content, form: Form, digests: Mapping[str, Sha256]
) -> dict[str, Any]:
    """The card; `digests` are those of the files beside it."""
    context = content.context
    return {
        **card.to_json(),
        "form": form.name,
        "lineage": {
            "chain_id": context.chain_id,
            "contract": context.contract,
            "study_digest": context.study_digest,
            "previous_model": context.previous_model,
            "nodes": list(view.signers),
        },
        "hospitals": {row.name: _row(row) for row in view.hospitals},
        "limits": list(LIMITS),
        "files": dict(digests),
    }


def markdown(card: ModelCard, view: RoundView, content: Content, form: Form, digests: Mapping[str, Sha256]) -> str:
    """The same for people, under the header for hubs."""
    header = yaml.safe_dump(_header(card, view, content, form), sort_keys=False, allow_unicode=True)
    return f"---\n{header}---\n\n" + "\n".join(_body(card, view, content, form, digests)) + "\n"


def _header(card: ModelCard, view: RoundView, content: Content, form: Form) -> dict[str, Any]:
    task = _KINDS[content.study.source.preparation["kind"]]
    parts = [("all hospitals", _pooled(card, view)), *((row.name, _of_row(row, card)) for row in view.hospitals)]
    results = [
        {
            "task": {"type": task, "name": card.title},
            "dataset": {"type": content.study.dataset, "name": f"test records of {whose}", "split": "test"},
            "metrics": metrics,
        }
        for whose, metrics in parts
        if metrics
    ]
    return {
        "library_name": form.library,
        "pipeline_tag": task,
        "tags": [*_TAGS, *(["concluded"] if card.conclusion else [])],
        **({"model-index": [{"name": f"{card.study}, round {card.round}", "results": results}]} if results else {}),
    }


def _metrics(accuracy: Estimate | None, measures: Measures | None) -> list[dict[str, Any]]:
    return [
        {
            "type": kind,
            "name": name,
            "value": round(estimate.value, 4),
            "args": {"confidence_level": LEVEL, "low": round(estimate.low, 4), "high": round(estimate.high, 4)},
        }
        for kind, name, estimate in _estimates(accuracy, measures)
        if estimate is not None
    ]


def _estimates(accuracy: Estimate | None, measures: Measures | None) -> Iterator[tuple[str, str, Estimate | None]]:
    yield "accuracy", "accuracy", accuracy
    if measures is not None:
        yield "balanced_accuracy", "balanced accuracy", measures.balanced_accuracy
        yield "roc_auc", "AUC", measures.auc
        for row in measures.classes:
            yield "recall", f"sensitivity of {row.name}", row.sensitivity
            yield "specificity", f"specificity of {row.name}", row.specificity
            if row.discrimination:
                yield "roc_auc", f"AUC of {row.name}", row.discrimination.auc
            if row.calibration:
                yield "expected_calibration_error", f"calibration error of {row.name}", row.calibration.error
                yield "brier_score", f"Brier score of {row.name}", row.calibration.brier


def _pooled(card: ModelCard, view: RoundView) -> list[dict[str, Any]]:
    return _metrics(share(view.correct, view.tested), card.measures)


def _of_row(row: HospitalRow, card: ModelCard) -> list[dict[str, Any]]:
    return _metrics(_accuracy(row), _measures(row, card))


def _measures(row: HospitalRow, card: ModelCard) -> Measures | None:
    """A hospital's, where they are of the study's classes: it signs which it likes."""
    told = row.measures
    return told if told and tuple(of_class.name for of_class in told.classes) == card.classes else None


def _accuracy(row: HospitalRow) -> Estimate | None:
    return None if row.correct is None or row.tested is None else share(row.correct, row.tested)


def _row(row: HospitalRow) -> dict[str, Any]:
    accuracy = _accuracy(row)
    return {
        "verdict": row.verdict.value,
        "reason": row.reason,
        "records": row.rows,
        "correct": row.correct,
        "tested": row.tested,
        "accuracy": accuracy.to_json() if accuracy else None,
        "measures": row.measures.to_json() if row.measures else None,
    }


def _body(
    card: ModelCard, view: RoundView, content: Content, form: Form, digests: Mapping[str, Sha256]
) -> Iterator[str]:
    context = content.context
    chain = "development chain, which its one operator can rewrite" if card.development else "chain"
    yield from (f"# {_text(card.title)}", "", f"**{card.warning}**", "")
    yield from (f"It answers: {' or '.join(map(_text, card.classes))}.", "")
    yield from ("## Where it comes from", "")
    yield from (
        f"- Study `{card.study}`, round {card.round}, after {card.rounds} rounds that ended in a model.",
        f"- {len(view.signers)} of {view.nodes} nodes signed it: {', '.join(view.signers)}.",
        f"- Model `{card.model}`, on {chain} {context.chain_id}, contract `{context.contract}`,"
        f" transaction `{card.transaction}`.",
        *([f"- It is the study's last: {_text(card.conclusion)}."] if card.conclusion else ()),
        "",
        "Whoever has the nodes' addresses checks that without a network:",
        "",
        "```sh",
        f"wardround model verify {form.file} --nodes consortium.yaml",
        "```",
        "",
    )
    yield from ("## Data", "", f"{_text(card.dataset)} ({_text(card.source)}).", "")
    yield from _table(
        ("hospital", "its part in this round", "records"),
        ((row.name, _part(row), _text(row.rows or "–")) for row in view.hospitals),
    )
    yield from ("## What it is worth", "", "On each hospital's own test records, in brackets 95 % intervals.", "")
    yield from _table(
        ("hospital", "right", "accuracy", *(f"sensitivity of {_text(name)}" for name in card.classes)),
        [*(_worth(row, card) for row in view.hospitals), _all(card, view)],
    )
    if card.measures:
        yield from _by_class(card.measures)
    if card.subgroups:
        yield from _by_group(card.subgroups)
    yield from ("## Use", "")
    given = content.study.source.preparation["input"]
    yield from (
        f"`{form.file}` holds the model as {form.name}, and `preparation.json` says what to do with a record.",
        *_use(form, given),
        "",
    )
    yield from ("## Limits", "", *(f"- {limit}" for limit in (card.warning, *LIMITS)), "")
    yield from ("## Files", "")
    yield from _table(("file", "SHA-256"), ((name, f"`{digest}`") for name, digest in digests.items()))


def _use(form: Form, given: Mapping[str, Any]) -> Sequence[str]:
    if not form.packages:
        return ("The file holds weights alone: what `preparation.json` says under `inside` is yours to do, too.",)
    shape = ", ".join(map(str, given["shape"]))
    return (
        f"The graph takes `{given['name']}`, {given['dtype']} of shape ({shape}), and answers `{LABEL}`, `{SHARES}`.",
    )


def _part(row: HospitalRow) -> str:
    if row.verdict is Verdict.ACCEPTED:
        return "accepted: its update is in the mean"
    reason = f" ({_text(REASONS.get(row.reason, row.reason))})" if row.reason else ""
    return f"{row.verdict.value}: its update is not in the mean{reason}"


def _worth(row: HospitalRow, card: ModelCard) -> Sequence[str]:
    right = _NOT_TOLD if row.tested is None else f"{row.correct} of {row.tested}"
    return (row.name, right, _said(_accuracy(row)), *_sensitivities(_measures(row, card), card))


def _all(card: ModelCard, view: RoundView) -> Sequence[str]:
    right = f"{view.correct} of {view.tested}"
    return ("all of these", right, _said(share(view.correct, view.tested)), *_sensitivities(card.measures, card))


def _sensitivities(measures: Measures | None, card: ModelCard) -> Sequence[str]:
    told = {row.name: row.sensitivity for row in measures.classes} if measures else {}
    return [_said(told.get(name)) for name in card.classes]


def _by_class(measures: Measures) -> Iterator[str]:
    """What confusion matrices and scores of the hospitals that told them say together."""
    known = "of hospitals that told their confusion matrix"
    yield from (f"On the {measures.tested} test records {known}, and the scores of {measures.scored} of them:", "")
    yield from _table(
        ("class", "sensitivity", "specificity", "AUC", "calibration error", "Brier score"),
        [
            (
                _text(row.name),
                _said(row.sensitivity),
                _said(row.specificity),
                row.discrimination.auc.decimal if row.discrimination else _NOT_TOLD,
                row.calibration.error.decimal if row.calibration else _NOT_TOLD,
                row.calibration.brier.decimal if row.calibration else _NOT_TOLD,
            )
            for row in measures.classes
        ],
    )
    yield from (f"Balanced accuracy {_said(measures.balanced_accuracy)}.", "")


def _by_group(found: SubgroupsView) -> Iterator[str]:
    """What the round opened by groups of patients."""
    yield from ("## Whom it may fail", "")
    if found.because:
        yield from (f"Nothing by groups of patients: {_text(found.because)}.", "")
        return
    yield from (
        f"By groups of patients, on the test records of {_text(', '.join(found.hospitals))} together, of the model that"
        f" this round started from. Withheld: fewer than {found.floor} patients of a class without one of the"
        " hospitals, or a group that would give them away.",
        "",
    )
    yield from _table(
        ("group", "test records", *(f"sensitivity of {_text(name)}" for name in found.classes), "AUC"),
        [
            (
                _text(f"{row.column}: {row.name}"),
                str(row.measures.tested) if row.measures else row.remark,
                *(map(_said, row.sensitivities) if row.measures else ["–"] * len(found.classes)),
                row.measures.auc.decimal if row.measures and row.measures.auc else "–",
            )
            for row in found.rows
        ],
    )


def _said(estimate: Estimate | None) -> str:
    return _NOT_TOLD if estimate is None else str(estimate)


def _table(head: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _text(words: str) -> str:
    """Words as text of a table's cell, whatever Markdown, HTML or address they hold."""
    return "".join(f"\\{sign}" if sign in _SIGNS else sign for sign in " ".join(words.split()))


def as_bytes(card: Mapping[str, Any]) -> bytes:
    """The JSON card as a file."""
    return (json.dumps(card, indent=2, ensure_ascii=False) + "\n").encode()
