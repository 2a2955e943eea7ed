"""Engine `spu`: ABY3 in SPU's own environment, one process per party, exact integers of 64 bits."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pipeline.domain import EngineStats, HospitalName, Sha256
from pipeline.errors import EngineFailed
from pipeline.evidence.canonical import digest
from pipeline.layers.table import to_plain
from pipeline.mpc import rule
from pipeline.mpc.engines.base import (
    AggregateOutput,
    AggregateTask,
    Components,
    Engine,
    Party,
    Payload,
    ProjectedTask,
    RangeOutput,
    RangeTask,
    Task,
    VerifyOutput,
    VerifyTask,
)
from pipeline.mpc.engines.session.digests import files_digest, task_digest
from pipeline.mpc.engines.session.process_activity import ProcessActivity
from pipeline.mpc.engines.session.rendezvous import Rendezvous
from pipeline.mpc.engines.session.verdicts import bits, verdicts
from pipeline.mpc.engines.spu.process import PartyProcess, wait_until
from pipeline.site.settings import PROJECT, Settings
from pipeline.study.fields import PROTOCOLS

PROGRAMS = PROJECT / "mpc-programs" / "spu"
_PARTIES = PROTOCOLS["spu"]["aby3"]
_COMPILE_SECONDS = 300.0
_SECONDS_FOR_REPORTS = 2.0
_START = b"start\n"


def program_digest() -> Sha256:
    """SHA-256 over everything that decides what the parties compute."""
    return files_digest(
        [
            *PROGRAMS.glob("*.py"),
            *(PROJECT / "pipeline" / "layers").glob("*.py"),
            PROJECT / "pipeline" / "domain.py",
            PROJECT / "pipeline" / "mpc" / "rule.py",
            PROJECT / "pipeline" / "mpc" / "sorting.py",
            PROJECT / "requirements" / "spu.txt",
        ]
    )


class Spu(Engine):
    """Semi-honest, 3 nodes; a node's process gets its components through a pipe and never writes them down."""

    name: ClassVar[str] = "spu"

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.load()

    def problems(self) -> tuple[str, ...]:
        """Whether SPU's environment is there."""
        if not self.settings.spu_python.exists():
            return (f"SPU's environment is missing ({self.settings.spu_python}): run `make setup`",)
        return ()

    def digest(self, protocol: str) -> Sha256:
        """SHA-256 over all that decides what a party computes.

        Our programs and the locked versions of what they run on.
        """
        return program_digest()

    def prepare(self, protocol: str, task: Task) -> None:
        """Compile for tasks of this shape into the user's cache, so that no round waits for it; raises EngineFailed."""
        self._require_environment()
        program = _described(task)
        executable = self._executable(program)
        if Path(executable).exists():
            return
        with (
            tempfile.TemporaryDirectory() as folder,
            self._process(Path(folder), Path(folder) / "party.log", _COMPILE_SECONDS) as process,
        ):
            process.send([_line(program | {"executable": executable})])
            process.receive()

    def verify(self, protocol: str, task: VerifyTask, components: Components, party: Party) -> VerifyOutput:
        """Run this party of the verification; raises EngineFailed naming the party or peer and the cause."""
        return self._verdicts(protocol, task, _content(task, components, party.index), party)

    def verify_projected(
        self, protocol: str, task: ProjectedTask, projections: Components, components: Components, party: Party
    ) -> VerifyOutput:
        """Run this party of a large model's verification, on components of projections and of what `verify` takes.

        Raises EngineFailed naming party and cause.
        """
        pairs = _pairs(task.hospitals, projections, party.index, rule.PROJECTIONS)
        content = [pairs.tobytes(), *_content(task, components, party.index)]
        return self._verdicts(protocol, task, content, party)

    def check_range(self, protocol: str, task: RangeTask, components: Components, party: Party) -> RangeOutput:
        """Run this party of a check of ranges; raises EngineFailed naming the party or peer and the cause."""
        pairs = _pairs(task.hospitals, components, party.index, task.size)
        (opened,), stats = self._run(protocol, task, [pairs.tobytes()], party)
        return RangeOutput(bits(opened), stats)

    def aggregate(self, protocol: str, task: AggregateTask, components: Components, party: Party) -> AggregateOutput:
        """Run this party of the trimmed mean; raises EngineFailed naming the party or peer and the cause."""
        pairs = _pairs(task.hospitals, components, party.index, task.size)
        (total,), stats = self._run(protocol, task, [pairs.tobytes()], party)
        return AggregateOutput(np.array(total, np.int64), rule.updates_averaged(len(task.hospitals)), stats)

    def _verdicts(self, protocol: str, task: VerifyTask, content: Sequence[bytes], party: Party) -> VerifyOutput:
        (opened, (budget,)), stats = self._run(protocol, task, content, party)
        accepted, failed = verdicts(task, opened)
        return VerifyOutput(accepted, rule.floored(budget), stats, failed)

    def _run(
        self, protocol: str, task: Task, content: Sequence[bytes], party: Party
    ) -> tuple[list[list[int]], EngineStats]:
        deadline = time.monotonic() + party.deadline_seconds
        self._require_environment()
        if len(party.hosts) != _PARTIES:
            raise EngineFailed(f"got {len(party.hosts)} parties, want {_PARTIES} for SPU's ABY3")
        program = _described(task)
        party.workdir.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=party.workdir, prefix="spu-"))
        try:
            pinned = folder / "pinned.pem"
            pinned.write_text("".join(certificate.read_text() for certificate in party.peer_certificates))
            party_fields = {
                "executable": self._executable(program),
                "index": party.index,
                "hosts": party.hosts,
                "certificate": str(party.certificate.resolve()),
                "private_key": str(party.private_key.resolve()),
                "pinned": str(pinned),
                "timeout_ms": max(int(party.deadline_seconds * 1000), 1000),
            }
            with self._process(folder, party.log, party.deadline_seconds) as process:
                process.send([_line(program | party_fields)])
                agreed = {
                    "program": self.digest(protocol),
                    "compiled program": process.receive()["ready"],
                    "task": task_digest(protocol, task),
                }
                # before the peers have come: once they have, all call one another within moments, as SPU wants it
                process.send(content)
                result = _compute(process, Rendezvous(party), agreed, deadline)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        stats = EngineStats(result["cpu_seconds"], result["wall_seconds"], result["bytes_sent"], result["rss_bytes"])
        return result["outputs"], stats

    def _require_environment(self) -> None:
        if problems := self.problems():
            raise EngineFailed("; ".join(problems))

    def _executable(self, program: Mapping[str, Any]) -> str:
        return str(self.settings.cache / "spu" / f"{digest(dict(program) | {'code': program_digest()})}.bin")

    def _process(self, folder: Path, log: Path, seconds: float) -> PartyProcess:
        return PartyProcess(self.settings.spu_python, PROGRAMS / "party.py", folder, log, seconds)


