// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILedger} from "../ILedger.sol";
import {Base, Result} from "./Base.sol";

contract OpeningTest is Base {
    function _refused(bytes memory refusal, uint64 round, bytes32 digest, bytes32 previous, uint32 commitEnd, uint32 resultEnd) private {
        vm.expectRevert(refusal);
        ledger.openRound(round, STUDY, digest, previous, KEYS, commitEnd, resultEnd);
    }

    function test_opening_freezes_the_terms() public {
        uint32 end = uint32(block.timestamp + 1200);
        vm.expectEmit(address(ledger));
        emit ILedger.RoundOpened(1, STUDY, DIGEST, INITIAL, KEYS, commitDeadline(), end);
        ILedger.Terms memory terms = open(1, INITIAL);
        (bytes32 study, ILedger.RoundStatus status, uint32 opened, uint8 direct, bool concludes) = ledger.rounds(1);
        equal(study, STUDY);
        require(status == ILedger.RoundStatus.OPEN, "it is not open");
        equal(opened, block.number);
        equal(direct, 0);
        require(!concludes, "nobody concluded the study");
        require(ledger.verifyTerms(1, terms, 0), "these are the terms");
        terms.resultDeadline += 1;
        require(!ledger.verifyTerms(1, terms, 0), "these are not the terms");
        (,,,,,, uint64 running) = ledger.studies(STUDY);
        equal(running, 1);
    }

    function test_only_the_provider_opens() public {
        uint32 end = commitDeadline() + 10;
        vm.expectRevert(abi.encodeWithSelector(ILedger.NotProvider.selector, stranger));
        vm.prank(stranger);
        ledger.openRound(1, STUDY, DIGEST, INITIAL, KEYS, end - 10, end);
    }

    function test_the_study_is_known() public {
        uint32 end = commitDeadline() + 10;
        vm.expectRevert(abi.encodeWithSelector(ILedger.UnknownStudy.selector, DIGEST));
        ledger.openRound(1, DIGEST, DIGEST, INITIAL, KEYS, end - 10, end);
    }

    function test_a_round_has_a_number_of_its_own() public {
        uint32 end = commitDeadline();
        _refused(abi.encodeWithSelector(ILedger.InvalidRoundId.selector, uint64(0)), 0, DIGEST, INITIAL, end, end + 10);
        _refused(abi.encodeWithSelector(ILedger.InvalidRoundId.selector, uint64(1) << 40), uint64(1) << 40, DIGEST, INITIAL, end, end + 10);
        ledger.registerStudy(keccak256("other"), nodes(3), INITIAL);
        ledger.openRound(1, keccak256("other"), DIGEST, INITIAL, KEYS, end, end + 10);
        _refused(abi.encodeWithSelector(ILedger.InvalidRoundId.selector, uint64(1)), 1, DIGEST, INITIAL, end, end + 10);
    }

    function test_one_round_at_a_time() public {
        open(1, INITIAL);
        uint32 end = commitDeadline();
        bytes memory refusal = abi.encodeWithSelector(ILedger.RoundStillOpen.selector, STUDY, uint64(1));
        _refused(refusal, 2, DIGEST, INITIAL, end, end + 10);
        ledger.commitRound(1, ROOT);
        _refused(refusal, 2, DIGEST, INITIAL, end, end + 10);
    }

    function test_a_round_starts_from_the_current_model() public {
        uint32 end = commitDeadline();
        _refused(abi.encodeWithSelector(ILedger.StalePreviousModel.selector, MODEL), 1, DIGEST, MODEL, end, end + 10);
        finalise(1, committed(1, INITIAL), MODEL);
        _refused(abi.encodeWithSelector(ILedger.StalePreviousModel.selector, INITIAL), 2, DIGEST, INITIAL, end, end + 10);
        open(2, MODEL);
    }

    function test_a_round_has_a_study_digest_and_key_records() public {
        uint32 end = commitDeadline();
        _refused(abi.encodeWithSelector(ILedger.ZeroDigest.selector), 1, 0, INITIAL, end, end + 10);
        vm.expectRevert(abi.encodeWithSelector(ILedger.ZeroDigest.selector));
        ledger.openRound(1, STUDY, DIGEST, INITIAL, 0, end, end + 10);
    }

    function test_deadlines_follow_one_another_in_the_future() public {
        uint32 time = uint32(block.timestamp);
        bytes4 invalid = ILedger.InvalidDeadlines.selector;
        _refused(abi.encodeWithSelector(invalid, time, time + 19, time), 1, DIGEST, INITIAL, time, time + 19);
        _refused(abi.encodeWithSelector(invalid, time + 9, time + 18, time), 1, DIGEST, INITIAL, time + 9, time + 18);
        ledger.openRound(1, STUDY, DIGEST, INITIAL, KEYS, time + 9, time + 19);
    }
}

