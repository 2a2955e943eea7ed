"""What one hospital's and strangers' junk costs the steps of a round that list.

Two installations, one of which has it, take turns.

`python -m benchmarks.junk [--objects N] [--registrations N] [--files N]`; real MinIO and anvil, no engine.
"""

from __future__ import annotations

import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import psutil
import typer
from eth_account import Account
from eth_utils.address import to_checksum_address

from pipeline.audit.rollback import refuse_forgotten
from pipeline.domain import Kind, RoundId
from pipeline.evidence.canonical import sha256
from pipeline.host.files import write_atomic
from pipeline.round import ballots, manifests, provider
from pipeline.round.worker import RoundContext
from pipeline.store import object_keys
from tests.support.chains import past_devchain
from tests.support.consortia import HOSPITALS, NODES, Site, tables_checked_once
from tests.support.rounds import Play

RESULTS = Path(__file__).parent / "results" / "junk.json"
_WITHOUT = "without"
_WITH = "with"
_REPEATS = 31
_WRITERS = 4
_BATCH = 250
"""Registrations that fit into one block."""

Steps = dict[str, Callable[[], object]]

_AUTHOR = HOSPITALS[4]
"""A hospital of the study that shares nothing in these rounds, so that its absence changes no step but by its reason.
"""


def _steps(site: Site, play: Play, aborted: RoundId, committed: RoundId, coming: RoundId) -> Steps:
    """What each step lists and reads; what it signs and sends is the same with junk and happens once."""

    def ctx() -> RoundContext:
        return site.node_context(play, committed, NODES[0])

    def audited() -> None:
        refuse_forgotten(site.ledger, site.store())
        site.audits(aborted)

    return {
        "prepare": lambda: play.node("prepare", coming, NODES[0]),
        "open_round": lambda: ctx().sealing_keys(),
        "commit": lambda: provider._listed(ctx()),
        "verify": lambda: manifests.committed(ctx(), frozenset()),
        "finalise": lambda: ballots.majority(ctx(), ballots.VOTE, frozenset()),
        "audit": audited,
    }


def _milliseconds(sites: dict[str, Steps]) -> dict[str, dict[str, float]]:
    """Step to the median at each site. They take turns, so that what else the machine does meets both alike."""
    medians: dict[str, dict[str, float]] = {}
    for step in next(iter(sites.values())):
        taken: dict[str, list[float]] = {name: [] for name in sites}
        for _ in range(1 + _REPEATS):
            for name, steps in sites.items():
                started = time.perf_counter()
                steps[step]()
                taken[name].append(1000 * (time.perf_counter() - started))
        medians[step] = {name: median(repeats[1:]) for name, repeats in taken.items()}
    return medians


def _write(site: Site, locations: Iterable[tuple[str, str]]) -> None:
    client = site.store(site.settings.hospital(_AUTHOR))._client
    with ThreadPoolExecutor(_WRITERS) as threads:
        list(
            threads.map(
                lambda location: client.put_object(Bucket=location[0], Key=location[1], Body=b"junk"), locations
            )
        )


def _junk(site: Site, rounds: Sequence[RoundId], objects: int, files: int) -> None:
    """Write `objects` into the author's folders, half in those of these rounds, half in rounds of its own.

    Each folder of its statements in these rounds gets `files` more.
    """
    folder = f"hospitals/{_AUTHOR}/"
    _write(
        site, ((object_keys.REPORTS, f"rounds/{rounds[n % len(rounds)]}/{folder}junk/{n}") for n in range(objects // 2))
    )
    _write(site, ((object_keys.REPORTS, f"rounds/{10_000 + n}/{folder}junk") for n in range(objects - objects // 2)))
    for round_id in rounds:
        for kind in (Kind.MANIFEST, Kind.VALIDATION):
            key_prefix = object_keys.statement(round_id, kind, _AUTHOR)
            _write(site, ((key_prefix.bucket, key_prefix.key(sha256(str(n).encode()))) for n in range(files)))


def _register(site: Site, count: int) -> None:
    """Register strangers, each with a key of its own, `_BATCH` to a block.

    Past the development chain, which would write the chain to disk for each.
    """
    call = site.ledger.register_hospital()
    terms = {
        "to": to_checksum_address(str(call.to)),
        "data": call.data,
        "chainId": site.ledger.chain_id,
        "gas": 200_000,
        "gasPrice": 0,
    }
    for first in range(0, count, _BATCH):
        batch = min(_BATCH, count - first)
        signed = [Account.create().sign_transaction({**terms, "nonce": 0, "value": 0}) for _ in range(batch)]
        sent = [("eth_sendRawTransaction", [transaction.raw_transaction.to_0x_hex()]) for transaction in signed]
        past_devchain(site.settings.home / "chain", [*sent, ("anvil_mine", [hex(batch)])])


def _site(home: Path) -> tuple[Site, Play, tuple[RoundId, RoundId, RoundId]]:
    """An installation with an aborted round, a committed one and one to come."""
    site = Site(home)
    play = site.play("junk", hospitals=list(HOSPITALS[:5]))
    aborted = play.open("first")
    site.pass_deadline(aborted)
    committed = play.open("second")
    play.hospitals(committed, HOSPITALS[:4])
    play.commit(committed)
    return site, play, (aborted, committed, play.number("third"))


def main(objects: int = 10_000, registrations: int = 10_000, files: int = 200) -> None:
    """Measure, print and write results/junk.json."""
    with tempfile.TemporaryDirectory(prefix="wardround-junk-") as folder, ExitStack() as stack:
        sites = {}
        with tables_checked_once():
            for name in (_WITHOUT, _WITH):
                site, play, rounds = _site(Path(folder) / name)
                stack.callback(site.stop)
                if name == _WITH:
                    _junk(site, rounds[:2], objects, files)
                    _register(site, registrations)
                sites[name] = _steps(site, play, *rounds)
            measured = _milliseconds(sites)
    rows = [
        {
            "step": step,
            "milliseconds_without": round(medians[_WITHOUT], 1),
            "milliseconds_with": round(medians[_WITH], 1),
            "times": round(medians[_WITH] / medians[_WITHOUT], 2),
        }
        for step, medians in measured.items()
    ]
    for row in rows:
        typer.echo(json.dumps(row))
    junk = {"objects": objects, "registrations": registrations, "files_in_each_place": files}
    machine = {
        "cores": psutil.cpu_count(),
        "machine": platform.machine(),
        "load": [round(load, 1) for load in psutil.getloadavg()],
    }
    write_atomic(
        RESULTS, (json.dumps({**junk, **machine, "repeats": _REPEATS, "rows": rows}, indent=2) + "\n").encode()
    )


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
