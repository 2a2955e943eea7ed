"""Pictures of a round report: SVG for the page, PNG for the study repository; the same data give the same bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.domain import Verdict
from pipeline.measures.estimates import Measures
from pipeline.report.round_list import RoundSummary
from pipeline.report.round_view import RoundView
from pipeline.report.subgroups import GroupRow, SubgroupsView

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1c2733"
MUTED = "#5c6b7a"
LINE = "#d5dce3"
ACCENT = "#1f5f8b"
VERDICT_COLOURS: Mapping[Verdict, str] = {
    Verdict.ACCEPTED: "#1f5f8b",
    Verdict.REJECTED: "#b3372f",
    Verdict.ABSENT: "#9aa6b2",
}
_CLASS_COLOURS = ("#1f5f8b", "#b3372f", "#1a6b45", "#7a5000", "#6a4a8c", "#1c2733")
_VERDICT_MARKS: Mapping[Verdict, str] = {Verdict.ACCEPTED: "o", Verdict.REJECTED: "X", Verdict.ABSENT: "_"}

_WIDTH = 7.4
_SIDE = 3.6
"""Inches."""

_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica"],
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "wardround",
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def history(rounds: Sequence[RoundSummary], current: int) -> Figure:
    """Accuracy per round above, and below it what each round decided about each hospital."""
    finished = [item for item in rounds if item.verdicts]
    names = list(dict.fromkeys(name for item in finished for name in item.verdicts))
    lower = 0.24 * max(2, len(names))
    figure, (above, below) = _figure(names, (1.7, lower), below=0.75)
    tested = [(position, 100 * item.accuracy) for position, item in enumerate(finished) if item.accuracy is not None]
    above.plot(
        [position for position, _ in tested],
        [value for _, value in tested],
        color=ACCENT,
        linewidth=1.6,
        marker="o",
        markersize=4,
    )
    for position, value in tested[-1:]:
        above.annotate(
            f"{value:.1f} %", (position, value), textcoords="offset points", xytext=(6, 6), fontweight="bold"
        )
    above.set_ylabel("accuracy, %")
    above.set_ylim(max(0.0, min((value for _, value in tested), default=0.0) - 8), 104)
    above.grid(axis="y", color=LINE, linewidth=0.6)
    above.tick_params(labelbottom=False)
    for verdict in Verdict:
        marks = [
            (position, len(names) - names.index(name))
            for position, item in enumerate(finished)
            for name, got in item.verdicts.items()
            if got is verdict
        ]
        across = [position for position, _ in marks]
        up = [height for _, height in marks]
        below.scatter(
            across, up, marker=_VERDICT_MARKS[verdict], s=34, color=VERDICT_COLOURS[verdict], label=verdict.value
        )
    below.set_yticks([len(names) - index for index in range(len(names))], names)
    below.set_ylim(0.4, len(names) + 0.6)
    below.set_xlabel("round")
    below.legend(loc="upper center", bbox_to_anchor=(0.5, -0.42 / lower), ncol=3, frameon=False, handletextpad=0.3)
    step = max(1, len(finished) // 12)
    shown = [position for position in range(len(finished)) if position % step == 0 or position == len(finished) - 1]
    for axes in (above, below):
        axes.set_xlim(-0.5, max(1, len(finished)) - 0.5)
        axes.set_xticks(shown, [str(finished[position].round) for position in shown])
        for position, item in enumerate(finished):
            if item.round == current:
                axes.axvspan(position - 0.4, position + 0.4, color="#eef3f7", zorder=0)
    return figure


def local_accuracy(view: RoundView) -> Figure:
    """The new model on each hospital's own test records."""
    rows = [row for row in view.hospitals if row.accuracy is not None]
    values = [100 * (row.accuracy or 0) for row in rows]
    notes = [f"{value:.1f} %  ({row.correct} of {row.tested})" for value, row in zip(values, rows, strict=True)]
    figure, axes = _bars([row.name for row in rows], values, notes, [VERDICT_COLOURS[row.verdict] for row in rows])
    axes.set_xlim(0, 128)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_xlabel("accuracy on the hospital's own test records, %")
    return figure


def roc(measures: Measures) -> Figure:
    """Sensitivity against false alarms, a line for each drawn class."""
    figure, axes = _square("false alarms (1 - specificity)", "sensitivity")
    for (name, found, _), colour in zip(measures.drawn, _CLASS_COLOURS, strict=False):
        axes.plot(*zip(*found.roc, strict=True), color=colour, linewidth=1.6, label=name)
    axes.legend(loc="lower right", frameon=False)
    return figure


def reliability(measures: Measures) -> Figure:
    """The share of records that are of a class by their score, with its interval, for each drawn class."""
    figure, axes = _square("score", "share of records of the class")
    for (name, _, found), colour in zip(measures.drawn, _CLASS_COLOURS, strict=False):
        seen = [(one.score, one.observed) for one in found.bins if one.observed]
        shares = [share for _, share in seen]
        axes.errorbar(
            [score for score, _ in seen],
            [share.value for share in shares],
            [[share.value - share.low for share in shares], [share.high - share.value for share in shares]],
            color=colour,
            linewidth=0.8,
            marker="o",
            markersize=4,
            linestyle="none",
            label=name,
        )
    axes.legend(loc="upper left", frameon=False)
    return figure


