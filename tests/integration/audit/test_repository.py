"""The study repository on real git, DVC and MinIO.

Each round once, whatever is killed, checked out or recorded beside it.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.domain import RoundId
from pipeline.errors import EvidenceRejected, Unavailable
from pipeline.evidence.canonical import sha256
from pipeline.host import ports
from pipeline.host.secret import Secret
from pipeline.site.identity import StoreCredentials
from pipeline.site.settings import PROJECT
from pipeline.store import policies
from pipeline.study_repository.repository import EndedRound, Recorded, Remote, commit_round
from tests.support.finished_rounds import model
from tests.support.minio import StoreServer

pytestmark = pytest.mark.minio

DVC = Path(sys.executable).with_name("dvc")
PROVIDER = StoreCredentials(
    "recording-provider", Secret(b"KEYOFTHISMACHINE"), Secret(b"a-secret-that-stays-on-this-machine")
)

ONE_ROUND = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.integration.audit.test_repository import Remote, PROVIDER, commit_round, finished
commit_round(Path(sys.argv[2]), finished(int(sys.argv[4]), sys.argv[5]), Remote(sys.argv[3], PROVIDER))
"""


def finished(number: int, study: str = "wisconsin", record: bytes | None = None) -> EndedRound:
    models = [model(seed) for seed in (number - 1, number)]
    return EndedRound(
        round=RoundId(number),
        seconds=1_790_000_000 + number,
        message=f"Round {number} of {study}\n",
        files={
            f"rounds/{number}/record.json": record or b'{"round":%d}' % number,
            "params.yaml": (
                f"code: .\npython: python\nrecords: .\nstudy: {study}\nround: {number}\nhospitals: [northgate]\n"
            ).encode(),
            "dvc.yaml": (PROJECT / "dvc.yaml").read_bytes(),
        },
        anchor=f"rounds/{number}/record.json",
        models={sha256(data): data for data in models},
    )


@pytest.fixture
def remote(minio: StoreServer) -> Remote:
    minio.administrator.admit(PROVIDER, policies.provider())
    return Remote(minio.endpoint, PROVIDER)


@pytest.fixture
def records(tmp_path: Path) -> Path:
    return tmp_path / "home" / "records"


def git(records: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(records), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def record(records: Path, remote: Remote, *numbers: int) -> list[Recorded]:
    return [commit_round(records, finished(number), remote) for number in numbers]


def test_a_round_is_one_commit_and_one_tag_however_often_it_is_recorded(records: Path, remote: Remote) -> None:
    first, second = record(records, remote, 1, 2)
    assert record(records, remote, 2, 1) == [second, first]
    assert git(records, "log", "--format=%H", "main").split() == [second.commit, first.commit]
    assert git(records, "tag").split() == ["round-1", "round-2"]
    assert git(records, "status", "--porcelain") == ""


def test_the_same_rounds_make_the_same_commits_elsewhere(records: Path, remote: Remote, tmp_path: Path) -> None:
    there = record(tmp_path / "elsewhere", remote, 1, 2)
    assert [item.commit for item in record(records, remote, 1, 2)] == [item.commit for item in there]


def test_a_clone_pulls_the_models_from_the_store(records: Path, remote: Remote, tmp_path: Path) -> None:
    record(records, remote, 1, 2)
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(records), str(clone)], check=True)
    (clone / ".dvc" / "config.local").write_bytes((records / ".dvc" / "config.local").read_bytes())
    git(clone, "checkout", "--quiet", "round-1")
    subprocess.run([DVC, "pull", "--quiet"], cwd=clone, check=True)
    assert sorted(path.stem for path in (clone / "models").glob("*.safetensors")) == sorted(
        sha256(model(seed)) for seed in (0, 1)
    )
    assert all(path.stem == sha256(path.read_bytes()) for path in (clone / "models").glob("*.safetensors"))


def test_the_credentials_are_private_and_never_committed(records: Path, remote: Remote) -> None:
    record(records, remote, 1)
    private = records / ".dvc" / "config.local"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert PROVIDER.secret_key.text() in private.read_text()
    everything = git(records, "log", "--all", "--patch")
    assert PROVIDER.secret_key.text() not in everything
    assert PROVIDER.access_key.text() not in everything


