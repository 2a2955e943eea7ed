// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The ledger of a Wardround consortium
/// @notice Decides, by a majority of a study's nodes, which model each round of federated learning ends with.
///         It holds digests and deadlines only: no weights, no personal data.
///
/// A round goes NONE -> OPEN -> COMMITTED -> FINALISED, or from OPEN or COMMITTED to ABORTED. FINALISED and ABORTED are final.
///
/// What always holds:
///  - a study has at most one round that is OPEN or COMMITTED;
///  - a study's current model changes only in `finaliseRound`, by signatures of a majority of ALL of its nodes;
///  - each finalised round names the model before it, so that a study's rounds form one chain back to its initial model;
///  - once a deadline has passed, anybody can abort the round: nobody can block a study for longer.
///
/// Times are block times in seconds. A deadline is the last second in which the step that it limits is accepted.
interface ILedger {
    /// @notice State of a round.
    enum RoundStatus {
        NONE,
        OPEN,
        COMMITTED,
        FINALISED,
        ABORTED
    }

    /// @notice State of a hospital's account.
    enum HospitalStatus {
        UNKNOWN,
        REGISTERED,
        AUTHORISED,
        REVOKED
    }

    // ------------------------------------------------------------------ events

    /// @notice A hospital registered its own account; it takes part once the provider has authorised it.
    event HospitalRegistered(address indexed hospital);

    /// @notice The provider authorised a hospital.
    event HospitalAuthorised(address indexed hospital);

    /// @notice The provider revoked a hospital.
    event HospitalRevoked(address indexed hospital);

    /// @notice A study was registered with its nodes (bit `i` of a signers bitmap is `nodes[i]`) and its initial model.
    event StudyRegistered(bytes32 indexed studyId, address[] nodes, uint8 threshold, bytes32 initialModel);

    /// @notice A round was opened on terms that nobody can change afterwards. `sealingKeys[i]` belongs to the study's node `i`.
    event RoundOpened(
        uint64 indexed round,
        bytes32 indexed studyId,
        bytes32 studyDigest,
        bytes32 previousModel,
        bytes32[] sealingKeys,
        uint64 commitDeadline,
        uint64 resultDeadline
    );

    /// @notice The set of `count` hospitals that take part was fixed under the Merkle root `root` of their signed manifests.
    event RoundCommitted(uint64 indexed round, bytes32 root, uint32 count, address committer);

    /// @notice A majority of the nodes decided the round. Bit `i` of `verdicts` is set when the study's hospital `i` was accepted.
    event RoundFinalised(
        uint64 indexed round,
        bytes32 indexed studyId,
        uint256 verdicts,
        bytes32 previousModel,
        bytes32 newModel,
        bytes32 record,
        uint16 signers
    );

    /// @notice A round ended without a model; the study's current model stays.
    event RoundAborted(uint64 indexed round, bytes32 indexed studyId, RoundStatus abortedFrom);

    // ------------------------------------------------------------------ errors

    /// @notice Only the service provider may do this.
    error NotProvider(address caller);

    /// @notice Only the service provider or one of the study's nodes may commit.
    error NotCommitter(bytes32 studyId, address caller);

    /// @notice The hospital has registered before.
    error HospitalAlreadyRegistered(address hospital);

    /// @notice The hospital never registered, or it is authorised already.
    error HospitalNotAuthorisable(address hospital, HospitalStatus got);

    /// @notice Only an authorised hospital can be revoked.
    error HospitalNotAuthorised(address hospital, HospitalStatus got);

    /// @notice The study has been registered before.
    error StudyAlreadyRegistered(bytes32 studyId);

    /// @notice No such study was registered.
    error UnknownStudy(bytes32 studyId);

    /// @notice A study takes 3 to 16 nodes.
    error InvalidNodeCount(uint256 got);

    /// @notice A node is the zero address or stands twice.
    error InvalidNode(address node);

    /// @notice A digest or root is zero where one is needed.
    error ZeroDigest();

    /// @notice The round id is 0 or has been used before.
    error InvalidRoundId(uint64 round);

    /// @notice The study has a round that has neither ended nor been aborted.
    error RoundStillOpen(bytes32 studyId, uint64 round);

    /// @notice The round was to start from another model than the study's current one.
    error StalePreviousModel(bytes32 got, bytes32 current);

    /// @notice There must be one sealing key for each of the study's nodes.
    error WrongSealingKeyCount(uint256 got, uint256 wanted);

    /// @notice Deadlines must lie in the future and the commit's before the result's.
    error InvalidDeadlines(uint64 commitDeadline, uint64 resultDeadline, uint256 blockTime);

    /// @notice The round is not in the state that this step needs.
    error WrongStatus(uint64 round, RoundStatus got, RoundStatus wanted);

    /// @notice The step came after its deadline; the round can only be aborted.
    error DeadlinePassed(uint64 round, uint64 deadline, uint256 blockTime);

