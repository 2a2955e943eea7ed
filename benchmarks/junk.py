"""What one hospital's and strangers' junk costs the steps of a round that list: with it and without, on a real MinIO and a real anvil.

`python -m benchmarks.junk [--objects N] [--registrations N] [--files N]`; no engine runs.
"""

from __future__ import annotations

import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import typer

from pipeline import places
from pipeline.audit.rollback import refuse_forgotten
from pipeline.chain.outbox import Outbox
from pipeline.domain import Kind, RoundId
from pipeline.evidence.canonical import sha256
from pipeline.files import write_atomic
from pipeline.identity import SigningKey
from pipeline.roles import intake, provider
from pipeline.secret import Secret
from tests.support.consortia import HOSPITALS, NODES, Site, tables_checked_once
from tests.support.rounds import Play

RESULTS = Path(__file__).parent / "results" / "junk.json"
_REPEATS = 9
_WRITERS = 4
_AUTHOR = HOSPITALS[4]
"""A hospital of the study that shares nothing in these rounds, so that its absence changes no step but by its reason."""


def _steps(site: Site, play: Play, aborted: RoundId, committed: RoundId, coming: RoundId) -> dict[str, Callable[[], object]]:
    """What each step lists and reads; what it signs and sends is the same with junk and happens once."""
    seat = site.node_sitting(play, committed, NODES[0])

    def audited() -> None:
        refuse_forgotten(site.ledger, site.store())
        site.audits(aborted)

    return {
        "prepare": lambda: play.node("prepare", coming, NODES[0]),
        "open_round": seat.sealing_keys,
        "commit": lambda: provider._listed(seat),
        "verify": lambda: intake.committed(seat, frozenset()),
        "finalise": lambda: provider._majority(seat, frozenset()),
        "audit": audited,
    }


def _seconds(steps: dict[str, Callable[[], object]]) -> dict[str, float]:
    found = {}
    for name, step in steps.items():
        step()
        taken = []
        for _ in range(_REPEATS):
            started = time.perf_counter()
            step()
            taken.append(time.perf_counter() - started)
        # The least: what else a busy machine does only adds to it.
        found[name] = min(taken)
    return found


def _write(site: Site, places_: Iterable[tuple[str, str]]) -> None:
    client = site.store(site.settings.hospital(_AUTHOR))._client
    with ThreadPoolExecutor(_WRITERS) as threads:
        list(threads.map(lambda place: client.put_object(Bucket=place[0], Key=place[1], Body=b"junk"), places_))


def _junk(site: Site, rounds: tuple[RoundId, ...], objects: int, files: int) -> None:
    """Half of the objects in the author's folder of these rounds, half as rounds of its own, and so many files in its places."""
    own = f"hospitals/{_AUTHOR}/"
    _write(site, ((places.REPORTS, f"rounds/{rounds[n % len(rounds)]}/{own}junk/{n}") for n in range(objects // 2)))
    _write(site, ((places.REPORTS, f"rounds/{10_000 + n}/{own}junk") for n in range(objects - objects // 2)))
    for round_id in rounds:
        for kind in (Kind.MANIFEST, Kind.VALIDATION):
            place = places.statement(round_id, kind, _AUTHOR)
            _write(site, ((place.bucket, place.key(sha256(str(n).encode()))) for n in range(files)))


def _register(site: Site, folder: Path, count: int) -> None:
    for number in range(count):
        outbox = Outbox(folder / str(number), SigningKey(Secret.generate()), site.services.rpc, site.ledger.chain_id)
        outbox.send(site.ledger.register_hospital(), "register")


def main(objects: int = 10_000, registrations: int = 10_000, files: int = 200) -> None:
    """Measure, print and write results/junk.json."""
    with tempfile.TemporaryDirectory(prefix="wardround-junk-") as folder:
        site = Site(Path(folder) / "home")
        try:
            with tables_checked_once():
                play = site.play("junk", hospitals=list(HOSPITALS[:5]))
                aborted = play.open("first")
                site.pass_deadline(aborted)
                committed = play.open("second")
                play.hospitals(committed, HOSPITALS[:4])
                play.commit(committed)
                steps = _steps(site, play, aborted, committed, play.number("third"))
                without = _seconds(steps)
                _junk(site, (aborted, committed), objects, files)
                _register(site, Path(folder) / "strangers", registrations)
                with_junk = _seconds(steps)
        finally:
            site.stop()
    rows = [
        {
            "step": name,
            "milliseconds_without": round(1000 * without[name], 1),
            "milliseconds_with": round(1000 * with_junk[name], 1),
            "times": round(with_junk[name] / without[name], 2),
        }
        for name in steps
    ]
    for row in rows:
        typer.echo(json.dumps(row))
    junk = {"objects": objects, "registrations": registrations, "files_in_each_place": files}
    machine = {"cores": psutil.cpu_count(), "machine": platform.machine(), "load": [round(each, 1) for each in psutil.getloadavg()]}
    write_atomic(RESULTS, (json.dumps({**junk, **machine, "repeats": _REPEATS, "rows": rows}, indent=2) + "\n").encode())


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
