// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The ledger of a Wardround consortium
/// @notice Decides, by a majority of a study's nodes, which model each round of federated learning ends with.
///         It holds digests and deadlines only: no weights, no personal data. This interface is its specification.
///
/// A round goes NONE -> OPEN -> COMMITTED -> FINALISED, or from OPEN or COMMITTED to ABORTED. FINALISED and ABORTED are final.
///
/// What always holds:
///  - a study has at most one round that is OPEN or COMMITTED;
///  - a study's current model changes only in `finaliseRound`, by signatures of a majority of ALL of its nodes;
///  - each finalised round starts from the model of the one before it, so that a study's rounds form one chain back to its initial model;
///  - a study that continues another one starts from the model of one of its finalised rounds, and has a majority of ALL of its nodes;
///  - a study's nodes and their keys change, and a hospital leaves quarantine, only by signatures of a majority of ALL of its
///    present nodes, and never while a round is open: the provider has no part in it;
///  - a study is concluded by the round that made its current model, and by signatures of a majority of ALL of its nodes alone; no
///    round of it opens afterwards, and another study may continue its rounds;
///  - a hospital that committed directly is under the commit root, or the round ends without a model;
///  - only hospitals of a round's study commit directly to it, each once, whatever keys it moves on to;
///  - once a deadline has passed, anybody can abort the round: nobody can block a study for longer. Before that, a majority of ALL of the
///    study's nodes can, once it is committed.
///
/// Times are block times in seconds. A deadline is the last second in which the step that it limits is accepted.
///
/// A round keeps one storage slot (`RoundSlot.sol`): its state, the block in which it was opened, and an anchor that binds what was
/// frozen (192 bits of a Keccak-256 hash, 160 while it is open). Whoever ends a round passes what was frozen again, and `StaleTerms`
/// answers what is not the same; the whole of it is in the events.
///
/// Signatures are EIP-712 in the domain ("Wardround", "1", chain id, this contract), in the compact form of EIP-2098.
interface ILedger {
    /// @notice State of a round.
    enum RoundStatus {
        NONE,
        OPEN,
        COMMITTED,
        FINALISED,
        ABORTED
    }

    /// @notice State of a hospital's account. RETIRED: the hospital moved on to another key.
    enum HospitalStatus {
        UNKNOWN,
        REGISTERED,
        AUTHORISED,
        REVOKED,
        RETIRED
    }

    /// @notice What is frozen when a round is opened and needed when it ends.
    struct Terms {
        bytes32 studyDigest;
        bytes32 previousModel;
        uint32 resultDeadline;
    }

    /// @notice What shows that a hospital is one of a round's study. A study digest is the SHA-256 of two words: the Merkle root of the
    ///         accounts of its hospitals (OpenZeppelin's standard tree of `address`), and `rest`, the digest of everything else that its
    ///         owners approved. `account` is the hospital's in that tree: the key that it signs the round with, which need not be its
    ///         present one.
    struct Membership {
        address account;
        bytes32 rest;
        bytes32[] proof;
    }

    /// @notice A hospital that committed directly, by its account in the study, and the Merkle proof of its manifest.
    struct DirectCommit {
        address hospital;
        bytes32[] proof;
    }

    /// @notice A signature after EIP-2098: `vs` is `s` with the parity of `v` in its highest bit.
    struct Signature {
        bytes32 r;
        bytes32 vs;
    }

    /// @notice What a majority decides, beside what the ledger holds already. Bit `i` of `verdicts` is set when the study's hospital `i`
    ///         was accepted; `record` is the digest of the canonical record.
    struct Outcome {
        uint256 verdicts;
        bytes32 newModel;
        bytes32 record;
    }

    /// @notice Why a majority ends a round without a model: a short word in ASCII, and the accounts of the hospitals that all of them blame
    ///         for it, as the study names them. A node signs
    ///         `Abort(uint64 round,bytes32 studyDigest,bytes32 commitRoot,bytes32 previousModel,bytes32 reason,address[] blamed)`.
    struct Cause {
        bytes32 reason;
        address[] blamed;
    }

    /// @notice What a node signed about a round: its result, as
    ///         `Result(uint64 round,bytes32 studyDigest,bytes32 commitRoot,uint256 verdicts,bytes32 previousModel,bytes32 newModel,bytes32 record)`,
    ///         or, when `aborts`, its end, as `Abort` (see `Cause`). `words` are the fields after the round, of an array its hash (EIP-712).
    struct Decision {
        bytes32[] words;
        Signature signature;
        bool aborts;
    }

