"""Somebody with a key of nobody's, who reaches the chain's port."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from pipeline.audit.proof_bundle import Bundle
from pipeline.chain.contract import Call, topic
from pipeline.chain.ledger import study_id
from pipeline.chain.logs import Logs
from pipeline.domain import NodeKey, NodeSet, Release, RoundStatus, Sha256
from pipeline.errors import ContractRefused, EvidenceRejected
from pipeline.evidence.canonical import sha256
from pipeline.evidence.membership import study_digest
from pipeline.evidence.signing import sign_change
from pipeline.host.secret import Secret
from pipeline.ledger_types.events import Event, StudyId
from pipeline.site.identity import SigningKey
from tests.adversary import attack
from tests.support.chains import CHAIN_ID, MODEL, NEW_MODEL, ROOT, Actors, Devchain, named

pytestmark = pytest.mark.anvil

NOTHING_SEEN = "nothing: the ledger takes no such transaction"


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda ledger, own: ledger.register_study(study_id("a stranger's"), [own] * 3, MODEL), "NotProvider"),
        (lambda ledger, own: ledger.authorise_hospitals([own]), "NotProvider"),
        (lambda ledger, own: ledger.revoke_hospitals([own]), "NotProvider"),
        (lambda ledger, own: ledger.transfer_provider(own), "NotProvider"),
        (lambda ledger, own: ledger.accept_provider(), "OwnableUnauthorizedAccount"),
    ],
    ids=["register a study", "authorise itself", "revoke", "hand over the provider's part", "take the provider's part"],
)
@attack(by="stranger", to="change", tries="to act as the service provider", costs="nothing", seen=NOTHING_SEEN)
def test_a_stranger_is_no_provider(actors: Actors, make: Callable[..., Call], error: str) -> None:
    with pytest.raises(ContractRefused, match=error):
        actors.send(actors.stranger, make(actors.ledger, actors.stranger.address))


@attack(by="stranger", to="change", tries="to open a round", costs="nothing", seen=NOTHING_SEEN)
def test_a_stranger_opens_no_round(actors: Actors, study: StudyId) -> None:
    with pytest.raises(ContractRefused, match="NotProvider"):
        actors.open(study, sender=actors.stranger)
    assert actors.ledger.study(study).open_round is None


@attack(by="stranger", to="change", tries="to fix who takes part", costs="nothing", seen=NOTHING_SEEN)
def test_a_stranger_commits_no_set(actors: Actors, study: StudyId) -> None:
    round_id = actors.open(study)
    with pytest.raises(ContractRefused, match="NotCommitter"):
        actors.send(actors.stranger, actors.ledger.commit_round(round_id, ROOT))


@attack(
    by="stranger",
    to="change",
    tries="to commit directly, registered or not",
    costs="nothing",
    seen="its account, where it registers one",
)
def test_a_stranger_commits_nothing_directly(actors: Actors, study: StudyId) -> None:
    own = SigningKey(Secret.generate())
    terms = named(actors.hospital(), actors.hospital())
    round_id = actors.open(study, study_digest=study_digest(terms))
    member = terms["hospitals"]["hospital-0"]
    with pytest.raises(ContractRefused, match=r"HospitalNotAuthorised.*UNKNOWN"):
        actors.commit_directly(round_id, terms, own, account=member)
    actors.send(own, actors.ledger.register_hospital())
    with pytest.raises(ContractRefused, match=r"HospitalNotAuthorised.*REGISTERED"):
        actors.commit_directly(round_id, terms, own, account=member)
    actors.send(actors.provider, actors.ledger.commit_round(round_id, ROOT))


@attack(
    by="stranger", to="change", tries="to end a round with signatures of its own", costs="nothing", seen=NOTHING_SEEN
)
def test_a_stranger_decides_nothing(actors: Actors, study: StudyId) -> None:
    result = actors.result(actors.committed(study))
    for signatures in ([], actors.sign(result, actors.stranger), actors.sign(result, actors.stranger, actors.nodes[0])):
        with pytest.raises(ContractRefused, match=r"NoMajority|NotANode"):
            actors.send(actors.stranger, actors.ledger.finalise_round(result, signatures))
    assert actors.ledger.status(result.round) is RoundStatus.COMMITTED


@attack(
    by="stranger",
    to="change",
    tries="to end a round with the signatures of an earlier one",
    costs="nothing",
    seen=NOTHING_SEEN,
)
def test_signatures_of_an_earlier_round_decide_nothing(actors: Actors, study: StudyId) -> None:
    first = actors.result(actors.committed(study))
    signatures = actors.sign(first, *actors.nodes)
    actors.send(actors.provider, actors.ledger.finalise_round(first, signatures))
    second = actors.result(actors.committed(study), NEW_MODEL)
    for result in (second, replace(first, round=second.round)):
        with pytest.raises(ContractRefused, match="NotANode"):
            actors.send(actors.stranger, actors.ledger.finalise_round(result, signatures))
    with pytest.raises(ContractRefused, match="WrongStatus"):
        actors.send(actors.stranger, actors.ledger.finalise_round(first, signatures))


@attack(
    by="stranger",
    to="change",
    tries="to end an aborted round with its nodes' signatures",
    costs="nothing",
    seen=NOTHING_SEEN,
)
def test_an_aborted_round_gets_no_result(actors: Actors, study: StudyId) -> None:
    round_id = actors.committed(study, commit_in=3, result_in=13)
    result = actors.result(round_id)
    opened = actors.ledger.round(round_id).opened
    actors.wait_until(opened.result_deadline)
    actors.send(actors.provider, actors.ledger.abort_round(round_id))
    with pytest.raises(ContractRefused, match="WrongStatus"):
        actors.send(actors.stranger, actors.ledger.finalise_round(result, actors.sign(result, *actors.nodes)))
    assert actors.ledger.study(study).current_model == MODEL


@attack(
    by="stranger",
    to="change",
    tries="to commit to, abort or end a round that has ended",
    costs="nothing",
    seen=NOTHING_SEEN,
)
def test_a_round_that_has_ended_stays_as_it_is(actors: Actors, study: StudyId) -> None:
    own, terms = (key := actors.hospital()), named(key, actors.hospital())
    round_id = actors.open(study, study_digest=study_digest(terms))
    actors.send(actors.provider, actors.ledger.commit_round(round_id, ROOT))
    result = replace(actors.result(round_id), study_digest=study_digest(terms))
    signatures = actors.sign(result, *actors.nodes)
    actors.send(actors.provider, actors.ledger.finalise_round(result, signatures))
    for sender, call in (
        (actors.provider, actors.ledger.commit_round(round_id, ROOT)),
        (actors.stranger, actors.ledger.abort_round(round_id)),
        (actors.stranger, actors.ledger.finalise_round(result, signatures)),
    ):
        with pytest.raises(ContractRefused, match="WrongStatus"):
            actors.send(sender, call)
    with pytest.raises(ContractRefused, match="WrongStatus"):
        actors.commit_directly(round_id, terms, own)
    assert actors.ledger.status(round_id) is RoundStatus.FINALISED


@attack(by="stranger", to="stop", tries="to abort a round before its deadline", costs="nothing", seen=NOTHING_SEEN)
def test_a_stranger_aborts_nothing_early(actors: Actors, study: StudyId) -> None:
    round_id = actors.open(study)
    with pytest.raises(ContractRefused, match="DeadlineNotPassed"):
        actors.send(actors.stranger, actors.ledger.abort_round(round_id))
    actors.send(actors.provider, actors.ledger.commit_round(round_id, ROOT))
    with pytest.raises(ContractRefused, match="DeadlineNotPassed"):
        actors.send(actors.stranger, actors.ledger.abort_round(round_id))


@pytest.mark.parametrize("what", ["nodes", "key", "release"])
@attack(
    by="stranger",
    to="change",
    tries="to change a study's nodes, a node's key or who is in quarantine",
    costs="nothing",
    seen=NOTHING_SEEN,
)
def test_a_stranger_changes_nothing(actors: Actors, study: StudyId, what: str) -> None:
    ledger = actors.ledger
    own = actors.stranger.address
    (first, *_) = actors.nodes
    mine = (own, *(node.address for node in actors.nodes[1:]))
    changes = {
        "nodes": (NodeSet(study, 1, mine), lambda signed: ledger.change_nodes(study, mine, signed)),
        "key": (
            NodeKey(study, 1, first.address, own),
            lambda signed: ledger.rotate_node_key(study, first.address, own, signed),
        ),
        "release": (Release(study, 1, own), lambda signed: ledger.release_hospital(study, own, signed)),
    }
    change, call = changes[what]
    for keys in ([], [actors.stranger], [actors.stranger, first]):
        signed = [sign_change(change, CHAIN_ID, actors.contract, key) for key in keys]
        with pytest.raises(ContractRefused, match=r"NoMajority|NotANode"):
            actors.send(actors.stranger, call(signed))
    assert ledger.study(study).changes == 0


@attack(by="stranger", to="stop", tries="to have an honest node suspended", costs="nothing", seen=NOTHING_SEEN)
def test_an_honest_node_is_not_suspended(actors: Actors, study: StudyId) -> None:
    result = actors.result(actors.committed(study))
    (signature,) = actors.sign(result, actors.nodes[0])
    (other,) = actors.sign(result, actors.nodes[1])
    forged = replace(result, new_model=Sha256("41" * 32))
    end = actors.end(result.round)
    (ends,) = actors.sign_end(end, actors.nodes[1])
    for second, second_signature in (
        (result, signature),
        (result, other),
        (forged, signature),
        (end, ends),
        (end, signature),
    ):
        with pytest.raises(ContractRefused, match=r"NoEquivocation|NotANode"):
            actors.send(actors.stranger, actors.ledger.report_equivocation(result, signature, second, second_signature))
    assert not actors.ledger.suspended(study, actors.nodes[0].address)


@attack(
    by="stranger",
    to="delay",
    tries="to slow rounds down with accounts that it registers",
    costs="a transaction each",
    seen="the accounts, of nobody",
)
def test_registered_accounts_are_not_read_by_any_round(
    actors: Actors, study: StudyId, monkeypatch: pytest.MonkeyPatch
) -> None:
    round_id = actors.committed(study)
    for _ in range(20):
        actors.send(SigningKey(Secret.generate()), actors.ledger.register_hospital())
    asked = []
    get_logs = actors.ledger._web3.eth.get_logs
    monkeypatch.setattr(
        actors.ledger._web3.eth, "get_logs", lambda wanted: asked.extend(found := get_logs(wanted)) or found
    )
    result = actors.result(round_id, sha256(b"whoever registers"))
    actors.send(actors.provider, actors.ledger.finalise_round(result, actors.sign(result, *actors.nodes)))
    assert actors.ledger.rounds(study)[-1].result == result
    assert actors.ledger.study(study).current_round == round_id
    registrations = "0x" + topic("HospitalRegistered").hex()
    assert asked
    assert registrations not in {log["topics"][0].to_0x_hex() for log in asked}


@pytest.mark.parametrize(
    "method",
    [
        "anvil_setBalance", "anvil_impersonateAccount", "anvil_setStorageAt", "anvil_setCode", "anvil_dumpState",
        "anvil_loadState", "anvil_reset", "evm_revert", "evm_snapshot", "evm_increaseTime", "evm_setNextBlockTimestamp",
        "evm_mine", "eth_sendTransaction", "eth_sign", "eth_accounts", "hardhat_setBalance", "debug_traceTransaction",
        "txpool_content",
    ],
)  # fmt: skip
@attack(
    by="stranger",
    to="change",
    tries="to rewrite the chain through its port",
    costs="nothing",
    seen="nothing: the chain's filter answers no such method",
)
def test_the_chain_offers_no_method_that_rewrites_it(shared_chain: Devchain, method: str) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": []}
    answer = httpx.post(shared_chain.url, json=request, trust_env=False).json()
    assert "error" in answer
    assert "result" not in answer


def _bundle(method: int, content: bytes, *names: str) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the same name twice is one of the attacks
        for name in names:
            archive.writestr(name, content)
    return written.getvalue()


def _damaged(data: bytes) -> bytes:
    return data[:45] + bytes(20) + data[65:]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (_damaged(_bundle(zipfile.ZIP_DEFLATED, b"0123" * 100, "ledger.json")), "no whole zip file"),
        (_damaged(_bundle(zipfile.ZIP_LZMA, b"0123" * 100, "ledger.json")), "compression method 14"),
        (_bundle(zipfile.ZIP_BZIP2, b"0123" * 100, "ledger.json"), "compression method 12"),
        (_bundle(zipfile.ZIP_DEFLATED, b"{}", "ledger.json")[:-9], "no whole zip file"),
        (_bundle(zipfile.ZIP_DEFLATED, b"{}", "ledger.json", "ledger.json"), "a file stands twice"),
        (
            _bundle(zipfile.ZIP_DEFLATED, bytes((64 << 20) + 1), "ledger.json"),
            f"got a file of {(64 << 20) + 1} bytes, want at most {64 << 20}",
        ),
    ],
    ids=["damaged deflate", "damaged LZMA", "bzip2", "cut short", "a file twice", "a bomb"],
)
@attack(
    by="stranger",
    to="stop",
    tries="to crash whoever checks a proof bundle, or fill the memory",
    costs="nothing",
    seen="a refusal in a sentence",
)
def test_a_proof_bundle_of_any_form_is_refused_in_a_sentence(data: bytes, said: str) -> None:
    with pytest.raises(EvidenceRejected, match=said):
        Bundle(data)


@attack(
    by="stranger",
    to="delay",
    tries="to slow all readers of a round down by registrations after it",
    costs="a transaction each",
    seen="accounts that nobody authorised",
)
def test_what_is_registered_after_a_round_is_not_looked_through(
    actors: Actors, study: StudyId, monkeypatch: pytest.MonkeyPatch
) -> None:
    round_id = actors.open(study)
    opened = actors.ledger.round(round_id).opened.location.block
    for _ in range(24):
        actors.send(SigningKey(Secret.generate()), actors.ledger.register_hospital())
    looked: list[tuple[int, int | str]] = []
    find = Logs.find

    def watched(logs: Logs, names: Any, keys: Any, first: int, last: Any = "latest") -> Iterator[Event]:
        looked.append((first, last))
        return find(logs, names, keys, first, last)

    monkeypatch.setattr(Logs, "find", watched)
    assert actors.ledger.round(round_id).status is RoundStatus.OPEN
    assert looked == [(opened, opened + 15)]
    assert actors.ledger.height() > opened + 15
