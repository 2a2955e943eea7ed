// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILedger} from "../ILedger.sol";
import {Base, Result} from "./Base.sol";

contract FuzzTest is Base {
    function testFuzz_only_the_signed_outcome_counts(uint256 verdicts, bytes32 model, bytes32 record, uint8 field, uint256 flip) public {
        vm.assume(model != 0 && record != 0 && flip != 0);
        ILedger.Terms memory terms = committed(1, INITIAL);
        Result memory signed = Result(1, DIGEST, ROOT, verdicts, INITIAL, model, record);
        ILedger.Signature[] memory all = signatures(hashOf(signed), 3);
        ILedger.Outcome memory other = ILedger.Outcome(verdicts, model, record);
        if (field % 3 == 0) other.verdicts ^= flip;
        if (field % 3 == 1) other.newModel ^= bytes32(flip);
        if (field % 3 == 2) other.record ^= bytes32(flip);
        try ledger.finaliseRound(1, terms, ROOT, other, all) {
            revert("an outcome counted that nobody signed");
        } catch {}
        ledger.finaliseRound(1, terms, ROOT, ILedger.Outcome(verdicts, model, record), all);
        require(ledger.verifyModel(1, model), "it does not vouch for the model");
    }

    function testFuzz_any_majority_counts_and_no_minority(uint8 nodeCount, uint16 chosen) public {
        uint256 count = 3 + nodeCount % 14;
        bytes32 study = keccak256("fuzzed");
        ledger.registerStudy(study, nodes(count), INITIAL);
        uint32 end = commitDeadline() + 10;
        ledger.openRound(1, study, DIGEST, INITIAL, KEYS, end - 10, end);
        ledger.commitRound(1, ROOT);
        ILedger.Signature[] memory signed = new ILedger.Signature[](count);
        uint256 signers = 0;
        for (uint256 i = 0; i < count; ++i) {
            if (chosen >> i & 1 == 1) signed[signers++] = sign(NODE_KEY + i, hashOf(result(1, MODEL)));
        }
        assembly {
            mstore(signed, signers)
        }
        try ledger.finaliseRound(1, ILedger.Terms(DIGEST, INITIAL, end), ROOT, outcome(MODEL), signed) {
            require(signers * 2 > count, "a minority decided");
        } catch {
            require(signers * 2 <= count, "a majority was refused");
        }
    }

    function testFuzz_terms_are_those_frozen(bytes32 digest, bytes32 previous, uint32 end, bytes32 root) public {
        ILedger.Terms memory terms = committed(1, INITIAL);
        bool same = digest == terms.studyDigest && previous == terms.previousModel && end == terms.resultDeadline && root == ROOT;
        require(ledger.verifyTerms(1, ILedger.Terms(digest, previous, end), root) == same, "other terms were taken");
    }

    function testFuzz_a_round_opens_on_its_models_own_hash(bytes32 model, uint256 flip) public {
        vm.assume(model != 0 && flip != 0);
        finalise(1, committed(1, INITIAL), model);
        uint32 end = commitDeadline() + 10;
        bytes32 other = model ^ bytes32(flip);
        vm.expectRevert(abi.encodeWithSelector(ILedger.StalePreviousModel.selector, other));
        ledger.openRound(2, STUDY, DIGEST, other, KEYS, end - 10, end);
        open(2, model);
    }
}

