// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILedger} from "../ILedger.sol";

/// @dev What these tests use of forge's cheat codes.
interface Vm {
    function addr(uint256 key) external pure returns (address);
    function assume(bool condition) external pure;
    function chainId(uint256 id) external;
    function expectEmit(address emitter) external;
    function expectRevert(bytes calldata data) external;
    function expectPartialRevert(bytes4 selector) external;
    function parseJsonBytes(string calldata json, string calldata key) external pure returns (bytes memory);
    function prank(address sender) external;
    function readFile(string calldata path) external view returns (string memory);
    function signCompact(uint256 key, bytes32 digest) external pure returns (bytes32 r, bytes32 vs);
    function snapshotGasLastCall(string calldata name) external returns (uint256);
    function warp(uint256 time) external;
}

interface IOwnable {
    function acceptOwnership() external;
    function owner() external view returns (address);
    function pendingOwner() external view returns (address);
    function renounceOwnership() external;
    function transferOwnership(address successor) external;
}

/// @dev A result as a node signs it.
struct Result {
    uint64 round;
    bytes32 studyDigest;
    bytes32 commitRoot;
    uint256 verdicts;
    bytes32 previousModel;
    bytes32 newModel;
    bytes32 record;
}

/// @dev The committed build with one study of three nodes; this contract is its provider.
abstract contract Base {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    bytes32 internal constant STUDY = keccak256("study");
    bytes32 internal constant INITIAL = bytes32(uint256(0x10) << 248 | 1);
    bytes32 internal constant DIGEST = bytes32(uint256(0x20) << 248 | 1);
    bytes32 internal constant KEYS = bytes32(uint256(0x25) << 248 | 1);
    bytes32 internal constant ROOT = bytes32(uint256(0x30) << 248 | 1);
    bytes32 internal constant MODEL = bytes32(uint256(0x40) << 248 | 1);
    bytes32 internal constant REST = bytes32(uint256(0x28) << 248 | 1);
    bytes32 internal constant REASON = "target";
    bytes32 internal constant EVIDENCE = bytes32(uint256(0x60) << 248 | 1);
    bytes32 internal constant RECORD = bytes32(uint256(0x50) << 248 | 1);
    uint256 internal constant VERDICTS = 23;
    uint256 internal constant NODE_KEY = 1000;
    uint256 internal constant STRANGER_KEY = 7;

    ILedger internal ledger;
    address internal stranger = vm.addr(STRANGER_KEY);

    bytes32 private constant _RESULT = keccak256(
        "Result(uint64 round,bytes32 studyDigest,bytes32 commitRoot,uint256 verdicts,bytes32 previousModel,bytes32 newModel,bytes32 record)"
    );

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        ledger = deployed();
        ledger.registerStudy(STUDY, nodes(3), INITIAL);
    }

    // ------------------------------------------------------------------- makers

    function deployed() internal returns (ILedger made) {
        bytes memory code = vm.parseJsonBytes(vm.readFile("contracts/abi/Ledger.json"), ".bytecode");
        assembly {
            made := create(0, add(code, 32), mload(code))
        }
        require(address(made) != address(0), "the committed build does not deploy");
    }

    function nodes(uint256 count) internal pure returns (address[] memory found) {
        found = new address[](count);
        for (uint256 i = 0; i < count; ++i) {
            found[i] = vm.addr(NODE_KEY + i);
        }
    }

    function one(address account) internal pure returns (address[] memory found) {
        found = new address[](1);
        found[0] = account;
    }

    function commitDeadline() internal view returns (uint32) {
        return uint32(block.timestamp + 600);
    }

    function open(uint64 round, bytes32 previous) internal returns (ILedger.Terms memory) {
        uint32 end = uint32(block.timestamp + 1200);
        ledger.openRound(round, STUDY, DIGEST, previous, KEYS, commitDeadline(), end);
        return ILedger.Terms(DIGEST, previous, end);
    }

    /// @dev Open a round of a study of two hospitals, which may commit directly to it.
    function openFor(uint64 round, bytes32 previous, address one_, address other) internal returns (ILedger.Terms memory) {
        uint32 end = uint32(block.timestamp + 1200);
        bytes32 digest = sha256(abi.encode(pair(leaf(one_), leaf(other)), REST));
        ledger.openRound(round, STUDY, digest, previous, KEYS, commitDeadline(), end);
        return ILedger.Terms(digest, previous, end);
    }

    /// @dev What shows that `account` is a hospital of a study whose only other one is `other`.
    function membership(address account, address other) internal pure returns (ILedger.Membership memory shown) {
        shown = ILedger.Membership(account, REST, new bytes32[](1));
        shown.proof[0] = leaf(other);
    }

    function leaf(address account) internal pure returns (bytes32) {
        return leaf(bytes32(uint256(uint160(account))));
    }

    function leaf(bytes32 value) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(value))));
    }

    function pair(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return left < right ? keccak256(abi.encode(left, right)) : keccak256(abi.encode(right, left));
    }

    function committed(uint64 round, bytes32 previous) internal returns (ILedger.Terms memory terms) {
        terms = open(round, previous);
        ledger.commitRound(round, ROOT);
    }

    function outcome(bytes32 model) internal pure returns (ILedger.Outcome memory) {
        return ILedger.Outcome(VERDICTS, model, RECORD);
    }

    function result(uint64 round, bytes32 model) internal pure returns (Result memory) {
        return Result(round, DIGEST, ROOT, VERDICTS, INITIAL, model, RECORD);
    }

    function finalise(uint64 round, ILedger.Terms memory terms, bytes32 model) internal {
        Result memory signed = result(round, model);
        signed.previousModel = terms.previousModel;
        ledger.finaliseRound(round, terms, ROOT, outcome(model), signatures(hashOf(signed), 2));
    }

    function register(uint256 key) internal returns (address hospital) {
        hospital = vm.addr(key);
        vm.prank(hospital);
        ledger.registerHospital();
    }

    function authorised(uint256 key) internal returns (address hospital) {
        hospital = register(key);
        ledger.authoriseHospitals(one(hospital));
    }

    // ----------------------------------------------------------------- signing

    function typed(bytes32 structHash) internal view returns (bytes32) {
        return typedFor(structHash, block.chainid, address(ledger));
    }

    function typedFor(bytes32 structHash, uint256 chainId, address verifying) internal pure returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Wardround"),
                keccak256("1"),
                chainId,
                verifying
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    function structOf(Result memory signed) internal pure returns (bytes32) {
        return keccak256(abi.encode(_RESULT, signed));
    }

    function abortHash(uint64 round, ILedger.Terms memory terms, bytes32 root, ILedger.Cause memory cause)
        internal
        view
        returns (bytes32)
    {
        bytes32 kind = keccak256(
            "Abort(uint64 round,bytes32 studyDigest,bytes32 commitRoot,bytes32 previousModel,bytes32 reason,address[] blamed)"
        );
        bytes32 blamed = keccak256(abi.encodePacked(cause.blamed));
        return typed(keccak256(abi.encode(kind, round, terms.studyDigest, root, terms.previousModel, cause.reason, blamed)));
    }

    function hashOf(Result memory signed) internal view returns (bytes32) {
        return typed(structOf(signed));
    }

    function releaseHash(uint32 change, address hospital) internal view returns (bytes32) {
        return typed(keccak256(abi.encode(keccak256("Release(bytes32 studyId,uint32 change,address hospital)"), STUDY, change, hospital)));
    }

    function nodeSetHash(uint32 change, address[] memory next) internal view returns (bytes32) {
        bytes32 listed = keccak256(abi.encodePacked(next));
        return typed(keccak256(abi.encode(keccak256("NodeSet(bytes32 studyId,uint32 change,address[] nodes)"), STUDY, change, listed)));
    }

    function nodeKeyHash(uint32 change, address previous, address next) internal view returns (bytes32) {
        bytes32 kind = keccak256("NodeKey(bytes32 studyId,uint32 change,address previous,address next)");
        return typed(keccak256(abi.encode(kind, STUDY, change, previous, next)));
    }

    function conclusionHash(uint64 round, bytes32 reason, bytes32 evidence) internal view returns (bytes32) {
        bytes32 kind = keccak256("Conclusion(uint64 round,bytes32 reason,bytes32 evidence)");
        return typed(keccak256(abi.encode(kind, round, reason, evidence)));
    }

    function conclude(uint64 round, uint256 signers) internal {
        ledger.concludeWith(round, REASON, EVIDENCE, signatures(conclusionHash(round, REASON, EVIDENCE), signers));
    }

    function hospitalKeyHash(address previous, address next) internal view returns (bytes32) {
        return typed(keccak256(abi.encode(keccak256("HospitalKey(address previous,address next)"), previous, next)));
    }

    function sign(uint256 key, bytes32 digest) internal pure returns (ILedger.Signature memory signature) {
        (signature.r, signature.vs) = vm.signCompact(key, digest);
    }

    /// @dev Signatures of the first `count` nodes.
    function signatures(bytes32 digest, uint256 count) internal pure returns (ILedger.Signature[] memory found) {
        found = new ILedger.Signature[](count);
        for (uint256 i = 0; i < count; ++i) {
            found[i] = sign(NODE_KEY + i, digest);
        }
    }

    // --------------------------------------------------------------- assertions

    function equal(uint256 got, uint256 wanted) internal pure {
        require(got == wanted, "numbers differ");
    }

    function equal(bytes32 got, bytes32 wanted) internal pure {
        require(got == wanted, "words differ");
    }

    function equal(address got, address wanted) internal pure {
        require(got == wanted, "addresses differ");
    }

    function statusIs(uint64 round, ILedger.RoundStatus wanted) internal view {
        (, ILedger.RoundStatus got,,,) = ledger.rounds(round);
        require(got == wanted, "the round has another status");
    }

    function hospitalIs(address hospital, ILedger.HospitalStatus wanted) internal view {
        require(ledger.hospitals(hospital) == wanted, "the hospital has another status");
    }

    function currentRound() internal view returns (uint64 current) {
        (,,,,, current,) = ledger.studies(STUDY);
    }
}