contract CommitTest is Base {
    ILedger.Terms private _terms;

    function setUp() public override {
        super.setUp();
        _terms = open(1, INITIAL);
    }

    function test_the_provider_commits() public {
        vm.expectEmit(address(ledger));
        emit ILedger.RoundCommitted(1, ROOT);
        ledger.commitRound(1, ROOT);
        statusIs(1, ILedger.RoundStatus.COMMITTED);
        require(ledger.verifyTerms(1, _terms, ROOT), "these are the terms");
        require(!ledger.verifyTerms(1, _terms, MODEL), "this is not the root");
    }

    function test_a_node_commits_when_the_provider_does_not() public {
        vm.prank(vm.addr(NODE_KEY + 2));
        ledger.commitRound(1, ROOT);
        statusIs(1, ILedger.RoundStatus.COMMITTED);
    }

    function test_nobody_else_commits() public {
        vm.expectRevert(abi.encodeWithSelector(ILedger.NotCommitter.selector, STUDY, stranger));
        vm.prank(stranger);
        ledger.commitRound(1, ROOT);
    }

    function test_a_set_has_a_root() public {
        vm.expectRevert(abi.encodeWithSelector(ILedger.ZeroDigest.selector));
        ledger.commitRound(1, 0);
    }

    function test_a_round_is_committed_once_and_only_when_open() public {
        ledger.commitRound(1, ROOT);
        vm.expectRevert(
            abi.encodeWithSelector(ILedger.WrongStatus.selector, uint64(1), ILedger.RoundStatus.COMMITTED, ILedger.RoundStatus.OPEN)
        );
        ledger.commitRound(1, ROOT);
        vm.expectRevert(
            abi.encodeWithSelector(ILedger.WrongStatus.selector, uint64(9), ILedger.RoundStatus.NONE, ILedger.RoundStatus.OPEN)
        );
        ledger.commitRound(9, ROOT);
    }

    function test_the_deadline_is_the_last_second_to_commit() public {
        uint32 deadline = commitDeadline();
        vm.warp(deadline);
        vm.prank(stranger);
        try ledger.abortRound(1, _terms, 0) {
            revert("it was aborted in time");
        } catch {}
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(ILedger.DeadlinePassed.selector, uint64(1), deadline, deadline + 1));
        ledger.commitRound(1, ROOT);
        vm.warp(deadline);
        ledger.commitRound(1, ROOT);
    }
}