/// @dev Does to the ledger what anybody could try, in any order, and remembers what was decided.
contract Actor is Base {
    uint64 public last;
    bytes32 public current = INITIAL;
    uint64[] public finalised;
    bytes32[] public models;
    uint256 public broken; // what the ledger took and must not have; a revert here would undo it, unseen
    mapping(uint64 => bytes32) public rootOf;
    ILedger.Terms private _terms;

    function setUp() public override {
        if (address(ledger) == address(0)) super.setUp();
    }

    function target() external view returns (ILedger) {
        return ledger;
    }

    function count() external view returns (uint256) {
        return finalised.length;
    }

    function openNext(uint8 gap, bool stale) external {
        uint64 round = last + 1 + gap;
        uint32 end = uint32(block.timestamp + 1200);
        bytes32 previous = stale ? RECORD : current;
        ledger.openRound(round, STUDY, DIGEST, previous, KEYS, uint32(block.timestamp + 600), end);
        if (stale) ++broken;
        last = round;
        _terms = ILedger.Terms(DIGEST, previous, end);
    }

    function commitLast(bytes32 root) external {
        ledger.commitRound(last, root);
        rootOf[last] = root;
    }

    function finaliseLast(uint256 model, uint8 signers, bool again) external {
        bytes32 made = bytes32(model | 1);
        uint64 round = again && finalised.length > 0 ? finalised[model % finalised.length] : last;
        Result memory signed = Result(round, DIGEST, rootOf[round], VERDICTS, _terms.previousModel, made, RECORD);
        ledger.finaliseRound(round, _terms, rootOf[round], outcome(made), signatures(hashOf(signed), signers % 4));
        if (signers % 4 < 2) ++broken;
        finalised.push(round);
        models.push(made);
        current = made;
    }

    function abortLast() external {
        ledger.abortRound(last, _terms, rootOf[last]);
    }

    function abortByNodes(uint8 signers) external {
        ILedger.Cause memory cause = ILedger.Cause("engine_failed", new address[](0));
        ILedger.Signature[] memory signed = signatures(abortHash(last, _terms, rootOf[last], cause), signers % 4);
        ledger.abortRoundByNodes(last, _terms, rootOf[last], cause, signed);
        if (signers % 4 < 2) ++broken;
    }

    function wait_(uint16 time) external {
        vm.warp(block.timestamp + time);
    }

    function reuse(uint8 index) external {
        if (finalised.length == 0) return;
        ledger.openRound(finalised[index % finalised.length], STUDY, DIGEST, current, KEYS, uint32(block.timestamp + 1), uint32(block.timestamp + 11));
        ++broken;
    }

    function seize(bool alone) external {
        address[] memory mine = nodes(3);
        mine[0] = vm.addr(STRANGER_KEY);
        ledger.changeNodes(STUDY, mine, signatures(nodeSetHash(1, mine), alone ? 1 : 0));
        ++broken;
    }
}

contract InvariantsTest is Base {
    Actor private _actor;

    function setUp() public override {
        _actor = new Actor();
        _actor.setUp();
        ledger = _actor.target();
    }

    function targetContracts() public view returns (address[] memory) {
        return one(address(_actor));
    }

    function invariant_a_finalised_round_never_changes() public view {
        for (uint256 i = 0; i < _actor.count(); ++i) {
            statusIs(_actor.finalised(i), ILedger.RoundStatus.FINALISED);
            require(ledger.verifyModel(_actor.finalised(i), _actor.models(i)), "a finalised round has another model");
        }
    }

    function invariant_a_model_is_current_only_by_a_majority() public view {
        uint256 ended = _actor.count();
        equal(currentRound(), ended == 0 ? 0 : _actor.finalised(ended - 1));
    }

    function invariant_nothing_is_taken_that_must_not_be() public view {
        equal(_actor.broken(), 0);
    }

    function invariant_rounds_form_one_chain_of_hashes() public {
        // Whatever happened: only the current model is one that a round can start from.
        (,,,,,, uint64 running) = ledger.studies(STUDY);
        if (running != 0) return;
        uint64 next = _actor.last() + 1000;
        uint32 end = uint32(block.timestamp + 11);
        bytes32 current = _actor.current();
        vm.prank(address(_actor));
        try ledger.openRound(next, STUDY, DIGEST, bytes32(uint256(2)), KEYS, end - 10, end) {
            revert("a round started from a model that no round made");
        } catch {}
        vm.prank(address(_actor));
        ledger.openRound(next, STUDY, DIGEST, current, KEYS, end - 10, end);
    }
}

