"""The ledger's writes, as calls that an outbox sends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.chain import contract
from pipeline.chain.contract import Call
from pipeline.chain.encoding import checksum, compact, word
from pipeline.domain import Abort, Address, Conclusion, Decision, Result, RoundId, Sha256
from pipeline.evidence.canonical import joint_digest
from pipeline.evidence.membership import Membership
from pipeline.evidence.signing import decision_words
from pipeline.ledger_types.events import StudyId
from pipeline.ledger_types.state import RoundState

_NOTHING = bytes(32)


class Calls:
    """Unsent calls of one contract; digests and keys in hexadecimal, signatures 65 bytes in hexadecimal."""

    def __init__(self, address: Address) -> None:
        self.contract = address

    # --------------------------------------------------------------- provider

    def transfer_provider(self, successor: Address) -> Call:
        """The provider names its successor, who then accepts."""
        return self._call("transferOwnership", checksum(successor))

    def accept_provider(self) -> Call:
        """The successor becomes the provider."""
        return self._call("acceptOwnership")

    # -------------------------------------------------------------- hospitals

    def register_hospital(self) -> Call:
        """A hospital registers its own account."""
        return self._call("registerHospital")

    def authorise_hospitals(self, hospitals: Iterable[Address]) -> Call:
        """The provider authorises registered or revoked hospitals, all or none."""
        return self._call("authoriseHospitals", [checksum(hospital) for hospital in hospitals])

    def revoke_hospitals(self, hospitals: Iterable[Address]) -> Call:
        """The provider revokes authorised hospitals, all or none."""
        return self._call("revokeHospitals", [checksum(hospital) for hospital in hospitals])

    def rotate_hospital_key(self, successor: Address, signature: str) -> Call:
        """A hospital moves on to another key, which has signed for itself."""
        return self._call("rotateHospitalKey", checksum(successor), compact(signature))

    # ---------------------------------------------------------------- studies

    def register_study(self, study: StudyId, nodes: Sequence[Address], initial_model: Sha256) -> Call:
        """The provider registers a study once, with 3 to 16 nodes."""
        return self._call("registerStudy", word(study), [checksum(node) for node in nodes], word(initial_model))

    def continue_round(
        self, study: StudyId, nodes: Sequence[Address], continued: RoundId, initial_model: Sha256
    ) -> Call:
        """The same for a study that starts from the model with which the round `continued` of another one ended."""
        return self._call(
            "continueRound", word(study), [checksum(node) for node in nodes], continued, word(initial_model)
        )

    def change_nodes(self, study: StudyId, nodes: Sequence[Address], signatures: Sequence[str]) -> Call:
        """Anybody gives a study the nodes that a majority of the present ones signed."""
        return self._call("changeNodes", word(study), [checksum(node) for node in nodes], _all(signatures))

    def rotate_node_key(self, study: StudyId, previous: Address, successor: Address, signatures: Sequence[str]) -> Call:
        """Anybody gives a node the key that a majority of the present nodes signed."""
        return self._call("rotateNodeKey", word(study), checksum(previous), checksum(successor), _all(signatures))

    def release_hospital(self, study: StudyId, hospital: Address, signatures: Sequence[str]) -> Call:
        """Anybody releases a hospital whose release a majority of the nodes signed."""
        return self._call("releaseHospital", word(study), checksum(hospital), _all(signatures))

    def report_equivocation(
        self, first: Decision, first_signature: str, second: Decision, second_signature: str
    ) -> Call:
        """Anybody has the node suspended that signed both, which are about one round."""
        return self._call(
            "reportEquivocation", first.round, _decision(first, first_signature), _decision(second, second_signature)
        )

    # ----------------------------------------------------------------- rounds

    def open_round(
        self,
        round_id: RoundId,
        study: StudyId,
        *,
        study_digest: Sha256,
        previous_model: Sha256,
        sealing_keys: Sequence[Sha256],
        commit_deadline: int,
        result_deadline: int,
    ) -> Call:
        """The provider opens a round on the study's current model.

        `sealing_keys` are digests of key records, deadlines block times.
        """
        keys = joint_digest(sealing_keys)
        terms = (word(study_digest), word(previous_model), word(keys), commit_deadline, result_deadline)
        return self._call("openRound", round_id, word(study), *terms)

    def commit_directly(self, state: RoundState, manifest: Sha256, membership: Membership) -> Call:
        """A hospital puts its manifest on the ledger, by its account in the study or a key that it moved on to."""
        shown = (checksum(membership.account), word(membership.rest), [word(sibling) for sibling in membership.proof])
        return self._call("commit", state.round, _terms(state), word(manifest), shown)

    def commit_round(self, round_id: RoundId, root: Sha256) -> Call:
        """The provider or a node fixes the set that takes part, when no hospital committed directly."""
        return self._call("commitRound(uint64,bytes32)", round_id, word(root))

    def commit_round_with(self, state: RoundState, root: Sha256, direct: Mapping[Address, Sequence[str]]) -> Call:
        """The same for the round `state`, with the proof of every hospital that committed directly."""
        proofs = ((checksum(hospital), [word(sibling) for sibling in proof]) for hospital, proof in direct.items())
        included = sorted(proofs, key=lambda one: int(one[0], 16))
        function = "commitRound(uint64,bytes32,(address,bytes32[])[],(bytes32,bytes32,uint32))"
        return self._call(function, state.round, word(root), included, _terms(state))

    def finalise(self, state: RoundState, result: Result, signatures: Sequence[str]) -> Call:
        """Anybody ends the committed round `state` with what a majority of its nodes signed."""
        root = state.committed.root if state.committed else result.commit_root
        outcome = (result.verdicts, word(result.new_model), word(result.record))
        return self._call("finaliseRound", state.round, _terms(state), word(root), outcome, _all(signatures))

    def abort(self, state: RoundState) -> Call:
        """Anybody ends the round `state`, whose deadline has passed."""
        return self._call(
            "abortRound", state.round, _terms(state), word(state.committed.root) if state.committed else _NOTHING
        )

    def abort_by_nodes(self, state: RoundState, abort: Abort, signatures: Sequence[str]) -> Call:
        """Anybody ends the committed round `state`, as a majority of its nodes signed."""
        cause = (abort.reason.encode().ljust(32, b"\0"), [checksum(hospital) for hospital in abort.blamed])
        return self._call(
            "abortRoundByNodes", state.round, _terms(state), word(abort.commit_root), cause, _all(signatures)
        )

    def conclude(self, conclusion: Conclusion, signatures: Sequence[str]) -> Call:
        """Anybody concludes the study of its current round, as a majority of its nodes signed."""
        reason = conclusion.reason.encode().ljust(32, b"\0")
        return self._call("concludeWith", conclusion.round, reason, word(conclusion.evidence), _all(signatures))

    def _call(self, function: str, *arguments: Any) -> Call:
        return contract.encode(self.contract, function, *arguments)


def _terms(state: RoundState) -> tuple[bytes, bytes, int]:
    opened = state.opened
    return word(opened.study_digest), word(opened.previous_model), opened.result_deadline


def _decision(decision: Decision, signature: str) -> tuple[list[bytes], tuple[bytes, bytes], bool]:
    return list(decision_words(decision)[1:]), compact(signature), isinstance(decision, Abort)


def _all(signatures: Sequence[str]) -> list[tuple[bytes, bytes]]:
    return [compact(signature) for signature in signatures]