contract DirectCommitTest is Base {
    bytes32 private constant _MANIFEST = keccak256("manifest");
    bytes32 private constant _SIBLING = keccak256("sibling");
    address private _elm;
    address private _oak;
    ILedger.Terms private _terms;

    function setUp() public override {
        super.setUp();
        (_elm, _oak) = (authorised(31), authorised(32));
        _terms = openFor(1, INITIAL, _elm, _oak);
    }

    function _root() private pure returns (bytes32) {
        return pair(leaf(_MANIFEST), _SIBLING);
    }

    function _shown(address hospital, bytes32 sibling) private pure returns (ILedger.DirectCommit[] memory shown) {
        shown = new ILedger.DirectCommit[](1);
        shown[0].hospital = hospital;
        shown[0].proof = new bytes32[](1);
        shown[0].proof[0] = sibling;
    }

    function _commit() private {
        _commitAs(_elm, membership(_elm, _oak));
    }

    function _commitAs(address sender, ILedger.Membership memory shown) private {
        vm.prank(sender);
        ledger.commit(1, _terms, _MANIFEST, shown);
    }

    function _moved(address from, uint256 key) private returns (address next) {
        next = vm.addr(key);
        ILedger.Signature memory signature = sign(key, hospitalKeyHash(from, next));
        vm.prank(from);
        ledger.rotateHospitalKey(next, signature);
    }

    function test_a_hospital_commits_itself() public {
        vm.expectEmit(address(ledger));
        emit ILedger.CommittedDirectly(1, _elm, _MANIFEST);
        _commit();
        (,,, uint8 direct,) = ledger.rounds(1);
        equal(direct, 1);
    }

    function test_a_set_that_ignores_it_is_refused_and_no_result_comes_of_one() public {
        _commit();
        vm.expectRevert(abi.encodeWithSelector(ILedger.DirectCommitsIgnored.selector, uint64(1), 0, 1));
        ledger.commitRound(1, ROOT);
        Result memory signed = result(1, MODEL);
        signed.studyDigest = _terms.studyDigest;
        ILedger.Signature[] memory all = signatures(hashOf(signed), 3);
        vm.expectRevert(
            abi.encodeWithSelector(ILedger.WrongStatus.selector, uint64(1), ILedger.RoundStatus.OPEN, ILedger.RoundStatus.COMMITTED)
        );
        ledger.finaliseRound(1, _terms, ROOT, outcome(MODEL), all);
    }

    function test_a_set_that_holds_it_is_taken() public {
        _commit();
        ledger.commitRound(1, _root(), _shown(_elm, _SIBLING), _terms);
        statusIs(1, ILedger.RoundStatus.COMMITTED);
    }

    function test_a_set_that_does_not_hold_it_is_refused() public {
        _commit();
        bytes memory refusal = abi.encodeWithSelector(ILedger.DirectCommitNotUnderRoot.selector, uint64(1), _elm);
        vm.expectRevert(refusal);
        ledger.commitRound(1, _root(), _shown(_elm, MODEL), _terms);
        vm.expectRevert(refusal);
        ledger.commitRound(1, ROOT, _shown(_elm, _SIBLING), _terms);
    }

    function test_another_hospital_does_not_stand_in_for_it() public {
        _commit();
        vm.expectRevert(abi.encodeWithSelector(ILedger.DirectCommitNotUnderRoot.selector, uint64(1), stranger));
        ledger.commitRound(1, _root(), _shown(stranger, _SIBLING), _terms);
    }

    function test_one_hospital_does_not_count_as_two() public {
        _commit();
        vm.prank(_oak);
        ledger.commit(1, _terms, ROOT, membership(_oak, _elm));
        ILedger.DirectCommit[] memory twice = new ILedger.DirectCommit[](2);
        (twice[0], twice[1]) = (_shown(_elm, _SIBLING)[0], _shown(_elm, _SIBLING)[0]);
        vm.expectRevert(abi.encodeWithSelector(ILedger.DirectCommitNotUnderRoot.selector, uint64(1), _elm));
        ledger.commitRound(1, _root(), twice, _terms);
        vm.expectRevert(abi.encodeWithSelector(ILedger.DirectCommitsIgnored.selector, uint64(1), 1, 2));
        ledger.commitRound(1, _root(), _shown(_elm, _SIBLING), _terms);
    }

    function test_a_hospital_commits_once() public {
        _commit();
        vm.expectRevert(abi.encodeWithSelector(ILedger.AlreadyCommitted.selector, uint64(1), _elm));
        _commit();
    }

    function test_a_hospital_commits_once_whatever_keys_it_moves_on_to() public {
        _commit();
        address next = _elm;
        for (uint256 key = 40; key < 43; ++key) {
            next = _moved(next, key);
            vm.expectRevert(abi.encodeWithSelector(ILedger.AlreadyCommitted.selector, uint64(1), _elm));
            _commitAs(next, membership(_elm, _oak));
        }
    }

    function test_a_hospital_that_moved_on_commits_as_the_one_that_the_study_names() public {
        address next = _moved(_moved(_elm, 40), 41);
        vm.expectEmit(address(ledger));
        emit ILedger.CommittedDirectly(1, _elm, _MANIFEST);
        _commitAs(next, membership(_elm, _oak));
    }

    function test_a_key_that_a_hospital_left_commits_nothing() public {
        _moved(_elm, 40);
        vm.expectRevert(
            abi.encodeWithSelector(ILedger.HospitalNotAuthorised.selector, _elm, ILedger.HospitalStatus.RETIRED)
        );
        _commit();
    }

    function test_a_study_may_name_a_later_key_of_a_hospital() public {
        address next = _moved(_elm, 40);
        vm.warp(block.timestamp + 601);
        ledger.abortRound(1, _terms, 0);
        _terms = openFor(2, INITIAL, next, _oak);
        address last = _moved(next, 41);
        vm.prank(last);
        ledger.commit(2, _terms, _MANIFEST, membership(next, _oak));
        (,,, uint8 direct,) = ledger.rounds(2);
        equal(direct, 1);
    }

    function test_a_hospital_of_another_study_does_not_commit() public {
        address fir = authorised(33);
        bytes memory refusal = abi.encodeWithSelector(ILedger.NotAMember.selector, uint64(1), fir);
        vm.expectRevert(refusal);
        _commitAs(fir, membership(fir, _oak));
        vm.expectRevert(refusal);
        _commitAs(fir, membership(_elm, _oak));
        ILedger.Membership memory forged = membership(_elm, _oak);
        forged.account = fir;
        vm.expectRevert(refusal);
        _commitAs(fir, forged);
        (,,, uint8 direct,) = ledger.rounds(1);
        equal(direct, 0);
    }

    function test_a_member_shows_the_tree_of_this_rounds_study() public {
        bytes memory refusal = abi.encodeWithSelector(ILedger.NotAMember.selector, uint64(1), _elm);
        ILedger.Membership memory shown = membership(_elm, _oak);
        shown.rest = MODEL;
        vm.expectRevert(refusal);
        _commitAs(_elm, shown);
        shown = membership(_elm, _oak);
        shown.proof = new bytes32[](0);
        vm.expectRevert(refusal);
        _commitAs(_elm, shown);
        _terms.studyDigest = sha256(abi.encode(leaf(_elm), REST));
        vm.expectRevert(abi.encodeWithSelector(ILedger.StaleTerms.selector, uint64(1)));
        _commitAs(_elm, shown);
    }

    function test_a_direct_commit_in_the_last_second_leaves_a_minute_for_the_set() public {
        uint32 deadline = commitDeadline();
        vm.warp(deadline);
        _commit();
        vm.warp(deadline + 60);
        vm.expectRevert(abi.encodeWithSelector(ILedger.DeadlineNotPassed.selector, uint64(1), deadline + 60, deadline + 60));
        ledger.abortRound(1, _terms, 0);
        vm.warp(deadline + 61);
        ILedger.DirectCommit[] memory shown = _shown(_elm, _SIBLING);
        vm.expectRevert(abi.encodeWithSelector(ILedger.DeadlinePassed.selector, uint64(1), deadline + 60, deadline + 61));
        ledger.commitRound(1, _root(), shown, _terms);
        vm.warp(deadline + 60);
        ledger.commitRound(1, _root(), shown, _terms);
    }

    function test_a_direct_commit_leaves_the_nodes_half_of_what_lies_between_the_deadlines() public {
        vm.warp(block.timestamp + 661);
        ledger.abortRound(1, _terms, 0);
        uint32 deadline = commitDeadline();
        _terms.resultDeadline = deadline + 11;
        ledger.openRound(2, STUDY, _terms.studyDigest, INITIAL, KEYS, deadline, deadline + 11);
        vm.warp(deadline);
        vm.prank(_elm);
        ledger.commit(2, _terms, _MANIFEST, membership(_elm, _oak));
        vm.warp(deadline + 6);
        ILedger.DirectCommit[] memory shown = _shown(_elm, _SIBLING);
        vm.expectRevert(abi.encodeWithSelector(ILedger.DeadlinePassed.selector, uint64(2), deadline + 5, deadline + 6));
        ledger.commitRound(2, _root(), shown, _terms);
        vm.warp(deadline + 5);
        vm.expectRevert(abi.encodeWithSelector(ILedger.DeadlineNotPassed.selector, uint64(2), deadline + 5, deadline + 5));
        ledger.abortRound(2, _terms, 0);
        ledger.commitRound(2, _root(), shown, _terms);
    }

    function test_nobody_moves_the_time_for_the_set_by_other_terms() public {
        _commit();
        vm.warp(commitDeadline() + 61);
        ILedger.DirectCommit[] memory shown = _shown(_elm, _SIBLING);
        bytes memory refusal = abi.encodeWithSelector(ILedger.StaleTerms.selector, uint64(1));
        for (uint32 change = 1; change < 3; ++change) {
            ILedger.Terms memory other = ILedger.Terms(_terms.studyDigest, _terms.previousModel, _terms.resultDeadline);
            other.resultDeadline = change == 1 ? type(uint32).max : 0;
            vm.expectRevert(refusal);
            ledger.commitRound(1, _root(), shown, other);
            vm.expectRevert(refusal);
            ledger.abortRound(1, other, 0);
        }
    }

    function test_a_direct_commit_keeps_no_round_open_for_longer() public {
        _commit();
        vm.warp(commitDeadline() + 61);
        ledger.abortRound(1, _terms, 0);
        statusIs(1, ILedger.RoundStatus.ABORTED);
    }

    function test_a_revoked_hospital_does_not_commit() public {
        ledger.revokeHospitals(one(_elm));
        vm.expectRevert(
            abi.encodeWithSelector(ILedger.HospitalNotAuthorised.selector, _elm, ILedger.HospitalStatus.REVOKED)
        );
        _commit();
    }

    function test_a_manifest_is_not_nothing() public {
        vm.expectRevert(abi.encodeWithSelector(ILedger.ZeroDigest.selector));
        vm.prank(_elm);
        ledger.commit(1, _terms, 0, membership(_elm, _oak));
    }

    function test_not_after_the_deadline_and_not_after_the_commit() public {
        uint32 deadline = commitDeadline();
        vm.warp(deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(ILedger.DeadlinePassed.selector, uint64(1), deadline, deadline + 1));
        _commit();
        vm.warp(deadline);
        ledger.commitRound(1, ROOT);
        vm.expectRevert(
            abi.encodeWithSelector(ILedger.WrongStatus.selector, uint64(1), ILedger.RoundStatus.COMMITTED, ILedger.RoundStatus.OPEN)
        );
        _commit();
    }

    function test_anybody_sees_what_is_under_a_root() public view {
        bytes32[] memory proof = _shown(_elm, _SIBLING)[0].proof;
        require(ledger.verifyCommit(_root(), _MANIFEST, proof), "it is under the root");
        require(!ledger.verifyCommit(_root(), MODEL, proof), "it is not under the root");
    }
}

