"""The service provider in a round: number it, open it, commit who took part, send what the nodes decided, record it.

It holds no data key, and nothing that it says is taken on trust: nodes and hospitals check it against the ledger and the evidence.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Set
from functools import partial

from pipeline import places
from pipeline.chain.contract import Call
from pipeline.chain.ledger import HospitalStatus, RoundState
from pipeline.domain import HospitalName, Kind, RoundId, RoundStatus, Sha256
from pipeline.errors import ContractRefused, Crowded, Rejected, RoundAborted
from pipeline.evidence import merkle
from pipeline.evidence.canonical import digest
from pipeline.files import locked, write_atomic
from pipeline.roles import ballots, equivocation, readiness
from pipeline.roles.desk import Desk, KeyRecord, Sitting, provider_desk
from pipeline.roles.intake import checked_manifest, signed_manifests
from pipeline.settings import Settings

_POLL_SECONDS = 0.5


def number(study: str, run_id: str, settings: Settings | None = None) -> RoundId:
    """The round's number on the ledger: the next free one, and the same again for a rerun of one Airflow run.

    Raises Misconfigured where the round cannot happen.
    """
    desk = provider_desk(study, settings)
    readiness.require(desk.study, desk.settings)
    path = desk.identity.home / "rounds.json"
    with locked(path.with_suffix(".lock")):
        given: dict[str, int] = json.loads(path.read_bytes()) if path.exists() else {}
        run = f"{study} {run_id}"
        if run not in given:
            given[run] = max([0, *given.values(), *(state.round for state in desk.ledger.rounds())]) + 1
            write_atomic(path, json.dumps(given, indent=1).encode())
        return RoundId(given[run])


def open_round(study: str, round_id: RoundId, settings: Settings | None = None) -> None:
    """Put round, study digest, current model, sealing keys and deadlines on the ledger; aborts an expired round of the study first.

    Raises Misconfigured where the round cannot happen.
    """
    desk = provider_desk(study, settings)
    if desk.ledger.status(round_id) is not RoundStatus.NONE:
        Sitting.join(desk, round_id, RoundStatus.OPEN, RoundStatus.COMMITTED)
        return
    readiness.require(desk.study, desk.settings)
    state = desk.ledger.study(desk.study_id)
    if state.open_round is not None:
        _wait_or_abort(desk, state.open_round)
    context = desk.context(round_id, state.current_model)
    keys = []
    for node in desk.study.nodes:
        statement = desk.board.only(round_id, Kind.SEALING_KEY, node, partial(desk.check, context=context))
        KeyRecord.parse(statement, desk.study)
        keys.append(digest(statement.body))

    def call() -> Call:
        now, deadlines = desk.ledger.block_time(), desk.study.deadlines
        return desk.ledger.open_round(
            round_id,
            desk.study_id,
            study_digest=desk.digest,
            previous_model=state.current_model,
            sealing_keys=keys,
            commit_deadline=now + deadlines.commit_seconds,
            result_deadline=now + deadlines.result_seconds,
        )

    desk.outbox().send(call, f"open-{round_id}")


def commit(study: str, round_id: RoundId, settings: Settings | None = None) -> tuple[HospitalName, ...]:
    """Put the Merkle root of the manifests that arrived and hold on the ledger; raises RoundAborted below the quorum."""
    desk = provider_desk(study, settings)
    sitting = Sitting.join(desk, round_id, RoundStatus.OPEN, RoundStatus.COMMITTED)
    while sitting.state.status is RoundStatus.OPEN:
        listed = _listed(sitting)
        present = tuple(hospital for hospital in desk.study.hospitals if hospital in listed)
        if len(present) < desk.study.accepted_floor:
            raise RoundAborted(f"round {round_id}: {len(present)} hospitals shared an update, want at least {desk.study.accepted_floor}")
        desk.board.post_json(places.commit(round_id), listed)
        direct = sitting.state.direct
        label = f"commit-{round_id}-direct-{len(direct)}" if direct else f"commit-{round_id}"
        # A rerun may see another set; what was signed first stands, and its list was posted before.
        if _sent(desk, partial(_commit_call, sitting, listed), label, {"WrongStatus", "DirectCommitsIgnored"}):
            return present
        sitting = Sitting.join(desk, round_id, RoundStatus.OPEN, RoundStatus.COMMITTED)
    return ()


def finalise(study: str, round_id: RoundId, settings: Settings | None = None) -> Sha256:
    """Send what a majority of all nodes signed, a result or the round's end without one; the new model's digest. Raises RoundAborted."""
    desk = provider_desk(study, settings)
    sitting = Sitting.join(desk, round_id, RoundStatus.OPEN, RoundStatus.COMMITTED, RoundStatus.FINALISED, RoundStatus.ABORTED)
    while sitting.state.status is RoundStatus.COMMITTED:
        equivocation.report(sitting)
        barred = equivocation.suspended(desk)
        if _is_late(sitting.state, desk):
            _abort(desk, sitting.state)
        elif (decided := ballots.majority(sitting, ballots.VOTE, barred)) is not None:
            label = f"finalise-{round_id}-without-{len(barred)}" if barred else f"finalise-{round_id}"
            _sent(desk, partial(desk.ledger.finalise_round, *decided), label, {"WrongStatus", "SuspendedNode", "DeadlinePassed"})
        elif (ended := ballots.majority(sitting, ballots.END, barred)) is not None:
            # A rerun may see one more signature than what was sent first.
            call, label = partial(desk.ledger.abort_by_nodes, sitting.state, *ended), f"end-{round_id}-without-{len(barred)}"
            _sent(desk, call, label, {"WrongStatus", "SuspendedNode"})
        else:
            time.sleep(_POLL_SECONDS)
        sitting = Sitting.join(desk, round_id, *RoundStatus)
    if sitting.state.status is RoundStatus.OPEN:
        _wait_or_abort(desk, round_id)
    equivocation.report(sitting)
    if sitting.state.status is not RoundStatus.FINALISED:
        end = sitting.state.decided
        how = f"{end.signers.bit_count()} nodes ended it ({end.reason})" if end else "aborted on the ledger"
        raise RoundAborted(f"round {round_id}: {how}; model {sitting.previous_model[:16]} stays current")
    return sitting.new_model


def _sent(desk: Desk, call: Callable[[], Call], label: str, overtaken: Set[str]) -> bool:
    """Send it; False when the ledger refuses it as one of `overtaken`: others were faster, and whoever sends reads it again.

    Anybody may send what a majority signed, abort what is late, and report a node; each node may commit, each hospital directly.
    """
    try:
        desk.outbox().send(call, label)
    except ContractRefused as error:
        if error.error not in overtaken:
            raise
        return False
    return True


def _wait_or_abort(desk: Desk, round_id: RoundId) -> None:
    """Wait for an open round of the study to end; aborts it when its deadline has passed."""
    while (state := desk.ledger.round(round_id)).deadline is not None:
        if _is_late(state, desk):
            _abort(desk, state)
        else:
            time.sleep(_POLL_SECONDS)


def _is_late(state: RoundState, desk: Desk) -> bool:
    return state.deadline is not None and desk.ledger.block_time() > state.deadline


def _abort(desk: Desk, state: RoundState) -> None:
    # A label for each deadline: a round that is committed, or committed directly, meanwhile has a later one.
    label = f"abort-{state.round}-{state.deadline}"
    _sent(desk, partial(desk.ledger.abort, state), label, {"WrongStatus", "StaleTerms", "DeadlineNotPassed"})


def _listed(sitting: Sitting) -> dict[HospitalName, Sha256]:
    """The manifests that arrived and hold, and whatever hospitals committed directly: no set without these can be committed."""
    desk = sitting.desk
    listed = {hospital: manifest for hospital in desk.study.hospitals if (manifest := _manifest(sitting, hospital)) is not None}
    names = {address: name for name, address in desk.consortium.hospitals.items()}
    return listed | {names[event.hospital]: event.manifest for event in sitting.state.direct}


def _commit_call(sitting: Sitting, listed: Mapping[HospitalName, Sha256]) -> Call:
    manifests = tuple(dict.fromkeys(listed.values()))
    root, direct = merkle.root(manifests), sitting.state.direct
    if not direct:
        return sitting.desk.ledger.commit_round(sitting.round_id, root)
    proofs = {event.hospital: merkle.proof(manifests, event.manifest) for event in direct}
    return sitting.desk.ledger.commit_round_with(sitting.state, root, proofs)


def _manifest(sitting: Sitting, hospital: HospitalName) -> Sha256 | None:
    """The hospital's one manifest when it holds; the nodes name the reason where there is none (`pipeline.roles.intake.absence`)."""
    try:
        found = signed_manifests(sitting, hospital)
    except Crowded:
        return None
    if len(found) != 1 or sitting.standings[hospital] is not HospitalStatus.AUTHORISED:
        return None
    try:
        checked_manifest(sitting, hospital, found[0])
    except Rejected:
        return None
    return found[0]
