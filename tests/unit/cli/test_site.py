"""`wardround site` as people type it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline.cli import commands
from pipeline.errors import Misconfigured, Refused
from pipeline.site.settings import HOME, Settings
from pipeline.site.site import PROVIDER, Site
from tests.support.sites import AUDITOR, FRONT, NORTH, WREN, Apart, members


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Apart:
    made = Apart.made(tmp_path_factory.mktemp("sites"))
    made.invite_all()
    return made


def said(settings: Settings, *words: str, typed: str | None = None) -> Result:
    environment = {HOME: str(settings.home), "COLUMNS": "200"}
    return CliRunner().invoke(commands, ["site", *words], env=environment, input=typed)


@pytest.mark.parametrize("site", [WREN, NORTH, AUDITOR], ids=lambda site: site.queue)
def test_a_site_is_made_by_one_command_which_says_what_is_next(tmp_path: Path, site: Site) -> None:
    settings = Apart(tmp_path).settings(site.queue)
    host = ["--host", "north.example.org:7000"] if site == NORTH else []
    done = said(settings, "init", f"--{site.role}", site.name, *host)
    assert done.exit_code == 0, done.output
    assert f"the card of {site.queue}; its words: " in done.output
    assert "hand the card to the provider" in done.output
    shown = said(settings, "show")
    words = done.output.partition("its words: ")[2].splitlines()[0]
    assert site.queue in shown.output
    assert words.split()[0] in shown.output


def test_the_provider_s_site_comes_up_before_it_invites(tmp_path: Path) -> None:
    done = said(Apart(tmp_path).settings(PROVIDER), "init", "--provider", "--host", FRONT)
    assert "`wardround up`, then `wardround site invite CARD...`" in done.output


@pytest.mark.parametrize("words", [[], ["--hospital", "wren", "--provider"], ["--node", "a", "--auditor", "b"]])
def test_a_site_is_one_member_s(tmp_path: Path, words: list[str]) -> None:
    done = said(Apart(tmp_path).settings("nobody"), "init", *words)
    assert "want one of --hospital NAME, --node NAME" in str(done.exception)
    assert not (tmp_path / "nobody").exists()


@pytest.mark.parametrize(
    "host", ["north", "north:", ":7000", "north:0", "north:65536", "a b:7000", "https://a:1", "::1:7"]
)
def test_a_host_that_is_none_is_refused(tmp_path: Path, host: str) -> None:
    done = said(Apart(tmp_path).settings("nobody"), "init", "--node", "north", "--host", host)
    assert done.exit_code == 2
    assert "like rounds.example.org:443" in done.output


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    done = said(Apart(tmp_path).settings("nobody"), "init", "--hospital", "../wren")
    assert isinstance(done.exception, Misconfigured)
    assert "small letters" in str(done.exception)
    assert not (tmp_path / "nobody").exists()


def test_whoever_joins_sees_everybody_s_words_and_is_asked(apart: Apart) -> None:
    settings = apart.settings(WREN.queue)
    file = str(apart.provider.invited(WREN.queue))
    refused = said(settings, "join", file, typed="n\n")
    assert refused.exit_code == 1
    assert not settings.invitation.exists()
    for queue in (PROVIDER, *(site.queue for site in members())):
        assert queue in refused.output
    invitation = apart.invitation(WREN)
    assert all(word in refused.output for card in invitation.everybody for word in card.words.split())
    taken = said(settings, "join", file, typed="y\n")
    assert taken.exit_code == 0, taken.output
    assert "joined as hospital-wren; studies: breast_cancer; next: `wardround up`" in taken.output


def test_a_script_joins_by_the_provider_s_words_alone(apart: Apart) -> None:
    file = str(apart.provider.invited(NORTH.queue))
    settings = apart.settings(NORTH.queue)
    own = apart.invitation(NORTH).own
    assert own is not None
    wrong = said(settings, "join", file, "--fingerprint", own.words)
    assert isinstance(wrong.exception, Refused)
    assert not settings.invitation.exists()
    right = said(settings, "join", file, "--fingerprint", apart.invitation(NORTH).provider.words)
    assert right.exit_code == 0, right.output


def test_yes_does_not_ask(apart: Apart) -> None:
    done = said(apart.settings(AUDITOR.queue), "join", str(apart.provider.invited(AUDITOR.queue)), "--yes")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("command", ["join", "show", "invite"])
def test_a_file_of_garbage_is_refused_in_a_sentence(apart: Apart, tmp_path: Path, command: str) -> None:
    file = tmp_path / "file.json"
    for data in (b"", b"\0" * 100, b"{}", b"[1]", b"\xff\xfe"):
        file.write_bytes(data)
        settings = apart.provider if command == "invite" else apart.settings(WREN.queue)
        done = said(settings, command, str(file))
        assert done.exit_code != 0
        assert "file.json" in str(done.exception)
