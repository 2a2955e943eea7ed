// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILedger} from "../ILedger.sol";
import {Base, Result} from "./Base.sol";

contract StudiesTest is Base {
    bytes32 private constant _OTHER = keccak256("other");

    function test_a_study_is_registered_with_its_nodes() public {
        vm.expectEmit(address(ledger));
        emit ILedger.StudyRegistered(_OTHER, INITIAL);
        vm.expectEmit(address(ledger));
        emit ILedger.NodesSet(_OTHER, 1, nodes(4), 3);
        ledger.registerStudy(_OTHER, nodes(4), INITIAL);
        (address[] memory found, uint8 threshold, uint32 epoch, uint32 changes, bytes32 initial, uint64 current, uint64 running) =
            ledger.studies(_OTHER);
        equal(keccak256(abi.encode(found)), keccak256(abi.encode(nodes(4))));
        equal(threshold, 3);
        equal(epoch, 1);
        equal(changes + current + running, 0);
        equal(initial, INITIAL);
    }

    function test_a_study_that_was_never_registered_is_empty() public view {
        (address[] memory found, uint8 threshold, uint32 epoch,, bytes32 initial,,) = ledger.studies(_OTHER);
        equal(found.length + threshold + epoch, 0);
        equal(initial, bytes32(0));
    }

    function test_the_threshold_is_a_majority_of_all_nodes() public {
        for (uint256 count = 3; count <= 16; ++count) {
            bytes32 study = bytes32(count);
            ledger.registerStudy(study, nodes(count), INITIAL);
            (, uint8 threshold,,,,,) = ledger.studies(study);
            equal(threshold, count / 2 + 1);
        }
    }

    function test_only_the_provider_registers_a_study() public {
        vm.expectRevert(abi.encodeWithSelector(ILedger.NotProvider.selector, stranger));
        vm.prank(stranger);
        ledger.registerStudy(_OTHER, nodes(3), INITIAL);
    }

    function test_a_study_is_registered_once() public {
        vm.expectRevert(abi.encodeWithSelector(ILedger.StudyAlreadyRegistered.selector, STUDY));
        ledger.registerStudy(STUDY, nodes(3), INITIAL);
    }

    function test_a_study_has_3_to_16_nodes() public {
        vm.expectRevert(abi.encodeWithSelector(ILedger.InvalidNodeCount.selector, 2));
        ledger.registerStudy(_OTHER, nodes(2), INITIAL);
        vm.expectRevert(abi.encodeWithSelector(ILedger.InvalidNodeCount.selector, 17));
        ledger.registerStudy(_OTHER, nodes(17), INITIAL);
    }

    function test_every_node_is_somebody_else() public {
        address[] memory twice = nodes(3);
        twice[2] = twice[0];
        vm.expectRevert(abi.encodeWithSelector(ILedger.InvalidNode.selector, twice[0]));
        ledger.registerStudy(_OTHER, twice, INITIAL);
        twice[2] = address(0);
        vm.expectRevert(abi.encodeWithSelector(ILedger.InvalidNode.selector, address(0)));
        ledger.registerStudy(_OTHER, twice, INITIAL);
    }

    function test_a_study_has_an_id_and_a_model() public {
        vm.expectRevert(abi.encodeWithSelector(ILedger.ZeroDigest.selector));
        ledger.registerStudy(_OTHER, nodes(3), 0);
        vm.expectRevert(abi.encodeWithSelector(ILedger.ZeroDigest.selector));
        ledger.registerStudy(0, nodes(3), INITIAL);
    }
}

