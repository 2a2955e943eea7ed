"""What a site's `up` makes of studies whose members are not all there yet."""

from __future__ import annotations

from pipeline.setup import up_provider, up_steps
from pipeline.site.consortium import Consortium, Node
from tests.support.installations import study
from tests.support.sites import LEDGER

SOMEBODY = "0x" + "11" * 20
NODE = Node(address=SOMEBODY, certificate_sha256="ab" * 32, host="north.example.org:7000")


def consortium(hospitals: tuple[str, ...], nodes: tuple[str, ...]) -> Consortium:
    return Consortium(ledger=LEDGER, hospitals=dict.fromkeys(hospitals, SOMEBODY), nodes=dict.fromkeys(nodes, NODE))


def test_a_study_goes_on_the_ledger_once_all_of_its_nodes_have_cards() -> None:
    studies = {"breast_cancer": study()}
    assert not up_provider.complete(studies, consortium(("aster",), ("north", "east")))
    assert up_provider.complete(studies, consortium((), ("north", "east", "west"))) == studies


def test_a_study_is_approved_once_all_of_its_members_have_cards() -> None:
    everybody = ("aster", "birch", "cedar", "dahlia", "elm")
    assert up_steps.unknown(study(), consortium(everybody[:4], ("north", "east"))) == ["elm", "west"]
    assert up_steps.unknown(study(), consortium(everybody, ("north", "east", "west"))) == []
