// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {HospitalSlot, HospitalSlots} from "./HospitalSlot.sol";
import {ILedger} from "./ILedger.sol";
import {RoundSlot, RoundSlots} from "./RoundSlot.sol";

/// @title The ledger of a Wardround consortium
/// @dev A round writes its own slot in each transaction, and one slot of its study at opening only: a study's open round is its last one
///      unless that has ended, and its current round is the last one if that is finalised, else the one before.
contract Ledger is ILedger, EIP712, Ownable2Step {
    struct Head {
        address provider; // a copy of `owner()`, so that an opening reads one slot of the study and none beside it
        uint40 lastRound;
        uint40 previousRound; // the finalised one before `lastRound`; 0: none
        uint16 number; // from 1; 0: no such study
    }

    struct Study {
        Head head;
        bytes32 initialModel;
        uint8 nodeCount;
        uint32 epoch;
        uint32 changes;
        uint40 continued; // the round of another study whose model is the initial one; 0: none
        address[] nodes;
    }

    struct Seat {
        uint8 number; // position among the study's nodes, from 1; 0: not a node
        uint8 threshold; // how many of the study's nodes decide
        bool suspended;
    }

    uint256 private constant _MIN_NODES = 3;
    uint256 private constant _MAX_NODES = 16;

    bytes32 private constant _RESULT_TYPEHASH = keccak256(
        "Result(uint64 round,bytes32 studyDigest,bytes32 commitRoot,uint256 verdicts,bytes32 previousModel,bytes32 newModel,bytes32 record)"
    );
    bytes32 private constant _ABORT_TYPEHASH = keccak256(
        "Abort(uint64 round,bytes32 studyDigest,bytes32 commitRoot,bytes32 previousModel,bytes32 reason,address[] blamed)"
    );
    bytes32 private constant _CONCLUSION_TYPEHASH = keccak256("Conclusion(uint64 round,bytes32 reason,bytes32 evidence)");
    bytes32 private constant _NODE_SET_TYPEHASH = keccak256("NodeSet(bytes32 studyId,uint32 change,address[] nodes)");
    bytes32 private constant _NODE_KEY_TYPEHASH = keccak256("NodeKey(bytes32 studyId,uint32 change,address previous,address next)");
    bytes32 private constant _RELEASE_TYPEHASH = keccak256("Release(bytes32 studyId,uint32 change,address hospital)");
    bytes32 private constant _HOSPITAL_KEY_TYPEHASH = keccak256("HospitalKey(address previous,address next)");

    /// @inheritdoc ILedger
    uint256 public immutable deployedInBlock;

    mapping(address => HospitalSlot) private _hospitals;

    bytes32[] private _studyIds; // a study's number is its position, from 1
    mapping(bytes32 => Study) private _studies;
    mapping(uint16 => mapping(address => Seat)) private _seats;
    mapping(uint64 => RoundSlot) private _rounds;
    mapping(uint64 => mapping(address => bytes32)) private _directCommits;

    constructor() EIP712("Wardround", "1") Ownable(msg.sender) {
        deployedInBlock = block.number;
    }

    // ---------------------------------------------------------------- hospitals

    /// @inheritdoc ILedger
    function registerHospital() external {
        _requireUnknown(msg.sender);
        _hospitals[msg.sender] = HospitalSlots.registered();
        emit HospitalRegistered(msg.sender);
    }

    /// @inheritdoc ILedger
    function authoriseHospitals(address[] calldata accounts) external onlyOwner {
        for (uint256 i = 0; i < accounts.length; ++i) {
            (address first, HospitalSlot slot, HospitalStatus status) = _hospital(accounts[i]);
            if (status != HospitalStatus.REGISTERED && status != HospitalStatus.REVOKED) {
                revert HospitalNotAuthorisable(accounts[i], status);
            }
            _hospitals[first] = slot.withStatus(HospitalStatus.AUTHORISED);
        }
        emit HospitalsAuthorised(accounts);
    }

    /// @inheritdoc ILedger
    function revokeHospitals(address[] calldata accounts) external onlyOwner {
        for (uint256 i = 0; i < accounts.length; ++i) {
            (address first, HospitalSlot slot) = _authorised(accounts[i]);
            _hospitals[first] = slot.withStatus(HospitalStatus.REVOKED);
        }
        emit HospitalsRevoked(accounts);
    }

    /// @inheritdoc ILedger
    function rotateHospitalKey(address next, Signature calldata signature) external {
        (address first, HospitalSlot slot, HospitalStatus status) = _hospital(msg.sender);
        if (status != HospitalStatus.REGISTERED && status != HospitalStatus.AUTHORISED) revert HospitalKeyNotRotatable(msg.sender, status);
        _requireUnknown(next);
        address signer = _signer(_hashTypedDataV4(keccak256(abi.encode(_HOSPITAL_KEY_TYPEHASH, msg.sender, next))), signature);
        if (signer != next) revert WrongKeySignature(next, signer);
        _hospitals[first] = slot.withPresent(next);
        _hospitals[next] = HospitalSlots.later(first);
        emit HospitalKeyRotated(msg.sender, next);
    }

    // ------------------------------------------------------------------ studies

    /// @inheritdoc ILedger
    function registerStudy(bytes32 studyId, address[] calldata nodes, bytes32 initialModel) external onlyOwner {
        _register(studyId, nodes, initialModel);
    }

    /// @inheritdoc ILedger
    function continueRound(bytes32 studyId, address[] calldata nodes, uint64 round, bytes32 model) external onlyOwner {
        RoundSlot slot = _rounds[round];
        if (slot.status() != RoundStatus.FINALISED) revert WrongStatus(round, slot.status(), RoundStatus.FINALISED);
        if (!slot.hasAnchor(RoundSlots.ending(model))) revert StalePreviousModel(model);
        _requireMajorityStays(slot.study(), nodes);
        _studies[studyId].continued = uint40(round); // no larger number was ever opened
        _register(studyId, nodes, model);
        emit StudyContinues(studyId, round);
    }

    /// @inheritdoc ILedger
    function changeNodes(bytes32 studyId, address[] calldata nodes, Signature[] calldata signatures) external {
        Study storage study = _idle(studyId);
        bytes32 listed = keccak256(abi.encodePacked(nodes)); // as EIP-712 encodes an array: each element is padded to 32 bytes
        _count(study, keccak256(abi.encode(_NODE_SET_TYPEHASH, studyId, study.changes + 1, listed)), signatures);

        address[] memory leaving = study.nodes;
        for (uint256 i = 0; i < leaving.length; ++i) {
            delete _seats[study.head.number][leaving[i]];
        }
        _setNodes(studyId, study, nodes);
    }

    /// @inheritdoc ILedger
    function rotateNodeKey(bytes32 studyId, address previous, address next, Signature[] calldata signatures) external {
        Study storage study = _idle(studyId);
        mapping(address => Seat) storage seats = _seats[study.head.number];
        Seat memory seat = seats[previous];
        if (seat.number == 0) revert InvalidNode(previous);
        if (next == address(0) || seats[next].number != 0) revert InvalidNode(next);
        _count(study, keccak256(abi.encode(_NODE_KEY_TYPEHASH, studyId, study.changes + 1, previous, next)), signatures);

        delete seats[previous];
        seats[next] = Seat(seat.number, seat.threshold, false);
        study.nodes[seat.number - 1] = next;
        ++study.epoch;
        emit NodesSet(studyId, study.epoch, study.nodes, seat.threshold);
    }

    /// @inheritdoc ILedger
    function releaseHospital(bytes32 studyId, address hospital, Signature[] calldata signatures) external {
        Study storage study = _idle(studyId);
        _count(study, keccak256(abi.encode(_RELEASE_TYPEHASH, studyId, study.changes + 1, hospital)), signatures);
        emit HospitalReleased(studyId, hospital, _currentRound(study.head, _rounds[study.head.lastRound]));
    }

    /// @inheritdoc ILedger
    function reportEquivocation(uint64 round, Decision calldata first, Decision calldata second) external {
        (bytes32 one, bytes32 other) = (_decisionHash(round, first), _decisionHash(round, second));
        address node = _signer(_hashTypedDataV4(one), first.signature);
        if (one == other || _signer(_hashTypedDataV4(other), second.signature) != node) revert NoEquivocation();
        uint16 study = _rounds[round].study();
        _requireSeat(study, node);
        _seats[study][node].suspended = true;
        emit NodeSuspended(_studyId(study), node, round);
    }

    // ------------------------------------------------------------------- rounds

    /// @inheritdoc ILedger
    function openRound(
        uint64 round,
        bytes32 studyId,
        bytes32 studyDigest,
        bytes32 previousModel,
        bytes32 keyRecords,
        uint32 commitDeadline,
        uint32 resultDeadline
    ) external {
        Study storage study = _studies[studyId];
        Head memory head = study.head;
        if (head.number == 0) revert UnknownStudy(studyId);
        if (msg.sender != head.provider) revert NotProvider(msg.sender);
        if (round == 0 || round > type(uint40).max || _rounds[round].status() != RoundStatus.NONE) revert InvalidRoundId(round);
        (uint40 current, RoundSlot slot) = _requireIdle(studyId, head);
        if (slot.concludes()) revert AlreadyConcluded(studyId, current);
        if (current == 0 ? study.initialModel != previousModel : !slot.hasAnchor(RoundSlots.ending(previousModel))) revert StalePreviousModel(previousModel);
        if (studyDigest == 0 || keyRecords == 0) revert ZeroDigest();
        if (commitDeadline <= block.timestamp || resultDeadline < commitDeadline + RoundSlots.LEAST_FOR_RESULT) {
            revert InvalidDeadlines(commitDeadline, resultDeadline, block.timestamp);
        }

        bytes32 terms = keccak256(abi.encode(studyDigest, previousModel, resultDeadline));
        _rounds[round] = RoundSlots.open(terms, commitDeadline, uint32(block.number), head.number);
        study.head = Head(head.provider, uint40(round), current, head.number);
        emit RoundOpened(round, studyId, studyDigest, previousModel, keyRecords, commitDeadline, resultDeadline);
    }

    /// @inheritdoc ILedger
    function commit(uint64 round, Terms calldata terms, bytes32 manifest, Membership calldata membership) external {
        RoundSlot slot = _requireTerms(round, _open(round), terms);
        _requireInTime(round, slot.commitDeadline());
        if (manifest == 0) revert ZeroDigest();
        address hospital = _requireMember(round, terms.studyDigest, membership);
        if (_directCommits[round][hospital] != 0) revert AlreadyCommitted(round, hospital);

        _directCommits[round][hospital] = manifest;
        _rounds[round] = slot.withDirect(slot.direct() + 1); // a study has 200 hospitals at most
        emit CommittedDirectly(round, hospital, manifest);
    }

    /// @inheritdoc ILedger
    function commitRound(uint64 round, bytes32 root) external {
        RoundSlot slot = _open(round);
        if (slot.direct() != 0) revert DirectCommitsIgnored(round, 0, slot.direct());
        _requireInTime(round, slot.commitDeadline());
        _commitRound(round, slot, root);
    }

    /// @inheritdoc ILedger
    function commitRound(uint64 round, bytes32 root, DirectCommit[] calldata included, Terms calldata terms) external {
        RoundSlot slot = _requireTerms(round, _open(round), terms);
        _requireInTime(round, slot.setDeadline(terms.resultDeadline));
        if (included.length != slot.direct()) revert DirectCommitsIgnored(round, included.length, slot.direct());
        address last = address(0); // ascending, so that none stands twice
        for (uint256 i = 0; i < included.length; ++i) {
            address hospital = included[i].hospital;
            bytes32 manifest = _directCommits[round][hospital];
            if (hospital <= last || manifest == 0 || !_isUnder(root, manifest, included[i].proof)) {
                revert DirectCommitNotUnderRoot(round, hospital);
            }
            last = hospital;
        }
        _commitRound(round, slot, root);
    }

    /// @inheritdoc ILedger
    function finaliseRound(
        uint64 round,
        Terms calldata terms,
        bytes32 root,
        Outcome calldata outcome,
        Signature[] calldata signatures
    ) external {
        RoundSlot slot = _committed(round, terms, root);
        _requireInTime(round, terms.resultDeadline);
        if (outcome.newModel == 0 || outcome.record == 0) revert ZeroDigest();
        uint256 signers = _requireMajority(slot.study(), _resultHash(round, terms, root, outcome), signatures);

        _rounds[round] = slot.with(RoundStatus.FINALISED, RoundSlots.ending(outcome.newModel));
        emit RoundFinalised(round, outcome.verdicts, outcome.newModel, outcome.record, uint16(signers));
    }

    /// @inheritdoc ILedger
    function abortRound(uint64 round, Terms calldata terms, bytes32 root) external {
        RoundSlot slot = _rounds[round];
        RoundStatus status = slot.status();
        uint256 deadline = terms.resultDeadline;
        if (status == RoundStatus.OPEN) deadline = _requireTerms(round, slot, terms).setDeadline(deadline);
        else slot = _committed(round, terms, root);
        if (block.timestamp <= deadline) revert DeadlineNotPassed(round, deadline, block.timestamp);

        _rounds[round] = slot.aborted();
        emit RoundAborted(round, status);
    }

    /// @inheritdoc ILedger
    function abortRoundByNodes(
        uint64 round,
        Terms calldata terms,
        bytes32 root,
        Cause calldata cause,
        Signature[] calldata signatures
    ) external {
        RoundSlot slot = _committed(round, terms, root);
        if (cause.reason == 0) revert ZeroDigest();
        uint256 signers = _requireMajority(slot.study(), _abortHash(round, terms, root, cause), signatures);

        _rounds[round] = slot.aborted();
        emit AbortDecided(round, cause.reason, cause.blamed, uint16(signers));
        emit RoundAborted(round, RoundStatus.COMMITTED);
    }

    /// @inheritdoc ILedger
    function concludeWith(uint64 round, bytes32 reason, bytes32 evidence, Signature[] calldata signatures) external {
        bytes32 studyId = _studyId(_rounds[round].study());
        Head memory head = _studies[studyId].head;
        if (head.number == 0) revert UnknownStudy(studyId);
        (uint40 current, RoundSlot slot) = _requireIdle(studyId, head);
        if (current != round) revert NotCurrent(round, current);
        if (slot.concludes()) revert AlreadyConcluded(studyId, round);
        if (reason == 0 || evidence == 0) revert ZeroDigest();
        bytes32 structHash = keccak256(abi.encode(_CONCLUSION_TYPEHASH, round, reason, evidence));
        uint256 signers = _requireMajority(slot.study(), structHash, signatures);

        _rounds[round] = slot.withConclusion();
        emit StudyConcluded(round, studyId, reason, evidence, uint16(signers));
    }

    // -------------------------------------------------------------------- views

    /// @inheritdoc ILedger
    function hospitals(address account) external view returns (HospitalStatus status) {
        (,, status) = _hospital(account);
    }

    /// @inheritdoc ILedger
    function keyHolder(address account) external view returns (address first, address present, HospitalStatus status) {
        HospitalSlot slot;
        (first, slot,) = _hospital(account);
        if (slot.isUnknown()) return (address(0), address(0), status);
        (present, status) = (slot.link() == address(0) ? first : slot.link(), slot.status());
    }

    /// @inheritdoc ILedger
    function provider() external view returns (address) {
        return owner();
    }

    /// @inheritdoc ILedger
    function studies(bytes32 studyId)
        external
        view
        returns (
            address[] memory nodes,
            uint8 threshold,
            uint32 epoch,
            uint32 changes,
            bytes32 initialModel,
            uint64 currentRound,
            uint64 openRoundId
        )
    {
        Study storage study = _studies[studyId];
        if (study.head.number == 0) return (nodes, 0, 0, 0, 0, 0, 0);
        Head memory head = study.head;
        RoundSlot last = _rounds[head.lastRound];
        nodes = study.nodes;
        (threshold, epoch, changes, initialModel) = (_threshold(study), study.epoch, study.changes, study.initialModel);
        (currentRound, openRoundId) = (_currentRound(head, last), _isRunning(last) ? head.lastRound : 0);
    }

    /// @inheritdoc ILedger
    function parentRound(bytes32 studyId) external view returns (uint64) {
        return _studies[studyId].continued;
    }

    /// @inheritdoc ILedger
    function isNode(bytes32 studyId, address account) external view returns (bool node, bool suspended) {
        Seat memory seat = _seats[_studies[studyId].head.number][account];
        return (seat.number != 0, seat.suspended);
    }

    /// @inheritdoc ILedger
    function rounds(uint64 round)
        external
        view
        returns (bytes32 studyId, RoundStatus status, uint32 openedInBlock, uint8 direct, bool concludes)
    {
        RoundSlot slot = _rounds[round];
        return (_studyId(slot.study()), slot.status(), slot.openedInBlock(), slot.direct(), slot.concludes());
    }

    /// @inheritdoc ILedger
    function verifyModel(uint64 round, bytes32 newModel) external view returns (bool) {
        RoundSlot slot = _rounds[round];
        return slot.status() == RoundStatus.FINALISED && slot.hasAnchor(RoundSlots.ending(newModel));
    }

    /// @inheritdoc ILedger
    function verifyTerms(uint64 round, Terms calldata terms, bytes32 root) external view returns (bool) {
        RoundSlot slot = _rounds[round];
        bytes32 hash = keccak256(abi.encode(terms));
        if (slot.status() == RoundStatus.OPEN) return slot.hasTerms(hash);
        return slot.status() == RoundStatus.COMMITTED && slot.hasAnchor(RoundSlots.commitmentOf(hash, root));
    }

    /// @inheritdoc ILedger
    function verifyCommit(bytes32 root, bytes32 manifest, bytes32[] calldata proof) external pure returns (bool) {
        return _isUnder(root, manifest, proof);
    }

    // ----------------------------------------------------------------- provider

    /// @dev Without a provider no round could ever be opened again.
    function renounceOwnership() public pure override {
        revert ProviderRequired();
    }

    /// @dev Every study follows its provider at once; the loop is as long as the list of studies, which only the provider lengthens.
    function _transferOwnership(address newOwner) internal override {
        super._transferOwnership(newOwner);
        uint256 count = _studyIds.length;
        for (uint256 i = 0; i < count; ++i) {
            _studies[_studyIds[i]].head.provider = newOwner;
        }
    }

    function _checkOwner() internal view override {
        if (msg.sender != owner()) revert NotProvider(msg.sender);
    }

    // ---------------------------------------------------------------- hospitals

    function _requireUnknown(address account) private view {
        if (!_hospitals[account].isUnknown()) revert HospitalAlreadyRegistered(account);
    }

    /// @dev The first account of the hospital of `account` with its slot, and the state of `account` itself.
    function _hospital(address account) private view returns (address first, HospitalSlot slot, HospitalStatus status) {
        (first, slot) = (account, _hospitals[account]);
        if (slot.isLater()) {
            first = slot.link();
            slot = _hospitals[first];
        }
        status = slot.link() == (first == account ? address(0) : account) ? slot.status() : HospitalStatus.RETIRED;
    }

    /// @dev The same of an account that may act for its hospital.
    function _authorised(address account) private view returns (address first, HospitalSlot slot) {
        HospitalStatus status;
        (first, slot, status) = _hospital(account);
        if (status != HospitalStatus.AUTHORISED) revert HospitalNotAuthorised(account, status);
    }

    /// @dev The caller's account in the study of this digest.
    function _requireMember(uint64 round, bytes32 studyDigest, Membership calldata membership) private view returns (address account) {
        account = membership.account;
        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(account))));
        bytes32 members = MerkleProof.processProofCalldata(membership.proof, leaf);
        (address caller,) = _authorised(msg.sender);
        (address member,,) = _hospital(account);
        if (caller != member || sha256(abi.encode(members, membership.rest)) != studyDigest) revert NotAMember(round, msg.sender);
    }

    // ------------------------------------------------------------------ studies

    function _register(bytes32 studyId, address[] calldata nodes, bytes32 initialModel) private {
        Study storage study = _studies[studyId];
        if (study.head.number != 0) revert StudyAlreadyRegistered(studyId);
        if (studyId == 0 || initialModel == 0) revert ZeroDigest();
        _studyIds.push(studyId);
        study.head = Head(msg.sender, 0, 0, SafeCast.toUint16(_studyIds.length));
        study.initialModel = initialModel;
        emit StudyRegistered(studyId, initialModel);
        _setNodes(studyId, study, nodes);
    }

    /// @dev `nodes` hold a majority of all present nodes of the study of this number; each counts once, or `_setNodes` reverts.
    function _requireMajorityStays(uint16 number, address[] calldata nodes) private view {
        uint256 stay = 0;
        for (uint256 i = 0; i < nodes.length; ++i) {
            Seat memory seat = _seats[number][nodes[i]];
            if (seat.number != 0 && !seat.suspended) ++stay;
        }
        bytes32 studyId = _studyId(number);
        uint256 threshold = _threshold(_studies[studyId]);
        if (stay < threshold) revert NoMajority(studyId, stay, threshold);
    }

    function _setNodes(bytes32 studyId, Study storage study, address[] calldata nodes) private {
        if (nodes.length < _MIN_NODES || nodes.length > _MAX_NODES) revert InvalidNodeCount(nodes.length);
        study.nodes = nodes;
        study.nodeCount = uint8(nodes.length);
        ++study.epoch;
        uint8 threshold = _threshold(study);
        mapping(address => Seat) storage seats = _seats[study.head.number];
        for (uint256 i = 0; i < nodes.length; ++i) {
            if (nodes[i] == address(0) || seats[nodes[i]].number != 0) revert InvalidNode(nodes[i]);
            seats[nodes[i]] = Seat(uint8(i + 1), threshold, false);
        }
        emit NodesSet(studyId, study.epoch, nodes, threshold);
    }

    /// @dev A study that has no open round.
    function _idle(bytes32 studyId) private view returns (Study storage study) {
        study = _studies[studyId];
        if (study.head.number == 0) revert UnknownStudy(studyId);
        _requireIdle(studyId, study.head);
    }

    /// @dev The study's current round (0: none, it has its initial model) and its slot.
    function _requireIdle(bytes32 studyId, Head memory head) private view returns (uint40 current, RoundSlot slot) {
        if (head.lastRound == 0) return (0, slot);
        slot = _rounds[head.lastRound];
        if (_isRunning(slot)) revert RoundStillOpen(studyId, head.lastRound);
        current = _currentRound(head, slot);
        if (current != head.lastRound) slot = _rounds[current];
    }

    /// @dev The study's current round when `last` is its last one's slot.
    function _currentRound(Head memory head, RoundSlot last) private pure returns (uint40) {
        return last.status() == RoundStatus.FINALISED ? head.lastRound : head.previousRound;
    }

    function _threshold(Study storage study) private view returns (uint8) {
        return study.nodeCount / 2 + 1;
    }

    function _studyId(uint16 number) private view returns (bytes32) {
        return number == 0 ? bytes32(0) : _studyIds[number - 1];
    }

    // --------------------------------------------------------------- signatures

    /// @dev Count a change that a majority of the study's nodes signed.
    function _count(Study storage study, bytes32 structHash, Signature[] calldata signatures) private {
        _requireMajority(study.head.number, structHash, signatures);
        ++study.changes;
    }

    /// @dev Bitmap of the nodes that signed the struct with this hash; reverts unless all are the study's, different and enough.
    function _requireMajority(uint16 study, bytes32 structHash, Signature[] calldata signatures)
        private
        view
        returns (uint256 signers)
    {
        bytes32 digest = _hashTypedDataV4(structHash);
        uint256 threshold = 0;
        for (uint256 i = 0; i < signatures.length; ++i) {
            address signer = _signer(digest, signatures[i]);
            Seat memory seat = _requireSeat(study, signer);
            uint256 bit = (1 << seat.number) >> 1;
            if (signers & bit != 0) revert DuplicateSigner(signer);
            signers |= bit;
            threshold = seat.threshold;
        }
        if (signatures.length == 0 || signatures.length < threshold) {
            revert NoMajority(_studyId(study), signatures.length, _threshold(_studies[_studyId(study)]));
        }
    }

    /// @dev A node's position and its study's threshold, if it may sign.
    function _requireSeat(uint16 study, address node) private view returns (Seat memory seat) {
        seat = _seats[study][node];
        if (seat.number == 0) revert NotANode(_studyId(study), node);
        if (seat.suspended) revert SuspendedNode(_studyId(study), node);
    }

    function _signer(bytes32 digest, Signature calldata signature) private pure returns (address) {
        return ECDSA.recover(digest, signature.r, signature.vs);
    }

    /// @dev Hash of the struct that a node signed; words of another number are of none that anybody signs.
    function _decisionHash(uint64 round, Decision calldata decision) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(decision.aborts ? _ABORT_TYPEHASH : _RESULT_TYPEHASH, uint256(round), decision.words));
    }

    function _resultHash(uint64 round, Terms calldata terms, bytes32 root, Outcome calldata outcome) private pure returns (bytes32) {
        return keccak256(
            abi.encode(
                _RESULT_TYPEHASH,
                round,
                terms.studyDigest,
                root,
                outcome.verdicts,
                terms.previousModel,
                outcome.newModel,
                outcome.record
            )
        );
    }

    function _abortHash(uint64 round, Terms calldata terms, bytes32 root, Cause calldata cause) private pure returns (bytes32) {
        bytes32 blamed = keccak256(abi.encodePacked(cause.blamed));
        return keccak256(abi.encode(_ABORT_TYPEHASH, round, terms.studyDigest, root, terms.previousModel, cause.reason, blamed));
    }

    // ------------------------------------------------------------------- rounds

    function _isRunning(RoundSlot slot) private pure returns (bool) {
        RoundStatus status = slot.status();
        return status == RoundStatus.OPEN || status == RoundStatus.COMMITTED;
    }

    function _open(uint64 round) private view returns (RoundSlot slot) {
        slot = _rounds[round];
        if (slot.status() != RoundStatus.OPEN) revert WrongStatus(round, slot.status(), RoundStatus.OPEN);
    }

    /// @dev The slot of an OPEN round, once these are its terms.
    function _requireTerms(uint64 round, RoundSlot slot, Terms calldata terms) private pure returns (RoundSlot) {
        if (!slot.hasTerms(keccak256(abi.encode(terms)))) revert StaleTerms(round);
        return slot;
    }

    function _committed(uint64 round, Terms calldata terms, bytes32 root) private view returns (RoundSlot slot) {
        slot = _rounds[round];
        if (slot.status() != RoundStatus.COMMITTED) revert WrongStatus(round, slot.status(), RoundStatus.COMMITTED);
        if (!slot.hasAnchor(RoundSlots.commitmentOf(keccak256(abi.encode(terms)), root))) revert StaleTerms(round);
    }

    function _commitRound(uint64 round, RoundSlot slot, bytes32 root) private {
        if (msg.sender != owner()) {
            Seat memory seat = _seats[slot.study()][msg.sender];
            if (seat.number == 0 || seat.suspended) revert NotCommitter(_studyId(slot.study()), msg.sender);
        }
        if (root == 0) revert ZeroDigest();
        _rounds[round] = slot.with(RoundStatus.COMMITTED, slot.commitment(root));
        emit RoundCommitted(round, root);
    }

    function _requireInTime(uint64 round, uint256 deadline) private view {
        if (block.timestamp > deadline) revert DeadlinePassed(round, deadline, block.timestamp);
    }

    function _isUnder(bytes32 root, bytes32 manifest, bytes32[] calldata proof) private pure returns (bool) {
        return MerkleProof.verifyCalldata(proof, root, keccak256(bytes.concat(keccak256(abi.encode(manifest)))));
    }
}
