"""Sorting networks by the zero-one principle: a network that sorts every list of zeros and ones sorts everything."""

from __future__ import annotations

import itertools

import pytest

from pipeline.mpc import sorting


def _run(layers: tuple[tuple[sorting.Comparator, ...], ...], values: tuple[int, ...]) -> list[int]:
    wires = list(values)
    for layer in layers:
        for low, high in layer:
            wires[low], wires[high] = min(wires[low], wires[high]), max(wires[low], wires[high])
    return wires


@pytest.mark.parametrize("wires", range(1, 12))
def test_a_network_sorts_every_list_of_zeros_and_ones(wires: int) -> None:
    layers = sorting.network(wires)
    assert all(_run(layers, values) == sorted(values) for values in itertools.product((0, 1), repeat=wires))


@pytest.mark.parametrize("wires", range(1, 12))
def test_a_pruned_network_still_gives_the_wanted_outputs(wires: int) -> None:
    for wanted in range(wires):
        layers = sorting.network(wires, frozenset({wanted}))
        assert all(
            _run(layers, values)[wanted] == sorted(values)[wanted] for values in itertools.product((0, 1), repeat=wires)
        )


def test_pruning_drops_comparators() -> None:
    assert sum(map(len, sorting.network(10, frozenset({4})))) < sum(map(len, sorting.network(10)))


@pytest.mark.parametrize("wires", range(2, 30))
def test_the_comparators_of_a_layer_share_no_wire(wires: int) -> None:
    for layer in sorting.network(wires):
        touched = [wire for comparator in layer for wire in comparator]
        assert len(touched) == len(set(touched))
