// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILedger} from "../ILedger.sol";
import {Base, IOwnable} from "./Base.sol";

contract HospitalsTest is Base {
    uint256 private constant _ELM = 31;

    function test_registering_is_said() public {
        vm.expectEmit(address(ledger));
        emit ILedger.HospitalRegistered(vm.addr(_ELM));
        hospitalIs(register(_ELM), ILedger.HospitalStatus.REGISTERED);
    }

    function test_a_hospital_registers_once() public {
        address elm = register(_ELM);
        vm.expectRevert(abi.encodeWithSelector(ILedger.HospitalAlreadyRegistered.selector, elm));
        vm.prank(elm);
        ledger.registerHospital();
    }

    function test_authorising_and_revoking_are_said() public {
        address elm = register(_ELM);
        vm.expectEmit(address(ledger));
        emit ILedger.HospitalsAuthorised(one(elm));
        ledger.authoriseHospitals(one(elm));
        hospitalIs(elm, ILedger.HospitalStatus.AUTHORISED);
        vm.expectEmit(address(ledger));
        emit ILedger.HospitalsRevoked(one(elm));
        ledger.revokeHospitals(one(elm));
        hospitalIs(elm, ILedger.HospitalStatus.REVOKED);
        ledger.authoriseHospitals(one(elm));
        hospitalIs(elm, ILedger.HospitalStatus.AUTHORISED);
    }

    function test_a_batch_is_all_or_none() public {
        address[] memory both = new address[](2);
        (both[0], both[1]) = (register(_ELM), vm.addr(32));
        vm.expectRevert(
            abi.encodeWithSelector(ILedger.HospitalNotAuthorisable.selector, both[1], ILedger.HospitalStatus.UNKNOWN)
        );
        ledger.authoriseHospitals(both);
        hospitalIs(both[0], ILedger.HospitalStatus.REGISTERED);
    }

    function test_only_the_provider_authorises_and_revokes() public {
        address elm = register(_ELM);
        vm.expectRevert(abi.encodeWithSelector(ILedger.NotProvider.selector, elm));
        vm.prank(elm);
        ledger.authoriseHospitals(one(elm));
        vm.expectRevert(abi.encodeWithSelector(ILedger.NotProvider.selector, elm));
        vm.prank(elm);
        ledger.revokeHospitals(one(elm));
    }

    function test_only_an_authorised_hospital_is_revoked() public {
        address elm = register(_ELM);
        vm.expectRevert(
            abi.encodeWithSelector(ILedger.HospitalNotAuthorised.selector, elm, ILedger.HospitalStatus.REGISTERED)
        );
        ledger.revokeHospitals(one(elm));
    }

    function test_a_hospital_moves_on_to_another_key_with_its_status() public {
        address elm = authorised(_ELM);
        address next = vm.addr(32);
        ILedger.Signature memory signature = sign(32, hospitalKeyHash(elm, next));
        vm.expectEmit(address(ledger));
        emit ILedger.HospitalKeyRotated(elm, next);
        vm.prank(elm);
        ledger.rotateHospitalKey(next, signature);
        hospitalIs(elm, ILedger.HospitalStatus.RETIRED);
        hospitalIs(next, ILedger.HospitalStatus.AUTHORISED);
        vm.expectRevert(
            abi.encodeWithSelector(ILedger.HospitalNotAuthorisable.selector, elm, ILedger.HospitalStatus.RETIRED)
        );
        ledger.authoriseHospitals(one(elm));
    }

    function test_a_hospital_stays_the_same_one_whatever_keys_it_moves_on_to() public {
        address elm = authorised(_ELM);
        address key = elm;
        for (uint256 next = 32; next < 36; ++next) {
            ILedger.Signature memory signature = sign(next, hospitalKeyHash(key, vm.addr(next)));
            vm.prank(key);
            ledger.rotateHospitalKey(vm.addr(next), signature);
            key = vm.addr(next);
        }
        for (uint256 each = 32; each < 36; ++each) {
            (address first, address present, ILedger.HospitalStatus status) = ledger.keyHolder(vm.addr(each));
            equal(first, elm);
            equal(present, key);
            require(status == ILedger.HospitalStatus.AUTHORISED, "its state is another");
            hospitalIs(vm.addr(each), each == 35 ? ILedger.HospitalStatus.AUTHORISED : ILedger.HospitalStatus.RETIRED);
        }
        ledger.revokeHospitals(one(key));
        (,, ILedger.HospitalStatus revoked) = ledger.keyHolder(elm);
        require(revoked == ILedger.HospitalStatus.REVOKED, "it is not revoked");
    }

    function test_a_key_that_a_hospital_left_is_nobodys_again() public {
        address elm = authorised(_ELM);
        address next = vm.addr(32);
        ILedger.Signature memory signature = sign(32, hospitalKeyHash(elm, next));
        vm.prank(elm);
        ledger.rotateHospitalKey(next, signature);
        vm.expectRevert(abi.encodeWithSelector(ILedger.HospitalAlreadyRegistered.selector, next));
        vm.prank(next);
        ledger.registerHospital();
        vm.expectRevert(abi.encodeWithSelector(ILedger.HospitalAlreadyRegistered.selector, elm));
        vm.prank(elm);
        ledger.registerHospital();
        signature = sign(_ELM, hospitalKeyHash(next, elm));
        vm.expectRevert(abi.encodeWithSelector(ILedger.HospitalAlreadyRegistered.selector, elm));
        vm.prank(next);
        ledger.rotateHospitalKey(elm, signature);
        vm.expectRevert(
            abi.encodeWithSelector(ILedger.HospitalKeyNotRotatable.selector, elm, ILedger.HospitalStatus.RETIRED)
        );
        vm.prank(elm);
        ledger.rotateHospitalKey(vm.addr(33), signature);
    }

    function test_an_account_of_no_hospital_is_nobodys() public view {
        (address first, address present, ILedger.HospitalStatus status) = ledger.keyHolder(stranger);
        equal(first, address(0));
        equal(present, address(0));
        require(status == ILedger.HospitalStatus.UNKNOWN, "somebody is known");
    }

    function test_the_new_key_signs_for_itself() public {
        address elm = authorised(_ELM);
        ILedger.Signature memory signature = sign(_ELM, hospitalKeyHash(elm, vm.addr(32)));
        vm.expectRevert(abi.encodeWithSelector(ILedger.WrongKeySignature.selector, vm.addr(32), elm));
        vm.prank(elm);
        ledger.rotateHospitalKey(vm.addr(32), signature);
    }

    function test_a_revoked_hospital_does_not_escape_to_another_key() public {
        address elm = authorised(_ELM);
        ledger.revokeHospitals(one(elm));
        ILedger.Signature memory signature = sign(32, hospitalKeyHash(elm, vm.addr(32)));
        vm.expectRevert(
            abi.encodeWithSelector(ILedger.HospitalKeyNotRotatable.selector, elm, ILedger.HospitalStatus.REVOKED)
        );
        vm.prank(elm);
        ledger.rotateHospitalKey(vm.addr(32), signature);
    }

    function test_no_hospital_takes_another_ones_key() public {
        address elm = authorised(_ELM);
        address oak = register(32);
        ILedger.Signature memory signature = sign(32, hospitalKeyHash(elm, oak));
        vm.expectRevert(abi.encodeWithSelector(ILedger.HospitalAlreadyRegistered.selector, oak));
        vm.prank(elm);
        ledger.rotateHospitalKey(oak, signature);
    }
}