    /// @notice The round cannot be aborted before its deadline has passed.
    error DeadlineNotPassed(uint64 round, uint64 deadline, uint256 blockTime);

    /// @notice A commit must hold at least one hospital.
    error EmptyCommit(uint64 round);

    /// @notice A signature is not by one of the study's nodes over this very result.
    error NotANode(bytes32 studyId, address signer);

    /// @notice A node's signature stands twice.
    error DuplicateSigner(address signer);

    /// @notice Fewer nodes signed than a majority of all.
    error NoMajority(uint64 round, uint256 got, uint256 wanted);

    // ---------------------------------------------------------------- hospitals

    /// @notice Register the caller as a hospital. Reverts with `HospitalAlreadyRegistered`.
    function registerHospital() external;

    /// @notice Authorise hospitals that are registered or revoked; all or none.
    ///         Provider only. Reverts with `NotProvider`, `HospitalNotAuthorisable`.
    function authoriseHospitals(address[] calldata accounts) external;

    /// @notice Revoke authorised hospitals; all or none. Provider only. Reverts with `NotProvider`, `HospitalNotAuthorised`.
    function revokeHospitals(address[] calldata accounts) external;

    // ------------------------------------------------------------------ studies

    /// @notice Register a study, once, with 3 to 16 different nodes; the threshold is a majority of all of them.
    ///         Provider only. Reverts with `NotProvider`, `StudyAlreadyRegistered`, `InvalidNodeCount`, `InvalidNode`, `ZeroDigest`.
    function registerStudy(bytes32 studyId, address[] calldata nodes, bytes32 initialModel) external;

    // ------------------------------------------------------------------- rounds

    /// @notice Open a round of a study on its current model. `round` is any number above 0 that was never used.
    ///         Provider only. Reverts with `NotProvider`, `UnknownStudy`, `InvalidRoundId`, `RoundStillOpen`,
    ///         `StalePreviousModel`, `ZeroDigest`, `WrongSealingKeyCount`, `InvalidDeadlines`.
    function openRound(
        uint64 round,
        bytes32 studyId,
        bytes32 studyDigest,
        bytes32 previousModel,
        bytes32[] calldata sealingKeys,
        uint64 commitDeadline,
        uint64 resultDeadline
    ) external;

    /// @notice Fix the set of hospitals that take part, until the commit deadline. Provider or a node of the study.
    ///         Reverts with `WrongStatus`, `NotCommitter`, `DeadlinePassed`, `ZeroDigest`, `EmptyCommit`.
    function commitRound(uint64 round, bytes32 root, uint32 count) external;

    /// @notice End a round with a new model, until the result deadline. Anybody may send it: what counts are the EIP-712
    ///         signatures of at least `threshold` different nodes over
    ///         `Result(uint64 round,bytes32 studyDigest,bytes32 commitRoot,uint256 verdicts,bytes32 previousModel,bytes32 newModel,bytes32 record)`
    ///         in the domain ("Wardround", "1", chain id, this contract).
    ///         Reverts with `WrongStatus`, `DeadlinePassed`, `ZeroDigest`, `NotANode`, `DuplicateSigner`, `NoMajority`, or an error
    ///         of OpenZeppelin's `ECDSA` for a malformed signature.
    function finaliseRound(uint64 round, uint256 verdicts, bytes32 newModel, bytes32 record, bytes[] calldata signatures) external;

    /// @notice End a round whose deadline has passed: the commit's when it is OPEN, the result's when it is COMMITTED.
    ///         Anybody may send it. Reverts with `WrongStatus`, `DeadlineNotPassed`.
    function abortRound(uint64 round) external;

    // -------------------------------------------------------------------- views

    /// @notice The account that authorises hospitals, registers studies and opens rounds.
    function provider() external view returns (address);

    /// @notice The block in which this contract was deployed: no event lies before it.
    function deployedInBlock() external view returns (uint256);

    /// @notice State of a hospital's account.
    function hospitals(address account) external view returns (HospitalStatus);

    /// @notice A study's nodes, threshold, current model, the round that made it (0: the initial model) and the open round (0: none).
    ///         All are zero or empty for a study that was never registered.
    function studies(bytes32 studyId)
        external
        view
        returns (address[] memory nodes, uint8 threshold, bytes32 currentModel, uint64 currentRound, uint64 openRoundId);

    /// @notice A round's state and the block in which it was opened; its terms and outcome are in the events from there on.
    ///         `newModel` is zero unless the round is FINALISED.
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
        );

    /// @notice Whether a majority decided that `round` ends with `newModel`.
    function verifyModel(uint64 round, bytes32 newModel) external view returns (bool);

    /// @notice Whether `manifest` (a SHA-256) stands under `root`; its leaf is OpenZeppelin's standard one for `bytes32`.
    function verifyCommit(bytes32 root, bytes32 manifest, bytes32[] calldata proof) external pure returns (bool);
}