def test_recording_leaves_alone_what_somebody_has_checked_out(records: Path, remote: Remote) -> None:
    record(records, remote, 1)
    git(records, "checkout", "--quiet", "round-1")
    (recorded,) = record(records, remote, 2)
    assert not recorded.checked_out
    assert git(records, "rev-parse", "HEAD") == git(records, "rev-parse", "round-1^{commit}")
    assert git(records, "status", "--porcelain") == ""
    git(records, "checkout", "--quiet", "main")
    assert (records / "rounds" / "2" / "record.json").exists()


def test_recording_keeps_a_local_edit(records: Path, remote: Remote) -> None:
    record(records, remote, 1)
    (records / "params.yaml").write_text("python: mine\n")
    (recorded,) = record(records, remote, 2)
    assert not recorded.checked_out
    assert (records / "params.yaml").read_text() == "python: mine\n"
    assert git(records, "rev-parse", "round-2^{commit}") == recorded.commit


def test_another_record_under_a_rounds_tag_is_refused(records: Path, remote: Remote) -> None:
    record(records, remote, 1)
    with pytest.raises(EvidenceRejected, match="round-1 marks another record"):
        commit_round(records, finished(1, record=b'{"round":1,"new_model":"another"}'), remote)


def test_without_the_store_nothing_is_committed_and_a_retry_cures_it(records: Path, remote: Remote) -> None:
    with pytest.raises(Unavailable, match="could not push"):
        commit_round(records, finished(1), Remote(f"http://127.0.0.1:{ports.choose()}", PROVIDER))
    assert git(records, "tag") == ""
    record(records, remote, 1)
    assert git(records, "tag") == "round-1"


def test_what_a_killed_recorder_left_behind_is_mended(records: Path, remote: Remote) -> None:
    first, second = record(records, remote, 1, 2)
    git(records, "tag", "--delete", "round-2")
    lock = records / ".git" / "index.lock"
    lock.touch()
    os.utime(lock, (0, 0))
    (records / ".git" / "refs" / "heads" / "main.lock").touch()
    (records / "rounds" / "2" / "record.json").write_text("half a rec")
    (records / ".dvc" / "tmp" / "recording.killed").mkdir()
    assert record(records, remote, 2) == [second]
    assert git(records, "status", "--porcelain") == ""
    assert git(records, "rev-list", "main").split() == [second.commit, first.commit]


def test_kill_9_at_any_time_leaves_each_round_recorded_once(records: Path, remote: Remote, tmp_path: Path) -> None:
    expected = [item.commit for item in record(tmp_path / "undisturbed", remote, 1, 2, 3, 4)]
    command = [sys.executable, "-c", ONE_ROUND, str(PROJECT), str(records), remote.endpoint]
    for number in (1, 2, 3, 4):
        process = subprocess.Popen([*command, str(number), "wisconsin"], stderr=subprocess.DEVNULL)
        # Somewhere between the first file and the last: the scratch folder appears when models are added.
        deadline = time.monotonic() + 60
        while (
            process.poll() is None
            and not list((records / ".dvc" / "tmp").glob("recording.*"))
            and time.monotonic() < deadline
        ):
            time.sleep(0.005)
        time.sleep(0.15 * (number - 1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        record(records, remote, number)
    assert git(records, "rev-list", "--reverse", "main").split() == expected
    assert git(records, "tag").split() == ["round-1", "round-2", "round-3", "round-4"]
    assert git(records, "fsck", "--strict") == ""


def test_rounds_of_two_studies_are_recorded_at_the_same_time(records: Path, remote: Remote) -> None:
    command = [sys.executable, "-c", ONE_ROUND, str(PROJECT), str(records), remote.endpoint]
    arguments = [("1", "wisconsin"), ("2", "pneumonia"), ("3", "wisconsin")]
    with ThreadPoolExecutor() as threads:
        ended = list(
            threads.map(lambda given: subprocess.run([*command, *given], check=False, capture_output=True), arguments)
        )
    assert [item.returncode for item in ended] == [0, 0, 0], [item.stderr.decode() for item in ended]
    assert sorted(git(records, "tag").split()) == ["round-1", "round-2", "round-3"]
    assert len(git(records, "rev-list", "main").split()) == 3
