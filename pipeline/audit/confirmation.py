"""What a hospital's confirmation tells, read by this one function for conclusions, audits and reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.audit.round_record import RoundRecord
from pipeline.errors import EvidenceRejected
from pipeline.measures import confusion, scores
from pipeline.measures.confusion import MOST_RECORDS
from pipeline.measures.table import Told


def counted(body: Mapping[str, Any], record: RoundRecord) -> Told:
    """What a confirmation tells of the model of the round with this record.

    Raises EvidenceRejected where it is about another one, or carries counts, a matrix or histograms that do not fit.
    """
    correct = body.get("correct")
    tested = body.get("tested")
    if body.get("model") != record.new_model:
        raise EvidenceRejected(f"got a confirmation of another model than {record.new_model}")
    if type(correct) is not int or type(tested) is not int or not 0 <= correct <= tested <= MOST_RECORDS:
        raise EvidenceRejected(f"got {correct!r} correct of {tested!r}")
    matrix = confusion.told(body.get("confusion"), correct, tested)
    if "confusion" in body and matrix is None:
        raise EvidenceRejected(f"got a confusion matrix that is none of {correct} correct of {tested}")
    if matrix is not None and matrix.classes != record.classes:
        raise EvidenceRejected(f"got a confusion matrix of other classes than {', '.join(record.classes)}")
    histograms = None if matrix is None else scores.told(body.get("scores"), matrix)
    if "scores" in body and histograms is None:
        raise EvidenceRejected("got histograms of scores that are none of its confusion matrix")
    return Told(correct, tested, matrix, histograms)