contract ContinuesTest is Base {
    bytes32 private constant _NEXT = keccak256("next");

    function _finalised() private {
        finalise(1, committed(1, INITIAL), MODEL);
    }

    function _others(uint256 stay) private pure returns (address[] memory next) {
        next = nodes(3);
        for (uint256 i = stay; i < 3; ++i) {
            next[i] = vm.addr(77 + i);
        }
    }

    function test_a_study_continues_a_finalised_round() public {
        _finalised();
        vm.expectEmit(address(ledger));
        emit ILedger.StudyRegistered(_NEXT, MODEL);
        vm.expectEmit(address(ledger));
        emit ILedger.NodesSet(_NEXT, 1, _others(2), 2);
        vm.expectEmit(address(ledger));
        emit ILedger.StudyContinues(_NEXT, 1);
        ledger.continueRound(_NEXT, _others(2), 1, MODEL);
        (,,,, bytes32 initial, uint64 current,) = ledger.studies(_NEXT);
        equal(initial, MODEL);
        equal(current, 0);
        equal(ledger.parentRound(_NEXT), 1);
        equal(ledger.parentRound(STUDY), 0);
        uint32 end = uint32(block.timestamp + 1200);
        vm.expectRevert(abi.encodeWithSelector(ILedger.StalePreviousModel.selector, INITIAL));
        ledger.openRound(2, _NEXT, DIGEST, INITIAL, KEYS, commitDeadline(), end);
        ledger.openRound(2, _NEXT, DIGEST, MODEL, KEYS, commitDeadline(), end);
    }

    function test_an_earlier_round_is_continued_while_the_study_goes_on() public {
        _finalised();
        finalise(2, committed(2, MODEL), RECORD);
        open(3, RECORD);
        ledger.continueRound(_NEXT, nodes(4), 1, MODEL);
        equal(ledger.parentRound(_NEXT), 1);
    }

    function test_no_study_continues_a_round_without_a_model() public {
        ILedger.Terms memory terms = committed(1, INITIAL);
        vm.expectRevert(
            abi.encodeWithSelector(ILedger.WrongStatus.selector, 1, ILedger.RoundStatus.COMMITTED, ILedger.RoundStatus.FINALISED)
        );
        ledger.continueRound(_NEXT, nodes(3), 1, INITIAL);
        vm.warp(terms.resultDeadline + 1);
        ledger.abortRound(1, terms, ROOT);
        vm.expectRevert(
            abi.encodeWithSelector(ILedger.WrongStatus.selector, 1, ILedger.RoundStatus.ABORTED, ILedger.RoundStatus.FINALISED)
        );
        ledger.continueRound(_NEXT, nodes(3), 1, INITIAL);
        vm.expectRevert(
            abi.encodeWithSelector(ILedger.WrongStatus.selector, 2, ILedger.RoundStatus.NONE, ILedger.RoundStatus.FINALISED)
        );
        ledger.continueRound(_NEXT, nodes(3), 2, INITIAL);
    }

    function testFuzz_no_study_continues_another_model_than_the_rounds(bytes32 model) public {
        vm.assume(model != MODEL);
        _finalised();
        vm.expectRevert(abi.encodeWithSelector(ILedger.StalePreviousModel.selector, model));
        ledger.continueRound(_NEXT, nodes(3), 1, model);
    }

    function test_a_majority_of_the_present_nodes_stays() public {
        _finalised();
        vm.expectRevert(abi.encodeWithSelector(ILedger.NoMajority.selector, STUDY, 1, 2));
        ledger.continueRound(_NEXT, _others(1), 1, MODEL);
        address[] memory twice = _others(1);
        twice[1] = twice[0];
        vm.expectRevert(abi.encodeWithSelector(ILedger.InvalidNode.selector, twice[0]));
        ledger.continueRound(_NEXT, twice, 1, MODEL);
        // Who took over since decides: a majority of those that left let them.
        address[] memory next = _others(1);
        ledger.changeNodes(STUDY, next, signatures(nodeSetHash(1, next), 2));
        vm.expectRevert(abi.encodeWithSelector(ILedger.NoMajority.selector, STUDY, 1, 2));
        ledger.continueRound(_NEXT, nodes(3), 1, MODEL);
        ledger.continueRound(_NEXT, next, 1, MODEL);
    }

    function test_only_the_provider_continues_a_study_and_each_once() public {
        _finalised();
        vm.expectRevert(abi.encodeWithSelector(ILedger.NotProvider.selector, stranger));
        vm.prank(stranger);
        ledger.continueRound(_NEXT, nodes(3), 1, MODEL);
        vm.expectRevert(abi.encodeWithSelector(ILedger.StudyAlreadyRegistered.selector, STUDY));
        ledger.continueRound(STUDY, nodes(3), 1, MODEL);
    }
}

