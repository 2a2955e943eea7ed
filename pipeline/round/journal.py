"""What a node must never do twice differently: its statements and its openings, written down before they leave."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.domain import HospitalName, Kind, RoundId, Sha256, Statement
from pipeline.errors import ConflictingVote, SecondOpening
from pipeline.evidence.canonical import canonical_json, digest
from pipeline.evidence.signing import from_bytes, to_bytes
from pipeline.host.files import locked, write_secret

_EITHER = {Kind.VOTE: Kind.ABORT, Kind.ABORT: Kind.VOTE}
"""A node votes for a result or for an end without one, so that it never leaves the choice to whoever gathers votes."""


@dataclass(frozen=True)
class Commit:
    """What a node opens at most one aggregate for."""

    study_digest: Sha256
    previous_model: Sha256
    root: Sha256

    @property
    def entry(self) -> str:
        """Name of its journal entry."""
        return f"opening-{digest([self.study_digest, self.previous_model, self.root])}.json"


@dataclass(frozen=True)
class Journal:
    """One node's journal in its private folder; every entry is on disk before the act that it allows."""

    folder: Path

    def said(self, round_id: RoundId, kind: Kind) -> Statement | None:
        """The statement of this kind that the node has made in this round, or None."""
        path = self.folder / f"{kind}-{round_id}.json"
        return from_bytes(path.read_bytes()) if path.exists() else None

    def say(self, round_id: RoundId, statement: Statement) -> Statement:
        """Keep what the node says before it sends it: one statement of a kind in a round.

        Raises ConflictingVote for a second one that differs.
        """
        with locked(self.folder / "lock"):
            earlier = self.said(round_id, statement.kind)
            other = _EITHER.get(statement.kind)
            if other and self.said(round_id, other):
                raise ConflictingVote(
                    f"round {round_id}: asked to sign {statement.kind}, but this node has signed {other}; it ends"
                    " one way"
                )
            if earlier is None:
                write_secret(self.folder / f"{statement.kind}-{round_id}.json", to_bytes(statement))
                return statement
        if earlier != statement:
            raise ConflictingVote(
                f"round {round_id}: asked to sign {statement.kind} {digest(statement.body)[:12]}, but this node has"
                f" signed {digest(earlier.body)[:12]}; a statement is only ever resent, so let the round abort at its"
                " deadline"
            )
        return earlier

    def trouble(self, round_id: RoundId) -> dict[str, Any]:
        """What last stopped a step of this node in a round, and how often its engine failed; empty when nothing did."""
        path = self.folder / f"trouble-{round_id}.json"
        content = json.loads(path.read_bytes()) if path.exists() else {}
        return content if isinstance(content, dict) else {}

    def note_trouble(self, round_id: RoundId, trouble: Mapping[str, Any]) -> None:
        """Keep what kept a step from its end, in place of what did before."""
        with locked(self.folder / "lock"):
            write_secret(self.folder / f"trouble-{round_id}.json", canonical_json(dict(trouble)))

    def begin_opening(
        self, commit: Commit, accepted: tuple[HospitalName, ...], inputs: Mapping[HospitalName, Sha256]
    ) -> None:
        """Write down the one accepted set of `commit` before anything is opened; raises SecondOpening for another."""
        entry = {"accepted": list(accepted), "inputs": dict(inputs)}
        path = self.folder / commit.entry
        with locked(self.folder / "lock"):
            if not path.exists():
                write_secret(path, canonical_json(entry))
                return
            earlier = json.loads(path.read_bytes())
        if {key: earlier[key] for key in entry} != entry:
            raise SecondOpening(
                f"commit {commit.root[:12]}: asked to open an aggregate over {', '.join(accepted)}, but the journal"
                f" says {', '.join(earlier['accepted'])}; two openings would reveal their difference, so let the round"
                " abort at its deadline"
            )

    def end_opening(self, commit: Commit, output: Mapping[str, Any]) -> None:
        """Write down the opened aggregate beside the accepted set."""
        path = self.folder / commit.entry
        with locked(self.folder / "lock"):
            write_secret(path, canonical_json(json.loads(path.read_bytes()) | {"output": dict(output)}))

    def opened(self, commit: Commit) -> dict[str, Any] | None:
        """The journalled output for `commit`, or None when nothing was opened yet."""
        path = self.folder / commit.entry
        output = json.loads(path.read_bytes()).get("output") if path.exists() else None
        return output if isinstance(output, dict) else None

    def revealed(self, round_id: RoundId) -> dict[str, Any] | None:
        """What the round's verification revealed, or None when it has not run."""
        path = self.folder / f"revealed-{round_id}.json"
        content = json.loads(path.read_bytes()) if path.exists() else None
        return content if isinstance(content, dict) else None

    def reveal(self, round_id: RoundId, outcome: Mapping[str, Any]) -> None:
        """Write down what the verification revealed; raises SecondOpening when it revealed something else before."""
        with locked(self.folder / "lock"):
            earlier = self.revealed(round_id)
            if earlier is None:
                write_secret(self.folder / f"revealed-{round_id}.json", canonical_json(dict(outcome)))
            elif earlier != dict(outcome):
                raise SecondOpening(
                    f"round {round_id}: the verification revealed another outcome than the journalled one; let it abort"
                )