def subgroups(found: SubgroupsView) -> Figure:
    """Sensitivity of each class in each group that is told, with its interval, a panel for each column of groups."""
    classes = found.drawn_classes
    labels = [f"{column}: {row.name}" for column, rows in found.drawn for row in rows]
    height = 0.16 * len(classes) + 0.12
    figure, axes = _figure(labels, [height * len(rows) for _, rows in found.drawn], below=0.75)
    for panel, (column, rows) in zip(axes, found.drawn, strict=True):
        for place, name in enumerate(classes):
            # Beside one another, in less than the row's height.
            shift = (place - (len(classes) - 1) / 2) * 0.6 / len(classes)
            seen = [(up - shift, share) for up, row in _up(rows) if (share := row.sensitivities[place])]
            panel.errorbar(
                [100 * share.value for _, share in seen],
                [up for up, _ in seen],
                xerr=[
                    [100 * (share.value - share.low) for _, share in seen],
                    [100 * (share.high - share.value) for _, share in seen],
                ],
                color=_CLASS_COLOURS[place],
                linewidth=1,
                marker="o",
                markersize=4,
                linestyle="none",
                label=name,
            )
        # A study may name its groups with dollars, which matplotlib would take for formulas.
        panel.set_yticks([up for up, _ in _up(rows)], [f"{column}: {row.name}" for row in rows], parse_math=False)
        panel.set_ylim(-0.6, len(rows) - 0.4)
        panel.set_xlim(0, 102)
        panel.grid(axis="x", color=LINE, linewidth=0.6)
        panel.tick_params(axis="y", length=0)
        panel.tick_params(labelbottom=panel is axes[-1])
    axes[-1].set_xlabel("sensitivity: right answers of each class, %, with 95 % intervals")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncol=3, frameon=False)
    return figure


def _up(rows: Sequence[GroupRow]) -> list[tuple[int, GroupRow]]:
    return [(len(rows) - 1 - index, row) for index, row in enumerate(rows)]


def stages(view: RoundView) -> Figure:
    """Wall seconds of each stage, in the order in which the round runs."""
    values = list(view.seconds.values())
    figure, axes = _bars(list(view.seconds), values, [f"{value:.1f} s" for value in values], [ACCENT] * len(values))
    axes.set_xlim(0, 1.15 * max([0.1, *values]))
    axes.set_xlabel("seconds, slowest actor of each stage")
    return figure


def svg(figure: Figure) -> str:
    """The figure as an SVG element, without date or declaration."""
    buffer = io.StringIO()
    with _style():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def png(figure: Figure) -> bytes:
    """The figure as a PNG file for screens of high density."""
    buffer = io.BytesIO()
    with _style():
        figure.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
    return buffer.getvalue()


def _bars(
    names: Sequence[str], values: Sequence[float], notes: Sequence[str], colours: Sequence[str]
) -> tuple[Figure, Axes]:
    figure, (axes,) = _figure(names, (0.26 * max(1, len(names)),), below=0.5)
    positions = list(range(len(names)))[::-1]
    axes.barh(positions, values, height=0.62, color=colours)
    for position, value, note in zip(positions, values, notes, strict=True):
        axes.annotate(note, (value, position), textcoords="offset points", xytext=(5, -3), color=MUTED)
    axes.set_yticks(positions, names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.tick_params(axis="y", length=0)
    return figure, axes


def _square(across: str, up: str) -> tuple[Figure, Axes]:
    """Both axes from 0 to 1, with the diagonal."""
    from matplotlib.figure import Figure

    with _style():
        figure = Figure(figsize=(_SIDE, _SIDE))
        axes = figure.add_axes((0.16, 0.15, 0.81, 0.82))
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.grid(color=LINE, linewidth=0.6)
        axes.set_xlabel(across)
        axes.set_ylabel(up)
    return figure, axes


def _figure(names: Sequence[str], heights: Sequence[float], below: float) -> tuple[Figure, Sequence[Axes]]:
    """Panels of these heights in inches; margins are set by hand, since matplotlib's layout engines cost seconds."""
    from matplotlib.figure import Figure

    gap = 0.12
    above = 0.1
    left = 0.35 + 0.075 * max(6, *map(len, names))
    total = sum(heights) + gap * (len(heights) - 1) + above + below
    with _style():
        figure = Figure(figsize=(_WIDTH, total))
        panels = []
        top = total - above
        for height in heights:
            panels.append(
                figure.add_axes(
                    (left / _WIDTH, (top - height) / total, (_WIDTH - left - 0.15) / _WIDTH, height / total)
                )
            )
            top -= height + gap
    return figure, panels


def _style() -> Any:
    import matplotlib as mpl

    return mpl.rc_context(_STYLE)
