"""The service provider in a round: number it, open it, commit who took part, send what the nodes decided, record it.

It holds no data key, and nothing that it says is taken on trust: nodes and hospitals check it against the ledger and
the evidence.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Set
from functools import partial

from pipeline.chain.contract import Call
from pipeline.chain.ledger import HospitalStatus, RoundState
from pipeline.domain import HospitalName, Kind, RoundId, RoundStatus, Sha256
from pipeline.errors import ContractRefused, Crowded, Rejected, RoundAborted
from pipeline.evidence import merkle
from pipeline.evidence.canonical import digest
from pipeline.host.files import locked, write_atomic
from pipeline.round import ballots, conclusion, equivocation, readiness
from pipeline.round.manifests import checked_manifest, signed_manifests
from pipeline.round.worker import KeyRecord, RoundContext, Worker, provider_worker
from pipeline.site.settings import Settings
from pipeline.store import object_keys
from pipeline.study import schedule

_POLL_SECONDS = 0.5


def number(study: str, run_id: str, settings: Settings | None = None) -> RoundId:
    """The round's number on the ledger: the next free one, and the same again for a rerun of one Airflow run.

    Raises Misconfigured where the round cannot happen, Refused where the study is concluded.
    """
    worker = provider_worker(study, settings)
    conclusion.require_going_on(worker.study, worker.ledger.study(worker.study_id))
    readiness.require(worker.study, worker.settings)
    path = worker.identity.home / "rounds.json"
    with locked(path.with_suffix(".lock")):
        given: dict[str, int] = json.loads(path.read_bytes()) if path.exists() else {}
        run = f"{study} {run_id}"
        if run not in given:
            given[run] = max([0, *given.values(), *worker.ledger.opened(0)]) + 1
            write_atomic(path, json.dumps(given, indent=1).encode())
        return RoundId(given[run])


def concluded(study: str, settings: Settings | None = None) -> str | None:
    """How the study was concluded, in words, its schedule being ended then; None while its rounds go on."""
    worker = provider_worker(study, settings)
    said = conclusion.concluded(worker.study, worker.ledger.study(worker.study_id))
    if said is not None:
        schedule.end(study, worker.settings)
    return said


def open_round(study: str, round_id: RoundId, settings: Settings | None = None) -> None:
    """Put round, study digest, current model, sealing keys and deadlines on the ledger.

    Aborts an expired round of the study first.

    Raises Misconfigured where the round cannot happen.
    """
    worker = provider_worker(study, settings)
    if worker.ledger.status(round_id) is not RoundStatus.NONE:
        RoundContext.join(worker, round_id, RoundStatus.OPEN, RoundStatus.COMMITTED)
        return
    readiness.require(worker.study, worker.settings)
    state = worker.ledger.study(worker.study_id)
    conclusion.require_going_on(worker.study, state)
    if state.open_round is not None:
        _wait_or_abort(worker, state.open_round)
    context = worker.context(round_id, state.current_model)
    keys = []
    for node in worker.study.nodes:
        statement = worker.board.only(round_id, Kind.SEALING_KEY, node, partial(worker.check, context=context))
        KeyRecord.parse(statement, worker.study)
        keys.append(digest(statement.body))

    def call() -> Call:
        now = worker.ledger.block_time()
        deadlines = worker.study.deadlines
        return worker.ledger.open_round(
            round_id,
            worker.study_id,
            study_digest=worker.digest,
            previous_model=state.current_model,
            sealing_keys=keys,
            commit_deadline=now + deadlines.commit_seconds,
            result_deadline=now + deadlines.result_seconds,
        )

    worker.outbox().send(call, f"open-{round_id}")


def commit(study: str, round_id: RoundId, settings: Settings | None = None) -> tuple[HospitalName, ...]:
    """Put the Merkle root of the manifests that arrived and hold on the ledger.

    Raises RoundAborted below the quorum.
    """
    worker = provider_worker(study, settings)
    ctx = RoundContext.join(worker, round_id, RoundStatus.OPEN, RoundStatus.COMMITTED)
    while ctx.state.status is RoundStatus.OPEN:
        listed = _listed(ctx)
        present = tuple(hospital for hospital in worker.study.hospitals if hospital in listed)
        if len(present) < worker.study.accepted_floor:
            raise RoundAborted(
                f"round {round_id}: {len(present)} hospitals shared an update, want at least"
                f" {worker.study.accepted_floor}"
            )
        worker.board.post_json(object_keys.commit(round_id), listed)
        direct = ctx.state.direct
        label = f"commit-{round_id}-direct-{len(direct)}" if direct else f"commit-{round_id}"
        # A rerun may see another set; what was signed first stands, and its list was posted before.
        if _sent(worker, partial(_commit_call, ctx, listed), label, {"WrongStatus", "DirectCommitsIgnored"}):
            return present
        ctx = RoundContext.join(worker, round_id, RoundStatus.OPEN, RoundStatus.COMMITTED)
    return ()


def finalise(study: str, round_id: RoundId, settings: Settings | None = None) -> Sha256:
    """Send what a majority of all nodes signed: a result, or the round's end without one.

    Returns the new model's digest; raises RoundAborted when there is none.
    """
    worker = provider_worker(study, settings)
    ctx = RoundContext.join(
        worker, round_id, RoundStatus.OPEN, RoundStatus.COMMITTED, RoundStatus.FINALISED, RoundStatus.ABORTED
    )
    while ctx.state.status is RoundStatus.COMMITTED:
        equivocation.report(ctx)
        barred = equivocation.suspended(worker)
        if _is_late(ctx.state, worker):
            _abort(worker, ctx.state)
        elif (decided := ballots.majority(ctx, ballots.VOTE, barred)) is not None:
            label = f"finalise-{round_id}-without-{len(barred)}" if barred else f"finalise-{round_id}"
            _sent(
                worker,
                partial(worker.ledger.finalise_round, *decided),
                label,
                {"WrongStatus", "SuspendedNode", "DeadlinePassed"},
            )
        elif (ended := ballots.majority(ctx, ballots.END, barred)) is not None:
            # A rerun may see one more signature than what was sent first.
            call = partial(worker.ledger.abort_by_nodes, ctx.state, *ended)
            label = f"end-{round_id}-without-{len(barred)}"
            _sent(worker, call, label, {"WrongStatus", "SuspendedNode"})
        else:
            time.sleep(_POLL_SECONDS)
        ctx = RoundContext.join(worker, round_id, *RoundStatus)
    if ctx.state.status is RoundStatus.OPEN:
        _wait_or_abort(worker, round_id)
    equivocation.report(ctx)
    if ctx.state.status is not RoundStatus.FINALISED:
        end = ctx.state.decided
        how = f"{end.signers.bit_count()} nodes ended it ({end.reason})" if end else "aborted on the ledger"
        raise RoundAborted(f"round {round_id}: {how}; model {ctx.previous_model[:16]} stays current")
    return ctx.new_model


def _sent(worker: Worker, call: Callable[[], Call], label: str, overtaken: Set[str]) -> bool:
    """Send a transaction; False when the ledger refuses it as one of `overtaken`, because another sender was faster.

    Whoever gets False reads the ledger again. Anybody may send what a majority signed, abort what is late, and report a
    node; each node may commit, and each hospital may commit directly.
    """
    try:
        worker.outbox().send(call, label)
    except ContractRefused as error:
        if error.error not in overtaken:
            raise
        return False
    return True


def _wait_or_abort(worker: Worker, round_id: RoundId) -> None:
    """Wait for an open round of the study to end; aborts it when its deadline has passed."""
    while (state := worker.ledger.round(round_id)).deadline is not None:
        if _is_late(state, worker):
            _abort(worker, state)
        else:
            time.sleep(_POLL_SECONDS)


def _is_late(state: RoundState, worker: Worker) -> bool:
    return state.deadline is not None and worker.ledger.block_time() > state.deadline


def _abort(worker: Worker, state: RoundState) -> None:
    # A label for each deadline: a round that is committed, or committed directly, meanwhile has a later one.
    label = f"abort-{state.round}-{state.deadline}"
    _sent(worker, partial(worker.ledger.abort, state), label, {"WrongStatus", "StaleTerms", "DeadlineNotPassed"})


def _listed(ctx: RoundContext) -> dict[HospitalName, Sha256]:
    """The manifests that arrived and hold, and whatever hospitals committed directly.

    No set without these can be committed.
    """
    worker = ctx.worker
    listed = {
        hospital: manifest for hospital in worker.study.hospitals if (manifest := _manifest(ctx, hospital)) is not None
    }
    names = {address: name for name, address in worker.consortium.hospitals.items()}
    return listed | {names[event.hospital]: event.manifest for event in ctx.state.direct}


def _commit_call(ctx: RoundContext, listed: Mapping[HospitalName, Sha256]) -> Call:
    manifests = tuple(dict.fromkeys(listed.values()))
    root = merkle.root(manifests)
    direct = ctx.state.direct
    if not direct:
        return ctx.worker.ledger.commit_round(ctx.round_id, root)
    proofs = {event.hospital: merkle.proof(manifests, event.manifest) for event in direct}
    return ctx.worker.ledger.commit_round_with(ctx.state, root, proofs)


def _manifest(ctx: RoundContext, hospital: HospitalName) -> Sha256 | None:
    """The digest of the hospital's one manifest, when it holds; else None.

    The nodes say why there is none (`pipeline.round.manifests.absence`).
    """
    try:
        digests = signed_manifests(ctx, hospital)
    except Crowded:
        return None
    if len(digests) != 1 or ctx.standings[hospital] is not HospitalStatus.AUTHORISED:
        return None
    try:
        checked_manifest(ctx, hospital, digests[0])
    except Rejected:
        return None
    return digests[0]