    // ------------------------------------------------------------------ events

    /// @notice A hospital registered its own account; it takes part once the provider has authorised it.
    event HospitalRegistered(address indexed hospital);

    /// @notice The provider authorised these hospitals.
    event HospitalsAuthorised(address[] hospitals);

    /// @notice The provider revoked these hospitals.
    event HospitalsRevoked(address[] hospitals);

    /// @notice A hospital moved on to another key, with its status; the old one is RETIRED.
    event HospitalKeyRotated(address indexed previous, address indexed next);

    /// @notice A study was registered with its initial model.
    event StudyRegistered(bytes32 indexed studyId, bytes32 initialModel);

    /// @notice The study's initial model is the one with which this round of another study ended.
    event StudyContinues(bytes32 indexed studyId, uint64 indexed round);

    /// @notice A study's nodes (bit `i` of a signers bitmap is `nodes[i]`) from this epoch on; `threshold` of them decide.
    event NodesSet(bytes32 indexed studyId, uint32 indexed epoch, address[] nodes, uint8 threshold);

    /// @notice A node decided one round twice, by two results, two ends, or one of each: its signature no longer counts, and the threshold stays what it was.
    event NodeSuspended(bytes32 indexed studyId, address indexed node, uint64 indexed round);

    /// @notice A majority of the nodes released a hospital from quarantine; `afterRound` is the study's current round then.
    event HospitalReleased(bytes32 indexed studyId, address indexed hospital, uint64 afterRound);

    /// @notice A round was opened on terms that nobody can change afterwards. `keyRecords` is the SHA-256 of the digests of the nodes' signed
    ///         key records of this round (their public sealing keys), 32 bytes each, in the order of the nodes.
    event RoundOpened(
        uint64 indexed round,
        bytes32 indexed studyId,
        bytes32 studyDigest,
        bytes32 previousModel,
        bytes32 keyRecords,
        uint32 commitDeadline,
        uint32 resultDeadline
    );

    /// @notice A hospital, by its account in the study, put its manifest on the ledger itself: it must come under the commit root.
    event CommittedDirectly(uint64 indexed round, address indexed hospital, bytes32 manifest);

    /// @notice The set of hospitals that take part was fixed under the Merkle root of their signed manifests.
    event RoundCommitted(uint64 indexed round, bytes32 root);

    /// @notice A majority of the nodes decided the round on its terms and root. Bit `i` of `signers` is the study's node `i`.
    event RoundFinalised(uint64 indexed round, uint256 verdicts, bytes32 newModel, bytes32 record, uint16 signers);

    /// @notice A majority of the nodes ended a round before its deadline, for this cause. Bit `i` of `signers` is the study's node `i`.
    event AbortDecided(uint64 indexed round, bytes32 reason, address[] blamed, uint16 signers);

    /// @notice A round ended without a model; the study's current model stays.
    event RoundAborted(uint64 indexed round, RoundStatus abortedFrom);

    /// @notice A majority of the nodes concluded the round's study: its model is the last. `reason` is a short word in ASCII, `evidence`
    ///         the digest of what they decided it by. Bit `i` of `signers` is the study's node `i`.
    event StudyConcluded(uint64 indexed round, bytes32 indexed studyId, bytes32 reason, bytes32 evidence, uint16 signers);

    // ------------------------------------------------------------------ errors

    /// @notice Only the service provider may do this.
    error NotProvider(address caller);

    /// @notice The ledger cannot be left without a provider; transfer it instead.
    error ProviderRequired();

    /// @notice Only the service provider or one of the study's nodes, not suspended, may commit.
    error NotCommitter(bytes32 studyId, address caller);

    /// @notice The account is known as a hospital's, now or before.
    error HospitalAlreadyRegistered(address hospital);

    /// @notice The hospital never registered, is authorised already, or has another key.
    error HospitalNotAuthorisable(address hospital, HospitalStatus got);

    /// @notice Only an authorised hospital can do this or be revoked.
    error HospitalNotAuthorised(address hospital, HospitalStatus got);

    /// @notice Only a registered or authorised hospital can change its key.
    error HospitalKeyNotRotatable(address hospital, HospitalStatus got);

