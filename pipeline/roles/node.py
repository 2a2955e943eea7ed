"""A node in a round: prepare a sealing key, verify under encryption, aggregate, vote, destroy what opens and what was opened."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline import models, places
from pipeline.audit import record
from pipeline.audit.rollback import refuse_forgotten
from pipeline.consortium import PORTS_PER_NODE
from pipeline.domain import HospitalName, Kind, NodeName, Reason, RoundId, RoundStatus, Sha256, Verdict
from pipeline.errors import Refused, RoundAborted, SecondOpening, TooFew
from pipeline.evidence import signing
from pipeline.mpc import rule, strikes
from pipeline.mpc.engines import engine
from pipeline.mpc.engines.base import AggregateTask, Components, Party, VerifyTask
from pipeline.mpc.journal import Commit, Journal
from pipeline.roles import custody, ending, equivocation, large
from pipeline.roles.custody import Custody
from pipeline.roles.desk import Desk, Sitting, node_desk
from pipeline.roles.intake import Inputs, agree, committed, kept
from pipeline.roles.lineage import Lineage, global_model, lineage
from pipeline.roles.parameters import rule_parameters
from pipeline.settings import Settings

_ENDED = (RoundStatus.FINALISED, RoundStatus.ABORTED)
_STAGES = ("verify", "aggregate")
_ROUND_PORTS = PORTS_PER_NODE // len(_STAGES)


def prepare(study: str, round_id: RoundId, name: NodeName, settings: Settings | None = None) -> Sha256:
    """Make and sign this round's sealing key; the private half never leaves the node's folder."""
    desk = node_desk(study, name, settings)
    status = desk.ledger.status(round_id)
    if status is not RoundStatus.NONE:
        raise Refused(f"round {round_id}: the ledger says {status}, want none; a sealing key is made before the round opens")
    # No round opens without every node's key: one honest node suffices to keep a study off a chain that was rolled back. Rounds of other
    # studies do not count here, or their nodes could stop this one.
    refuse_forgotten(desk.ledger, desk.board.store, desk.study_id, round_id)
    _destroy_ended(desk)
    held = _custody(desk, round_id)
    body = {"public_key": bytes(held.make_sealing_key().public_key).hex()}
    if desk.study.mode == "large":
        body["nonce_commitment"] = large.nonce_commitment(held.nonce)
    context = desk.context(round_id, desk.ledger.study(desk.study_id).current_model)
    statement = _journal(desk).say(round_id, desk.sign(Kind.SEALING_KEY, body, context))
    return desk.board.say(round_id, statement)


def verify(study: str, round_id: RoundId, name: NodeName, settings: Settings | None = None) -> None:
    """Run this node's party of the encrypted verification and journal what it reveals: one bit per hospital, the next budget."""
    sitting = _join(study, round_id, name, settings)
    journal = _journal(sitting.desk)
    if journal.revealed(round_id) is not None:
        return
    with ending.watched(sitting, journal, "verify"):
        journal.reveal(round_id, _verified(sitting, journal))


def aggregate(study: str, round_id: RoundId, name: NodeName, settings: Settings | None = None) -> Sha256:
    """Run this node's party of the aggregation over the accepted hospitals, once, and vote for the result; the vote's digest."""
    sitting = _join(study, round_id, name, settings)
    journal = _journal(sitting.desk)
    with ending.watched(sitting, journal, "aggregate"):
        return _aggregated(sitting, journal)


def retire(study: str, round_id: RoundId, name: NodeName, settings: Settings | None = None) -> None:
    """Destroy this round's keys and what was opened by them; say why it was aborted, report a node that decided it twice."""
    desk = node_desk(study, name, settings)
    status = desk.ledger.status(round_id)
    if status not in _ENDED:
        raise Refused(f"round {round_id}: the ledger says {status}, want finalised or aborted; a running round needs its sealing key")
    _custody(desk, round_id).destroy()
    sitting = Sitting(desk, round_id, desk.ledger.round(round_id))
    ending.say_cause(sitting, _journal(desk))
    # Whatever the study has become since: what they signed is about this round.
    equivocation.report(sitting)