contract ResultTest is Base {
    ILedger.Terms private _terms;

    function setUp() public override {
        super.setUp();
        _terms = committed(1, INITIAL);
    }

    function _send(ILedger.Signature[] memory signed) private {
        ledger.finaliseRound(1, _terms, ROOT, outcome(MODEL), signed);
    }

    function _refused(bytes memory refusal, ILedger.Signature[] memory signed) private {
        vm.expectRevert(refusal);
        _send(signed);
        statusIs(1, ILedger.RoundStatus.COMMITTED);
    }

    function _strange(ILedger.Signature[] memory signed) private {
        vm.expectPartialRevert(ILedger.NotANode.selector);
        _send(signed);
        statusIs(1, ILedger.RoundStatus.COMMITTED);
    }

    function test_a_majority_decides_whoever_sends_it() public {
        ILedger.Signature[] memory signed = signatures(hashOf(result(1, MODEL)), 2);
        vm.expectEmit(address(ledger));
        emit ILedger.RoundFinalised(1, VERDICTS, MODEL, RECORD, 3);
        vm.prank(stranger);
        _send(signed);
        statusIs(1, ILedger.RoundStatus.FINALISED);
        equal(currentRound(), 1);
        require(ledger.verifyModel(1, MODEL) && !ledger.verifyModel(1, INITIAL), "it vouches for the wrong model");
        require(!ledger.verifyTerms(1, _terms, ROOT), "it has ended");
    }

    function test_fewer_than_a_majority_of_all_do_not() public {
        for (uint256 count = 0; count < 2; ++count) {
            _refused(
                abi.encodeWithSelector(ILedger.NoMajority.selector, STUDY, count, 2), signatures(hashOf(result(1, MODEL)), count)
            );
        }
    }

    function test_a_node_counts_once() public {
        ILedger.Signature[] memory twice = signatures(hashOf(result(1, MODEL)), 2);
        twice[1] = twice[0];
        _refused(abi.encodeWithSelector(ILedger.DuplicateSigner.selector, vm.addr(NODE_KEY)), twice);
    }

    function test_the_provider_or_a_stranger_is_no_node() public {
        ILedger.Signature[] memory signed = signatures(hashOf(result(1, MODEL)), 2);
        signed[1] = sign(STRANGER_KEY, hashOf(result(1, MODEL)));
        _refused(abi.encodeWithSelector(ILedger.NotANode.selector, STUDY, stranger), signed);
    }

    function test_a_node_of_another_study_is_no_node_of_this_one() public {
        address[] memory others = nodes(3);
        others[0] = stranger;
        ledger.registerStudy(keccak256("other"), others, INITIAL);
        ILedger.Signature[] memory signed = signatures(hashOf(result(1, MODEL)), 2);
        signed[0] = sign(STRANGER_KEY, hashOf(result(1, MODEL)));
        _refused(abi.encodeWithSelector(ILedger.NotANode.selector, STUDY, stranger), signed);
    }

    function test_signatures_of_another_round_do_not_count() public {
        _strange(signatures(hashOf(result(2, MODEL)), 3));
    }

    function test_signatures_for_another_chain_or_contract_do_not_count() public {
        bytes32 structHash = structOf(result(1, MODEL));
        _strange(signatures(typedFor(structHash, block.chainid + 1, address(ledger)), 3));
        _strange(signatures(typedFor(structHash, block.chainid, address(this)), 3));
    }

    function test_the_domain_follows_the_chain_id() public {
        ILedger.Signature[] memory signed = signatures(hashOf(result(1, MODEL)), 3);
        vm.chainId(block.chainid + 1);
        _strange(signed);
    }

    function test_signatures_over_another_result_do_not_count() public {
        for (uint256 field = 0; field < 6; ++field) {
            Result memory other = result(1, MODEL);
            if (field == 0) other.studyDigest = bytes32(uint256(1));
            if (field == 1) other.commitRoot = bytes32(uint256(1));
            if (field == 2) other.verdicts = 1;
            if (field == 3) other.previousModel = bytes32(uint256(1));
            if (field == 4) other.newModel = bytes32(uint256(1));
            if (field == 5) other.record = bytes32(uint256(1));
            _strange(signatures(hashOf(other), 3));
        }
    }

    function test_a_flipped_byte_of_a_signature_spoils_it() public {
        for (uint256 byteIndex = 0; byteIndex < 64; ++byteIndex) {
            ILedger.Signature[] memory signed = signatures(hashOf(result(1, MODEL)), 2);
            uint256 flip = uint256(1) << (8 * (byteIndex % 32));
            if (byteIndex < 32) signed[1].r ^= bytes32(flip);
            else signed[1].vs ^= bytes32(flip);
            try ledger.finaliseRound(1, _terms, ROOT, outcome(MODEL), signed) {
                revert("a damaged signature counted");
            } catch {}
        }
        statusIs(1, ILedger.RoundStatus.COMMITTED);
    }

    function test_the_other_form_of_a_signature_is_refused() public {
        ILedger.Signature[] memory signed = signatures(hashOf(result(1, MODEL)), 2);
        // Just above half the order: no signature that anybody made has it.
        signed[1].vs = bytes32(uint256(0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A1));
        _refused(abi.encodeWithSignature("ECDSAInvalidSignatureS(bytes32)", signed[1].vs), signed);
    }

    function test_a_signature_of_nobody_is_refused() public {
        ILedger.Signature[] memory signed = signatures(hashOf(result(1, MODEL)), 2);
        signed[1].r = 0;
        _refused(abi.encodeWithSignature("ECDSAInvalidSignature()"), signed);
    }

    function test_other_terms_or_another_root_than_those_frozen_are_refused() public {
        ILedger.Signature[] memory signed = signatures(hashOf(result(1, MODEL)), 2);
        bytes memory refusal = abi.encodeWithSelector(ILedger.StaleTerms.selector, uint64(1));
        for (uint256 field = 0; field < 4; ++field) {
            ILedger.Terms memory terms = _terms;
            if (field == 0) terms.studyDigest = MODEL;
            if (field == 1) terms.previousModel = MODEL;
            if (field == 2) terms.resultDeadline += 1;
            vm.expectRevert(refusal);
            ledger.finaliseRound(1, terms, field == 3 ? MODEL : ROOT, outcome(MODEL), signed);
            vm.expectRevert(refusal);
            ledger.abortRound(1, terms, field == 3 ? MODEL : ROOT);
        }
    }

    function test_a_result_has_a_model_and_a_record() public {
        ILedger.Signature[] memory signed = signatures(hashOf(result(1, MODEL)), 2);
        vm.expectRevert(abi.encodeWithSelector(ILedger.ZeroDigest.selector));
        ledger.finaliseRound(1, _terms, ROOT, ILedger.Outcome(VERDICTS, 0, RECORD), signed);
        vm.expectRevert(abi.encodeWithSelector(ILedger.ZeroDigest.selector));
        ledger.finaliseRound(1, _terms, ROOT, ILedger.Outcome(VERDICTS, MODEL, 0), signed);
    }

    function test_the_deadline_is_the_last_second_for_a_result() public {
        ILedger.Signature[] memory signed = signatures(hashOf(result(1, MODEL)), 2);
        vm.warp(_terms.resultDeadline + 1);
        _refused(
            abi.encodeWithSelector(ILedger.DeadlinePassed.selector, uint64(1), _terms.resultDeadline, _terms.resultDeadline + 1), signed
        );
        vm.warp(_terms.resultDeadline);
        _send(signed);
    }

    function test_a_finalised_round_is_final() public {
        ILedger.Signature[] memory signed = signatures(hashOf(result(1, MODEL)), 3);
        _send(signed);
        bytes memory refusal = abi.encodeWithSelector(
            ILedger.WrongStatus.selector, uint64(1), ILedger.RoundStatus.FINALISED, ILedger.RoundStatus.COMMITTED
        );
        vm.expectRevert(refusal);
        _send(signed);
        vm.warp(_terms.resultDeadline + 1);
        vm.expectRevert(refusal);
        ledger.abortRound(1, _terms, ROOT);
    }

    function test_rounds_form_one_chain_of_models() public {
        finalise(1, _terms, MODEL);
        bytes32 previous = MODEL;
        for (uint64 round = 2; round < 6; ++round) {
            bytes32 next = keccak256(abi.encode(previous));
            finalise(round, committed(round, previous), next);
            require(ledger.verifyModel(round, next), "it lost a model");
            previous = next;
        }
        require(ledger.verifyModel(1, MODEL), "it lost the first model");
        equal(currentRound(), 5);
    }
}