    /// @notice The new key did not sign for itself.
    error WrongKeySignature(address wanted, address got);

    /// @notice The study has been registered before.
    error StudyAlreadyRegistered(bytes32 studyId);

    /// @notice No such study was registered.
    error UnknownStudy(bytes32 studyId);

    /// @notice A study takes 3 to 16 nodes.
    error InvalidNodeCount(uint256 got);

    /// @notice A node is the zero address, stands twice, or (when its key is to be rotated) is no node of the study.
    error InvalidNode(address node);

    /// @notice A digest or root is zero where one is needed.
    error ZeroDigest();

    /// @notice The round id is 0, too large, or has been used before.
    error InvalidRoundId(uint64 round);

    /// @notice The study has a round that has neither ended nor been aborted.
    error RoundStillOpen(bytes32 studyId, uint64 round);

    /// @notice The study was concluded by this round: no round of it opens any more.
    error AlreadyConcluded(bytes32 studyId, uint64 round);

    /// @notice A study is concluded by the round that made its current model (0: none has yet).
    error NotCurrent(uint64 round, uint64 current);

    /// @notice A round was to start from another model than the study's current one, or a study from another than its round's.
    error StalePreviousModel(bytes32 got);

    /// @notice Deadlines must lie in the future, the result's 10 seconds after the commit's or later.
    error InvalidDeadlines(uint32 commitDeadline, uint32 resultDeadline, uint256 blockTime);

    /// @notice The round is not in the state that this step needs.
    error WrongStatus(uint64 round, RoundStatus got, RoundStatus wanted);

    /// @notice These are not the terms and the commit root that the round was opened and committed with.
    error StaleTerms(uint64 round);

    /// @notice The step came after its deadline; the round can only be aborted.
    error DeadlinePassed(uint64 round, uint256 deadline, uint256 blockTime);

    /// @notice The round cannot be aborted before its deadline has passed.
    error DeadlineNotPassed(uint64 round, uint256 deadline, uint256 blockTime);

    /// @notice The caller's hospital is none of the round's study.
    error NotAMember(uint64 round, address caller);

    /// @notice The hospital has committed directly to this round before.
    error AlreadyCommitted(uint64 round, address hospital);

    /// @notice Another number of hospitals committed directly than were shown to be under the root.
    error DirectCommitsIgnored(uint64 round, uint256 got, uint256 wanted);

    /// @notice The hospital did not commit directly, stands twice, or its manifest is not under the root.
    error DirectCommitNotUnderRoot(uint64 round, address hospital);

    /// @notice A signature is not by one of the study's nodes over this very decision.
    error NotANode(bytes32 studyId, address signer);

    /// @notice The node decided one round twice.
    error SuspendedNode(bytes32 studyId, address node);

    /// @notice A node's signature stands twice.
    error DuplicateSigner(address signer);

    /// @notice Fewer nodes signed, or go on in a study that continues theirs, than a majority of all.
    error NoMajority(bytes32 studyId, uint256 got, uint256 wanted);

    /// @notice The two decisions are the same, or signed by different accounts, or not about this round.
    error NoEquivocation();

    // ---------------------------------------------------------------- hospitals

    /// @notice Register the caller as a hospital. Reverts with `HospitalAlreadyRegistered`.
    function registerHospital() external;

    /// @notice Authorise hospitals that are registered or revoked; all or none.
    ///         Provider only. Reverts with `NotProvider`, `HospitalNotAuthorisable`.
    function authoriseHospitals(address[] calldata accounts) external;

    /// @notice Revoke authorised hospitals; all or none. Provider only. Reverts with `NotProvider`, `HospitalNotAuthorised`.
    function revokeHospitals(address[] calldata accounts) external;

    /// @notice Move the calling hospital, with its status, to another key, which signs
    ///         `HospitalKey(address previous,address next)` to show that it exists.
    ///         Reverts with `HospitalKeyNotRotatable`, `HospitalAlreadyRegistered`, `WrongKeySignature`, or an error of OpenZeppelin's `ECDSA`.
    function rotateHospitalKey(address next, Signature calldata signature) external;

    // ------------------------------------------------------------------ studies

    /// @notice Register a study, once, with 3 to 16 different nodes; the threshold is a majority of all of them.
    ///         Provider only. Reverts with `NotProvider`, `StudyAlreadyRegistered`, `InvalidNodeCount`, `InvalidNode`, `ZeroDigest`.
    function registerStudy(bytes32 studyId, address[] calldata nodes, bytes32 initialModel) external;

