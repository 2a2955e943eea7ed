"""Where the marks of a chart stand; charts.html.j2 draws them as SVG, and every chart has its table beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

from pipeline.measures.calibration import Calibration
from pipeline.measures.discrimination import Discrimination
from pipeline.measures.estimates import Measures
from pipeline.report.subgroups import SubgroupsView

WIDTH = 720
LEFT = 52
RIGHT = 16
_HEIGHT = 240
_TOP = 14
_BOTTOM = 30
_MOST_DOTS = 60
_MOST_COLUMNS = 48
_MOST_LABELS = 12
_BAR = 22
_GAP = 8
_NAMES = 285
_SIDE = 340
_GROUP = 36
"""Of a group of patients: its name, and its share below."""
_FOOT = 46
"""Of a square, with ticks and what they count."""


@dataclass(frozen=True)
class Tick:
    """A label of an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Mark:
    """A dot, or a column or bar from `at` with a size; `tip` says its value in words."""

    x: float
    y: float
    size: float
    tip: str
    label: str = ""
    kind: str = ""
    """Class of the style sheet that tells it from others, beside its label."""


@dataclass(frozen=True)
class Chart:
    """Geometry in the SVG's own units."""

    name: str
    """Unique on the page; joins the drawing with its title for screen readers."""
    title: str
    description: str
    height: int
    across: Sequence[Tick]
    up: Sequence[Tick]
    marks: Sequence[Mark]
    line: str = ""
    goal: Tick | None = None
    width: int = WIDTH
    column: float = 0
    """Width of a column."""


def history(name: str, title: str, points: Sequence[tuple[int, float]], goal: float | None = None) -> Chart:
    """Shares of one per round as a line, oldest first."""
    values = [value for _, value in points]
    low = max(0.0, floor(10 * min([*values, goal or 1.0]) - 0.5) / 10)
    xs = _spread(len(points))

    def height(value: float) -> float:
        return round(_TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - value) / (1 - low or 1), 1)

    dots = [
        Mark(x, height(value), 3.5, f"Round {number}: {100 * value:.1f} %")
        for x, (number, value) in zip(xs, points, strict=True)
    ]
    said = (
        f"From {100 * values[0]:.1f} % in round {points[0][0]} to {100 * values[-1]:.1f} % in round {points[-1][0]}"
        if points
        else ""
    )
    return Chart(
        name=name,
        title=title,
        description=f"{said}; lowest {100 * min(values):.1f} %, highest {100 * max(values):.1f} %."
        if points
        else "No round yet.",
        height=_HEIGHT,
        across=_sparse(xs, [str(number) for number, _ in points]),
        up=[Tick(height(value), f"{100 * value:.0f} %") for value in _steps(low)],
        marks=dots if len(dots) <= _MOST_DOTS else dots[-1:],
        line=" ".join(f"{dot.x},{dot.y}" for dot in dots),
        goal=None if goal is None else Tick(height(goal), f"goal {100 * goal:.0f} %"),
    )


