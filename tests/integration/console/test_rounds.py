from __future__ import annotations

import pytest

from pipeline.domain import RoundId, Verdict
from plugins.console.people import Person
from tests.support.console import AUDITOR, PROVIDER, client, of_hospital
from tests.support.consortia import Site

pytestmark = [pytest.mark.store, pytest.mark.anvil, pytest.mark.spu]


@pytest.mark.parametrize("who", [PROVIDER, AUDITOR, of_hospital("aster")], ids=lambda who: who.role)
def test_everybody_sees_every_round_and_what_was_decided(town: Site, finished: RoundId, who: Person) -> None:
    pages = client(town.settings, who)
    assert f'href="/rounds/{finished}"' in pages.get("/rounds").text
    page = pages.get(f"/rounds/{finished}").text
    record = town.record(finished)
    assert record["new_model"] in page
    for verdict in Verdict:
        assert page.count(f'class="tag {verdict}"') == list(record["verdicts"].values()).count(verdict)


def test_a_round_that_never_was_is_no_page_and_said_in_words(town: Site) -> None:
    answer = client(town.settings, AUDITOR).get("/rounds/999")
    assert answer.status_code == 404
    assert "Round 999: the ledger has none of that number." in answer.text


def test_who_is_not_logged_in_is_sent_to_the_login(town: Site) -> None:
    answer = client(town.settings, None).get("/rounds")
    assert (answer.status_code, answer.headers["location"]) == (303, "/auth/login/?next=/rounds")