    /// @notice The same for a study that starts from `model`, with which `round` of another study was finalised. A majority of all present
    ///         nodes of that other study, none of them suspended, are among `nodes`: what others decided is theirs to go on from.
    ///         Reverts also with `WrongStatus`, `StalePreviousModel`, `NoMajority`.
    function continueRound(bytes32 studyId, address[] calldata nodes, uint64 round, bytes32 model) external;

    /// @notice Give a study other nodes. Anybody may send it: what counts are signatures of at least `threshold` different present
    ///         nodes over `NodeSet(bytes32 studyId,uint32 change,address[] nodes)`; `change` is one more than the number of changes
    ///         that the study's nodes have signed so far.
    ///         Reverts with `UnknownStudy`, `RoundStillOpen`, `InvalidNodeCount`, `InvalidNode`, and as signatures do: with `NotANode`,
    ///         `SuspendedNode`, `DuplicateSigner`, `NoMajority`, or an error of OpenZeppelin's `ECDSA`.
    function changeNodes(bytes32 studyId, address[] calldata nodes, Signature[] calldata signatures) external;

    /// @notice Give a node of a study another key, in the same place. Signed like `changeNodes`, over
    ///         `NodeKey(bytes32 studyId,uint32 change,address previous,address next)`.
    ///         Reverts with `UnknownStudy`, `RoundStillOpen`, `InvalidNode`, and as signatures do.
    function rotateNodeKey(bytes32 studyId, address previous, address next, Signature[] calldata signatures) external;

    /// @notice Release a hospital from quarantine: it takes part again from the next round on, without strikes. Signed like
    ///         `changeNodes`, over `Release(bytes32 studyId,uint32 change,address hospital)`.
    ///         Reverts with `UnknownStudy`, `RoundStillOpen`, and as signatures do.
    function releaseHospital(bytes32 studyId, address hospital, Signature[] calldata signatures) external;

    /// @notice Suspend a node that signed two different decisions about one round, in the study of that round. Anybody may send it.
    ///         Reverts with `NoEquivocation`, `NotANode`, `SuspendedNode`, or an error of OpenZeppelin's `ECDSA`.
    function reportEquivocation(uint64 round, Decision calldata first, Decision calldata second) external;

    // ------------------------------------------------------------------- rounds

    /// @notice Open a round of a study on its current model. `round` is any number from 1 below 2^40 that was never used.
    ///         Provider only. Reverts with `NotProvider`, `UnknownStudy`, `InvalidRoundId`, `RoundStillOpen`,
    ///         `AlreadyConcluded`, `StalePreviousModel`, `ZeroDigest`, `InvalidDeadlines`.
    function openRound(
        uint64 round,
        bytes32 studyId,
        bytes32 studyDigest,
        bytes32 previousModel,
        bytes32 keyRecords,
        uint32 commitDeadline,
        uint32 resultDeadline
    ) external;

    /// @notice Put the calling hospital's manifest on the ledger, until the commit deadline: the way around a provider that leaves it
    ///         out. No set without it can be committed from now on, so that no result can come of one. For the hospitals of the study
    ///         only, each once: by its account there, or by a key that this hospital moved on to.
    ///         Reverts with `WrongStatus`, `DeadlinePassed`, `ZeroDigest`, `StaleTerms`, `HospitalNotAuthorised`, `NotAMember`,
    ///         `AlreadyCommitted`.
    function commit(uint64 round, Terms calldata terms, bytes32 manifest, Membership calldata membership) external;

    /// @notice Fix the set of hospitals that take part, until the commit deadline, when none has committed directly. Provider or a node
    ///         of the study. Reverts with `WrongStatus`, `DeadlinePassed`, `NotCommitter`, `ZeroDigest`, `DirectCommitsIgnored`.
    function commitRound(uint64 round, bytes32 root) external;

    /// @notice The same when hospitals have committed directly: all of them, with their Merkle proofs under the root, until 60 seconds
    ///         after the commit deadline, or until half of the time to the result deadline where that is less: who commits in the last
    ///         second leaves the committer time to take that in, and the nodes theirs.
    ///         Reverts also with `StaleTerms`, `DirectCommitNotUnderRoot`.
    function commitRound(uint64 round, bytes32 root, DirectCommit[] calldata included, Terms calldata terms) external;