contract ChangesTest is Base {
    function _next() private pure returns (address[] memory next) {
        next = nodes(4);
        next[3] = vm.addr(77);
    }

    function test_a_majority_changes_the_nodes() public {
        address[] memory next = _next();
        vm.expectEmit(address(ledger));
        emit ILedger.NodesSet(STUDY, 2, next, 3);
        vm.prank(stranger);
        ledger.changeNodes(STUDY, next, signatures(nodeSetHash(1, next), 2));
        (address[] memory found, uint8 threshold, uint32 epoch, uint32 changes,,,) = ledger.studies(STUDY);
        equal(keccak256(abi.encode(found)), keccak256(abi.encode(next)));
        equal(threshold, 3);
        equal(epoch, 2);
        equal(changes, 1);
    }

    function test_the_new_threshold_counts_at_once() public {
        address[] memory next = _next();
        ledger.changeNodes(STUDY, next, signatures(nodeSetHash(1, next), 2));
        ILedger.Terms memory terms = committed(1, INITIAL);
        ILedger.Signature[] memory two = signatures(hashOf(result(1, MODEL)), 2);
        vm.expectRevert(abi.encodeWithSelector(ILedger.NoMajority.selector, STUDY, 2, 3));
        ledger.finaliseRound(1, terms, ROOT, outcome(MODEL), two);
        ledger.finaliseRound(1, terms, ROOT, outcome(MODEL), signatures(hashOf(result(1, MODEL)), 3));
    }

    function test_a_node_that_left_no_longer_counts() public {
        address[] memory next = nodes(3);
        next[0] = vm.addr(77);
        ledger.changeNodes(STUDY, next, signatures(nodeSetHash(1, next), 2));
        (bool node,) = ledger.isNode(STUDY, vm.addr(NODE_KEY));
        require(!node, "it is still a node");
        ILedger.Terms memory terms = committed(1, INITIAL);
        ILedger.Signature[] memory signed = signatures(hashOf(result(1, MODEL)), 2);
        vm.expectRevert(abi.encodeWithSelector(ILedger.NotANode.selector, STUDY, vm.addr(NODE_KEY)));
        ledger.finaliseRound(1, terms, ROOT, outcome(MODEL), signed);
    }

    function test_a_change_is_signed_for_one_time() public {
        address[] memory next = _next();
        ILedger.Signature[] memory first = signatures(nodeSetHash(1, next), 2);
        ledger.changeNodes(STUDY, next, first);
        vm.expectPartialRevert(ILedger.NotANode.selector);
        ledger.changeNodes(STUDY, next, first);
    }

    function test_the_provider_alone_changes_no_nodes() public {
        address[] memory mine = nodes(3);
        ILedger.Signature[] memory none = new ILedger.Signature[](0);
        vm.expectRevert(abi.encodeWithSelector(ILedger.NoMajority.selector, STUDY, 0, 2));
        ledger.changeNodes(STUDY, mine, none);
        ILedger.Signature[] memory own = new ILedger.Signature[](2);
        (own[0], own[1]) = (sign(STRANGER_KEY, nodeSetHash(1, mine)), sign(8, nodeSetHash(1, mine)));
        vm.expectRevert(abi.encodeWithSelector(ILedger.NotANode.selector, STUDY, stranger));
        ledger.changeNodes(STUDY, mine, own);
    }

    function test_nothing_changes_while_a_round_is_open() public {
        open(1, INITIAL);
        address[] memory next = _next();
        ILedger.Signature[] memory set = signatures(nodeSetHash(1, next), 3);
        ILedger.Signature[] memory key = signatures(nodeKeyHash(1, vm.addr(NODE_KEY), vm.addr(77)), 3);
        ILedger.Signature[] memory release = signatures(releaseHash(1, stranger), 3);
        bytes memory refusal = abi.encodeWithSelector(ILedger.RoundStillOpen.selector, STUDY, uint64(1));
        vm.expectRevert(refusal);
        ledger.changeNodes(STUDY, next, set);
        vm.expectRevert(refusal);
        ledger.rotateNodeKey(STUDY, vm.addr(NODE_KEY), vm.addr(77), key);
        vm.expectRevert(refusal);
        ledger.releaseHospital(STUDY, stranger, release);
        ledger.commitRound(1, ROOT);
        vm.expectRevert(refusal);
        ledger.changeNodes(STUDY, next, set);
    }

    function test_nothing_changes_in_a_study_that_is_unknown() public {
        bytes32 other = keccak256("other");
        ILedger.Signature[] memory none = new ILedger.Signature[](0);
        bytes memory refusal = abi.encodeWithSelector(ILedger.UnknownStudy.selector, other);
        vm.expectRevert(refusal);
        ledger.changeNodes(other, nodes(3), none);
        vm.expectRevert(refusal);
        ledger.rotateNodeKey(other, stranger, stranger, none);
        vm.expectRevert(refusal);
        ledger.releaseHospital(other, stranger, none);
    }

    function test_the_new_nodes_are_3_to_16_different_ones() public {
        address[] memory next = nodes(2);
        ILedger.Signature[] memory signed = signatures(nodeSetHash(1, next), 2);
        vm.expectRevert(abi.encodeWithSelector(ILedger.InvalidNodeCount.selector, 2));
        ledger.changeNodes(STUDY, next, signed);
        next = nodes(3);
        next[1] = next[0];
        signed = signatures(nodeSetHash(1, next), 2);
        vm.expectRevert(abi.encodeWithSelector(ILedger.InvalidNode.selector, next[0]));
        ledger.changeNodes(STUDY, next, signed);
    }

    function test_a_majority_gives_a_node_another_key_in_the_same_place() public {
        address[] memory next = nodes(3);
        next[1] = vm.addr(77);
        ILedger.Signature[] memory signed = signatures(nodeKeyHash(1, vm.addr(NODE_KEY + 1), next[1]), 2);
        vm.expectEmit(address(ledger));
        emit ILedger.NodesSet(STUDY, 2, next, 2);
        ledger.rotateNodeKey(STUDY, vm.addr(NODE_KEY + 1), next[1], signed);
        ILedger.Terms memory terms = committed(1, INITIAL);
        signed[0] = sign(77, hashOf(result(1, MODEL)));
        signed[1] = sign(NODE_KEY + 2, hashOf(result(1, MODEL)));
        vm.expectEmit(address(ledger));
        emit ILedger.RoundFinalised(1, VERDICTS, MODEL, RECORD, 6);
        ledger.finaliseRound(1, terms, ROOT, outcome(MODEL), signed);
    }

    function test_a_key_goes_from_a_node_to_nobody_who_is_one() public {
        ILedger.Signature[] memory none = new ILedger.Signature[](0);
        vm.expectRevert(abi.encodeWithSelector(ILedger.InvalidNode.selector, stranger));
        ledger.rotateNodeKey(STUDY, stranger, vm.addr(77), none);
        vm.expectRevert(abi.encodeWithSelector(ILedger.InvalidNode.selector, vm.addr(NODE_KEY + 1)));
        ledger.rotateNodeKey(STUDY, vm.addr(NODE_KEY), vm.addr(NODE_KEY + 1), none);
        vm.expectRevert(abi.encodeWithSelector(ILedger.InvalidNode.selector, address(0)));
        ledger.rotateNodeKey(STUDY, vm.addr(NODE_KEY), address(0), none);
    }

    function test_one_node_alone_rotates_no_key() public {
        ILedger.Signature[] memory signed = signatures(nodeKeyHash(1, vm.addr(NODE_KEY), vm.addr(77)), 1);
        vm.expectRevert(abi.encodeWithSelector(ILedger.NoMajority.selector, STUDY, 1, 2));
        ledger.rotateNodeKey(STUDY, vm.addr(NODE_KEY), vm.addr(77), signed);
    }

    function test_a_majority_releases_a_hospital() public {
        finalise(1, committed(1, INITIAL), MODEL);
        ILedger.Signature[] memory signed = signatures(releaseHash(1, stranger), 2);
        vm.expectEmit(address(ledger));
        emit ILedger.HospitalReleased(STUDY, stranger, 1);
        ledger.releaseHospital(STUDY, stranger, signed);
        vm.expectPartialRevert(ILedger.NotANode.selector);
        ledger.releaseHospital(STUDY, stranger, signed);
    }

    function test_a_release_stands_after_the_current_round_not_an_aborted_one() public {
        finalise(1, committed(1, INITIAL), MODEL);
        ILedger.Terms memory terms = open(2, MODEL);
        vm.warp(block.timestamp + 601);
        ledger.abortRound(2, terms, 0);
        ILedger.Signature[] memory signed = signatures(releaseHash(1, stranger), 2);
        vm.expectEmit(address(ledger));
        emit ILedger.HospitalReleased(STUDY, stranger, 1);
        ledger.releaseHospital(STUDY, stranger, signed);
    }

    function test_one_node_alone_releases_nobody() public {
        ILedger.Signature[] memory signed = signatures(releaseHash(1, stranger), 1);
        vm.expectRevert(abi.encodeWithSelector(ILedger.NoMajority.selector, STUDY, 1, 2));
        ledger.releaseHospital(STUDY, stranger, signed);
    }
}

