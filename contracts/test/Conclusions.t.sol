// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILedger} from "../ILedger.sol";
import {Base} from "./Base.sol";

contract ConclusionsTest is Base {
    function setUp() public override {
        super.setUp();
        finalise(1, committed(1, INITIAL), MODEL);
    }

    function concludes(uint64 round) private view returns (bool told) {
        (,,,, told) = ledger.rounds(round);
    }

    function test_a_majority_concludes_the_study_of_its_current_round() public {
        require(!concludes(1), "nobody concluded it yet");
        vm.expectEmit(address(ledger));
        emit ILedger.StudyConcluded(1, STUDY, REASON, EVIDENCE, 3);
        vm.prank(stranger); // what counts are the signatures
        conclude(1, 2);
        require(concludes(1), "the round does not say so");
        statusIs(1, ILedger.RoundStatus.FINALISED);
        require(ledger.verifyModel(1, MODEL), "the model is vouched for as before");
        equal(currentRound(), 1);
    }

    function test_no_round_opens_any_more() public {
        conclude(1, 2);
        vm.expectRevert(abi.encodeWithSelector(ILedger.AlreadyConcluded.selector, STUDY, 1));
        open(2, MODEL);
    }

    function test_an_aborted_round_in_between_changes_nothing() public {
        ILedger.Terms memory terms = committed(2, MODEL);
        vm.warp(terms.resultDeadline + 1);
        ledger.abortRound(2, terms, ROOT);
        conclude(1, 2);
        vm.expectRevert(abi.encodeWithSelector(ILedger.AlreadyConcluded.selector, STUDY, 1));
        open(3, MODEL);
    }

    function test_another_study_goes_on_from_it() public {
        conclude(1, 2);
        bytes32 next = keccak256("next");
        ledger.continueRound(next, nodes(3), 1, MODEL);
        ledger.openRound(2, next, DIGEST, MODEL, KEYS, commitDeadline(), uint32(block.timestamp + 1200));
        statusIs(2, ILedger.RoundStatus.OPEN);
    }

    function test_the_nodes_still_release_hospitals_and_change_keys() public {
        conclude(1, 2);
        ledger.releaseHospital(STUDY, vm.addr(1), signatures(releaseHash(1, vm.addr(1)), 2));
    }

    function test_one_node_or_the_provider_alone_concludes_nothing() public {
        ILedger.Signature[] memory signed = signatures(conclusionHash(1, REASON, EVIDENCE), 1);
        vm.expectRevert(abi.encodeWithSelector(ILedger.NoMajority.selector, STUDY, 1, 2));
        ledger.concludeWith(1, REASON, EVIDENCE, signed);
        vm.expectRevert(abi.encodeWithSelector(ILedger.NoMajority.selector, STUDY, 0, 2));
        ledger.concludeWith(1, REASON, EVIDENCE, new ILedger.Signature[](0));
    }

    function test_what_was_signed_for_another_reason_or_round_does_not_count() public {
        ILedger.Signature[] memory signed = signatures(conclusionHash(1, "patience", EVIDENCE), 2);
        vm.expectPartialRevert(ILedger.NotANode.selector);
        ledger.concludeWith(1, REASON, EVIDENCE, signed);
        finalise(2, committed(2, MODEL), RECORD);
        signed = signatures(conclusionHash(1, REASON, EVIDENCE), 2);
        vm.expectPartialRevert(ILedger.NotANode.selector);
        ledger.concludeWith(2, REASON, EVIDENCE, signed);
    }

    function test_only_the_current_round_concludes_a_study() public {
        finalise(2, committed(2, MODEL), RECORD);
        ILedger.Signature[] memory signed = signatures(conclusionHash(1, REASON, EVIDENCE), 2);
        vm.expectRevert(abi.encodeWithSelector(ILedger.NotCurrent.selector, 1, 2));
        ledger.concludeWith(1, REASON, EVIDENCE, signed);
    }

    function test_not_while_a_round_is_open() public {
        open(2, MODEL);
        ILedger.Signature[] memory signed = signatures(conclusionHash(1, REASON, EVIDENCE), 2);
        vm.expectRevert(abi.encodeWithSelector(ILedger.RoundStillOpen.selector, STUDY, 2));
        ledger.concludeWith(1, REASON, EVIDENCE, signed);
    }

    function test_a_study_is_concluded_once() public {
        conclude(1, 2);
        ILedger.Signature[] memory signed = signatures(conclusionHash(1, REASON, EVIDENCE), 2);
        vm.expectRevert(abi.encodeWithSelector(ILedger.AlreadyConcluded.selector, STUDY, 1));
        ledger.concludeWith(1, REASON, EVIDENCE, signed);
    }

    function test_it_says_why_and_by_what() public {
        ILedger.Signature[] memory signed = signatures(conclusionHash(1, 0, EVIDENCE), 2);
        vm.expectRevert(abi.encodeWithSelector(ILedger.ZeroDigest.selector));
        ledger.concludeWith(1, 0, EVIDENCE, signed);
        signed = signatures(conclusionHash(1, REASON, 0), 2);
        vm.expectRevert(abi.encodeWithSelector(ILedger.ZeroDigest.selector));
        ledger.concludeWith(1, REASON, 0, signed);
    }

    function test_a_round_that_was_never_opened_concludes_nothing() public {
        vm.expectRevert(abi.encodeWithSelector(ILedger.UnknownStudy.selector, bytes32(0)));
        ledger.concludeWith(9, REASON, EVIDENCE, new ILedger.Signature[](0));
    }
}
