"""A node in a round: prepare a sealing key, verify under encryption, aggregate, vote, destroy what it held."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.audit import round_record
from pipeline.audit.rollback import refuse_forgotten
from pipeline.audit.round_record import RecordSubgroups
from pipeline.chain.ledger import StudyState
from pipeline.domain import Ending, HospitalName, Kind, NodeName, Reason, RoundId, RoundStatus, Sha256, Verdict
from pipeline.errors import Refused, RoundAborted, SecondOpening, TooFew
from pipeline.evidence import randomness, signing
from pipeline.round import conclusion, continuation, ending, equivocation, restored, strikes, tally
from pipeline.round.custody import rounds as rounds_held
from pipeline.round.evaluations import evaluation_in
from pipeline.round.input_set import Inputs, agree, kept
from pipeline.round.journal import Commit
from pipeline.round.manifests import committed
from pipeline.round.node_round import NodeRound, custody, journal
from pipeline.round.study_history import StudyHistory, lineage
from pipeline.round.worker import RoundContext, Worker, node_worker
from pipeline.site.settings import Settings
from pipeline.store import object_keys

_ENDED = (RoundStatus.FINALISED, RoundStatus.ABORTED)


def prepare(study: str, round_id: RoundId, name: NodeName, settings: Settings | None = None) -> Sha256:
    """Make and sign this round's sealing key; the private half never leaves the node's folder."""
    worker = node_worker(study, name, settings)
    status = worker.ledger.status(round_id)
    if status is not RoundStatus.NONE:
        raise Refused(
            f"round {round_id}: the ledger says {status}, want none; a sealing key is made before the round opens"
        )
    # No round opens without every node's key: one honest node suffices to keep a study off a chain that was rolled
    # back. Rounds of other studies do not count here, or their nodes could stop this one.
    refuse_forgotten(worker.ledger, worker.board.store, worker.study_id, round_id)
    restored.refuse_earlier(worker.identity.home, worker.ledger, round_id)
    _destroy_ended(worker)
    held = custody(worker, round_id)
    body = {"public_key": bytes(held.make_sealing_key().public_key).hex()}
    if worker.study.draws_seed:
        body["nonce_commitment"] = randomness.commitment(held.make_nonce())
    state = worker.ledger.study(worker.study_id)
    conclusion.require_going_on(worker.study, state)
    conclusion.require_rounds_left(worker)
    continuation.require_first_model(worker.study, state)
    _require_scale(worker, state)
    context = worker.context(round_id, state.current_model)
    statement = journal(worker).say(round_id, worker.sign(Kind.SEALING_KEY, body, context))
    return worker.board.say(round_id, statement)


def _require_scale(worker: Worker, state: StudyState) -> None:
    """Raise Refused when a study whose scale is to be measured stands at a model that was trained without it."""
    if worker.study.source.measured and any(one.finalised for one in worker.ledger.line(worker.study_id)):
        continuation.require_scale(worker.study, worker.model(state.current_model))


def verify(study: str, round_id: RoundId, name: NodeName, settings: Settings | None = None) -> None:
    """Run this node's party of the encrypted verification.

    Journals what that reveals: one bit per hospital, and the next budget.
    """
    node = _join(study, round_id, name, settings)
    if node.journal.revealed(round_id) is not None:
        return
    with ending.watched(node.ctx, node.journal, "verify"):
        node.journal.reveal(round_id, _verified(node))


def aggregate(study: str, round_id: RoundId, name: NodeName, settings: Settings | None = None) -> Sha256:
    """Run this node's party of the aggregation over the accepted hospitals, once, and vote for the result.

    Returns the vote's digest.
    """
    node = _join(study, round_id, name, settings)
    with ending.watched(node.ctx, node.journal, "aggregate"):
        return _aggregated(node)


def retire(study: str, round_id: RoundId, name: NodeName, settings: Settings | None = None) -> None:
    """Destroy this round's keys and what was opened with them.

    Says why the round was aborted, and reports a node that decided it twice.
    """
    worker = node_worker(study, name, settings)
    status = worker.ledger.status(round_id)
    if status not in _ENDED:
        raise Refused(
            f"round {round_id}: the ledger says {status}, want finalised or aborted; a running round needs its"
            " sealing key"
        )
    custody(worker, round_id).destroy()
    ctx = RoundContext(worker, round_id, worker.ledger.round(round_id))
    if round_id > restored.last_refused(worker.identity.home, worker.ledger):
        ending.say_cause(ctx, journal(worker))
    # Whatever the study has become since: what they signed is about this round.
    equivocation.report(ctx)


def conclude(study: str, round_id: RoundId, name: NodeName, settings: Settings | None = None) -> Ending | None:
    """Sign that the study is done where its course says so, and put on the ledger what a majority signed; why."""
    worker = node_worker(study, name, settings)
    if worker.ledger.status(round_id) is RoundStatus.ABORTED:
        return None
    ctx = RoundContext.join(worker, round_id, RoundStatus.FINALISED)
    return conclusion.conclude(ctx, journal(worker))


def _verified(node: NodeRound) -> dict[str, Any]:
    """What the encrypted verification reveals, and about which inputs."""
    worker = node.worker
    past = lineage(node.worker)
    inputs = _agreed(node, past)
    verified = evaluation_in(node.ctx.study).verify(node, inputs, past)
    layout = node.ctx.study.counted
    tested = tally.tested_by(node, inputs) if layout else {}
    return {
        **({"seed": verified.seed} if verified.seed else {}),
        "accepted": list(verified.accepted),
        "budget": verified.budget,
        "inputs": dict(inputs.digests),
        "absent": dict(inputs.absent),
        "failed": dict(verified.failed),
        "tested": tested,
        "broke": list(tally.check(node, inputs, layout, tested)) if layout else [],
        "programs": node.engine.digest(worker.study.protocol),
    }


def _aggregated(node: NodeRound) -> Sha256:
    """Open the aggregate over the accepted hospitals, or take what was opened before, and vote."""
    ctx = node.ctx
    worker = node.worker
    journal = node.journal
    round_id = ctx.round_id
    name = worker.identity.name
    revealed = journal.revealed(round_id)
    if revealed is None:
        raise RoundAborted(
            f"round {round_id}: {name} has not verified, so it opens no aggregate; run the verify task of all nodes"
            " again"
        )
    accepted = tuple(HospitalName(hospital) for hospital in revealed["accepted"])
    if len(accepted) < worker.study.accepted_floor:
        raise TooFew(
            f"round {round_id}: {len(accepted)} hospitals accepted, want at least {worker.study.accepted_floor}; the"
            " previous model stays",
            Reason.TOO_FEW_ACCEPTED,
            tuple(hospital for hospital in revealed["inputs"] if hospital not in accepted),
        )
    how = evaluation_in(ctx.study)
    past = lineage(worker)
    broke = [HospitalName(hospital) for hospital in revealed["broke"]]
    tested = {HospitalName(hospital): number for hospital, number in revealed["tested"].items()}
    counted = tally.members(ctx.study, past, tested, broke)
    commit = Commit(worker.digest, ctx.previous_model, ctx.commit_root)
    journal.begin_opening(commit, accepted, revealed["inputs"])
    opened = journal.opened(commit)
    if opened is None:
        # Read once: what the mailbox holds by now matters to a node only that lost what it kept.
        inputs = kept(ctx, revealed["inputs"], revealed["absent"], node.custody.keep()) or _agreed(node, past)
        if dict(inputs.digests) != revealed["inputs"]:
            raise SecondOpening(
                f"round {round_id}: {name} verified another input set than the nodes hold now; an aggregate is opened"
                " over the components that were verified or not at all, so let the round abort at its deadline"
            )
        opened = how.open(node, inputs, accepted)
        if layout := ctx.study.counted:
            opened["totals"] = tally.open_totals(node, inputs, layout, counted, tested)
        journal.end_opening(commit, opened)
    new = how.following(node, how.total(node, opened), opened["count"])
    subgroups = tally.record(ctx.study, counted, tested, broke, opened.get("totals"))
    return _vote(ctx, past, revealed, new.to_bytes(), opened["count"], subgroups)


def _agreed(node: NodeRound, past: StudyHistory) -> Inputs:
    """Taken in twice, by `verify` and by a node that lost what it kept before `aggregate`."""
    taken = committed(node.ctx, past.quarantined)
    held = node.custody
    return agree(node.ctx, taken, held.sealing_key(), node.journal, node.deadline, held.keep())


def _vote(
    ctx: RoundContext,
    past: StudyHistory,
    revealed: Mapping[str, Any],
    model: bytes,
    averaged: int,
    subgroups: RecordSubgroups | None,
) -> Sha256:
    worker = ctx.worker
    round_id = ctx.round_id
    new_model = worker.board.post(object_keys.model(), model)
    accepted = frozenset(revealed["accepted"])
    verdicts = {
        hospital: Verdict.ACCEPTED if hospital in accepted else Verdict.REJECTED for hospital in revealed["inputs"]
    }
    struck = strikes.updated(
        past.strikes,
        verdicts,
        round_id,
        past.judged,
        worker.study.rule.strike_window,
    )
    built = round_record.build(
        worker.study,
        worker.consortium,
        ctx.context,
        commit_root=ctx.commit_root,
        inputs=revealed["inputs"],
        absent=revealed["absent"],
        failed=revealed["failed"],
        accepted=accepted,
        budget=past.budget,
        next_budget=revealed["budget"],
        strikes=struck,
        quarantined=strikes.quarantined(struck, past.quarantined, worker.study.rule.strikes),
        new_model=new_model,
        averaged=averaged,
        programs=revealed["programs"],
        subgroups=subgroups,
        seed=revealed.get("seed"),
    )
    ledger = worker.consortium.ledger
    vote = signing.sign_vote(
        worker.identity.name, built.result, ledger.chain_id, ctx.context.contract, worker.identity.key
    )
    vote = journal(worker).say(round_id, vote)
    worker.board.post(object_keys.record(round_id), built.to_bytes())
    return worker.board.say(round_id, vote)


def _destroy_ended(worker: Worker) -> None:
    """What `retire` does to keys, for rounds at whose end this node was away; whatever their study."""
    for earlier in rounds_held(worker.identity.home):
        if worker.ledger.status(earlier) in _ENDED:
            custody(worker, earlier).destroy()


def _join(study: str, round_id: RoundId, name: NodeName, settings: Settings | None) -> NodeRound:
    worker = node_worker(study, name, settings)
    restored.refuse_earlier(worker.identity.home, worker.ledger, round_id)
    return NodeRound(RoundContext.join(worker, round_id, RoundStatus.COMMITTED))
