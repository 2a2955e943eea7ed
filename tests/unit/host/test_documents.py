"""What people write is read whatever it is: as its fields, or refused in one short sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.errors import InvalidFile, InvalidStudy, Misconfigured, shown
from pipeline.host.documents import LARGEST_YAML, load, read_fields, read_yaml
from pipeline.site.consortium import Consortium
from pipeline.site.installation import Installation
from pipeline.study.study import Study
from pipeline.train import misbehaviour
from tests.adversary import attack

BOMB = "a0: [x, x, x, x, x, x, x, x, x]\n".replace("[", "&a0 [", 1) + "".join(
    f"a{level}: &a{level} [{', '.join(f'*a{level - 1}' for _ in range(9))}]\n" for level in range(1, 9)
)
"""400 bytes that stand for 9^9 values."""

LONGEST_MESSAGE = 700

SIMPLE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="ascii")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="ascii"), max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(SIMPLE)
def test_what_was_written_plainly_is_read_as_it_was(value: Any) -> None:
    assert read_yaml(yaml.dump(value, Dumper=Plain), "a file") == value


class Plain(yaml.SafeDumper):
    """Writes nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


@given(
    st.binary(max_size=200) | st.text(st.sampled_from("ab01:-?[]{},&*!#|>'\"%@`.~ \n\t<="), max_size=60).map(str.encode)
)
@example(b"a: 1" + b":1" * 400 + b".5")  # no float holds it
@example(b"a: " + b"9" * 5000)  # nor does Python read such an integer
@example(b"a: 2026-99-99")
@example(b"a: !!timestamp foo")
@example(b'a: "\\ud800"')
@example(b"\xff\xfe\x00")
def test_whatever_bytes_a_file_holds_the_reader_gets_its_fields_or_one_short_sentence(data: bytes) -> None:
    message = ""
    try:
        read_fields(data, "a file")
    except InvalidFile as error:
        message = str(error)
    assert len(message) < LONGEST_MESSAGE
    assert message.startswith("a file: file: got " if message else "")


@pytest.mark.parametrize(
    ("text", "got"),
    [
        (BOMB, "an anchor or alias in line 1"),
        ("steps: &s 8", "an anchor or alias"),
        ("steps: !!int 8", "a tag"),
        ("seed: 1\nseed: 2", "a field twice"),
        ("rule: {strikes: 3, strikes: 4}", "a field twice"),
        ("a:\n" + "".join(f"{' ' * level}- \n" for level in range(1, 30)), "more than 20 levels"),
        ("[" * 100_000, "nesting"),
        ("a: " + "x" * LARGEST_YAML, f"{LARGEST_YAML + 3} bytes"),
    ],
)
@attack(
    by="provider",
    to="delay",
    tries="to stall whoever reads a file by tags, nesting or length",
    costs="nothing",
    seen="what was refused, in a short sentence",
)
def test_more_than_plain_yaml_is_refused_as_what_it_is(text: str, got: str) -> None:
    with pytest.raises(InvalidStudy, match=got) as caught:
        read_fields(text, "mine.yaml", raising=InvalidStudy)
    assert len(str(caught.value)) < LONGEST_MESSAGE


@pytest.mark.parametrize(
    "read", [Study.load, Consortium.load, Installation.load, lambda path: misbehaviour.configured(path.parent)]
)
@attack(
    by="provider",
    to="stop",
    tries="to fill its members' memory by a few lines of YAML that stand for gigabytes",
    costs="nothing",
    seen="the line, refused at each member",
)
def test_a_bomb_is_refused_in_each_file_that_people_write(read: Any, tmp_path: Path) -> None:
    file = tmp_path / "hospital.yaml"
    file.write_text(BOMB)
    with pytest.raises(InvalidFile, match="an anchor or alias"):
        read(file)


def test_a_members_file_is_refused_with_field_value_and_what_is_allowed(tmp_path: Path) -> None:
    file = tmp_path / "consortium.yaml"
    with pytest.raises(Misconfigured, match="got no file, want the list of members; run `wardround up`"):
        load(file, Consortium, "the list of members")
    file.write_text(
        "ledger: {chain_id: 1, contract: '" + "0x" * 5000 + "', development: true}\nhospitals: {}\nnodes: {}\n"
    )
    with pytest.raises(
        InvalidFile, match=r"consortium.yaml: ledger.contract: got '0x0x.*\.\.\..*0x0x', want "
    ) as caught:
        Consortium.load(file)
    assert len(str(caught.value)) < LONGEST_MESSAGE
    file.write_text("hospitals: {}\nnodes: {}\n")
    with pytest.raises(InvalidFile, match="ledger: got 'nothing', want a value"):
        Consortium.load(file)


@given(SIMPLE)
@example(int("f" * 50_000, 16))
@example([[[[[[["deep"]]]]]]] * 1000)
@example("x" * 100_000)
def test_a_value_is_shown_short_whatever_it_is(value: Any) -> None:
    assert len(shown(value)) < LONGEST_MESSAGE