contract DecidedAbortTest is Base {
    ILedger.Terms private _terms;
    ILedger.Cause private _cause;

    function setUp() public override {
        super.setUp();
        _terms = committed(1, INITIAL);
        _cause = ILedger.Cause("too_few_accepted", new address[](0));
        _cause.blamed.push(vm.addr(31));
        _cause.blamed.push(vm.addr(32));
    }

    function _refused(bytes memory refusal, ILedger.Signature[] memory signed) private {
        vm.expectRevert(refusal);
        ledger.abortRoundByNodes(1, _terms, ROOT, _cause, signed);
        statusIs(1, ILedger.RoundStatus.COMMITTED);
    }

    function test_a_majority_ends_a_round_at_once_whoever_sends_it() public {
        ILedger.Signature[] memory signed = signatures(abortHash(1, _terms, ROOT, _cause), 2);
        vm.expectEmit(address(ledger));
        emit ILedger.AbortDecided(1, "too_few_accepted", _cause.blamed, 3);
        vm.expectEmit(address(ledger));
        emit ILedger.RoundAborted(1, ILedger.RoundStatus.COMMITTED);
        vm.prank(stranger);
        ledger.abortRoundByNodes(1, _terms, ROOT, _cause, signed);
        statusIs(1, ILedger.RoundStatus.ABORTED);
        equal(currentRound(), 0);
        open(2, INITIAL);
    }

    function test_fewer_than_a_majority_end_no_round() public {
        bytes32 hash = abortHash(1, _terms, ROOT, _cause);
        for (uint256 count = 0; count < 2; ++count) {
            _refused(abi.encodeWithSelector(ILedger.NoMajority.selector, STUDY, count, 2), signatures(hash, count));
        }
        ILedger.Signature[] memory twice = signatures(hash, 2);
        twice[1] = twice[0];
        _refused(abi.encodeWithSelector(ILedger.DuplicateSigner.selector, vm.addr(NODE_KEY)), twice);
    }

    function test_nodes_that_see_different_causes_are_no_majority() public {
        ILedger.Signature[] memory signed = signatures(abortHash(1, _terms, ROOT, _cause), 2);
        ILedger.Cause memory other = ILedger.Cause("engine_failed", _cause.blamed);
        signed[1] = sign(NODE_KEY + 1, abortHash(1, _terms, ROOT, other));
        vm.expectPartialRevert(ILedger.NotANode.selector);
        ledger.abortRoundByNodes(1, _terms, ROOT, _cause, signed);
        statusIs(1, ILedger.RoundStatus.COMMITTED);
    }

    function test_nobody_is_blamed_whom_the_majority_did_not_sign() public {
        ILedger.Signature[] memory signed = signatures(abortHash(1, _terms, ROOT, _cause), 3);
        _cause.blamed[1] = stranger;
        vm.expectPartialRevert(ILedger.NotANode.selector);
        ledger.abortRoundByNodes(1, _terms, ROOT, _cause, signed);
        _cause.blamed.pop();
        vm.expectPartialRevert(ILedger.NotANode.selector);
        ledger.abortRoundByNodes(1, _terms, ROOT, _cause, signed);
        statusIs(1, ILedger.RoundStatus.COMMITTED);
    }

    function test_signatures_to_a_result_end_no_round_and_the_other_way_round() public {
        vm.expectPartialRevert(ILedger.NotANode.selector);
        ledger.abortRoundByNodes(1, _terms, ROOT, _cause, signatures(hashOf(result(1, MODEL)), 3));
        vm.expectPartialRevert(ILedger.NotANode.selector);
        ledger.finaliseRound(1, _terms, ROOT, outcome(MODEL), signatures(abortHash(1, _terms, ROOT, _cause), 3));
    }

    function test_signatures_to_the_end_of_another_round_count_in_none() public {
        ILedger.Signature[] memory signed = signatures(abortHash(1, _terms, ROOT, _cause), 3);
        finalise(1, _terms, MODEL);
        vm.expectRevert(
            abi.encodeWithSelector(ILedger.WrongStatus.selector, uint64(1), ILedger.RoundStatus.FINALISED, ILedger.RoundStatus.COMMITTED)
        );
        ledger.abortRoundByNodes(1, _terms, ROOT, _cause, signed);
        ILedger.Terms memory next = committed(2, MODEL);
        vm.expectPartialRevert(ILedger.NotANode.selector);
        ledger.abortRoundByNodes(2, next, ROOT, _cause, signed);
    }

    function test_an_end_has_a_reason_and_the_frozen_terms() public {
        ILedger.Signature[] memory signed = signatures(abortHash(1, _terms, ROOT, _cause), 3);
        vm.expectRevert(abi.encodeWithSelector(ILedger.StaleTerms.selector, uint64(1)));
        ledger.abortRoundByNodes(1, _terms, MODEL, _cause, signed);
        _cause.reason = 0;
        _refused(abi.encodeWithSelector(ILedger.ZeroDigest.selector), signed);
    }

    function test_a_round_that_is_not_committed_waits_for_its_deadline() public {
        ILedger.Signature[] memory signed = signatures(abortHash(1, _terms, ROOT, _cause), 3);
        ledger.abortRoundByNodes(1, _terms, ROOT, _cause, signed);
        ILedger.Terms memory next = open(2, INITIAL);
        signed = signatures(abortHash(2, next, ROOT, _cause), 3);
        vm.expectRevert(
            abi.encodeWithSelector(ILedger.WrongStatus.selector, uint64(2), ILedger.RoundStatus.OPEN, ILedger.RoundStatus.COMMITTED)
        );
        ledger.abortRoundByNodes(2, next, ROOT, _cause, signed);
    }
}

