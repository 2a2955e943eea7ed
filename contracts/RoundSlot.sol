// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILedger} from "./ILedger.sol";

/// @title All that a round stores: one word
/// @dev From the low bits: status 7, whether it concluded its study 1, direct commits 8, study number 16, block of opening 32, and an anchor of 192 bits:
///       - OPEN: commit deadline 32, hash of the terms 160 (whose study digest and models the nodes sign again in full);
///       - COMMITTED: hash of that hash and the commit root;
///       - FINALISED: hash of the new model's digest. (Its own bits would let a digest pass that differs in the last 64.)
type RoundSlot is uint256;

using RoundSlots for RoundSlot global;

/// @title Reading and writing of a `RoundSlot`
library RoundSlots {
    uint256 private constant _STATUS = 0x7f;
    uint256 private constant _CONCLUDES = 0x80;
    uint256 private constant _ANCHOR = 64;
    uint256 private constant _TERMS = 96;
    uint256 private constant _LONGEST_GRACE = 60;

    /// @dev Seconds that a round leaves its nodes at least between the two deadlines.
    uint256 internal constant LEAST_FOR_RESULT = 10;

    /// @dev The slot of a round that has just been opened.
    function open(bytes32 terms, uint32 deadline, uint32 blockNumber, uint16 studyNumber) internal pure returns (RoundSlot) {
        return RoundSlot.wrap(
            ((uint256(terms) >> _TERMS) << _TERMS) | (uint256(deadline) << _ANCHOR) | (uint256(blockNumber) << 32)
                | (uint256(studyNumber) << 16) | uint8(ILedger.RoundStatus.OPEN)
        );
    }

    function status(RoundSlot self) internal pure returns (ILedger.RoundStatus) {
        return ILedger.RoundStatus(RoundSlot.unwrap(self) & _STATUS);
    }

    /// @dev Whether a FINALISED round concluded its study.
    function concludes(RoundSlot self) internal pure returns (bool) {
        return RoundSlot.unwrap(self) & _CONCLUDES != 0;
    }

    function direct(RoundSlot self) internal pure returns (uint8) {
        return uint8(RoundSlot.unwrap(self) >> 8);
    }

    function study(RoundSlot self) internal pure returns (uint16) {
        return uint16(RoundSlot.unwrap(self) >> 16);
    }

    function openedInBlock(RoundSlot self) internal pure returns (uint32) {
        return uint32(RoundSlot.unwrap(self) >> 32);
    }

    /// @dev Of an OPEN round.
    function commitDeadline(RoundSlot self) internal pure returns (uint32) {
        return uint32(RoundSlot.unwrap(self) >> _ANCHOR);
    }

    /// @dev Of an OPEN round that has this result deadline: the last second for its set. A hospital may commit directly in the last second
    ///      before the commit deadline; the committer then has time to take that in, or one hospital could stop every round. It is a minute,
    ///      and never more than half of what lies between the deadlines, or one hospital could leave the nodes none.
    function setDeadline(RoundSlot self, uint256 resultDeadline) internal pure returns (uint256) {
        uint256 end = self.commitDeadline();
        if (self.direct() == 0) return end;
        uint256 half = (resultDeadline - end) / 2;
        return end + (half < _LONGEST_GRACE ? half : _LONGEST_GRACE);
    }

    /// @dev Whether an OPEN round has terms with this hash.
    function hasTerms(RoundSlot self, bytes32 terms) internal pure returns (bool) {
        return (RoundSlot.unwrap(self) ^ uint256(terms)) >> _TERMS == 0;
    }

    /// @dev The anchor of an OPEN round, once committed with `root`.
    function commitment(RoundSlot self, bytes32 root) internal pure returns (bytes32) {
        return commitmentOf(bytes32(RoundSlot.unwrap(self)), root);
    }

    /// @dev The anchor of a round with terms of this hash, once committed with `root`.
    function commitmentOf(bytes32 terms, bytes32 root) internal pure returns (bytes32) {
        return keccak256(abi.encode(uint256(terms) >> _TERMS, root));
    }

    /// @dev The anchor of a round that ended with `model`.
    function ending(bytes32 model) internal pure returns (bytes32) {
        return keccak256(abi.encode(model));
    }

    /// @dev Whether the first 192 bits of `anchor` are this round's.
    function hasAnchor(RoundSlot self, bytes32 anchor) internal pure returns (bool) {
        return (RoundSlot.unwrap(self) ^ uint256(anchor)) >> _ANCHOR == 0;
    }

    function with(RoundSlot self, ILedger.RoundStatus next, bytes32 anchor) internal pure returns (RoundSlot) {
        return RoundSlot.wrap(
            ((uint256(anchor) >> _ANCHOR) << _ANCHOR) | (RoundSlot.unwrap(self) & 0xffffffffffffff00) | uint8(next)
        );
    }

    function aborted(RoundSlot self) internal pure returns (RoundSlot) {
        return RoundSlot.wrap((RoundSlot.unwrap(self) & ~uint256(0xff)) | uint8(ILedger.RoundStatus.ABORTED));
    }

    function withConclusion(RoundSlot self) internal pure returns (RoundSlot) {
        return RoundSlot.wrap(RoundSlot.unwrap(self) | _CONCLUDES);
    }

    function withDirect(RoundSlot self, uint8 count) internal pure returns (RoundSlot) {
        return RoundSlot.wrap((RoundSlot.unwrap(self) & ~uint256(0xff00)) | (uint256(count) << 8));
    }
}