contract EquivocationTest is Base {
    Result private _first;
    Result private _second;
    ILedger.Terms private _terms;
    ILedger.Cause private _cause;

    function setUp() public override {
        super.setUp();
        _terms = committed(1, INITIAL);
        (_first, _second) = (result(1, MODEL), result(1, RECORD));
        _cause = ILedger.Cause("too_few_accepted", one(stranger));
    }

    function _result(uint256 key, Result memory signed) private view returns (ILedger.Decision memory) {
        bytes32[] memory words = new bytes32[](6);
        (words[0], words[1], words[2]) = (signed.studyDigest, signed.commitRoot, bytes32(signed.verdicts));
        (words[3], words[4], words[5]) = (signed.previousModel, signed.newModel, signed.record);
        return ILedger.Decision(words, sign(key, hashOf(signed)), false);
    }

    function _end(uint256 key, bytes32 reason) private view returns (ILedger.Decision memory) {
        bytes32[] memory words = new bytes32[](5);
        (words[0], words[1], words[2]) = (DIGEST, ROOT, INITIAL);
        (words[3], words[4]) = (reason, keccak256(abi.encodePacked(_cause.blamed)));
        return ILedger.Decision(words, sign(key, abortHash(1, _terms, ROOT, ILedger.Cause(reason, _cause.blamed))), true);
    }

    function _report(uint256 first, uint256 second) private {
        ledger.reportEquivocation(1, _result(first, _first), _result(second, _second));
    }

    function _refused(uint64 round, ILedger.Decision memory one_, ILedger.Decision memory other, bytes memory refusal) private {
        vm.expectRevert(refusal);
        ledger.reportEquivocation(round, one_, other);
    }

    function _refused(uint256 first, uint256 second, bytes memory refusal) private {
        _refused(1, _result(first, _first), _result(second, _second), refusal);
    }

    function _suspended(ILedger.Decision memory one_, ILedger.Decision memory other) private {
        vm.expectEmit(address(ledger));
        emit ILedger.NodeSuspended(STUDY, vm.addr(NODE_KEY), 1);
        vm.prank(stranger);
        ledger.reportEquivocation(1, one_, other);
        (bool node, bool suspended) = ledger.isNode(STUDY, vm.addr(NODE_KEY));
        require(node && suspended, "it is not suspended");
    }

    function test_a_node_that_signed_two_results_is_suspended() public {
        _suspended(_result(NODE_KEY, _first), _result(NODE_KEY, _second));
    }

    function test_a_node_that_signed_a_result_and_an_end_is_suspended() public {
        _suspended(_result(NODE_KEY, _first), _end(NODE_KEY, "too_few_accepted"));
    }

    function test_a_node_that_signed_two_ends_is_suspended() public {
        _suspended(_end(NODE_KEY, "too_few_accepted"), _end(NODE_KEY, "engine_failed"));
    }

    function test_a_node_that_signed_an_end_before_the_ledger_took_another_is_suspended() public {
        ledger.abortRoundByNodes(1, _terms, ROOT, _cause, signatures(abortHash(1, _terms, ROOT, _cause), 2));
        _suspended(_end(NODE_KEY, "too_few_accepted"), _result(NODE_KEY, _first));
    }

    function test_one_end_and_another_nodes_result_are_no_equivocation() public {
        ILedger.Decision memory end = _end(NODE_KEY, "too_few_accepted");
        _refused(1, end, _result(NODE_KEY + 1, _first), abi.encodeWithSelector(ILedger.NoEquivocation.selector));
        _refused(1, end, end, abi.encodeWithSelector(ILedger.NoEquivocation.selector));
    }

    function test_what_is_signed_as_one_kind_does_not_count_as_the_other() public {
        ILedger.Decision memory vote = _result(NODE_KEY, _first);
        ILedger.Decision memory relabelled = _result(NODE_KEY, _first);
        relabelled.aborts = true;
        _refused(1, vote, relabelled, abi.encodeWithSelector(ILedger.NoEquivocation.selector));
        ILedger.Decision memory end = _end(NODE_KEY, "too_few_accepted");
        relabelled = _end(NODE_KEY, "too_few_accepted");
        relabelled.aborts = false;
        _refused(1, end, relabelled, abi.encodeWithSelector(ILedger.NoEquivocation.selector));
    }

    function test_words_cut_or_added_are_nobodys() public {
        ILedger.Decision memory vote = _result(NODE_KEY, _first);
        for (uint256 count = 0; count < 8; ++count) {
            ILedger.Decision memory other = _result(NODE_KEY, _first);
            bytes32[] memory words = new bytes32[](count);
            for (uint256 i = 0; i < count && i < 6; ++i) {
                words[i] = other.words[i];
            }
            other.words = words;
            _refused(1, vote, other, abi.encodeWithSelector(ILedger.NoEquivocation.selector));
        }
    }

    function test_a_change_of_the_study_that_a_node_signed_is_no_decision() public {
        ILedger.Decision memory release = _result(NODE_KEY, _second);
        release.signature = sign(NODE_KEY, releaseHash(1, stranger));
        _refused(1, _result(NODE_KEY, _first), release, abi.encodeWithSelector(ILedger.NoEquivocation.selector));
    }

    function test_its_signature_no_longer_counts_and_the_threshold_stays() public {
        _report(NODE_KEY, NODE_KEY);
        ILedger.Signature[] memory all = signatures(hashOf(_first), 3);
        vm.expectRevert(abi.encodeWithSelector(ILedger.SuspendedNode.selector, STUDY, vm.addr(NODE_KEY)));
        ledger.finaliseRound(1, _terms, ROOT, outcome(MODEL), all);
        ILedger.Signature[] memory others = new ILedger.Signature[](1);
        others[0] = all[1];
        vm.expectRevert(abi.encodeWithSelector(ILedger.NoMajority.selector, STUDY, 1, 2));
        ledger.finaliseRound(1, _terms, ROOT, outcome(MODEL), others);
        others = new ILedger.Signature[](2);
        (others[0], others[1]) = (all[1], all[2]);
        ledger.finaliseRound(1, _terms, ROOT, outcome(MODEL), others);
    }

    function test_it_neither_commits_nor_changes_anything() public {
        _report(NODE_KEY, NODE_KEY);
        finaliseByOthers();
        open(2, MODEL);
        vm.expectRevert(abi.encodeWithSelector(ILedger.NotCommitter.selector, STUDY, vm.addr(NODE_KEY)));
        vm.prank(vm.addr(NODE_KEY));
        ledger.commitRound(2, ROOT);
    }

    function finaliseByOthers() private {
        ILedger.Signature[] memory others = new ILedger.Signature[](2);
        (others[0], others[1]) = (sign(NODE_KEY + 1, hashOf(_first)), sign(NODE_KEY + 2, hashOf(_first)));
        ledger.finaliseRound(1, _terms, ROOT, outcome(MODEL), others);
    }

    function test_a_majority_of_all_can_still_replace_it() public {
        _report(NODE_KEY, NODE_KEY);
        finaliseByOthers();
        bytes32 digest = nodeKeyHash(1, vm.addr(NODE_KEY), vm.addr(77));
        ILedger.Signature[] memory others = new ILedger.Signature[](2);
        (others[0], others[1]) = (sign(NODE_KEY + 1, digest), sign(NODE_KEY + 2, digest));
        ledger.rotateNodeKey(STUDY, vm.addr(NODE_KEY), vm.addr(77), others);
        (bool node, bool suspended) = ledger.isNode(STUDY, vm.addr(77));
        require(node && !suspended, "the new key is suspended");
    }

    function test_it_is_none_of_the_majority_that_goes_on_in_another_study() public {
        _report(NODE_KEY, NODE_KEY);
        finaliseByOthers();
        address[] memory next = nodes(3);
        next[2] = vm.addr(77);
        vm.expectRevert(abi.encodeWithSelector(ILedger.NoMajority.selector, STUDY, 1, 2));
        ledger.continueRound(keccak256("next"), next, 1, MODEL);
        ledger.continueRound(keccak256("next"), nodes(3), 1, MODEL);
    }

    function test_two_nodes_do_not_equivocate_for_each_other() public {
        _refused(NODE_KEY, NODE_KEY + 1, abi.encodeWithSelector(ILedger.NoEquivocation.selector));
    }

    function test_the_same_result_twice_is_no_equivocation() public {
        _second = _first;
        _refused(NODE_KEY, NODE_KEY, abi.encodeWithSelector(ILedger.NoEquivocation.selector));
    }

    function test_results_of_two_rounds_are_no_equivocation() public {
        _second.round = 2;
        _refused(NODE_KEY, NODE_KEY, abi.encodeWithSelector(ILedger.NoEquivocation.selector));
        _second.round = 1;
        finaliseByOthers();
        open(2, MODEL);
        // In another round's name both are signed by accounts that nobody has, and by different ones.
        _refused(2, _result(NODE_KEY, _first), _result(NODE_KEY, _second), abi.encodeWithSelector(ILedger.NoEquivocation.selector));
    }

    function test_a_stranger_is_not_suspended() public {
        _refused(STRANGER_KEY, STRANGER_KEY, abi.encodeWithSelector(ILedger.NotANode.selector, STUDY, stranger));
    }

    function test_a_node_is_suspended_once() public {
        _report(NODE_KEY, NODE_KEY);
        _refused(NODE_KEY, NODE_KEY, abi.encodeWithSelector(ILedger.SuspendedNode.selector, STUDY, vm.addr(NODE_KEY)));
    }
}
