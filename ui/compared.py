"""One evaluation as its page shows it: rows of the forest plots, the verdict and its reasons, answers side by side.

Go on to `pages/evaluations.py`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape
from msgspec import Struct

from flows.evaluate.items import of_version, read_items
from flows.evaluations import scores_of
from flows.names import named
from flows.promote.stage import gather, judge
from flows.svg import Row
from flows.visible import visible
from schemas.errors import FlywheelError
from schemas.events import Decision
from schemas.messages import last_text
from schemas.records import Comparison, Difference, Evaluation, Item, Score, Verdict
from schemas.settings import GateSettings
from ui.state import State
from ui.words import LONGEST, line

KINDS = ("regressed", "fixed", "still_failing", "flaky")
ORIGINS = {
    "own": "the champion's own answer",
    "other": "an answer of another model",
    "correction": "a person's correction",
    "none": "nothing: only reviews decide",
    "golden": "the set's own, or written by hand",
}
ALIKE = 0.6
"""Share of the longer text, blanks too, that both must have before marks are drawn: in two different texts they say
nothing."""
DIFFED = 400
"""Words of either answer that are compared: what differs is plain by then, and the comparison stays small."""


class Line(Struct, frozen=True):
    """A row of a forest plot with its figures."""

    name: str
    found: Difference
    row: Row
    href: str = ""


class Table(Struct, frozen=True):
    """Both plots on one scale."""

    whole: Line
    slices: list[Line]
    few: list[Line]
    """Too few items to decide anything."""
    origins: list[Line]
    span: tuple[float, float]


class Pair(Struct, frozen=True):
    """An item with both answers."""

    item_id: str
    ask: str
    slice: str
    reference: str
    champion: Markup
    candidate: Markup
    champion_score: float | None
    candidate_score: float | None


def compared(comparison: Comparison, gate: GateSettings, names: Mapping[str, str]) -> Table:
    """The rows of an evaluation's plots; slices from the worst to the best."""
    slices = [_line(one, names.get(one.slice, one.slice or "in no cluster"), gate) for one in comparison.slices]
    slices.sort(key=lambda one: (one.found.difference is None, one.found.difference or 0.0, one.name))
    sampled = comparison.sampled.origins if comparison.sampled else ()
    origins = [_line(one, ORIGINS.get(one.slice, one.slice), gate, least=1) for one in sampled]
    shown = [one.row for one in (*slices, *origins) if not one.row.few]
    overall = comparison.overall
    low = min([-0.1, *(row.low for row in shown if row.low is not None), overall.low or 0.0])
    high = max([0.1, *(row.high for row in shown if row.high is not None), overall.high or 0.0])
    return Table(
        Line("All items", overall, Row(overall.difference, overall.low, overall.high, overall.items, whole=True)),
        [one for one in slices if not one.row.few],
        [one for one in slices if one.row.few],
        origins,
        (max(low, -1.0), min(high, 1.0)),
    )


def _line(found: Difference, name: str, gate: GateSettings, least: int = 0) -> Line:
    few = found.items < (least or gate.min_slice_items)
    href = f"/failures/{found.slice}" if re.fullmatch(r"c[0-9a-f]{6,}", found.slice) else ""
    return Line(name, found, Row(found.difference, found.low, found.high, found.items, few=few), href)


def verdict_of(state: State, found: Evaluation, decision: Decision | None) -> Verdict:
    """What was decided, with the ledger's own reasons; else what the gate would say now."""
    if decision is not None:
        return Verdict(decision.verdict, tuple(named(each, state.names) for each in decision.reasons))  # type: ignore[arg-type]

    def now() -> Verdict:
        try:
            evidence = gather(state.lake, state.settings, found.evaluation_id)
            verdict = judge(evidence, state.registry, state.settings.gate)
        except FlywheelError as error:
            return Verdict("inconclusive", (str(error),))
        return Verdict(
            verdict.verdict,
            tuple(named(each, state.names) for each in verdict.reasons),
            verdict.policy,
            verdict.waits_for,
        )

    return state.once(f"verdict {found.evaluation_id}", now)


def items_of(state: State, found: Evaluation, ids: Sequence[str]) -> list[Pair]:
    """Some items with both answers, in the order asked for."""
    if not ids:
        return []
    scores = state.once(f"scores {found.evaluation_id}", lambda: _scores(state, found.evaluation_id))
    items = state.once(f"items {found.dataset_version}", lambda: _items(state, found))
    return [_pair(each, items.get(each), scores.get(each, {}), state.names) for each in ids]


def _scores(state: State, evaluation_id: str) -> dict[str, dict[str, Score]]:
    by_item: dict[str, dict[str, Score]] = {}
    for score in scores_of(state.lake, evaluation_id):
        by_item.setdefault(score.item_id, {}).setdefault(score.role, score)
    return by_item


def _items(state: State, found: Evaluation) -> dict[str, Item]:
    """The items of the set that was used; none where its files are gone."""
    known = [one for one in state.datasets if one.version == found.dataset_version]
    try:
        return (
            {item.item_id: item for item in read_items(of_version(known[-1], state.settings).folder)} if known else {}
        )
    except FlywheelError:
        return {}


def _pair(item_id: str, item: Item | None, scores: Mapping[str, Score], names: Mapping[str, str]) -> Pair:
    champion, candidate = scores.get("champion"), scores.get("candidate")
    old, new = difference((champion and champion.output) or "", (candidate and candidate.output) or "")
    return Pair(
        item_id=item_id,
        ask=line(last_text(list(item.messages), "user"), 600) if item else "the item is no longer here",
        slice=names.get(item.slice, item.slice) if item and item.slice else "in no cluster",
        reference=line(item.reference, 400) if item and item.reference else "",
        champion=old,
        candidate=new,
        champion_score=champion.score if champion else None,
        candidate_score=candidate.score if candidate else None,
    )


def difference(old: str, new: str) -> tuple[Markup, Markup]:
    """Two texts with the words marked that only one of them has."""
    left, right = (re.findall(r"\S+|\s+", visible(text[:LONGEST])) for text in (old, new))
    a, b = left[: 2 * DIFFED], right[: 2 * DIFFED]
    found = difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    if sum(j - i for tag, i, j, _, _ in found if tag == "equal") < ALIKE * max(len(a), len(b)):
        return escape("".join(left)), escape("".join(right))
    first = [_marked("del", a[i:j], tag) for tag, i, j, _, _ in found]
    second = [_marked("ins", b[k:m], tag) for tag, _, _, k, m in found]
    rest = escape("".join(left[2 * DIFFED :])), escape("".join(right[2 * DIFFED :]))
    return Markup("").join([*first, rest[0]]), Markup("").join([*second, rest[1]])


def _marked(mark: str, words: Sequence[str], tag: str) -> Markup:
    text = escape("".join(words))
    return text if tag == "equal" or not words else Markup(f"<{mark}>{{}}</{mark}>").format(text)  # noqa: S704 ours
