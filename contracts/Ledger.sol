// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {ILedger} from "./ILedger.sol";

/// @title The ledger of a Wardround consortium
/// @dev The terms of a study's open round lie in the study's own slots, which each round reuses; a round keeps two slots of its own.
///      What nothing on the chain needs to read again is in the events.
contract Ledger is ILedger, EIP712 {
    struct Study {
        bytes32 model;
        bytes32 studyDigest; // of the open round
        bytes32 commitRoot; // of the open round once it is COMMITTED; an earlier round's before
        uint64 currentRound;
        uint64 openRound;
        uint8 threshold;
        address[] nodes;
        mapping(address => uint256) position; // in `nodes`, from 1
    }

    struct Round {
        uint32 study; // position in `_studyIds`, from 1
        RoundStatus status;
        uint48 commitDeadline;
        uint48 resultDeadline;
        uint32 count;
        uint48 openedInBlock;
        bytes32 newModel;
    }

    uint256 private constant _MIN_NODES = 3;
    uint256 private constant _MAX_NODES = 16;

    bytes32 private constant _RESULT_TYPEHASH = keccak256(
        "Result(uint64 round,bytes32 studyDigest,bytes32 commitRoot,uint256 verdicts,bytes32 previousModel,bytes32 newModel,bytes32 record)"
    );

    /// @inheritdoc ILedger
    address public immutable provider;

    /// @inheritdoc ILedger
    uint256 public immutable deployedInBlock;

    /// @inheritdoc ILedger
    mapping(address => HospitalStatus) public hospitals;

    bytes32[] private _studyIds;
    mapping(bytes32 => uint32) private _studyNumber; // position in `_studyIds`, from 1
    mapping(uint32 => Study) private _studies;
    mapping(uint64 => Round) private _rounds;

    constructor() EIP712("Wardround", "1") {
        provider = msg.sender;
        deployedInBlock = block.number;
    }

    modifier onlyProvider() {
        if (msg.sender != provider) revert NotProvider(msg.sender);
        _;
    }

    /// @inheritdoc ILedger
    function registerHospital() external {
        if (hospitals[msg.sender] != HospitalStatus.UNKNOWN) revert HospitalAlreadyRegistered(msg.sender);
        hospitals[msg.sender] = HospitalStatus.REGISTERED;
        emit HospitalRegistered(msg.sender);
    }

    /// @inheritdoc ILedger
    function authoriseHospitals(address[] calldata accounts) external onlyProvider {
        for (uint256 i = 0; i < accounts.length; ++i) {
            HospitalStatus status = hospitals[accounts[i]];
            if (status != HospitalStatus.REGISTERED && status != HospitalStatus.REVOKED) {
                revert HospitalNotAuthorisable(accounts[i], status);
            }
            hospitals[accounts[i]] = HospitalStatus.AUTHORISED;
            emit HospitalAuthorised(accounts[i]);
        }
    }

    /// @inheritdoc ILedger
    function revokeHospitals(address[] calldata accounts) external onlyProvider {
        for (uint256 i = 0; i < accounts.length; ++i) {
            HospitalStatus status = hospitals[accounts[i]];
            if (status != HospitalStatus.AUTHORISED) revert HospitalNotAuthorised(accounts[i], status);
            hospitals[accounts[i]] = HospitalStatus.REVOKED;
            emit HospitalRevoked(accounts[i]);
        }
    }

    /// @inheritdoc ILedger
    function registerStudy(bytes32 studyId, address[] calldata nodes, bytes32 initialModel) external onlyProvider {
        if (_studyNumber[studyId] != 0) revert StudyAlreadyRegistered(studyId);
        if (nodes.length < _MIN_NODES || nodes.length > _MAX_NODES) revert InvalidNodeCount(nodes.length);
        if (studyId == 0 || initialModel == 0) revert ZeroDigest();

        _studyIds.push(studyId);
        uint32 number = uint32(_studyIds.length);
        _studyNumber[studyId] = number;
        Study storage study = _studies[number];
        for (uint256 i = 0; i < nodes.length; ++i) {
            if (nodes[i] == address(0) || study.position[nodes[i]] != 0) revert InvalidNode(nodes[i]);
            study.position[nodes[i]] = i + 1;
        }
        study.nodes = nodes;
        study.threshold = uint8(nodes.length / 2 + 1);
        study.model = initialModel;
        emit StudyRegistered(studyId, nodes, study.threshold, initialModel);
    }

    /// @inheritdoc ILedger
    function openRound(
        uint64 round,
        bytes32 studyId,
        bytes32 studyDigest,
        bytes32 previousModel,
        bytes32[] calldata sealingKeys,
        uint64 commitDeadline,
        uint64 resultDeadline
    ) external onlyProvider {
        uint32 number = _studyNumber[studyId];
        if (number == 0) revert UnknownStudy(studyId);
        if (round == 0 || _rounds[round].status != RoundStatus.NONE) revert InvalidRoundId(round);
        Study storage study = _studies[number];
        if (study.openRound != 0) revert RoundStillOpen(studyId, study.openRound);
        if (study.model != previousModel) revert StalePreviousModel(previousModel, study.model);
        if (studyDigest == 0) revert ZeroDigest();
        if (sealingKeys.length != study.nodes.length) revert WrongSealingKeyCount(sealingKeys.length, study.nodes.length);
        if (commitDeadline <= block.timestamp || resultDeadline <= commitDeadline || resultDeadline > type(uint48).max) {
            revert InvalidDeadlines(commitDeadline, resultDeadline, block.timestamp);
        }

        _rounds[round] = Round({
            study: number,
            status: RoundStatus.OPEN,
            commitDeadline: uint48(commitDeadline),
            resultDeadline: uint48(resultDeadline),
            count: 0,
            openedInBlock: uint48(block.number),
            newModel: 0
        });
        study.openRound = round;
        study.studyDigest = studyDigest;
        emit RoundOpened(round, studyId, studyDigest, previousModel, sealingKeys, commitDeadline, resultDeadline);
    }

    /// @inheritdoc ILedger
    function commitRound(uint64 round, bytes32 root, uint32 count) external {
        Round storage state = _rounds[round];
        _requireStatus(round, state.status, RoundStatus.OPEN);
        Study storage study = _studies[state.study];
        if (msg.sender != provider && study.position[msg.sender] == 0) {
            revert NotCommitter(_studyIds[state.study - 1], msg.sender);
        }
        _requireInTime(round, state.commitDeadline);
        if (root == 0) revert ZeroDigest();
        if (count == 0) revert EmptyCommit(round);

        state.status = RoundStatus.COMMITTED;
        state.count = count;
        study.commitRoot = root;
        emit RoundCommitted(round, root, count, msg.sender);
    }

    /// @inheritdoc ILedger
    function finaliseRound(uint64 round, uint256 verdicts, bytes32 newModel, bytes32 record, bytes[] calldata signatures) external {
        Round storage state = _rounds[round];
        _requireStatus(round, state.status, RoundStatus.COMMITTED);
        _requireInTime(round, state.resultDeadline);
        if (newModel == 0 || record == 0) revert ZeroDigest();

        Study storage study = _studies[state.study];
        bytes32 studyId = _studyIds[state.study - 1];
        bytes32 previousModel = study.model;
        uint256 signers = _signers(study, studyId, _resultDigest(study, round, verdicts, newModel, record), signatures);
        if (signatures.length < study.threshold) revert NoMajority(round, signatures.length, study.threshold);

        state.status = RoundStatus.FINALISED;
        state.newModel = newModel;
        study.model = newModel;
        study.currentRound = round;
        study.openRound = 0;
        emit RoundFinalised(round, studyId, verdicts, previousModel, newModel, record, uint16(signers));
    }

    /// @inheritdoc ILedger
    function abortRound(uint64 round) external {
        Round storage state = _rounds[round];
        RoundStatus status = state.status;
        if (status != RoundStatus.OPEN && status != RoundStatus.COMMITTED) revert WrongStatus(round, status, RoundStatus.OPEN);
        uint64 deadline = status == RoundStatus.OPEN ? state.commitDeadline : state.resultDeadline;
        if (block.timestamp <= deadline) revert DeadlineNotPassed(round, deadline, block.timestamp);

        state.status = RoundStatus.ABORTED;
        _studies[state.study].openRound = 0;
        emit RoundAborted(round, _studyIds[state.study - 1], status);
    }

    /// @inheritdoc ILedger
    function studies(bytes32 studyId)
        external
        view
        returns (address[] memory nodes, uint8 threshold, bytes32 currentModel, uint64 currentRound, uint64 openRoundId)
    {
        Study storage study = _studies[_studyNumber[studyId]];
        return (study.nodes, study.threshold, study.model, study.currentRound, study.openRound);
    }

    /// @inheritdoc ILedger
    function rounds(uint64 round)
        external
        view
        returns (
            bytes32 studyId,
            RoundStatus status,
            uint64 commitDeadline,
            uint64 resultDeadline,
            uint32 count,
            uint64 openedInBlock,
            bytes32 newModel
        )
    {
        Round storage state = _rounds[round];
        studyId = state.study == 0 ? bytes32(0) : _studyIds[state.study - 1];
        return (studyId, state.status, state.commitDeadline, state.resultDeadline, state.count, state.openedInBlock, state.newModel);
    }

    /// @inheritdoc ILedger
    function verifyModel(uint64 round, bytes32 newModel) external view returns (bool) {
        return _rounds[round].status == RoundStatus.FINALISED && _rounds[round].newModel == newModel;
    }

    /// @inheritdoc ILedger
    function verifyCommit(bytes32 root, bytes32 manifest, bytes32[] calldata proof) external pure returns (bool) {
        return MerkleProof.verifyCalldata(proof, root, keccak256(bytes.concat(keccak256(abi.encode(manifest)))));
    }

    /// @dev What the nodes sign; the study digest, commit root and previous model are the chain's own, never the sender's.
    function _resultDigest(Study storage study, uint64 round, uint256 verdicts, bytes32 newModel, bytes32 record)
        private
        view
        returns (bytes32)
    {
        bytes memory result =
            abi.encode(_RESULT_TYPEHASH, round, study.studyDigest, study.commitRoot, verdicts, study.model, newModel, record);
        return _hashTypedDataV4(keccak256(result));
    }

    /// @dev Bitmap of the nodes that signed `digest`; reverts on any other signer and on a node that stands twice.
    function _signers(Study storage study, bytes32 studyId, bytes32 digest, bytes[] calldata signatures)
        private
        view
        returns (uint256 signers)
    {
        for (uint256 i = 0; i < signatures.length; ++i) {
            address signer = ECDSA.recover(digest, signatures[i]);
            uint256 position = study.position[signer];
            if (position == 0) revert NotANode(studyId, signer);
            uint256 bit = 1 << (position - 1);
            if (signers & bit != 0) revert DuplicateSigner(signer);
            signers |= bit;
        }
    }

    function _requireStatus(uint64 round, RoundStatus got, RoundStatus wanted) private pure {
        if (got != wanted) revert WrongStatus(round, got, wanted);
    }

    function _requireInTime(uint64 round, uint64 deadline) private view {
        if (block.timestamp > deadline) revert DeadlinePassed(round, deadline, block.timestamp);
    }
}
