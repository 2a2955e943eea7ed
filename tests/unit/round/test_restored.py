"""A member whose machine is lost in a round and restored from an older backup: out of that round, in the next one."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.backup.backup import back_up, restore
from pipeline.chain import signed_files
from pipeline.consent import approval, consent_log
from pipeline.domain import HospitalName, Kind, NodeName, RoundId, RoundStatus
from pipeline.errors import NotApproved, Refused
from pipeline.host.secret import Secret
from pipeline.round import restored, steps
from pipeline.round.journal import Journal
from pipeline.site.consortium import Consortium
from pipeline.site.identity import Identity
from pipeline.site.settings import Settings
from pipeline.site.site import Site, SiteRole
from tests.support.memory.site import MemorySite
from tests.support.rounds import Play

PASSPHRASE = Secret(b"correct horse battery")
NORTH = Site(role=SiteRole.NODE, name="north")
ASTER = Site(role=SiteRole.HOSPITAL, name="aster")
COMMON = ("consortium.yaml", "installation.yaml", "certificates", "studies")


pytestmark = pytest.mark.usefixtures("cheap_passphrases")


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose name leaves room for a socket's."""
    return tmp_path_factory.mktemp("p")


class Moved(Play):
    """A study one of whose members has a machine of its own."""

    def __init__(self, play: Play, member: Site, settings: Settings) -> None:
        super().__init__(play.study.name, play.settings)
        self.member = member
        self.apart = settings

    def settings_of(self, role: SiteRole, name: str) -> Settings:
        return self.apart if (role, name) == (self.member.role, self.member.name) else self.settings

    def hospital(self, step: str, round_id: RoundId, name: HospitalName) -> None:
        settings = self.settings_of(SiteRole.HOSPITAL, name)
        self._patiently(lambda: steps.take_hospital(name, step, self.study.name, round_id, settings))

    def node(self, step: str, round_id: RoundId, name: NodeName) -> None:
        settings = self.settings_of(SiteRole.NODE, name)
        self._patiently(lambda: steps.take_node(name, step, self.study.name, round_id, settings))


@dataclass
class Machine:
    """Of one member, whose private folder is there alone."""

    site: MemorySite
    member: Site
    place: Path
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        self.settings = self._in("1")
        self.settings.home.mkdir(parents=True)
        for name in COMMON:
            shared = self.site.settings.home / name
            (shutil.copytree if shared.is_dir() else shutil.copy)(shared, self.settings.home / name)
        private = self.member.folder(self.settings)
        private.parent.mkdir()
        shutil.move(self.member.folder(self.site.settings), private)
        self.member.save(self.settings)

    def _in(self, name: str) -> Settings:
        usual = self.site.settings
        home = self.place / name
        return Settings(home, usual.data, usual.cache, usual.mp_spdz, home / "studies")

    def keep(self) -> None:
        back_up(self.place / "backup", PASSPHRASE, self.settings)

    def lose(self) -> Settings:
        """The site anew from the backup."""
        shutil.rmtree(self.settings.home)
        self.settings = self._in("2")
        restore(self.place / "backup", PASSPHRASE, self.settings)
        return self.settings

    @property
    def identity(self) -> Identity:
        return Identity.load(self.member.folder(self.settings))

    def approve(self, play: Play) -> None:
        approval.approve(self.identity, play.study, Consortium.load(self.settings.consortium))

    def give_back(self) -> None:
        shutil.move(self.member.folder(self.settings), self.member.folder(self.site.settings))


def begun(site: MemorySite, member: Site, place: Path, name: str, *, finished: bool = False) -> tuple[Moved, Machine]:
    """A study, with a finished round if so, whose member then moved to a machine of its own and made a backup."""
    play = site.play(name, hospitals=["aster", "birch", "cedar"])
    if finished:
        play.round("first")
    machine = Machine(site, member, place)
    machine.keep()
    return Moved(play, member, machine.settings), machine