def _compute(
    process: PartyProcess, rendezvous: Rendezvous, agreed: Mapping[str, str], deadline: float
) -> Mapping[str, Any]:
    with rendezvous:
        rendezvous.gather(agreed, deadline)
        rendezvous.watch(process.kill, ProcessActivity(process.pid))
        try:
            process.send([_START])
            return process.receive()
        except EngineFailed as error:
            if rendezvous.failure is None and not process.killed:
                # A broken link is the other end's fault as often as not: its node says so in a moment.
                wait_until(lambda: rendezvous.failure is not None, _SECONDS_FOR_REPORTS)
            raise EngineFailed(rendezvous.failure or str(error)) from error


def _described(task: Task) -> dict[str, Any]:
    """The program with the shapes of its inputs: all that the compiler needs."""
    hospitals = len(task.hospitals)
    if isinstance(task, RangeTask):
        secret = [{"name": "vectors", "shape": [hospitals, task.size]}]
        return {"program": "check_range", "secret": secret, "public": []}
    if isinstance(task, AggregateTask):
        secret = [{"name": "updates", "shape": [hospitals, task.size]}]
        return {"program": "trimmed_mean", "hospitals": hospitals, "secret": secret, "public": []}
    network = task.network
    samples = task.rule.samples
    is_projected = isinstance(task, ProjectedTask)
    projections = [{"name": "projections", "shape": [hospitals, rule.PROJECTIONS]}] if is_projected else []
    return {
        "program": "verify_projected" if is_projected else "verify",
        "network": to_plain(network),
        "samples": samples,
        "input_range": list(task.rule.input_range),
        "first_round": task.rule.budget is None,
        "names_condition": task.names_condition,
        "panel": task.panel,
        "secret": [
            *projections,
            {"name": "updates", "shape": [hospitals, network.size]},
            {"name": "inputs", "shape": [hospitals, samples, *network.input_shape]},
            {"name": "labels", "shape": [hospitals, samples, network.classes]},
        ],
        "public": [{"name": "previous", "shape": [network.size]}, {"name": "thresholds", "shape": [6]}],
    }


def _content(task: VerifyTask, components: Components, index: int) -> list[bytes]:
    """What the program reads of updates, samples and labels, of the model and of the thresholds."""
    if not rule.is_within_caps(task.previous_model):
        raise EngineFailed("spu: the previous model is beyond the rule's caps, want the result of an earlier round")
    numbers = task.rule
    pairs = _pairs(task.hospitals, components, index, Payload(task.network, numbers.samples).length)
    updates_end = task.network.size
    inputs_end = pairs.shape[1] - numbers.samples * task.network.classes
    thresholds = [
        *task.limits,
        numbers.below_global_percent,
        numbers.below_peers_percent,
        numbers.weakest_class_below_global_percent,
        numbers.weakest_class_below_peers_percent,
    ]
    arrays = [pairs[:, :updates_end], pairs[:, updates_end:inputs_end], pairs[:, inputs_end:]]
    public = [task.previous_model.astype(np.int64), np.array(thresholds, np.int64)]
    return [array.tobytes() for array in (*arrays, *public)]


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content).encode() + b"\n"


def _pairs(
    hospitals: Sequence[HospitalName], components: Components, index: int, length: int
) -> npt.NDArray[np.uint64]:
    """(hospitals, length, 2): ABY3's party i holds summands i and i + 1, which are the components i + 1 and i + 2."""
    held = [(index + 1) % _PARTIES, (index + 2) % _PARTIES]
    pairs = np.empty((len(hospitals), length, 2), np.uint64)
    for row, hospital in enumerate(hospitals):
        for column, component in enumerate(held):
            words = components.get(hospital, {}).get(component)
            if words is None or len(words) < length:
                got = "nothing" if words is None else f"{len(words)} words"
                raise EngineFailed(
                    f"{hospital}: component {component}: got {got}, want {length} words; leave it out of the input set"
                )
            pairs[row, :, column] = words[:length].view(np.uint64)
    return pairs