contract ProviderTest is Base {
    function test_the_provider_changes_in_two_steps() public {
        IOwnable owned = IOwnable(address(ledger));
        owned.transferOwnership(stranger);
        equal(ledger.provider(), address(this));
        equal(owned.pendingOwner(), stranger);
        vm.prank(stranger);
        owned.acceptOwnership();
        equal(ledger.provider(), stranger);
    }

    function test_every_study_follows_its_provider_at_once() public {
        ledger.registerStudy(keccak256("other"), nodes(4), INITIAL);
        IOwnable(address(ledger)).transferOwnership(stranger);
        vm.prank(stranger);
        IOwnable(address(ledger)).acceptOwnership();
        vm.expectRevert(abi.encodeWithSelector(ILedger.NotProvider.selector, address(this)));
        open(1, INITIAL);
        vm.prank(stranger);
        ledger.openRound(1, STUDY, DIGEST, INITIAL, KEYS, commitDeadline(), commitDeadline() + 10);
        vm.prank(stranger);
        ledger.openRound(2, keccak256("other"), DIGEST, INITIAL, KEYS, commitDeadline(), commitDeadline() + 10);
    }

    function test_only_the_named_successor_accepts() public {
        IOwnable(address(ledger)).transferOwnership(stranger);
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", address(this)));
        IOwnable(address(ledger)).acceptOwnership();
    }

    function test_only_the_provider_names_a_successor() public {
        vm.expectRevert(abi.encodeWithSelector(ILedger.NotProvider.selector, stranger));
        vm.prank(stranger);
        IOwnable(address(ledger)).transferOwnership(stranger);
    }

    function test_the_ledger_is_never_without_a_provider() public {
        vm.expectRevert(abi.encodeWithSelector(ILedger.ProviderRequired.selector));
        IOwnable(address(ledger)).renounceOwnership();
        equal(ledger.provider(), address(this));
    }
}