def test_a_node_restored_from_an_older_backup_says_nothing_twice_and_votes_in_the_next_round(
    site: MemorySite, place: Path
) -> None:
    play, machine = begun(site, NORTH, place, "lostnode", finished=True)
    running = play.committed("second")
    play.verify(running)
    play.aggregate(running)
    assert Journal(machine.settings.node("north") / "journal").said(running, Kind.VOTE)
    play.apart = machine.lose()
    journal = Journal(machine.settings.node("north") / "journal")
    assert journal.said(RoundId(running - 1), Kind.VOTE)
    assert journal.said(running, Kind.VOTE) is None, "the backup is older"
    with pytest.raises(NotApproved):
        play.node("verify", running, NodeName("north"))
    machine.approve(play)
    home = machine.settings.node("north")
    assert restored.waits(home)
    for step in ("verify", "aggregate"):
        with pytest.raises(Refused, match=f"round {running}: began before the site of north was restored"):
            play.node(step, running, NodeName("north"))
    assert {path.name for path in journal.folder.iterdir() if f"-{running}." in path.name} == set()
    play.end(running)
    assert site.ledger.status(running) is RoundStatus.FINALISED
    site.each_thing_once(play, running)
    following = play.round("third")
    assert restored.last_refused(home, site.ledger) == running, "asked once"
    assert site.ledger.status(following) is RoundStatus.FINALISED
    site.each_thing_once(play, following)
    site.audits(following)
    machine.give_back()


def test_a_hospital_restored_in_mid_round_shares_nothing_else_and_takes_part_in_the_next_one(
    site: MemorySite, place: Path
) -> None:
    play, machine = begun(site, ASTER, place, "losthospital")
    running = play.open("second")
    play.hospitals(running)
    play.apart = machine.lose()
    machine.approve(play)
    for step in ("validate", "train", "share"):
        with pytest.raises(Refused, match=f"round {running}: began before the site of aster was restored"):
            play.hospital(step, running, HospitalName("aster"))
    play.decide(running)
    assert site.record(running)["verdicts"]["aster"] == "accepted", "what it shared before it was lost"
    following = play.round("third")
    assert play.absences == {}
    assert site.record(following)["verdicts"] == dict.fromkeys(play.study.hospitals, "accepted")
    site.audits(following)
    machine.give_back()


def test_a_consent_that_was_taken_back_after_the_backup_is_not_in_force_again(site: MemorySite, place: Path) -> None:
    play, machine = begun(site, ASTER, place, "takenback")
    consortium = Consortium.load(machine.settings.consortium)
    home = machine.member.folder(machine.settings)
    consent_log.publish(site.store(home), machine.identity, play.study)
    approval.withdraw(machine.identity, play.study, consortium)
    consent_log.publish(site.store(home), machine.identity, play.study)
    machine.lose()
    identity = machine.identity
    restored.last_refused(identity.home, site.ledger)
    decided = {
        decision.number: decision.given for decision in approval.kept(identity, play.study.name, consortium.ledger)
    }
    assert decided == {1: True}
    store = site.store(identity.home)
    assert consent_log.recover(store, identity, play.study, consortium) == 1
    assert consent_log.recover(store, identity, play.study, consortium) == 0
    assert approval.given(identity, play.study.name, play.study.digest(consortium), consortium.ledger) is False
    with pytest.raises(NotApproved):
        approval.require(identity, play.study.name, play.study.digest(consortium), consortium.ledger)
    machine.approve(play)
    consent_log.publish(store, identity, play.study)
    position = consent_log.ConsentLog(site.store()).positions(play.study, consortium)[0]
    assert ([decision.number for decision in position.decisions], position.trouble) == ([1, 2, 3], None)
    machine.give_back()


def test_an_old_outbox_goes_on_once_it_is_said_to_be_one(site: MemorySite, place: Path) -> None:
    play = site.play("outbox", hospitals=["aster", "birch", "cedar"])
    folder = site.settings.provider / "outbox"
    shutil.copytree(folder, place / "old")
    play.round("first")
    shutil.rmtree(folder)
    shutil.copytree(place / "old", folder)
    with pytest.raises(Refused, match="the outbox is an old copy"):
        play.open("second")
    signed_files.mark_restored(folder)
    assert site.ledger.status(play.open("third")) is RoundStatus.OPEN
    assert not list(folder.rglob("restored"))


def test_who_was_never_restored_is_refused_nothing(site: MemorySite, place: Path) -> None:
    assert restored.last_refused(place, site.ledger) == 0
    restored.refuse_earlier(place, site.ledger, RoundId(1))
    assert not restored.waits(place)