/// @dev Two hospitals of a study and one of another, who commit directly in any order, under each key that they ever had.
contract Crowd is Base {
    uint256 private constant _HOSPITALS = 3;
    uint256 private constant _KEYS = 1 << 16;

    ILedger.Terms public terms;
    uint32 public deadline;
    uint256 public taken; // direct commits that the ledger took
    uint256 public foreign; // of these, ones by the hospital of another study, or as another hospital
    uint256[_HOSPITALS] private _moves; // keys that each hospital moved on from

    function setUp() public override {
        if (address(ledger) != address(0)) return;
        super.setUp();
        for (uint256 i = 0; i < _HOSPITALS; ++i) {
            authorised(_key(i, 0));
        }
        deadline = commitDeadline();
        terms = openFor(1, INITIAL, _named(0), _named(1));
    }

    function target() external view returns (ILedger) {
        return ledger;
    }

    function moveOn(uint8 who) external {
        uint256 i = who % _HOSPITALS;
        (uint256 from, uint256 to) = (_key(i, _moves[i]), _key(i, _moves[i] + 1));
        ILedger.Signature memory signature = sign(to, hospitalKeyHash(vm.addr(from), vm.addr(to)));
        vm.prank(vm.addr(from));
        ledger.rotateHospitalKey(vm.addr(to), signature);
        ++_moves[i];
    }

    function commitAs(uint8 who, uint8 age, uint8 claimed) external {
        uint256 i = who % _HOSPITALS;
        address sender = vm.addr(_key(i, age % (_moves[i] + 1)));
        uint256 member = claimed % _HOSPITALS;
        vm.prank(sender);
        ledger.commit(1, terms, keccak256(abi.encode(i)), membership(_named(member), _named(member == 0 ? 1 : 0)));
        ++taken;
        if (i == 2 || i != member) ++foreign;
    }

    function wait_(uint8 time) external {
        vm.warp(block.timestamp + time);
    }

    function _named(uint256 i) private pure returns (address) {
        return vm.addr(_key(i, 0));
    }

    function _key(uint256 i, uint256 age) private pure returns (uint256) {
        return _KEYS * (i + 1) + age;
    }
}

contract DirectCommitInvariantsTest is Base {
    Crowd private _crowd;

    function setUp() public override {
        _crowd = new Crowd();
        _crowd.setUp();
        ledger = _crowd.target();
    }

    function targetContracts() public view returns (address[] memory) {
        return one(address(_crowd));
    }

    function invariant_no_more_commit_directly_than_the_study_has_hospitals() public view {
        (,,, uint8 direct,) = ledger.rounds(1);
        equal(direct, _crowd.taken());
        require(direct <= 2, "a hospital committed twice");
        equal(_crowd.foreign(), 0);
    }

    function invariant_whoever_commits_directly_the_round_ends() public {
        (bytes32 digest, bytes32 previous, uint32 end) = _crowd.terms();
        vm.warp(_crowd.deadline() + 61);
        ledger.abortRound(1, ILedger.Terms(digest, previous, end), 0);
    }
}

contract GasTest is Base {
    function test_gas_of_every_step() public {
        ILedger.Terms memory terms = committed(1, INITIAL);
        finalise(1, terms, MODEL);
        open(2, MODEL);
        vm.snapshotGasLastCall("openRound");
        ledger.commitRound(2, ROOT);
        vm.snapshotGasLastCall("commitRound");
        Result memory signed = result(2, RECORD);
        signed.previousModel = MODEL;
        terms.previousModel = MODEL;
        ledger.finaliseRound(2, terms, ROOT, outcome(RECORD), signatures(hashOf(signed), 2));
        vm.snapshotGasLastCall("finaliseRound");
        register(31);
        vm.snapshotGasLastCall("registerHospital");
        ledger.authoriseHospitals(one(vm.addr(31)));
        vm.snapshotGasLastCall("authoriseHospitals of one");
        terms = openFor(3, RECORD, vm.addr(31), stranger);
        vm.prank(vm.addr(31));
        ledger.commit(3, terms, ROOT, membership(vm.addr(31), stranger));
        vm.snapshotGasLastCall("commit");
        vm.warp(block.timestamp + 661);
        ledger.abortRound(3, terms, 0);
        vm.snapshotGasLastCall("abortRound");
        terms = committed(4, RECORD);
        ILedger.Cause memory cause = ILedger.Cause("too_few_accepted", one(vm.addr(31)));
        ledger.abortRoundByNodes(4, terms, ROOT, cause, signatures(abortHash(4, terms, ROOT, cause), 2));
        vm.snapshotGasLastCall("abortRoundByNodes");
        ledger.releaseHospital(STUDY, stranger, signatures(releaseHash(1, stranger), 2));
        vm.snapshotGasLastCall("releaseHospital");
        address[] memory next = nodes(4);
        ledger.changeNodes(STUDY, next, signatures(nodeSetHash(2, next), 2));
        vm.snapshotGasLastCall("changeNodes to four");
        ledger.continueRound(keccak256("next"), next, 2, RECORD);
        vm.snapshotGasLastCall("continueRound by four");
    }
}
