"""HPMPC's output, and installations that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.hpmpc import BUILDS, Said, installation, parsed
from pipeline.errors import EngineFailed, Misconfigured

OUTPUT = """\
P1, ONLINE, PID0: Sending to other players:0MB, 30.37MB
P1, ONLINE PID0: Receiving from other players:0.00512MB, 28.36MB
P1, PID0: Initialized circuit, waiting for all parties to connect ...
P1, PID0: All parties connected sucessfully, starting protocol and timer!
P1, PID0: [Batch:   1/1] - t: 0.16s - accuracy(64 images): 98.44%
P1, PID0: [Batch:   1/1] - t: 0.15s - accuracy(64 images): 95.31%
P1, PID0: [Batch:   1/1] - t: 0.13s - accuracy(64 images): 100.00%
P1, PID0: Time measured to initialize program: 0.022650s
P1, PID0: Time measured to perform computation getTime: 0.836418s
P1: --NN_STATS (Individual)-- ID: 0 CONV2D    MB SENT:2.3593   MB RECEIVED:2.3593    ms LIVE: 36.2770
P1: --NN_STATS (Aggregated)-- CONV2D    MB SENT:14.4179   MB RECEIVED:14.4179    ms LIVE: 69.7440
"""
"""What one party of three printed for three models, most layers left out."""


def test_a_partys_traffic_and_wrong_answers_per_model_are_read() -> None:
    assert parsed(OUTPUT) == Said(30.37, (1, 3, 0))


def test_what_a_party_sends_to_each_of_three_others_counts() -> None:
    line = "P3, ONLINE, PID0: Sending to other players:39.2MB, 0.000128MB, 31.97MB\n"
    assert parsed(line + OUTPUT.split("\n", 1)[1]).mb_sent == pytest.approx(39.2 + 0.000128 + 31.97)


@pytest.mark.parametrize(
    "line",
    [
        "run/model0 does not exist. Setting dummy weights.",
        "Unable to open file, defining dummy images instead: run/images",
        "Unable to open file, defining dummy labels instead: run/labels0",
    ],
)
def test_a_party_that_made_up_its_inputs_measured_nothing(line: str) -> None:
    with pytest.raises(EngineFailed, match=r"got dummy (weights|images|labels) instead of a file"):
        parsed(f"{line}\n{OUTPUT}")


@pytest.mark.parametrize("kept", ["Sending", "accuracy"])
def test_a_party_that_did_not_finish_measured_nothing(kept: str) -> None:
    with pytest.raises(EngineFailed, match="did it finish"):
        parsed("\n".join(line for line in OUTPUT.splitlines() if kept in line))


def test_without_an_installation_the_benchmark_says_what_it_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HPMPC_HOME", raising=False)
    with pytest.raises(Misconfigured, match="HPMPC_HOME: got nothing, want the folder of an installation of HPMPC"):
        installation()


def test_every_executable_must_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HPMPC_HOME", str(tmp_path))
    executables = [tmp_path / build.folder / f"run-P{party}.o" for build in BUILDS for party in range(build.parties)]
    for path in executables:
        path.parent.mkdir(exist_ok=True)
        path.touch(0o700)
    assert installation() == tmp_path
    executables[-1].chmod(0o600)
    with pytest.raises(Misconfigured, match=f"without executables of {BUILDS[-1].folder}, want run-P0.o"):
        installation()
