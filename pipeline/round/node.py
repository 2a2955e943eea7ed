"""A node in a round: prepare a sealing key, verify under encryption, aggregate, vote, destroy what opens and what was opened."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline import model_file
from pipeline.audit import round_record
from pipeline.audit.rollback import refuse_forgotten
from pipeline.domain import HospitalName, Kind, NodeName, Reason, RoundId, RoundStatus, Sha256, Verdict
from pipeline.errors import Refused, RoundAborted, SecondOpening, TooFew
from pipeline.evidence import signing
from pipeline.mpc import rule
from pipeline.mpc.engines import engine
from pipeline.mpc.engines.base import AggregateTask, Components, Party, VerifyTask
from pipeline.round import custody, ending, equivocation, node_large, strikes
from pipeline.round.custody import Custody
from pipeline.round.inputs import Inputs, agree, committed, kept
from pipeline.round.journal import Commit, Journal
from pipeline.round.parameters import rule_parameters
from pipeline.round.study_history import StudyHistory, global_model, lineage
from pipeline.round.worker import RoundContext, Worker, node_worker
from pipeline.site.consortium import PORTS_PER_NODE
from pipeline.site.settings import Settings
from pipeline.store import object_keys

_ENDED = (RoundStatus.FINALISED, RoundStatus.ABORTED)
_STAGES = ("verify", "aggregate")
_ROUND_PORTS = PORTS_PER_NODE // len(_STAGES)


def prepare(study: str, round_id: RoundId, name: NodeName, settings: Settings | None = None) -> Sha256:
    """Make and sign this round's sealing key; the private half never leaves the node's folder."""
    worker = node_worker(study, name, settings)
    status = worker.ledger.status(round_id)
    if status is not RoundStatus.NONE:
        raise Refused(f"round {round_id}: the ledger says {status}, want none; a sealing key is made before the round opens")
    # No round opens without every node's key: one honest node suffices to keep a study off a chain that was rolled back. Rounds of other
    # studies do not count here, or their nodes could stop this one.
    refuse_forgotten(worker.ledger, worker.board.store, worker.study_id, round_id)
    _destroy_ended(worker)
    held = _custody(worker, round_id)
    body = {"public_key": bytes(held.make_sealing_key().public_key).hex()}
    if worker.study.mode == "large":
        body["nonce_commitment"] = node_large.nonce_commitment(held.nonce)
    context = worker.context(round_id, worker.ledger.study(worker.study_id).current_model)
    statement = _journal(worker).say(round_id, worker.sign(Kind.SEALING_KEY, body, context))
    return worker.board.say(round_id, statement)


def verify(study: str, round_id: RoundId, name: NodeName, settings: Settings | None = None) -> None:
    """Run this node's party of the encrypted verification and journal what it reveals: one bit per hospital, the next budget."""
    ctx = _join(study, round_id, name, settings)
    journal = _journal(ctx.worker)
    if journal.revealed(round_id) is not None:
        return
    with ending.watched(ctx, journal, "verify"):
        journal.reveal(round_id, _verified(ctx, journal))


def aggregate(study: str, round_id: RoundId, name: NodeName, settings: Settings | None = None) -> Sha256:
    """Run this node's party of the aggregation over the accepted hospitals, once, and vote for the result; the vote's digest."""
    ctx = _join(study, round_id, name, settings)
    journal = _journal(ctx.worker)
    with ending.watched(ctx, journal, "aggregate"):
        return _aggregated(ctx, journal)


def retire(study: str, round_id: RoundId, name: NodeName, settings: Settings | None = None) -> None:
    """Destroy this round's keys and what was opened by them; say why it was aborted, report a node that decided it twice."""
    worker = node_worker(study, name, settings)
    status = worker.ledger.status(round_id)
    if status not in _ENDED:
        raise Refused(f"round {round_id}: the ledger says {status}, want finalised or aborted; a running round needs its sealing key")
    _custody(worker, round_id).destroy()
    ctx = RoundContext(worker, round_id, worker.ledger.round(round_id))
    ending.say_cause(ctx, _journal(worker))
    # Whatever the study has become since: what they signed is about this round.
    equivocation.report(ctx)


def _verified(ctx: RoundContext, journal: Journal) -> dict[str, Any]:
    """What the encrypted verification reveals, and about which inputs."""
    worker, round_id = ctx.worker, ctx.round_id
    past = lineage(worker)
    revealed: dict[str, Any] = {}
    inputs = _agreed(ctx, past)
    hospitals, party = tuple(inputs.digests), _party(ctx, "verify")
    if worker.study.mode == "large":
        revealed["seed"] = node_large.seed(ctx, _custody(worker, round_id).nonce, journal, _deadline(ctx))
        output = node_large.verify(ctx, inputs, revealed["seed"], past.budget, party)
    else:
        task = VerifyTask(
            hospitals=hospitals,
            network=worker.study.network,
            rule=rule_parameters(worker.study, past.finished, past.budget),
            previous_model=global_model(worker, ctx.previous_model),
        )
        output = engine(worker.study.engine, worker.settings).verify(worker.study.protocol, task, inputs.whole, party)
    accepted = [hospital for hospital, bit in zip(hospitals, output.accepted, strict=True) if bit]
    revealed |= {"accepted": accepted, "budget": output.budget, "inputs": dict(inputs.digests), "absent": dict(inputs.absent)}
    revealed["failed"] = output.failures(hospitals)
    revealed |= {"programs": engine(worker.study.engine, worker.settings).digest(worker.study.protocol)}
    return revealed