def shares(name: str, title: str, parts: Sequence[tuple[int, int, int]]) -> Chart:
    """Columns of count / whole, oldest first, from (round, count, whole).

    Where there are many rounds, a column stands for several.
    """
    rounds_per_column = max(1, -(-len(parts) // _MOST_COLUMNS))
    groups = [parts[start : start + rounds_per_column] for start in range(0, len(parts), rounds_per_column)]
    xs = _spread(len(groups), columns=True)
    room = _HEIGHT - _TOP - _BOTTOM
    marks = []
    labels = []
    for x, group in zip(xs, groups, strict=True):
        count = sum(part[1] for part in group)
        whole = sum(part[2] for part in group)
        share = count / whole if whole else 0.0
        rounds = f"Round {group[0][0]}" if len(group) == 1 else f"Rounds {group[0][0]} to {group[-1][0]}"
        labels.append(str(group[0][0]))
        tip = f"{rounds}: {count} of {whole}, {100 * share:.1f} %"
        marks.append(Mark(x, round(_HEIGHT - _BOTTOM - room * share, 1), round(room * share, 1), tip))
    count = sum(part[1] for part in parts)
    whole = sum(part[2] for part in parts)
    of_all = f"{count} of {whole} in {len(parts)} rounds" + (f", {100 * count / whole:.1f} %" if whole else "")
    return Chart(
        name=name,
        title=title,
        description=f"{of_all}."
        + (f" Each column stands for {rounds_per_column} rounds." if rounds_per_column > 1 else ""),
        height=_HEIGHT,
        across=_sparse(xs, labels),
        up=[
            Tick(round(_HEIGHT - _BOTTOM - room * value, 1), f"{100 * value:.0f} %")
            for value in (0, 0.25, 0.5, 0.75, 1)
        ],
        marks=marks,
        column=round(0.7 * (WIDTH - LEFT - RIGHT) / max(len(groups), _MOST_LABELS), 1),
    )


def bars(name: str, title: str, values: Sequence[tuple[str, float, str]]) -> Chart:
    """Label, share of one and kind as horizontal bars, in this order."""
    room = WIDTH - _NAMES - 70
    marks = [
        Mark(_NAMES, 8 + index * (_BAR + _GAP), round(room * value, 1), f"{label}: {100 * value:.1f} %", label, kind)
        for index, (label, value, kind) in enumerate(values)
    ]
    height = 8 + len(values) * (_BAR + _GAP) + 22
    return Chart(
        name=name,
        title=title,
        description="; ".join(mark.tip for mark in marks) + ".",
        height=height,
        across=[Tick(_NAMES + room * value, f"{100 * value:.0f} %") for value in (0, 0.25, 0.5, 0.75, 1)],
        up=[],
        marks=marks,
        column=_BAR,
    )


def curve(name: str, title: str, found: Discrimination) -> Chart:
    """Sensitivity against false alarms."""
    across, up = _unit_ticks()
    marks = [
        Mark(_right(alarms), _above(hits), 3, f"Sensitivity {100 * hits:.1f} %, false alarms {100 * alarms:.1f} %")
        for alarms, hits in found.roc
    ]
    return Chart(
        name=name,
        title=title,
        description=f"Area below the curve {found.auc.decimal}.",
        height=_SIDE,
        width=_SIDE,
        across=across,
        up=up,
        marks=marks,
        line=" ".join(f"{mark.x},{mark.y}" for mark in marks),
    )


def reliability(name: str, title: str, found: Calibration) -> Chart:
    """The share of records that are of a class, by their score, with whiskers for its interval."""
    across, up = _unit_ticks()
    marks = []
    for one in found.bins:
        if one.observed:
            tip = f"Score {one.score:.2f}: {one.observed} of {one.records} records"
            x, top = _right(one.score), _above(one.observed.high)
            marks.append(Mark(x, top, round(_above(one.observed.low) - top, 1), tip, kind="whisker"))
            marks.append(Mark(x, _above(one.observed.value), 3.5, tip))
    return Chart(
        name=name,
        title=title,
        description=f"Expected calibration error {found.error.decimal}, Brier score {found.brier.decimal}.",
        height=_SIDE,
        width=_SIDE,
        across=across,
        up=up,
        marks=marks,
    )


def of_scores(measures: Measures) -> list[tuple[str, Chart, Chart]]:
    """Class, ROC curve and reliability of each class that is drawn."""
    return [
        (
            name,
            curve(f"roc-{index}", f"ROC curve of {name}", discrimination),
            reliability(f"reliability-{index}", f"Reliability of the scores of {name}", calibration),
        )
        for index, (name, discrimination, calibration) in enumerate(measures.drawn)
    ]


def of_groups(found: SubgroupsView) -> list[tuple[str, Chart]]:
    """Class, and its sensitivity in each group of patients that is told, with whiskers for the intervals."""
    drawn = []
    for place, name in enumerate(found.drawn_classes):
        rows = [(row, share) for row in found.rows if row.measures and (share := row.sensitivities[place])]
        marks = []
        for index, (row, share) in enumerate(rows):
            y = _TOP + _GROUP * index + _GROUP - 10
            tip = f"{row.column}: {row.name}: {share}"
            low, high = _along(share.low), _along(share.high)
            marks.append(Mark(low, y, round(high - low, 1), tip, kind="whisker"))
            marks.append(Mark(_along(share.value), y, 4, tip, label=f"{row.column}: {row.name}"))
        drawn.append(
            (
                name,
                Chart(
                    name=f"groups-{place}",
                    title=f"Sensitivity of {name} by group of patients",
                    description="; ".join(mark.tip for mark in marks if mark.label) + ".",
                    height=_TOP + _GROUP * len(rows) + _FOOT,
                    width=_SIDE,
                    across=[Tick(_along(share), f"{100 * share:.0f} %") for share in (0, 0.25, 0.5, 0.75, 1)],
                    up=[],
                    marks=marks,
                ),
            )
        )
    return drawn


def _along(share: float) -> float:
    return round(RIGHT + (_SIDE - 2 * RIGHT - 8) * share, 1)


def _unit_ticks() -> tuple[list[Tick], list[Tick]]:
    shares = (0, 0.25, 0.5, 0.75, 1)
    return [Tick(_right(share), f"{share:g}") for share in shares], [
        Tick(_above(share), f"{share:g}") for share in shares
    ]


def _right(share: float) -> float:
    return round(LEFT + (_SIDE - LEFT - RIGHT) * share, 1)


def _above(share: float) -> float:
    return round(_TOP + (_SIDE - _TOP - _FOOT) * (1 - share), 1)


def _spread(count: int, *, columns: bool = False) -> list[float]:
    """Places across: of columns in the middle of equal cells, of dots from edge to edge."""
    room = WIDTH - LEFT - RIGHT
    if columns:
        cells = max(count, _MOST_LABELS)
        return [round(LEFT + room * (index + 0.5) / cells, 1) for index in range(count)]
    if count == 1:
        return [LEFT + room / 2]
    return [round(LEFT + 8 + (room - 16) * index / (count - 1), 1) for index in range(count)]


def _sparse(xs: Sequence[float], labels: Sequence[str]) -> list[Tick]:
    step = max(1, -(-len(labels) // _MOST_LABELS))
    return [Tick(x, label) for x, label in list(zip(xs, labels, strict=True))[::step]]


def _steps(low: float) -> list[float]:
    # Three to six lines, whatever the part of the scale.
    width = next(width for width in (0.02, 0.05, 0.1, 0.25) if (1 - low) / width <= 5 or width == 0.25)
    values = []
    value = 1.0
    while value >= low - 1e-9:
        values.append(round(value, 2))
        value -= width
    return values
