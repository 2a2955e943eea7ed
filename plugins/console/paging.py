"""Long lists in pages of a fixed size, and links that keep a page's filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Generic, TypeVar
from urllib.parse import urlencode

from fastapi import Query
from pydantic import BeforeValidator, Field

T = TypeVar("T")


def _given(value: object) -> object:
    """What a form sends for a field that was left empty is nothing."""
    return None if value == "" else value


# Limits stand within the union: pydantic would hold None against them.
Word = Annotated[Annotated[str, Field(max_length=64)] | None, BeforeValidator(_given), Query()]
"""A field of a filter that may be left empty."""
Number = Annotated[Annotated[int, Field(ge=1, lt=2**63)] | None, BeforeValidator(_given)]
"""A number in a filter that may be left empty."""
PageNumber = Annotated[Number, Query()]
OneOf = BeforeValidator(_given)
"""Before a choice of words that may be left empty."""


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list."""

    items: Sequence[T]
    number: int
    count: int
    """Of pages; at least 1."""
    total: int
    """Of items on all pages."""
    first: int
    """Place of this page's first item, from 1."""
    chosen: Mapping[str, object] = field(default_factory=dict)
    """The filter by its fields."""

    def link(self, number: int) -> str:
        """The query of another page of the same list."""
        return query({**self.chosen, "page": number})


def page(items: Sequence[T], number: int | None, size: int, chosen: Mapping[str, object] | None = None) -> Page[T]:
    """Page `number` of `items`, or the last one where there are fewer."""
    count = max(1, -(-len(items) // size))
    number = min(number or 1, count)
    start = (number - 1) * size
    return Page(items[start : start + size], number, count, len(items), start + 1, chosen or {})


def query(fields: Mapping[str, object]) -> str:
    """The fields that are set as the query of a link, with its question mark."""
    return "?" + urlencode({name: value for name, value in fields.items() if value is not None})
