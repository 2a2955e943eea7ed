from __future__ import annotations

import pytest

from plugins.console.people import Person, person
from tests.support.console import AUDITOR, PROVIDER, of_hospital


@pytest.mark.parametrize(
    ("login", "roles", "expected"),
    [
        ("provider", ["Provider"], PROVIDER),
        ("auditor", ["Auditor"], AUDITOR),
        ("hospital-elm", ["Hospital elm"], of_hospital("elm")),
        ("hospital-elm", ["Viewer", "Hospital elm"], of_hospital("elm")),
        ("admin", ["Admin"], None),
        ("both", ["Hospital elm", "Hospital oak"], None),
        ("both", ["Provider", "Auditor"], None),
        ("nobody", ["Hospital"], None),
        ("nobody", [], None),
    ],
)
def test_an_account_is_one_person_or_nobody(login: str, roles: list[str], expected: Person | None) -> None:
    assert person(login, roles) == expected
