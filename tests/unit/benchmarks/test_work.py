"""Prices beside what was measured."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks import work
from benchmarks.work import Cell, Row
from pipeline.mpc import price
from pipeline.mpc.price import Prices
from pipeline.study.fields import PROTOCOLS

ROWS: list[dict[str, Any]] = json.loads(work.RESULTS.read_text())["rows"]
PROTOCOL_NAMES = [protocol for protocols in PROTOCOLS.values() for protocol in protocols]


def _row(plain: dict[str, Any]) -> Row:
    cell = Cell(*(plain[field] for field in ("model", "protocol", "hospitals", "samples", "projected", "panel")))
    return Row(cell, plain["cpu_s"], plain["mb"], plain["source"])


@pytest.mark.parametrize("plain", ROWS, ids=lambda row: f"{row['model']}-{row['protocol']}-{row['hospitals']}")
def test_a_measured_verification_costs_within_a_factor_of_2_of_its_price(plain: dict[str, Any]) -> None:
    cell = _row(plain).cell
    prices = Prices.of(cell.protocol)
    counted = cell.sizes.work(next(engine for engine, names in PROTOCOLS.items() if cell.protocol in names))
    assert 0.5 < prices.cpu_seconds.total(counted, cell.sizes.inputs) / plain["cpu_s"] < 2
    assert 0.5 < prices.bytes_sent.total(counted, cell.sizes.inputs) / (plain["mb"] * 1e6) < 2


@pytest.mark.parametrize("protocol", PROTOCOL_NAMES)
def test_prices_are_those_that_fit_what_was_measured(protocol: str) -> None:
    fitted = work.fitted([_row(plain) for plain in ROWS if plain["protocol"] == protocol])
    prices = Prices.of(protocol)
    for resource, rates in (("cpu_seconds", prices.cpu_seconds), ("bytes_sent", prices.bytes_sent)):
        assert vars(rates) == pytest.approx(fitted[resource], rel=0.05)


@pytest.mark.parametrize("protocol", PROTOCOL_NAMES)
def test_every_protocol_was_measured_on_small_and_large_models(protocol: str) -> None:
    measured = {(plain["model"], plain["projected"]) for plain in ROWS if plain["protocol"] == protocol}
    assert {projected for _, projected in measured} == {True, False}
    assert len(measured) >= 6


def test_all_that_the_other_benchmarks_measured_is_there() -> None:
    assert [_row(plain) for plain in ROWS if plain["source"] != work.RESULTS.name] == list(work.others())


def test_projecting_has_a_price() -> None:
    assert 0 < price.projecting_seconds() < 1e-5
