from __future__ import annotations

import configparser
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import Misconfigured
from pipeline.services import services
from pipeline.services.supervisor import Program, Supervisor
from pipeline.setup import members
from tests.support.installations import INSTALLATION, settings_in, study


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A short path: that of a Unix socket must not exceed some 100 bytes."""
    with tempfile.TemporaryDirectory(prefix="wardround-") as folder:
        yield Path(folder)


def parsed(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return parser


def test_every_service_is_restarted_with_its_whole_group_and_none_starts_unasked(tmp_path: Path) -> None:
    text = Supervisor(tmp_path).configuration(services.programs(settings_in(tmp_path), INSTALLATION))
    sections = parsed(text)
    assert [name.removeprefix("program:") for name in sections.sections() if name.startswith("program:")] == list(
        services.NAMES
    )
    for name in services.NAMES:
        section = sections[f"program:{name}"]
        assert (section["autostart"], section["autorestart"], section["killasgroup"]) == ("false", "true", "true")


def test_no_secret_stands_in_an_argument_an_environment_or_the_configuration(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    members.create_actors(settings, members.members({"breast_cancer": study()}))
    programs = services.programs(settings, INSTALLATION)
    said = repr(programs) + Supervisor(tmp_path).configuration(programs)
    secrets = [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_mode & 0o777 == 0o600]
    assert len(secrets) > 20
    for path in secrets:
        content = path.read_bytes()
        assert content.hex() not in said, path
        assert content.decode(errors="replace") not in said, path


def test_arguments_with_spaces_and_percent_signs_arrive_whole(tmp_path: Path) -> None:
    text = Supervisor(tmp_path).configuration([Program("odd", ["run", "a b", "50%"], tmp_path, {"KEY": 'say "100 %"'})])
    section = parsed(text)["program:odd"]
    assert [part.replace("%%", "%") for part in shlex.split(section["command"])] == ["run", "a b", "50%"]
    assert section["environment"] == r'KEY="say \"100 %%\""'


def test_a_path_too_long_for_a_socket_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="set WARDROUND_HOME"):
        Supervisor(tmp_path / ("deep" * 20))


def test_nothing_runs_where_nothing_was_started(tmp_path: Path) -> None:
    assert Supervisor(tmp_path).states() == {}
    assert not Supervisor(tmp_path).running()


def test_a_service_that_waits_for_its_clients_by_the_usual_signal_is_ended_by_its_own(tmp_path: Path) -> None:
    usual = Program("usual", ["run"], tmp_path)
    patient = Program("patient", ["run"], tmp_path, stop_signal="INT")
    sections = parsed(Supervisor(tmp_path).configuration([usual, patient]))
    assert [sections[f"program:{name}"]["stopsignal"] for name in ("usual", "patient")] == ["TERM", "INT"]