def _verified(sitting: Sitting, journal: Journal) -> dict[str, Any]:
    """What the encrypted verification reveals, and about which inputs."""
    desk, round_id = sitting.desk, sitting.round_id
    past = lineage(desk)
    revealed: dict[str, Any] = {}
    inputs = _agreed(sitting, past)
    hospitals, party = tuple(inputs.digests), _party(sitting, "verify")
    if desk.study.mode == "large":
        revealed["seed"] = large.seed(sitting, _custody(desk, round_id).nonce, journal, _deadline(sitting))
        output = large.verify(sitting, inputs, revealed["seed"], past.budget, party)
    else:
        task = VerifyTask(
            hospitals=hospitals,
            network=desk.study.network,
            rule=rule_parameters(desk.study, past.finished, past.budget),
            previous_model=global_model(desk, sitting.previous_model),
        )
        output = engine(desk.study.engine, desk.settings).verify(desk.study.protocol, task, inputs.whole, party)
    accepted = [hospital for hospital, bit in zip(hospitals, output.accepted, strict=True) if bit]
    revealed |= {"accepted": accepted, "budget": output.budget, "inputs": dict(inputs.digests), "absent": dict(inputs.absent)}
    revealed["failed"] = output.failures(hospitals)
    revealed |= {"programs": engine(desk.study.engine, desk.settings).digest(desk.study.protocol)}
    return revealed


def _aggregated(sitting: Sitting, journal: Journal) -> Sha256:
    """Open the aggregate over the accepted hospitals, or take what was opened before, and vote."""
    desk, round_id, name = sitting.desk, sitting.round_id, sitting.desk.identity.name
    revealed = journal.revealed(round_id)
    if revealed is None:
        raise RoundAborted(f"round {round_id}: {name} has not verified, so it opens no aggregate; run the verify task of all nodes again")
    accepted = tuple(HospitalName(hospital) for hospital in revealed["accepted"])
    if len(accepted) < desk.study.accepted_floor:
        raise TooFew(
            f"round {round_id}: {len(accepted)} hospitals accepted, want at least {desk.study.accepted_floor}; the previous model stays",
            Reason.TOO_FEW_ACCEPTED,
            tuple(hospital for hospital in revealed["inputs"] if hospital not in accepted),
        )
    past = lineage(desk)
    commit = Commit(desk.digest, sitting.previous_model, sitting.commit_root)
    journal.begin_opening(commit, accepted, revealed["inputs"])
    opened = journal.opened(commit)
    if opened is None:
        # Read once: what the mailbox holds by now matters to a node only that lost what it kept.
        inputs = kept(sitting, revealed["inputs"], revealed["absent"], _custody(desk, round_id).keep()) or _agreed(sitting, past)
        if dict(inputs.digests) != revealed["inputs"]:
            raise SecondOpening(
                f"round {round_id}: {name} verified another input set than the nodes hold now; an aggregate is opened over the "
                "components that were verified or not at all, so let the round abort at its deadline"
            )
        opened = _open(sitting, accepted, inputs, journal, commit)
    total = large.total(journal, round_id) if desk.study.mode == "large" else np.array(opened["total"], dtype=np.int64)
    new = rule.new_model(global_model(desk, sitting.previous_model), total, opened["count"])
    return _vote(sitting, past, revealed, models.model_bytes(new), opened["count"])


def _agreed(sitting: Sitting, past: Lineage) -> Inputs:
    desk = sitting.desk
    taken, held = committed(sitting, past.quarantined), _custody(desk, sitting.round_id)
    return agree(sitting, taken, held.sealing_key(), _journal(desk), _deadline(sitting), held.keep())


