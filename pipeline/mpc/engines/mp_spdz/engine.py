"""MP-SPDZ, the engine of record: one subprocess per call, this node's party only."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pipeline.domain import EngineStats, Sha256
from pipeline.errors import EngineFailed
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
from pipeline.mpc.engines.mp_spdz import certificates, durations, process, programs, shares
from pipeline.mpc.engines.mp_spdz.certificates import PartyKey
from pipeline.mpc.engines.mp_spdz.profiles import Profile
from pipeline.mpc.engines.mp_spdz.workdir import private_folder
from pipeline.mpc.engines.session.digests import task_digest
from pipeline.mpc.engines.session.process_activity import ProcessActivity
from pipeline.mpc.engines.session.rendezvous import Rendezvous
from pipeline.mpc.engines.session.verdicts import bits, verdicts
from pipeline.site.settings import Settings
from pipeline.study.fields import PROTOCOLS

NODES = PROTOCOLS["mp-spdz"]
"""Protocol to number of nodes."""

LARGEST_BUDGET = 1 << 61
"""Bound of the program's bit budget."""

_BATCH = {"replicated-ring": "10000000", "rep4-ring": "50000"}
"""Products per message: a whole layer at once; for rep4-ring no more, since it prepares as many converted bits in
advance."""

_INSTALL = (
    "run `wardround engine install mp-spdz`, or run `wardround up` with MP_SPDZ_HOME naming the folder of an official"
    " release in which Scripts/tldr.sh has been run"
)

_SECONDS_FOR_REPORTS = 2.0

_Vectors = Callable[[], Sequence[shares.Held]]
"""Makes what goes into the share file; raises EngineFailed."""