contract AbortTest is Base {
    function test_an_open_round_ends_after_its_commit_deadline() public {
        ILedger.Terms memory terms = open(1, INITIAL);
        uint32 deadline = commitDeadline();
        vm.expectRevert(abi.encodeWithSelector(ILedger.DeadlineNotPassed.selector, uint64(1), deadline, block.timestamp));
        ledger.abortRound(1, terms, 0);
        vm.warp(deadline + 1);
        vm.expectEmit(address(ledger));
        emit ILedger.RoundAborted(1, ILedger.RoundStatus.OPEN);
        vm.prank(stranger);
        ledger.abortRound(1, terms, 0);
        statusIs(1, ILedger.RoundStatus.ABORTED);
    }

    function test_a_committed_round_ends_after_its_result_deadline() public {
        ILedger.Terms memory terms = committed(1, INITIAL);
        vm.warp(terms.resultDeadline);
        vm.expectRevert(
            abi.encodeWithSelector(ILedger.DeadlineNotPassed.selector, uint64(1), terms.resultDeadline, terms.resultDeadline)
        );
        ledger.abortRound(1, terms, ROOT);
        vm.warp(terms.resultDeadline + 1);
        vm.expectEmit(address(ledger));
        emit ILedger.RoundAborted(1, ILedger.RoundStatus.COMMITTED);
        vm.prank(stranger);
        ledger.abortRound(1, terms, ROOT);
    }

    function test_after_an_abort_there_is_no_result_and_the_model_stays() public {
        ILedger.Terms memory terms = committed(1, INITIAL);
        ILedger.Signature[] memory signed = signatures(hashOf(result(1, MODEL)), 3);
        vm.warp(terms.resultDeadline + 1);
        ledger.abortRound(1, terms, ROOT);
        bytes memory refusal = abi.encodeWithSelector(
            ILedger.WrongStatus.selector, uint64(1), ILedger.RoundStatus.ABORTED, ILedger.RoundStatus.COMMITTED
        );
        vm.expectRevert(refusal);
        ledger.finaliseRound(1, terms, ROOT, outcome(MODEL), signed);
        vm.expectRevert(refusal);
        ledger.abortRound(1, terms, ROOT);
        require(!ledger.verifyModel(1, MODEL), "it vouches for a model of an aborted round");
        equal(currentRound(), 0);
        open(2, INITIAL);
    }

    function test_a_round_that_never_was_is_not_aborted() public {
        vm.expectRevert(
            abi.encodeWithSelector(ILedger.WrongStatus.selector, uint64(9), ILedger.RoundStatus.NONE, ILedger.RoundStatus.COMMITTED)
        );
        ledger.abortRound(9, ILedger.Terms(DIGEST, INITIAL, 0), 0);
    }

    function test_the_model_before_an_aborted_round_is_current_for_the_next() public {
        finalise(1, committed(1, INITIAL), MODEL);
        ILedger.Terms memory terms = open(2, MODEL);
        vm.warp(block.timestamp + 601);
        ledger.abortRound(2, terms, 0);
        terms = open(3, MODEL);
        vm.warp(block.timestamp + 601);
        ledger.abortRound(3, terms, 0);
        equal(currentRound(), 1);
        finalise(4, committed(4, MODEL), RECORD);
        equal(currentRound(), 4);
    }
}
