// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILedger} from "./ILedger.sol";

/// @title All that an account of a hospital stores: one word
/// @dev From the low bits: status 8 and another account 160. The account with which a hospital registered, its first one, has the
///      hospital's status and links to its present one (0: itself). Every later one has no status and links to the first.
type HospitalSlot is uint256;

using HospitalSlots for HospitalSlot global;

/// @title Reading and writing of a `HospitalSlot`
library HospitalSlots {
    uint256 private constant _LINK = 8;

    /// @dev The slot of a first account.
    function registered() internal pure returns (HospitalSlot) {
        return HospitalSlot.wrap(uint8(ILedger.HospitalStatus.REGISTERED));
    }

    /// @dev The slot of a later account of the hospital whose first one is `first`.
    function later(address first) internal pure returns (HospitalSlot) {
        return HospitalSlot.wrap(uint256(uint160(first)) << _LINK);
    }

    function isUnknown(HospitalSlot self) internal pure returns (bool) {
        return HospitalSlot.unwrap(self) == 0;
    }

    function isLater(HospitalSlot self) internal pure returns (bool) {
        return !self.isUnknown() && self.status() == ILedger.HospitalStatus.UNKNOWN;
    }

    function status(HospitalSlot self) internal pure returns (ILedger.HospitalStatus) {
        return ILedger.HospitalStatus(uint8(HospitalSlot.unwrap(self)));
    }

    function link(HospitalSlot self) internal pure returns (address) {
        return address(uint160(HospitalSlot.unwrap(self) >> _LINK));
    }

    function withStatus(HospitalSlot self, ILedger.HospitalStatus next) internal pure returns (HospitalSlot) {
        return HospitalSlot.wrap((HospitalSlot.unwrap(self) & ~uint256(0xff)) | uint8(next));
    }

    function withPresent(HospitalSlot self, address next) internal pure returns (HospitalSlot) {
        return HospitalSlot.wrap((uint256(uint160(next)) << _LINK) | uint8(self.status()));
    }
}