class MpSpdz(Engine):
    """The programs under mpc-programs/, run by MP-SPDZ's own parties over mutual TLS."""

    name: ClassVar[str] = "mp-spdz"

    def __init__(self, settings: Settings | None = None, profile: Profile | None = None) -> None:
        """`profile` for measurements; in a round the parties choose it by their slowest round trip."""
        settings = settings or Settings.load()
        self._home = settings.mp_spdz
        self._cache = settings.cache
        self._profile = profile

    def digest(self, protocol: str) -> Sha256:
        """SHA-256 over all that decides what a party computes.

        Our programs, the installed compiler and the installed party.
        """
        return programs.installed_digest(self._home, protocol)

    def problems(self) -> tuple[str, ...]:
        """What is missing on this machine, each with the way to mend it; empty when the engine can run."""
        missing = [self._home / "compile.py", self._home / "Compiler", *(self._binary(protocol) for protocol in NODES)]
        absent = [path.name for path in missing if not path.exists()]
        problems = [f"{self._home}: got no {', '.join(absent)}; {_INSTALL}"] if absent else []
        problems += [
            f"{path}: not executable; {_INSTALL}"
            for path in missing[2:]
            if path.exists() and not os.access(path, os.X_OK)
        ]
        tools = {"openssl": "openssl", "prlimit": "util-linux", "setpriv": "util-linux"}
        # Looked for where a party starts them, whatever this process has on its PATH.
        lacking = [tool for tool in tools if not shutil.which(tool, path=os.defpath)]
        problems += [f"{tool}: not in {os.defpath}; install the package {tools[tool]}" for tool in lacking]
        if not sys.platform.startswith("linux"):
            problems.append(f"{sys.platform}: got this operating system, want Linux")
        return tuple(problems)

    def prepare(self, protocol: str, task: Task) -> None:
        """Compile for tasks of this shape into the user's cache, so that no round waits for it; raises EngineFailed."""
        self._compiled(protocol, task, self._profile or Profile.LAN)

    def verify(self, protocol: str, task: VerifyTask, components: Components, party: Party) -> VerifyOutput:
        """Run this party of the verification; raises EngineFailed naming the party or peer and the cause."""
        return self._verdicts("verify", protocol, task, self._secrets(protocol, task, components, party), party)

    def verify_projected(
        self, protocol: str, task: ProjectedTask, projections: Components, components: Components, party: Party
    ) -> VerifyOutput:
        """Run this party of a large model's verification, on components of projections and of what `verify` takes.

        Raises EngineFailed naming party and cause.
        """
        others = self._secrets(protocol, task, components, party)
        nodes = _nodes(protocol, party)

        def vectors() -> list[shares.Held]:
            return [*shares.checked(projections, task.hospitals, nodes, party.index, rule.PROJECTIONS), *others()]

        return self._verdicts("verify_projected", protocol, task, vectors, party)

    def check_range(self, protocol: str, task: RangeTask, components: Components, party: Party) -> RangeOutput:
        """Run this party of a check of ranges; raises EngineFailed naming the party or peer and the cause."""
        vectors = self._vectors(protocol, task, components, party)
        words, stats = self._run("check_range", protocol, task, vectors, len(task.hospitals), party)
        return RangeOutput(bits(words.tolist()), stats)

    def aggregate(self, protocol: str, task: AggregateTask, components: Components, party: Party) -> AggregateOutput:
        """Run this party of the trimmed mean; raises EngineFailed naming the party or peer and the cause."""
        accepted = len(task.hospitals)
        if accepted < rule.FEWEST_ACCEPTED:
            raise EngineFailed(f"mp-spdz: got {accepted} accepted updates, want at least {rule.FEWEST_ACCEPTED}")

        vectors = self._vectors(protocol, task, components, party)
        words, stats = self._run("trimmed_mean", protocol, task, vectors, task.size, party)
        return AggregateOutput(words, rule.updates_averaged(accepted), stats)

    def _vectors(
        self, protocol: str, task: RangeTask | AggregateTask, components: Components, party: Party
    ) -> _Vectors:
        nodes = _nodes(protocol, party)

        def vectors() -> list[shares.Held]:
            held = shares.checked(components, task.hospitals, nodes, party.index, task.size)
            return [{k: words[: task.size] for k, words in hospital.items()} for hospital in held]

        return vectors

    def _secrets(self, protocol: str, task: VerifyTask, components: Components, party: Party) -> _Vectors:
        nodes = _nodes(protocol, party)
        numbers = task.rule
        payload = Payload(task.network, numbers.samples)
        model = task.previous_model
        if model.shape != (task.network.size,) or not rule.is_within_caps(model):
            raise EngineFailed(f"mp-spdz: the previous model is not {task.network.size} values within the rule's caps")
        header = _header(task)
        size = task.network.size
        inputs_end = payload.length - numbers.samples * task.network.classes
        parts = (slice(0, size), slice(size, inputs_end), slice(inputs_end, payload.length))

        def vectors() -> list[shares.Held]:
            held = shares.checked(components, task.hospitals, nodes, party.index, payload.length)
            public = [shares.public(values, nodes, party.index) for values in (header, model)]
            return public + [{k: words[part] for k, words in hospital.items()} for part in parts for hospital in held]

        return vectors

    def _verdicts(self, program: str, protocol: str, task: VerifyTask, vectors: _Vectors, party: Party) -> VerifyOutput:
        words, stats = self._run(program, protocol, task, vectors, len(task.hospitals) + 1, party)
        *opened, budget = words.tolist()
        if budget < 0:
            raise EngineFailed(f"mp-spdz: party {party.index}: got a budget below 0; a party deviated")
        accepted, failed = verdicts(task, opened)
        return VerifyOutput(accepted, rule.floored(budget), stats, failed)

    def _run(
        self, program: str, protocol: str, task: Task, vectors: _Vectors, outputs: int, party: Party
    ) -> tuple[shares.Words, EngineStats]:
        end = time.monotonic() + party.deadline_seconds
        with Rendezvous(party) as rendezvous:
            rendezvous.gather({"program": self.digest(protocol), "task": task_digest(protocol, task)}, end)
            # after the peers have come, so that they learn what is wrong with this node's inputs
            content = shares.encode(vectors(), len(party.hosts), party.index)
            round_trip = rendezvous.round_trip()
            own = certificates.make(party.index)
            told = rendezvous.exchange("certificate", own.certificate)
            bytecode = self._compiled(protocol, task, self._profile or Profile.fitting(round_trip))
            with private_folder(party.workdir, len(content)) as folder:
                _lay_out(folder, bytecode, content, party, own, told)
                del content  # the engine has it in its folder
                # no_memory_output: the engine would write every share of the run to disk as it ends
                # -E 64: no truncation takes the engine's shortcut for small values, whose error is a matter of chance
                options = [
                    "-p",
                    str(party.index),
                    "-ip",
                    "hosts",
                    "-b",
                    _BATCH[protocol],
                    "-E",
                    "64",
                    "-o",
                    "no_memory_output",
                ]
                # the engine compares what it loads too, but does not say whose differs
                rendezvous.agree({"program": programs.bytecode_digest(bytecode)})
                ended = _together(rendezvous, [str(self._binary(protocol)), *options, program], folder, bytecode, end)
                return shares.decode_output(folder / "Player-Data", party.index, outputs), ended.stats

    def _compiled(self, protocol: str, task: Task, profile: Profile) -> Path:
        program, sizes = self._described(protocol, task, profile)
        return programs.compiled(program, sizes, installation=self._home, cache=self._cache)

    def _described(self, protocol: str, task: Task, profile: Profile) -> tuple[str, Mapping[str, Any]]:
        """The program and all that the compiler needs of the task."""
        sizes = {"nodes": NODES[protocol], "hospitals": len(task.hospitals)}
        if isinstance(task, VerifyTask):
            return "verify_projected" if isinstance(task, ProjectedTask) else "verify", programs.shape(
                task.network,
                **sizes,
                samples=task.rule.samples,
                largest_input=max(map(abs, task.rule.input_range)),
                profile=profile,
                names_condition=task.names_condition,
                panel=task.panel,
            )
        # both have few rounds in any case: one layout of each
        return "check_range" if isinstance(task, RangeTask) else "trimmed_mean", sizes | {"size": task.size}

    def _binary(self, protocol: str) -> Path:
        return self._home / f"{protocol}-party.x"


