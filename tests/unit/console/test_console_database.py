from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.domain import Address, HospitalName
from pipeline.errors import EvidenceRejected
from plugins.console import forms
from plugins.console.console_database import Action, ConsoleDatabase, Registration


def test_the_log_is_read_by_pages_newest_first(tmp_path: Path) -> None:
    registry = ConsoleDatabase(tmp_path / "console")
    for number in range(23):
        registry.log(Action("provider", "suspend account", f"person {number}", "done", "192.0.2.1"))
    pages = [registry.actions(page, 10) for page in (1, 2, 3, 4)]
    assert {total for _, total in pages} == {23}
    assert [one.whom for found, _ in pages for one in found] == [f"person {number}" for number in reversed(range(23))]
    again, _ = ConsoleDatabase(tmp_path / "console").actions(1, 1)
    assert again[0].whom == "person 22"
    assert again[0].at > 0


def test_what_somebody_said_counts_for_their_own_login_only(tmp_path: Path) -> None:
    registry = ConsoleDatabase(tmp_path / "console")
    said = Registration(7, "ada@aster.org", HospitalName("aster"), Address("0x" + "1" * 40), "1 Ward Lane", 5)
    registry.keep(said)
    assert registry.registration(7, "ada@aster.org") == said
    assert registry.registration(7, "next-account-of-that-number@birch.org") is None
    registry.change(7, "ada@aster.org", new_login="hart@aster.org", postal="2 Ward Lane")
    assert registry.registration(7, "ada@aster.org") is None
    moved = registry.registration(7, "hart@aster.org")
    assert moved is not None
    assert (moved.postal, moved.hospital) == ("2 Ward Lane", "aster")


@pytest.mark.parametrize(
    "text",
    ["", "ada", "ada@", "@aster.org", "a@b@c.org", "ada@aster.org\nbcc: x@y.org", "<ada>@aster.org"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(EvidenceRejected, match="The e-mail address"):
        forms.email(text)


def test_a_login_is_in_small_letters() -> None:
    assert forms.email(" Ada.Hart@Ward.Org ") == "ada.hart@ward.org"