    /// @notice End a round with a new model, until the result deadline. Anybody may send it: what counts are the signatures of at
    ///         least a majority of all the study's nodes, each once, over the same `Result`.
    ///         Reverts with `WrongStatus`, `StaleTerms`, `DeadlinePassed`, `ZeroDigest`, and as signatures do.
    function finaliseRound(
        uint64 round,
        Terms calldata terms,
        bytes32 root,
        Outcome calldata outcome,
        Signature[] calldata signatures
    ) external;

    /// @notice End a round whose deadline has passed: the commit's when it is OPEN (that of the set when hospitals committed directly;
    ///         `root` is then not read), the result's when it is COMMITTED. Anybody may send it.
    ///         Reverts with `WrongStatus`, `StaleTerms`, `DeadlineNotPassed`.
    function abortRound(uint64 round, Terms calldata terms, bytes32 root) external;

    /// @notice End a round that is COMMITTED without a model, at once. Anybody may send it: what counts are the signatures of at least a
    ///         majority of all the study's nodes, each once, over the same `Abort`.
    ///         Reverts with `WrongStatus`, `StaleTerms`, `ZeroDigest` for no reason, and as signatures do.
    function abortRoundByNodes(
        uint64 round,
        Terms calldata terms,
        bytes32 root,
        Cause calldata cause,
        Signature[] calldata signatures
    ) external;

    /// @notice Conclude the study of `round`, which made its current model: no round of it opens any more. Anybody may send it: what
    ///         counts are the signatures of at least a majority of all the study's nodes, each once, over the same
    ///         `Conclusion(uint64 round,bytes32 reason,bytes32 evidence)`.
    ///         Reverts with `UnknownStudy` for a round that was never opened, `RoundStillOpen`, `NotCurrent`, `AlreadyConcluded`,
    ///         `ZeroDigest`, and as signatures do.
    function concludeWith(uint64 round, bytes32 reason, bytes32 evidence, Signature[] calldata signatures) external;

    // -------------------------------------------------------------------- views

    /// @notice The account that authorises hospitals, registers studies and opens rounds. It is transferred in two steps, by
    ///         OpenZeppelin's `Ownable2Step` (`transferOwnership`, then `acceptOwnership` by the new one).
    function provider() external view returns (address);

    /// @notice The block in which this contract was deployed: no event lies before it.
    function deployedInBlock() external view returns (uint256);

    /// @notice State of a hospital's account: RETIRED when the hospital moved on to another key.
    function hospitals(address account) external view returns (HospitalStatus);

    /// @notice The hospital that an account is, or was, a key of: the account with which it registered, which names it whatever keys it
    ///         moves on to; its present key; and its own state. All are zero for an account that is no hospital's.
    function keyHolder(address account) external view returns (address first, address present, HospitalStatus status);

    /// @notice A study's nodes and how many of them decide, its epoch (from 1) and the number of changes that its nodes signed, its
    ///         initial model, the round that made its current model (0: the initial one) and the open round (0: none).
    ///         All are zero or empty for a study that was never registered.
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
        );

    /// @notice The round of another study whose model is this study's initial one; 0 for a study that continues none.
    function parentRound(bytes32 studyId) external view returns (uint64);

    /// @notice Whether `account` is a node of the study, and whether it is suspended.
    function isNode(bytes32 studyId, address account) external view returns (bool node, bool suspended);

    /// @notice A round's study, its state, the block in which it was opened (its events lie from there on), how many hospitals
    ///         committed directly, and whether it concluded its study.
    function rounds(uint64 round)
        external
        view
        returns (bytes32 studyId, RoundStatus status, uint32 openedInBlock, uint8 direct, bool concludes);

    /// @notice Whether a majority decided that `round` ends with `newModel`.
    function verifyModel(uint64 round, bytes32 newModel) external view returns (bool);

    /// @notice Whether the round is OPEN on `terms`, or COMMITTED on them with `root`. False once it has ended.
    function verifyTerms(uint64 round, Terms calldata terms, bytes32 root) external view returns (bool);

    /// @notice Whether `manifest` (a SHA-256) stands under `root`; its leaf is OpenZeppelin's standard one for `bytes32`.
    function verifyCommit(bytes32 root, bytes32 manifest, bytes32[] calldata proof) external pure returns (bool);
}