def _open(sitting: Sitting, accepted: tuple[HospitalName, ...], inputs: Inputs, journal: Journal, commit: Commit) -> dict[str, Any]:
    desk = sitting.desk
    size = desk.study.network.size
    opened: dict[str, Any]
    if desk.study.mode == "large":
        key = _custody(desk, sitting.round_id).sealing_key()
        opened = {"count": large.open_mean(sitting, inputs, accepted, key, journal, _deadline(sitting))}
    else:
        updates: Components = {name: {index: part[:size] for index, part in inputs.components[name].items()} for name in accepted}
        task = AggregateTask(accepted, desk.study.network)
        output = engine(desk.study.engine, desk.settings).aggregate(desk.study.protocol, task, updates, _party(sitting, "aggregate"))
        opened = {"total": output.total.tolist(), "count": output.count}
    journal.end_opening(commit, opened)
    return opened


def _vote(sitting: Sitting, past: Lineage, revealed: Mapping[str, Any], model: bytes, averaged: int) -> Sha256:
    desk, round_id = sitting.desk, sitting.round_id
    new_model = desk.board.post(places.model(), model)
    accepted = frozenset(revealed["accepted"])
    verdicts = {hospital: Verdict.ACCEPTED if hospital in accepted else Verdict.REJECTED for hospital in revealed["inputs"]}
    struck = strikes.updated(
        past.strikes,
        verdicts,
        round_id,
        past.judged,
        desk.study.rule.strike_window,
    )
    built = record.build(
        desk.study,
        desk.consortium,
        sitting.context,
        commit_root=sitting.commit_root,
        inputs=revealed["inputs"],
        absent=revealed["absent"],
        failed=revealed["failed"],
        accepted=accepted,
        budget=past.budget,
        next_budget=revealed["budget"],
        strikes=struck,
        quarantined=strikes.quarantined(struck, past.quarantined, desk.study.rule.strikes),
        new_model=new_model,
        averaged=averaged,
        programs=revealed["programs"],
        seed=revealed.get("seed"),
    )
    ledger = desk.consortium.ledger
    vote = signing.sign_vote(desk.identity.name, built.result, ledger.chain_id, sitting.context.contract, desk.identity.key)
    vote = _journal(desk).say(round_id, vote)
    desk.board.post(places.record(round_id), built.to_bytes())
    return desk.board.say(round_id, vote)


def _party(sitting: Sitting, stage: str) -> Party:
    desk, round_id = sitting.desk, sitting.round_id
    nodes = desk.study.nodes
    home = desk.identity.home
    log = home / "logs" / f"round-{round_id}-{stage}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    return Party(
        index=nodes.index(NodeName(desk.identity.name)),
        hosts=tuple(_host(desk.consortium.node(node).host, round_id, stage) for node in nodes),
        certificate=home / "tls" / "cert.pem",
        private_key=home / "tls" / "key.pem",
        peer_certificates=tuple(desk.pinned_certificate(node) for node in nodes),
        workdir=home / "work",
        log=log,
        deadline_seconds=max(1.0, _deadline(sitting) - time.monotonic()),
    )


def _host(base: str, round_id: RoundId, stage: str) -> str:
    """A port of its own for each of the last rounds and each stage, so that rounds of two studies do not meet on one."""
    host, port = base.rsplit(":", 1)
    return f"{host}:{int(port) + round_id % _ROUND_PORTS * len(_STAGES) + _STAGES.index(stage)}"


def _deadline(sitting: Sitting) -> float:
    """The ledger's result deadline on this machine's monotonic clock."""
    return time.monotonic() + sitting.state.opened.result_deadline - sitting.desk.ledger.block_time()


def _journal(desk: Desk) -> Journal:
    return Journal(desk.identity.home / "journal")


def _custody(desk: Desk, round_id: RoundId) -> Custody:
    return Custody(desk.identity.home, round_id)


def _destroy_ended(desk: Desk) -> None:
    """What `retire` does to keys, for rounds at whose end this node was away; whatever their study."""
    for earlier in custody.rounds(desk.identity.home):
        if desk.ledger.status(earlier) in _ENDED:
            _custody(desk, earlier).destroy()


def _join(study: str, round_id: RoundId, name: NodeName, settings: Settings | None) -> Sitting:
    return Sitting.join(node_desk(study, name, settings), round_id, RoundStatus.COMMITTED)
