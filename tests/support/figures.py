"""The figures of a page, as its markup names them."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"br", "hr", "img", "input", "link", "meta"}


@dataclass(frozen=True)
class Figure:
    """A value with its name, and the round, hospital, node or step whose it is."""

    name: str
    text: str
    value: str | None
    """The exact value, where the text is rounded or cut."""
    of: dict[str, str]


@dataclass
class _Open:
    tag: str
    attributes: dict[str, str | None]
    text: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.stack: list[_Open] = []
        self.found: list[Figure] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self.stack.append(_Open(tag, dict(attrs)))
        elif tag == "br":
            self.handle_data(" ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_data(self, data: str) -> None:
        for item in self.stack:
            item.text.append(data)

    def handle_endtag(self, tag: str) -> None:
        item = self.stack.pop()
        assert item.tag == tag, f"{item.tag} is closed by {tag}"
        name = item.attributes.get("data-figure")
        if name is not None:
            whose = {
                key.removeprefix("data-"): value or ""
                for outer in self.stack
                for key, value in outer.attributes.items()
                if key in ("data-round", "data-hospital", "data-node", "data-step", "data-check")
            }
            self.found.append(
                Figure(name, " ".join("".join(item.text).split()), item.attributes.get("data-value"), whose)
            )


def figures(page: str, **of: str) -> dict[str, Figure]:
    """Figures by name, of the page as a whole or of what `of` says; every tag must be closed in order."""
    return {figure.name: figure for figure in read(page) if figure.of == of}


def read(page: str) -> list[Figure]:
    """All figures of a page in their order."""
    reader = _Reader()
    reader.feed(page)
    assert not reader.stack, f"{reader.stack[-1].tag} is not closed"
    return reader.found