def _aggregated(ctx: RoundContext, journal: Journal) -> Sha256:
    """Open the aggregate over the accepted hospitals, or take what was opened before, and vote."""
    worker, round_id, name = ctx.worker, ctx.round_id, ctx.worker.identity.name
    revealed = journal.revealed(round_id)
    if revealed is None:
        raise RoundAborted(f"round {round_id}: {name} has not verified, so it opens no aggregate; run the verify task of all nodes again")
    accepted = tuple(HospitalName(hospital) for hospital in revealed["accepted"])
    if len(accepted) < worker.study.accepted_floor:
        raise TooFew(
            f"round {round_id}: {len(accepted)} hospitals accepted, want at least {worker.study.accepted_floor}; the previous model stays",
            Reason.TOO_FEW_ACCEPTED,
            tuple(hospital for hospital in revealed["inputs"] if hospital not in accepted),
        )
    past = lineage(worker)
    commit = Commit(worker.digest, ctx.previous_model, ctx.commit_root)
    journal.begin_opening(commit, accepted, revealed["inputs"])
    opened = journal.opened(commit)
    if opened is None:
        # Read once: what the mailbox holds by now matters to a node only that lost what it kept.
        inputs = kept(ctx, revealed["inputs"], revealed["absent"], _custody(worker, round_id).keep()) or _agreed(ctx, past)
        if dict(inputs.digests) != revealed["inputs"]:
            raise SecondOpening(
                f"round {round_id}: {name} verified another input set than the nodes hold now; an aggregate is opened over the "
                "components that were verified or not at all, so let the round abort at its deadline"
            )
        opened = _open(ctx, accepted, inputs, journal, commit)
    total = node_large.total(journal, round_id) if worker.study.mode == "large" else np.array(opened["total"], dtype=np.int64)
    new = rule.new_model(global_model(worker, ctx.previous_model), total, opened["count"])
    return _vote(ctx, past, revealed, model_file.model_bytes(new), opened["count"])


def _agreed(ctx: RoundContext, past: StudyHistory) -> Inputs:
    worker = ctx.worker
    taken, held = committed(ctx, past.quarantined), _custody(worker, ctx.round_id)
    return agree(ctx, taken, held.sealing_key(), _journal(worker), _deadline(ctx), held.keep())


def _open(ctx: RoundContext, accepted: tuple[HospitalName, ...], inputs: Inputs, journal: Journal, commit: Commit) -> dict[str, Any]:
    worker = ctx.worker
    size = worker.study.network.size
    opened: dict[str, Any]
    if worker.study.mode == "large":
        key = _custody(worker, ctx.round_id).sealing_key()
        opened = {"count": node_large.open_mean(ctx, inputs, accepted, key, journal, _deadline(ctx))}
    else:
        updates: Components = {name: {index: part[:size] for index, part in inputs.components[name].items()} for name in accepted}
        task = AggregateTask(accepted, worker.study.network)
        output = engine(worker.study.engine, worker.settings).aggregate(worker.study.protocol, task, updates, _party(ctx, "aggregate"))
        opened = {"total": output.total.tolist(), "count": output.count}
    journal.end_opening(commit, opened)
    return opened


def _vote(ctx: RoundContext, past: StudyHistory, revealed: Mapping[str, Any], model: bytes, averaged: int) -> Sha256:
    worker, round_id = ctx.worker, ctx.round_id
    new_model = worker.board.post(object_keys.model(), model)
    accepted = frozenset(revealed["accepted"])
    verdicts = {hospital: Verdict.ACCEPTED if hospital in accepted else Verdict.REJECTED for hospital in revealed["inputs"]}
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
        seed=revealed.get("seed"),
    )
    ledger = worker.consortium.ledger
    vote = signing.sign_vote(worker.identity.name, built.result, ledger.chain_id, ctx.context.contract, worker.identity.key)
    vote = _journal(worker).say(round_id, vote)
    worker.board.post(object_keys.record(round_id), built.to_bytes())
    return worker.board.say(round_id, vote)


def _party(ctx: RoundContext, stage: str) -> Party:
    worker, round_id = ctx.worker, ctx.round_id
    nodes = worker.study.nodes
    home = worker.identity.home
    log = home / "logs" / f"round-{round_id}-{stage}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    return Party(
        index=nodes.index(NodeName(worker.identity.name)),
        hosts=tuple(_host(worker.consortium.node(node).host, round_id, stage) for node in nodes),
        certificate=home / "tls" / "cert.pem",
        private_key=home / "tls" / "key.pem",
        peer_certificates=tuple(worker.pinned_certificate(node) for node in nodes),
        workdir=home / "work",
        log=log,
        deadline_seconds=max(1.0, _deadline(ctx) - time.monotonic()),
    )


def _host(base: str, round_id: RoundId, stage: str) -> str:
    """A port of its own for each of the last rounds and each stage, so that rounds of two studies do not meet on one."""
    host, port = base.rsplit(":", 1)
    return f"{host}:{int(port) + round_id % _ROUND_PORTS * len(_STAGES) + _STAGES.index(stage)}"


def _deadline(ctx: RoundContext) -> float:
    """The ledger's result deadline on this machine's monotonic clock."""
    return time.monotonic() + ctx.state.opened.result_deadline - ctx.worker.ledger.block_time()


def _journal(worker: Worker) -> Journal:
    return Journal(worker.identity.home / "journal")


def _custody(worker: Worker, round_id: RoundId) -> Custody:
    return Custody(worker.identity.home, round_id)


def _destroy_ended(worker: Worker) -> None:
    """What `retire` does to keys, for rounds at whose end this node was away; whatever their study."""
    for earlier in custody.rounds(worker.identity.home):
        if worker.ledger.status(earlier) in _ENDED:
            _custody(worker, earlier).destroy()


def _join(study: str, round_id: RoundId, name: NodeName, settings: Settings | None) -> RoundContext:
    return RoundContext.join(node_worker(study, name, settings), round_id, RoundStatus.COMMITTED)