def _lay_out(
    folder: Path, bytecode: Path, content: bytearray, party: Party, own: PartyKey, told: Mapping[int, object]
) -> None:
    try:
        for name in ("Player-Data", "Persistence"):
            (folder / name).mkdir(mode=0o700)
        certificates.install(folder / "Player-Data", party.index, own, told)
        (folder / "Programs").symlink_to(bytecode)
        (folder / "hosts").write_text("".join(f"{host}\n" for host in party.hosts))
        (folder / "Persistence" / f"Transactions-P{party.index}.data").write_bytes(content)
    except OSError as error:
        raise EngineFailed(
            f"mp-spdz: party {party.index}: its working folder {folder.parent}: {error.strerror}; make room there"
        ) from error


def _together(
    rendezvous: Rendezvous, command: Sequence[str], folder: Path, bytecode: Path, end: float
) -> process.Ended:
    """Run the party among its peers.

    It is stopped as soon as one of them fails, and at the latest after a multiple of the last run's time.
    """
    party = rendezvous.party
    peer_failed = threading.Event()
    activity = ProcessActivity()
    longest = durations.limit(bytecode)
    rendezvous.watch(peer_failed.set, activity)
    limits = process.RunLimits(min(end, time.monotonic() + longest), peer_failed, party.patience_seconds)
    ended = process.run(command, folder, party.log, limits, activity)
    if ended.code == 0 or ended.stats.wall_seconds >= longest:
        # one that was given up counts too: the next one may take longer
        durations.note(bytecode, ended.stats.wall_seconds)
    if ended.code == 0:
        return ended
    cause = process.cause(ended, party.log)
    if cause.peer_knows_more:
        # the peer itself says what happened in a moment
        peer_failed.wait(_SECONDS_FOR_REPORTS)
    told = rendezvous.failure if cause.peer_knows_more else None
    words = told or f"mp-spdz: party {party.index}: {cause.text}"
    rendezvous.leave(words)
    raise EngineFailed(f"{words}; see {party.log}")


def _nodes(protocol: str, party: Party) -> int:
    if protocol not in NODES:
        raise EngineFailed(f"mp-spdz: got protocol {protocol!r}, want one of {', '.join(NODES)}")
    if not len(party.hosts) == len(party.peer_certificates) == NODES[protocol]:
        raise EngineFailed(
            f"mp-spdz: got {len(party.hosts)} hosts and {len(party.peer_certificates)} certificates, want"
            f" {NODES[protocol]} for {protocol}"
        )
    return NODES[protocol]


def _header(task: VerifyTask) -> list[int]:
    numbers = task.rule
    (limit, margin) = task.limits
    (lowest, highest) = numbers.input_range
    if not 0 <= limit < LARGEST_BUDGET:
        raise EngineFailed(f"mp-spdz: got budget {limit}, want 0 to 2^61")
    if not lowest <= highest:
        raise EngineFailed(f"mp-spdz: got input range {lowest} to {highest}, want the smaller number first")
    percentages = [
        numbers.below_global_percent,
        numbers.below_peers_percent,
        numbers.weakest_class_below_global_percent,
        numbers.weakest_class_below_peers_percent,
    ]
    for percent in percentages:
        if not 0 <= percent <= 100:
            raise EngineFailed(f"mp-spdz: got {percent} percent, want 0 to 100")
    return [int(numbers.budget is not None), limit, margin, *percentages, lowest, highest]
