"""Addresses of notices: kept as secrets, told by their kind alone; and what is sent to them."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline.cli import commands
from pipeline.errors import Misconfigured, Refused
from pipeline.host.files import write_secret
from pipeline.host.secret import Secret
from pipeline.services import services
from pipeline.site.settings import HOME, Settings
from pipeline.watch import notices
from pipeline.watch.notices import Notice
from tests.support.installations import INSTALLATION, settings_in
from tests.support.receiver import Receiver, receiver
from tests.support.sites import AUDITOR, WREN

__all__ = ["receiver"]

SLACK = Secret(b"slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ")
MAIL = Secret(b"mailtos://ada:hunter2@wren.example")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = settings_in(tmp_path)
    WREN.save(made)
    return made


def said(settings: Settings, *words: str) -> Result:
    return CliRunner().invoke(commands, ["notices", *words], env={HOME: str(settings.home)})


def test_addresses_are_kept_for_the_owner_s_eyes_and_listed_by_kind(settings: Settings) -> None:
    assert notices.addresses(settings) == []
    assert (notices.add(SLACK, settings), notices.add(MAIL, settings)) == ("Slack", "E-Mail")
    assert notices.addresses_file(settings).stat().st_mode & 0o777 == 0o600
    assert notices.addresses(settings) == [SLACK, MAIL]
    shown = said(settings, "show").output
    assert shown.split() == ["1", "Slack", "2", "E-Mail"]
    assert notices.remove(1, settings) == "Slack"
    assert notices.addresses(settings) == [MAIL]
    with pytest.raises(Misconfigured, match="got 1 addresses"):
        notices.remove(2, settings)


def test_an_address_that_apprise_does_not_know_is_refused_and_not_repeated(settings: Settings) -> None:
    for wrong in (b"hunter2", b"https://hunter2@example.org", b"slack://hunter2", b"", b"\xff"):
        with pytest.raises(Misconfigured, match="want one like mailtos://") as refused:
            notices.add(Secret(wrong), settings)
        assert "hunter2" not in str(refused.value)
    assert not notices.addresses_file(settings).exists()


def test_nothing_runs_at_an_auditor_s_site_so_it_takes_no_address(tmp_path: Path) -> None:
    AUDITOR.save(settings_in(tmp_path))
    with pytest.raises(Refused, match="nothing runs that could send"):
        notices.add(SLACK, settings_in(tmp_path))


def test_a_notice_is_sent_to_all_and_who_did_not_take_it_is_named_by_number(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    closed = Secret(b"json://ada:hunter2@127.0.0.1:9/hook")
    refused = notices.send(Notice("disk low", "make room"), [closed, receiver.address, Secret(b"no address, hunter2")])
    assert refused == [1, 3]
    (got,) = receiver.got
    assert (got["title"], got["message"]) == ("Wardround: disk low", "make room")
    receiver.answer = 500
    assert notices.send(Notice("disk low", "make room"), [receiver.address]) == [1]
    assert "hunter2" not in caplog.text + "".join(capfd.readouterr())


def test_people_add_try_and_remove_an_address_by_commands_that_never_print_it(
    settings: Settings, receiver: Receiver, tmp_path: Path
) -> None:
    assert "want one" in str(said(settings, "test").exception)
    assert "want --address-file PATH" in str(said(settings, "add").exception)
    write_secret(tmp_path / "address", receiver.address.reveal() + b"\n")
    outputs = [said(settings, *words) for words in (("add", "--address-file", str(tmp_path / "address")), ("test",))]
    assert [done.exit_code for done in outputs] == [0, 0], [done.output for done in outputs]
    assert [got["title"] for got in receiver.got] == ["Wardround: a test"]
    receiver.answer = 403
    failed = said(settings, "test")
    assert "1 of 1: not taken" in str(failed.exception)
    outputs += [said(settings, "show"), said(settings, "remove", "1"), said(settings, "show")]
    assert "nobody is told anything" in outputs[-1].output
    assert "hunter2" not in "".join(done.output for done in outputs) + str(failed.exception)


def test_the_watch_runs_where_somebody_wants_notices_and_nowhere_else(settings: Settings) -> None:
    assert [program.name for program in services.programs(settings, INSTALLATION)] == ["worker"]
    notices.add(MAIL, settings)
    watch = services.programs(settings, INSTALLATION)[-1]
    assert (watch.name, list(watch.command[1:])) == ("watch", ["-m", "pipeline.watch.watch"])
    assert "hunter2" not in repr(watch)
    notices.remove(1, settings)
    assert services.watching(settings) == ()
