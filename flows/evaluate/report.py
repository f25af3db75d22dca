"""A comparison as Markdown: what a run's artifact, a pull request and a person read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flows import markdown as escape
from flows.names import named
from schemas.records import Comparison, Difference

LISTED = 20
"""Items named in full; the rest is counted, and lies in the table `scores`."""


NO_NAMES: Mapping[str, str] = {}


def markdown(comparison: Comparison, names: Mapping[str, str] = NO_NAMES) -> str:
    """Overall, slice by slice, guards, and the items that changed. Names made by users are escaped.

    `names` are those of clusters (`flows/names.py`): a slice is shown with its own.
    """
    candidate, champion = comparison.candidate, comparison.champion
    who = (
        f"Candidate `{escape.code(candidate.model)}` ({candidate.id}) against champion `{escape.code(champion.model)}` "
        f"({champion.id}) on eval set {escape.text(comparison.measured_on)}; evaluation {comparison.evaluation_id}."
    )
    parts = [*_table(comparison, names), *_sampled(comparison), *_guards(comparison), "", *_changes(comparison)]
    return "\n".join([who, "", *parts])


def rows(comparison: Comparison, names: Mapping[str, str] = NO_NAMES) -> list[dict[str, str | int]]:
    """The same table as plain values, one row a slice, for a table that can be sorted: Prefect reads Markdown there."""
    return [
        {
            "slice": escape.text(named(difference.slice, names)) or "all items",
            "items": difference.items,
            "champion": _share(difference.champion),
            "candidate": _share(difference.candidate),
            "difference": _share(difference.difference, sign=True),
            "interval": _interval(difference),
            "unscored": difference.unscored,
        }
        for difference in (comparison.overall, *comparison.slices)
    ]


def _table(comparison: Comparison, names: Mapping[str, str]) -> Iterator[str]:
    yield "| slice | items | champion | candidate | difference | interval | won | lost | tied | unscored |"
    yield "|---|--:|--:|--:|--:|---|--:|--:|--:|--:|"
    yield from (_row(difference, names) for difference in (comparison.overall, *comparison.slices))


def _changes(comparison: Comparison) -> Iterator[str]:
    yield from _items("Fixed", comparison.fixed)
    yield from _items("Regressed", comparison.regressed)
    yield from _items("Flaky", comparison.flaky)
    yield f"Still failing: {len(comparison.still_failing)}."
    yield from (f"\nNote: {escape.text(note)}" for note in comparison.notes)


def _row(difference: Difference, names: Mapping[str, str]) -> str:
    cells = (
        f"**{escape.text(named(difference.slice, names)) or 'all items'}**",
        difference.items,
        _share(difference.champion),
        _share(difference.candidate),
        _share(difference.difference, sign=True),
        _interval(difference),
        difference.wins,
        difference.losses,
        difference.ties,
        difference.unscored,
    )
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _sampled(comparison: Comparison) -> Iterator[str]:
    """What reviews decided on: which requests, how many of them, and the difference by whose word references are."""
    sampled = comparison.sampled
    if sampled is None:
        return
    coming = f"; the gate looks again at {sampled.next_look}" if sampled.next_look else ""
    yield (
        f"\nThe answers differ in {sampled.differ} of {sampled.requests} requests. Reviewed without a gap: "
        f"{sampled.reviewed}, of which {sampled.look} count and {sampled.skipped} could not be told{coming}. "
        f"Not asked, since a model may know them: {sampled.left_out}; older, but of users of whom nothing is taught: "
        f"{sampled.kept_out}. Reviewers' Youden J {sampled.youden:.2f}; guesses count {sampled.trust:.2f}.\n"
    )
    yield "| reference from | requests | differ | reviewed | difference | interval | won | lost |"
    yield "|---|--:|--:|--:|--:|---|--:|--:|"
    for found in sampled.origins:
        counts = (found.items, found.differ, found.reviewed, _share(found.difference, sign=True), _interval(found))
        cells = (f"**{escape.text(found.slice)}**", *counts, found.wins, found.losses)
        yield f"| {' | '.join(str(cell) for cell in cells)} |"


def _guards(comparison: Comparison) -> Iterator[str]:
    if comparison.guards:
        yield from ("", "| guard | champion | candidate | ratio | at most |", "|---|--:|--:|--:|--:|")
    for name, guard in comparison.guards.items():
        values = (guard.get(key) for key in ("champion", "candidate", "ratio", "ratio_high"))
        yield f"| {name} | {' | '.join('–' if value is None else f'{value:.4g}' for value in values)} |"


def _items(title: str, items: tuple[str, ...]) -> Iterator[str]:
    if items:
        more = f" and {len(items) - LISTED} more" if len(items) > LISTED else ""
        yield f"{title} ({len(items)}): {', '.join(f'`{escape.code(item)}`' for item in items[:LISTED])}{more}.\n"


def _share(value: float | None, sign: bool = False) -> str:
    return "–" if value is None else f"{value:{'+' if sign else ''}.3f}"


def _interval(difference: Difference) -> str:
    """The interval, cut where no difference of scores can lie: on two items a t interval is wider than that."""
    if difference.low is None or difference.high is None:
        return "–"
    return f"{_share(max(difference.low, -1.0), sign=True)} to {_share(min(difference.high, 1.0), sign=True)}"
