"""What a worker refuses, whoever asks: it believes the ledger, signatures and its own files, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from nacl.public import PrivateKey

from pipeline.audit import round_record
from pipeline.chain.ledger import study_id
from pipeline.consent import approval
from pipeline.datasets.records import records_folder
from pipeline.domain import Address, Context, Kind, RoundId, RoundStatus, Sha256
from pipeline.errors import (
    ConflictingVote,
    EvidenceRejected,
    Misconfigured,
    NotApproved,
    Refused,
    WardroundError,
)
from pipeline.evidence import signing
from pipeline.evidence.canonical import digest
from pipeline.host.secret import Secret
from pipeline.round_steps import Actor, of
from pipeline.site.identity import Identity
from pipeline.store import object_keys
from tests.adversary import attack
from tests.support.edits import edited, rewritten
from tests.support.installed import HOSPITALS, NODES, Installed
from tests.support.rounds import Play

ASTER = HOSPITALS[0]
ELM = HOSPITALS[4]
NORTH, EAST, WEST = NODES[:3]

HOSPITAL_STEPS = of(Actor.HOSPITAL)
NODE_STEPS = of(Actor.NODE)


def _west_says(field: str, value: str, members: Any) -> None:
    members["nodes"]["west"][field] = value


def every_worker_refuses(play: Play, round_id: RoundId, error: type[WardroundError], saying: str) -> None:
    """Aster and North refuse each of their steps."""
    for step in HOSPITAL_STEPS:
        with pytest.raises(error, match=saying):
            play.hospital(step, round_id, ASTER)
    for step in NODE_STEPS:
        with pytest.raises(error, match=saying):
            play.node(step, round_id, NORTH)


# ---------------------------------------------------------------- what cannot happen


def test_a_round_for_which_too_few_hospitals_have_records_gets_no_number_and_is_not_opened(site: Installed) -> None:
    play = site.play("empty_handed", hospitals=["aster", "birch", "cedar"])
    round_id = play.number("run")
    play.prepare(round_id)
    given = (site.settings.provider / "rounds.json").read_bytes()
    records = records_folder(site.settings.hospital(ASTER), play.study.dataset)
    with moved(records):
        for step in (lambda: play.number("another run"), lambda: play.provider("open_round", round_id)):
            with pytest.raises(
                Misconfigured,
                match=r"no records of breast_cancer at aster, so 2 of 3 hospitals could take part, want at least 3",
            ):
                step()
    assert site.ledger.status(round_id) is RoundStatus.NONE
    assert (site.settings.provider / "rounds.json").read_bytes() == given
    play.provider("open_round", round_id)
    with moved(records):
        play.provider("open_round", round_id)  # again: it stands already


@contextmanager
def moved(folder: Path) -> Iterator[None]:
    """The folder is elsewhere for a while."""
    away = folder.rename(folder.with_name(f".{folder.name}"))
    try:
        yield
    finally:
        away.rename(folder)


# ---------------------------------------------------------------- consent


@pytest.fixture(scope="module")
def opened(site: Installed) -> tuple[Play, RoundId]:
    """A round that is open and stays so."""
    play = site.play("opened")
    return play, play.open()


@attack(
    by="provider",
    to="change",
    tries="to change a study that its owners have approved",
    costs="the study's rounds, until all approve again",
    seen="another digest, at every member",
)
def test_nobody_works_for_a_study_that_was_edited_after_the_approval(
    site: Installed, opened: tuple[Play, RoundId]
) -> None:
    play, round_id = opened
    with rewritten(site.settings.studies / "opened.yaml", edited(lambda study: study.update(seed=99))):
        every_worker_refuses(play, round_id, NotApproved, "has not approved")
        with pytest.raises(Refused, match="digest"):
            play.provider("commit", round_id)


def test_an_edit_that_was_approved_still_does_not_enter_a_round_that_opened_before(
    site: Installed, opened: tuple[Play, RoundId]
) -> None:
    play, round_id = opened
    with rewritten(site.settings.studies / "opened.yaml", edited(lambda study: study.update(seed=98))):
        site.approve(Play("opened", site.settings).study)
        for step in ("validate", "train", "share"):
            with pytest.raises(Refused, match="new digest"):
                play.hospital(step, round_id, ASTER)


@attack(
    by="provider",
    to="learn",
    tries="to put its own key or certificate in a node's place in the members' file",
    costs="the study's rounds",
    seen="another digest, at every member",
)
def test_nobody_works_when_the_members_file_gives_a_node_another_key_or_certificate(
    site: Installed, opened: tuple[Play, RoundId]
) -> None:
    play, round_id = opened
    other = Identity.load(site.settings.provider).key.address
    for field, value in (("address", other), ("certificate_sha256", "ab" * 32)):
        with rewritten(site.settings.consortium, edited(partial(_west_says, field, value))):
            every_worker_refuses(play, round_id, NotApproved, "has not approved")


def test_a_node_key_that_the_ledger_does_not_list_is_refused_even_when_it_was_approved(
    site: Installed, opened: tuple[Play, RoundId]
) -> None:
    play, round_id = opened
    other = Identity.load(site.settings.provider).key.address
    with rewritten(site.settings.consortium, edited(lambda members: members["nodes"]["west"].update(address=other))):
        site.approve(play.study)
        every_worker_refuses(play, round_id, Refused, "the ledger lists nodes")


def test_a_certificate_that_was_not_approved_is_not_pinned(site: Installed, opened: tuple[Play, RoundId]) -> None:
    play, round_id = opened
    worker = site.node_context(play, round_id, NORTH).worker
    worker.pinned_certificate(EAST)
    for content in (site.settings.certificate(WEST).read_bytes(), b"no certificate"):
        with (
            rewritten(site.settings.certificate(EAST), lambda _: content),  # noqa: B023
            pytest.raises(EvidenceRejected, match="fingerprint"),
        ):
            worker.pinned_certificate(EAST)


def test_a_worker_whose_signing_key_was_replaced_finds_no_consent_of_its_owner(
    site: Installed, opened: tuple[Play, RoundId]
) -> None:
    play, round_id = opened
    for home, take in ((site.settings.hospital(ASTER), play.hospital), (site.settings.node(NORTH), play.node)):
        with (
            rewritten(home / "signing-key", lambda _: Secret.generate().reveal()),
            pytest.raises(NotApproved, match="not the owner's"),
        ):
            take("train" if take == play.hospital else "retire", round_id, home.name)  # type: ignore[arg-type]


@attack(
    by="store_operator",
    to="change",
    tries="to speak for a hospital with its store account and another key",
    costs="being able to read its account",
    seen="its statement, which its hospital did not sign",
)
def test_statements_under_a_key_that_is_no_members_are_not_counted(site: Installed) -> None:
    play = site.play("stranger")
    home = site.settings.hospital(ELM)
    with rewritten(home / "signing-key", lambda _: Secret.generate().reveal()):
        stranger = Identity.load(home)
        digest = play.study.digest(site.members)
        consent = home / "approvals" / f"{digest}.json"
        with rewritten(consent, lambda kept: kept):
            approval.approve(stranger, play.study, site.members)
            round_id = play.open()
            play.hospitals(round_id)
            assert play.absences == {}
    play.commit(round_id)
    (listed,) = (
        site.board().json(object_keys.commit(round_id), digest)
        for digest in site.board().digests(object_keys.commit(round_id))
    )
    assert set(listed) == set(play.study.hospitals) - {ELM}


def test_wrong_store_credentials_get_nothing_and_say_so(site: Installed, opened: tuple[Play, RoundId]) -> None:
    play, round_id = opened
    credentials = site.settings.hospital(ASTER) / "store-credentials.json"
    wrong = edited(lambda content: content.update(secret_key="not-the-secret-key"))
    with rewritten(credentials, wrong), pytest.raises(Misconfigured, match="SignatureDoesNotMatch"):
        play.hospital("validate", round_id, ASTER)
    as_birch = (site.settings.hospital(HOSPITALS[1]) / "store-credentials.json").read_bytes()
    with rewritten(credentials, lambda _: as_birch), pytest.raises(Refused, match="policy"):
        play.hospital("validate", round_id, ASTER)


# ------------------------------------------------------- which round, when


def test_a_number_that_the_ledger_does_not_know_is_refused(opened: tuple[Play, RoundId]) -> None:
    play, _ = opened
    for step in HOSPITAL_STEPS:
        with pytest.raises(Refused, match="the ledger says none"):
            play.hospital(step, RoundId(999_999), ASTER)
    for step in ("commit", "finalise", "record"):
        with pytest.raises(Refused, match="the ledger says none"):
            play.provider(step, RoundId(999_999))
    for step in ("verify", "aggregate", "retire"):
        with pytest.raises(Refused, match="the ledger says none"):
            play.node(step, RoundId(999_999), NORTH)


@attack(
    by="provider",
    to="stop",
    tries="to have workers take steps in a round of another study",
    costs="nothing",
    seen="a refusal at every worker",
)
def test_a_round_of_another_study_is_refused(site: Installed, opened: tuple[Play, RoundId]) -> None:
    _, round_id = opened
    other = site.play("another")
    for step in ("validate", "train", "share"):
        with pytest.raises(Refused, match="digest"):
            other.hospital(step, round_id, ASTER)
    for step in ("open_round", "commit", "finalise"):
        with pytest.raises(Refused, match="digest"):
            other.provider(step, round_id)


@attack(
    by="node",
    to="learn",
    tries="to have hospitals seal to a second key of a round",
    costs="nothing",
    seen="nothing: its journal holds the first, and the ledger its digest",
)
def test_a_node_signs_no_second_sealing_key_for_a_round(site: Installed) -> None:
    play = site.play("second_key")
    round_id = play.number("run")
    play.prepare(round_id)
    other = bytes(PrivateKey.generate())
    with (
        rewritten(site.settings.node(NORTH) / "sealing" / str(round_id), lambda _: other),
        pytest.raises(ConflictingVote, match="resent"),
    ):
        play.node("prepare", round_id, NORTH)
    assert len(site.board().digests(object_keys.statement(round_id, Kind.SEALING_KEY, NORTH))) == 1


@attack(
    by="provider",
    to="change",
    tries="to go on from an older ledger that forgot a round",
    costs="its chain: no node makes another key on it",
    seen="the round, and who signed it",
)
def test_no_node_makes_a_key_for_a_study_on_a_ledger_that_forgot_a_round_which_a_majority_signed(
    site: Installed,
) -> None:
    play = site.play("forgotten")
    beside = site.play("beside_it")
    forgotten = play.number("forgotten")
    current = site.ledger.study(study_id("forgotten")).current_model
    ledger = site.members.ledger
    context = Context(ledger.chain_id, Address(ledger.contract), play.study.digest(site.members), forgotten, current)
    decided = round_record.build(
        play.study,
        site.members,
        context,
        commit_root=Sha256("12" * 32),
        inputs={hospital: digest(hospital) for hospital in play.study.hospitals},
        absent={},
        failed={},
        accepted=play.study.hospitals,
        budget=None,
        next_budget=1,
        strikes={},
        quarantined=(),
        new_model=Sha256("34" * 32),
        averaged=1,
        seed=None,
        programs=Sha256("56" * 32),
    )
    for node in (NORTH, EAST):
        play.node("prepare", play.number("run"), WEST)
        board = site.board(site.settings.node(node))
        key = Identity.load(site.settings.node(node)).key
        board.post(object_keys.record(forgotten), decided.to_bytes())
        board.say(forgotten, signing.sign_vote(node, decided.result, ledger.chain_id, context.contract, key))
    with pytest.raises(
        Refused,
        match=f"round {forgotten}: north, east signed its result, but the ledger says none: the chain lost blocks",
    ):
        play.node("prepare", play.number("run"), WEST)
    beside.prepare(beside.number("run"))


@attack(
    by="provider",
    to="learn",
    tries="to read envelopes by a sealing key of its own under a node's name",
    costs="the round, which no hospital shares in",
    seen="the key that its node did not sign",
)
def test_a_sealing_key_that_the_provider_slipped_in_gets_no_envelope(site: Installed) -> None:
    play = site.play("slipped_in")
    round_id = play.number("run")
    play.prepare(round_id)
    own = PrivateKey.generate()
    keys = [digest(site.said(round_id, Kind.SEALING_KEY, node).body) for node in play.study.nodes]
    keys[1] = digest({"public_key": bytes(own.public_key).hex()})
    study = study_id("slipped_in")
    now = site.ledger.block_time()
    call = site.ledger.open_round(
        round_id,
        study,
        study_digest=play.study.digest(site.members),
        previous_model=site.ledger.study(study).current_model,
        sealing_keys=keys,
        commit_deadline=now + 600,
        result_deadline=now + 900,
    )
    site.outbox().send(call, f"slip-{round_id}")
    play.hospital("validate", round_id, ASTER)
    play.hospital("train", round_id, ASTER)
    with pytest.raises(EvidenceRejected, match="sealing keys are not the ones that the nodes signed"):
        play.hospital("share", round_id, ASTER)
    assert not site.board().digests(object_keys.envelope(round_id, ASTER, EAST))
