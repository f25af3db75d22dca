"""Drawings as SVG text: the same functions serve the web app, the cluster report and Prefect's artifacts.

Geometry stands in attributes and colours in classes, so that a page with a strict policy and any theme can show them:
`CSS` has the classes for whoever has no style sheet of their own. A drawing is seen, and also said: its label is the
sentence that it shows. Go on to `ui/html.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

CSS = Path(__file__).with_name("svg.css").read_text()
STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0)
"""Of an axis: the first that needs at most four lines."""


class Bin(NamedTuple):
    """A stretch of time with its traffic: what happened to `part` of `whole`, with the interval of their ratio."""

    middle: float
    """Its place, 0 to 1, between the ends of the drawing."""
    part: int
    whole: int
    low: float
    high: float


class Mark(NamedTuple):
    """A moment with a name: a promotion."""

    at: float
    """0 to 1."""
    text: str


class Row(NamedTuple):
    """One row of a forest plot."""

    difference: float | None
    low: float | None
    high: float | None
    items: int
    few: bool = False
    """Too few items to decide anything."""
    whole: bool = False
    """All items together: a diamond."""


class Dot(NamedTuple):
    """A circle on a map."""

    x: float
    y: float
    r: float
    text: str
    """Beside it; empty: none."""
    title: str
    look: str = ""
    href: str = ""


def bars(bins: Sequence[tuple[int, int]], now: int, label: str, width: int = 120, height: int = 26) -> str:
    """Rates as bars, oldest first, each (part, whole); from the `now`-th on they are dark. Empty ones are left out."""
    rates = [(part / whole, i >= now) for i, (part, whole) in enumerate(bins) if whole]
    top, step = max((rate for rate, _ in rates), default=0.0) or 1.0, width / max(len(rates), 1)
    drawn = [_line("ax", 0, height - 0.5, width, height - 0.5)]
    for i, (rate, late) in enumerate(rates):
        tall = rate / top * (height - 3)
        if tall:
            drawn.append(
                f'<rect class="bar{" now" if late else ""}" x="{i * step + 0.5:.1f}" y="{height - 1 - tall:.1f}" '
                f'width="{max(step - 1, 0.5):.1f}" height="{tall:.1f}"/>'
            )
    return _svg(drawn, width, height, label)


def interval(
    rate: float | None, low: float | None, high: float | None, top: float, look: str = "", width: int = 150
) -> str:
    """A point with its interval on a scale from 0 to `top`."""
    if rate is None or low is None or high is None or not top:
        return ""
    height = 18

    def x(value: float) -> float:
        return 4 + min(max(value / top, 0), 1) * (width - 8)

    drawn = [
        _line("ax", 4, height / 2, width - 4, height / 2),
        _line(f"ci {look}", x(low), height / 2, x(high), height / 2),
        f'<circle class="pt {look}" cx="{x(rate):.1f}" cy="{height / 2}" r="3"/>',
    ]
    return _svg(drawn, width, height)


def trend(
    bins: Sequence[Bin],
    marks: Sequence[Mark],
    ticks: Sequence[Mark],
    label: str,
    width: int = 640,
    height: int = 170,
) -> str:
    """Rates over time as a line with its band, broken where nothing came; marks are promotions, ticks dates."""
    left, right, above, below = 44, 8, 16, 20
    top, step = _scale(max((one.high for one in bins), default=0.01))

    def x(at: float) -> float:
        return left + at * (width - left - right)

    def y(value: float) -> float:
        return above + (1 - value / top) * (height - above - below)

    drawn = []
    for n in range(round(top / step) + 1):
        drawn.append(_line("ax", left, y(n * step), width - right, y(n * step)))
        drawn.append(_text(left - 6, y(n * step) + 4, f"{n * step * 100:g} %", "end"))
    for run in _runs(bins):
        upper = " ".join(f"{x(one.middle):.1f},{y(one.high):.1f}" for one in run)
        lower = " ".join(f"{x(one.middle):.1f},{y(one.low):.1f}" for one in reversed(run))
        path = " ".join(f"{x(one.middle):.1f},{y(one.part / one.whole):.1f}" for one in run)
        drawn.append(f'<polygon class="band" points="{upper} {lower}"/><polyline class="line" points="{path}"/>')
        drawn += [
            f'<circle class="pt" cx="{x(one.middle):.1f}" cy="{y(one.part / one.whole):.1f}" r="1.8"/>' for one in run
        ]
    drawn += _marks(marks, x, above, height - below)
    drawn += [_text(x(tick.at), height - 4, tick.text, _anchor(tick.at)) for tick in ticks]
    return _svg(drawn, width, height, label, wide=True)


def forest(row: Row, margin: float, span: tuple[float, float], width: int = 440) -> str:
    """One row of a forest plot: difference with interval, zero line, and the zone below -`margin`."""
    height = 30 if row.few else 44

    def x(value: float) -> float:
        return 6 + (min(max(value, span[0]), span[1]) - span[0]) / (span[1] - span[0]) * (width - 12)

    middle = height / 2
    drawn = [
        f'<rect class="margin" x="6" y="0" width="{max(x(-margin) - 6, 0):.1f}" height="{height}"/>',
        _line("zero", x(0), 0, x(0), height),
    ]
    if row.difference is not None:
        look = _look(row)
        if row.low is not None and row.high is not None:
            drawn.append(_line(f"ci {look}", x(row.low), middle, x(row.high), middle))
            ends = [] if row.few else [end for end in (row.low, row.high) if span[0] <= end <= span[1]]
            drawn += [_line(f"ci {look}", x(end), middle - 3, x(end), middle + 3) for end in ends]
        drawn.append(_point(x(row.difference), middle, min(max(row.items**0.5 / 3.5, 3.0), 6.5), look, row.whole))
    return _svg(drawn, width, height)


def forest_axis(span: tuple[float, float], width: int = 440) -> str:
    """The scale above a forest plot, in percentage points."""
    step = 0.25 if span[1] - span[0] > 0.8 else 0.1 if span[1] - span[0] > 0.3 else 0.05
    drawn = []
    for n in range(math.ceil(span[0] / step - 1e-9), math.floor(span[1] / step + 1e-9) + 1):
        at = (n * step - span[0]) / (span[1] - span[0])
        sign = "" if not n else "+" if n > 0 else "−"
        drawn.append(_text(6 + at * (width - 12), 14, f"{sign}{abs(n * step) * 100:g}", _anchor(at)))
    return _svg(drawn, width, 20)


def evidence(
    points: Sequence[float], limit: float, act: str, users: int, label: str, width: int = 640, height: int = 170
) -> str:
    """Evidence of a sequential test over its users, on a logarithmic axis, with the limit at which it would `act`."""
    left, right, above, below = 44, 8, 14, 20
    logs = [math.log10(max(point, 1e-3)) for point in points]
    low, high = min([0.0, *logs]), max([math.log10(limit), *logs]) * 1.08

    def y(value: float) -> float:
        return above + (1 - (value - low) / (high - low or 1)) * (height - above - below)

    drawn = []
    for power in range(math.ceil(low), math.floor(high) + 1):
        drawn.append(_line("ax", left, y(power), width - right, y(power)))
        drawn.append(_text(left - 6, y(power) + 4, f"{10.0**power:g}", "end"))
    drawn.append(_line("limit", left, y(math.log10(limit)), width - right, y(math.log10(limit))))
    drawn.append(_text(width - right, y(math.log10(limit)) - 4, f"would {act} at {limit:g}", "end"))
    step = (width - left - right) / max(len(logs) - 1, 1)
    path = " ".join(f"{left + i * step:.1f},{y(value):.1f}" for i, value in enumerate(logs))
    drawn.append(f'<polyline class="line" points="{path}"/>')
    drawn.append(_text(left, height - 4, "the first user", "start"))
    drawn.append(_text(width - right, height - 4, f"{users:,} users", "end"))
    return _svg(drawn, width, height, label, wide=True)


def dots(found: Sequence[Dot], label: str, width: int = 900, height: int = 460) -> str:
    """A map: near means alike, the directions mean nothing."""
    drawn = []
    for dot in found:
        circle = (
            f'<circle class="dot {dot.look}" cx="{dot.x:.1f}" cy="{dot.y:.1f}" r="{dot.r:.1f}">'
            f"<title>{escape(dot.title)}</title></circle>"
        )
        words = _text(dot.x, dot.y - dot.r - 4, dot.text, "middle", "label") if dot.text else ""
        link = f'<a href="{escape(dot.href)}" aria-label="{escape(dot.title)}">{circle}{words}</a>'
        drawn.append(link if dot.href else circle + words)
    return _svg(drawn, width, height, label, wide=True).replace('role="img"', 'role="group"', 1)


def share(part: float, label: str = "", width: int = 160) -> str:
    """A share of one as a bar."""
    drawn = [
        f'<rect class="rest" x="0" y="4" width="{width}" height="8" rx="2"/>',
        f'<rect class="bar" x="0" y="4" width="{max(part, 0.0) * width:.1f}" height="8" rx="2"/>',
    ]
    return _svg(drawn, width, 16, label)


def _look(row: Row) -> str:
    if row.few or row.low is None or row.high is None:
        return "few"
    return "good" if row.low > 0 else "harm" if row.high < 0 else ""


def _point(x: float, y: float, r: float, look: str, whole: bool) -> str:
    if whole:
        path = f"M{x - r - 1:.1f} {y:.1f}L{x:.1f} {y - r:.1f}L{x + r + 1:.1f} {y:.1f}L{x:.1f} {y + r:.1f}Z"
        return f'<path class="pt {look}" d="{path}"/>'
    return f'<rect class="pt {look}" x="{x - r:.1f}" y="{y - r:.1f}" width="{2 * r:.1f}" height="{2 * r:.1f}"/>'


def _marks(marks: Sequence[Mark], x: Callable[[float], float], top: float, bottom: float) -> list[str]:
    """Dashed lines; a name that would run into the one before it is left to the table below."""
    drawn, free = [], -1e9
    for mark in sorted(marks):
        drawn.append(_line("mark", x(mark.at), top - 4, x(mark.at), bottom))
        if x(mark.at) - 6.2 * len(mark.text) > free and x(mark.at) - 6.2 * len(mark.text) > 40:
            drawn.append(_text(x(mark.at) - 5, top + 4, mark.text, "end", "mark-text"))
            free = x(mark.at)
        elif x(mark.at) > free:
            drawn.append(_text(x(mark.at) + 5, top + 4, mark.text, "start", "mark-text"))
            free = x(mark.at) + 5 + 6.2 * len(mark.text)
    return drawn


def _runs(bins: Sequence[Bin]) -> list[list[Bin]]:
    """Bins that follow each other: where an eighth of the drawing is empty the line breaks."""
    runs: list[list[Bin]] = []
    for one in bins:
        if not one.whole:
            continue
        if runs and one.middle - runs[-1][-1].middle <= 1 / 8:
            runs[-1].append(one)
        else:
            runs.append([one])
    return runs


def _scale(highest: float) -> tuple[float, float]:
    """The top of an axis that holds the highest value, and its step."""
    step = next((step for step in STEPS if highest / step <= 4), 1.0)
    return min(step * (int(highest / step - 1e-9) + 1), 1.0 if highest <= 1 else highest), step


def _anchor(at: float) -> str:
    return "start" if at < 0.05 else "end" if at > 0.95 else "middle"


def _line(look: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{look}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str, look: str = "") -> str:
    return f'<text class="{look}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(drawn: Sequence[str], width: float, height: float, label: str = "", *, wide: bool = False) -> str:
    said = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    size = 'width="100%"' if wide else f'width="{width:g}" height="{height:g}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width:g} {height:g}" {said}>'
    return f"{head}{''.join(drawn)}</svg>"
