"""Comparison into verdict: promote, block, or inconclusive, with every reason in words and numbers.

Pure. Four questions are asked of a comparison, and each answers with findings; the worst finding is the verdict.

    is there enough to go by   items, units, missing scores, reviews of disagreements      else inconclusive
    is it good enough overall  superior (`better`) or within the margin (`as_good`)        else inconclusive
    is any slice harmed        protected: proven within its margin; all: Holm-controlled   harm blocks
    is it too slow or dear     bounds of the ratios against their limits                   proven excess blocks

"Not significantly worse" is never a pass: that rule lets half of the truly worse candidates through (docs/gate.md). Go
on to `stage.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from flows.evaluations import UNSEEN, told
from flows.statistics import holm
from schemas.records import Comparison, Difference, Sampled, Verdict
from schemas.settings import GateSettings

Answer = Literal["promote", "block", "inconclusive"]
_WORST_FIRST: tuple[Answer, ...] = ("block", "inconclusive", "promote")
_WORDS = {"duration_ms": "latency", "time_to_first_chunk_ms": "time to first token", "cost_usd": "cost"}


class Finding(Struct, frozen=True):
    """What one question answers."""

    answer: Answer
    about: str
    """Short name of what was asked about: `evidence`, `overall`, `slice NAME`, `latency`, `cost`."""
    reason: str


def decide(comparison: Comparison, gate: GateSettings) -> Verdict:
    """The gate's verdict; reasons that decided it come first."""
    found = findings(comparison, gate)
    answer = found[0].answer
    waits_for = _waits_for(comparison, gate) if answer == "inconclusive" else ""
    return Verdict(answer, tuple(finding.reason for finding in found), gate.policy, waits_for)


def _waits_for(comparison: Comparison, gate: GateSettings) -> Literal["", "reviews", "traffic"]:
    """What would let an inconclusive comparison be decided: traffic, or reviews; empty: nothing that comes."""
    sampled = comparison.sampled
    if sampled is None:
        return ""
    if sampled.requests < gate.min_items or gate.few(sampled.requests, comparison.overall.units):
        return "traffic"
    return "reviews" if sampled.next_look is not None else ""


def findings(comparison: Comparison, gate: GateSettings) -> list[Finding]:
    """Every finding, the deciding one first: what evidence lacks, else the worst of the rest.

    Where there is not enough to go by, the verdict is inconclusive whatever the numbers say.
    """
    lacking = list(_lacking(comparison, gate))
    harmed = _harmed(comparison, gate)
    rest = [
        *_overall(comparison, gate, harmed),
        *_slices(comparison, gate, harmed),
        *_guards(comparison, gate),
    ]
    return lacking + sorted(rest, key=lambda finding: _WORST_FIRST.index(finding.answer))


def _lacking(comparison: Comparison, gate: GateSettings) -> Iterable[Finding]:
    overall = comparison.overall
    asked = overall.items + overall.unscored
    if overall.items < gate.min_items:
        yield Finding(
            "inconclusive",
            "evidence",
            f"only {overall.items} items of eval set {comparison.measured_on} have both scores; {gate.min_items} are "
            "needed",
        )
    elif gate.few(overall.items, overall.units):
        yield Finding(
            "inconclusive", "evidence", f"the items come from {overall.units} units; {gate.min_units} are needed"
        )
    if asked and overall.unscored / asked > gate.max_unscored:
        why = "; ".join(note for note in comparison.notes if " unscored " in note) or "no reason recorded"
        yield Finding(
            "inconclusive",
            "evidence",
            f"{overall.unscored} of {asked} items lack a score ({overall.unscored / asked:.1%}, allowed "
            f"{gate.max_unscored:.1%}): {why}",
        )
    if comparison.sampled is not None:
        yield from _unreviewed(comparison.sampled, gate)


def _unreviewed(sampled: Sampled, gate: GateSettings) -> Iterable[Finding]:
    """What reviews lack. Answers that hardly differ need none under `as_good`: its own test says so."""
    where = f"the answers differ in {sampled.differ} of {sampled.requests} requests"
    enough = min(gate.min_items, *gate.reviews)
    if gate.policy == "better" and sampled.differ < enough:
        yield Finding("inconclusive", "reviews", f"{where}: fewer than the {enough} that a proof of better takes")
    elif gate.policy == "better" and sampled.look == 0:
        missing = (sampled.next_look or 0) - sampled.reviewed
        yield Finding("inconclusive", "reviews", f"{where}; review {missing} of them: `flywheel review next`")
    if sampled.skipped > gate.max_unscored * max(sampled.look, 1):
        yield Finding(
            "inconclusive",
            "reviews",
            f"reviewers could not tell in {sampled.skipped} of {sampled.look} disagreements (allowed "
            f"{gate.max_unscored:.1%})",
        )


def _overall(comparison: Comparison, gate: GateSettings, harmed: dict[str, float]) -> Iterable[Finding]:
    overall = comparison.overall
    if overall.difference is None:
        yield from _undecided(overall, gate)
        return
    numbers = describe(overall)
    if gate.policy == "better" and _at_most(overall.p_superior, gate.level):
        yield Finding("promote", "overall", f"overall: better, {numbers}, p {_number(overall.p_superior)}")
    elif gate.policy == "as_good" and _at_most(overall.p_non_inferior, gate.level):
        yield Finding(
            "promote",
            "overall",
            f"overall: not worse by {gate.margin:.3f} or more, {numbers}, p {_number(overall.p_non_inferior)}",
        )
    elif "" in harmed:
        yield Finding("block", "overall", f"overall: worse, {numbers}, adjusted p {harmed['']:.2g}")
    else:
        yield Finding("inconclusive", "overall", _not_enough(overall, gate, numbers, comparison.sampled))


def _undecided(overall: Difference, gate: GateSettings) -> Iterable[Finding]:
    """A difference that nobody knows: what lies within the margin whatever it is needs no review."""
    if overall.differ is None or overall.low is None or overall.high is None:
        yield Finding("inconclusive", "overall", "no item has a score on both sides")
    elif gate.policy == "as_good" and _at_most(overall.p_non_inferior, gate.level):
        share = f"the answers differ in {overall.differ} of {overall.items} requests"
        yield Finding("promote", "overall", f"overall: {share}, so not worse by {gate.margin:.3f} or more")
    else:
        between = f"between {overall.low:+.3f} and {overall.high:+.3f}"
        yield Finding("inconclusive", "overall", f"overall: without reviews the difference may be anything {between}")


def _not_enough(overall: Difference, gate: GateSettings, numbers: str, sampled: Sampled | None) -> str:
    wanted = "better" if gate.policy == "better" else f"within the margin of {gate.margin:.3f}"
    parts = [f"overall: not shown to be {wanted}, {numbers}"]
    if overall.minimum_detectable is not None:
        parts.append(f"a true difference of {overall.minimum_detectable:.3f} would be found four times in five")
    if (more := still_needed(overall, gate)) is not None:
        parts.append(f"about {more} more items are needed")
    if sampled is not None:
        parts.append(_more_reviews(sampled))
    return "; ".join(parts)


def _more_reviews(sampled: Sampled) -> str:
    """How many reviews the gate looks at next, and how many what was seen so far would take."""
    if sampled.needed is None:
        told = "no number of reviews would show it if what was seen so far is real"
    else:
        told = f"if what was seen so far is real, {sampled.needed} reviews show it four times in five"
    if sampled.next_look is None:
        return f"{told}; the last look is taken"
    return f"{told}; review {sampled.next_look - sampled.reviewed} more: `flywheel review next`"


def still_needed(overall: Difference, gate: GateSettings) -> int | None:
    """Items missing for power 0.8: for `better` if the observed gain is real, for `as_good` if there is none."""
    if overall.differ is not None:
        needed = None
    elif gate.policy == "as_good":
        needed = overall.items_needed
    elif overall.minimum_detectable and overall.difference and overall.difference > 0:
        needed = int(overall.items * (overall.minimum_detectable / overall.difference) ** 2) + 1
    else:
        needed = None
    return max(0, needed - overall.items) or None if needed else None


def _slices(comparison: Comparison, gate: GateSettings, harmed: dict[str, float]) -> Iterable[Finding]:
    present = {found.slice: found for found in comparison.slices}
    for name in gate.protected:
        if name not in present or not present[name].items:
            yield Finding(
                "inconclusive", f"slice {name}", f"protected slice {name}: no item with both scores in this eval set"
            )
    for found in comparison.slices:
        if not found.items:
            continue
        within = _at_most(found.p_non_inferior, gate.alpha)
        text = f"{'protected ' if found.slice in gate.protected else ''}slice {found.slice}"
        if found.slice in harmed and not within:
            yield Finding(
                "block",
                f"slice {found.slice}",
                f"{text}: worse, {describe(found)}, adjusted p {harmed[found.slice]:.2g}",
            )
        elif found.slice in gate.protected:
            yield _protected(found, gate, text, within)
        elif found.slice == UNSEEN and found.reviewed:
            yield Finding(
                "promote", f"slice {UNSEEN}", f"{text}: neither model was taught these words: {describe(found)}"
            )


def _protected(found: Difference, gate: GateSettings, text: str, within: bool) -> Finding:
    if within:
        return Finding(
            "promote",
            f"slice {found.slice}",
            f"{text}: not worse by {gate.slice_margin:.3f} or more, {describe(found)}",
        )
    needed = f"; about {found.items_needed} items in it are needed" if found.items_needed else ""
    if found.differ is not None:
        needed = f"; {found.reviewed} of its {found.differ} disagreements are reviewed"
    return Finding(
        "inconclusive",
        f"slice {found.slice}",
        f"{text}: not shown to be within its margin of {gate.slice_margin:.3f}, {describe(found)}{needed}",
    )


def _harmed(comparison: Comparison, gate: GateSettings) -> dict[str, float]:
    """Overall ("") and slices that are worse, by Holm-adjusted p: false alarms of the whole family are at most `level`.

    Uncorrected, ten slices alarm falsely in 40 % of comparisons of equal models.
    """
    large = (found for found in comparison.slices if told(found) >= gate.min_slice_items)
    family = [comparison.overall, *large]
    tested = [(found.slice, found.p_harm) for found in family if found.p_harm is not None]
    adjusted = holm([p for _, p in tested])
    return {name: p for (name, _), p in zip(tested, adjusted, strict=True) if p <= gate.level}


def _guards(comparison: Comparison, gate: GateSettings) -> Iterable[Finding]:
    limits = {"duration_ms": gate.max_latency_ratio, "cost_usd": gate.max_cost_ratio}
    for name, limit in limits.items():
        guard = comparison.guards.get(name, {})
        if unusable := guard.get("unusable"):
            yield Finding(
                "inconclusive", _WORDS[name], f"{_WORDS[name]}: {unusable:.0f} measured values are no numbers"
            )
        ratio, low, high = guard.get("ratio"), guard.get("ratio_low"), guard.get("ratio_high")
        if ratio is None or low is None or high is None:
            continue
        text = f"{_WORDS[name]}: {ratio:.2f} times the champion's ({low:.2f} to {high:.2f}), limit {limit:.2f}"
        answer: Answer = "block" if low > limit else "inconclusive" if high > limit else "promote"
        yield Finding(answer, _WORDS[name], text)


def describe(found: Difference) -> str:
    """A difference in numbers: both scores, the difference with its interval, the counts."""
    interval = "no interval" if found.low is None else f"{found.low:+.3f} to {found.high:+.3f}"
    if found.differ is not None:
        return (
            f"{found.difference or 0:+.3f} ({interval}) over {found.items} requests of {found.units} units; of "
            f"{found.differ} disagreements {found.reviewed} reviewed, {found.wins} won, {found.losses} lost"
        )
    return (
        f"{_number(found.champion)} to {_number(found.candidate)}, {found.difference or 0:+.3f} ({interval}) "
        f"on {found.items} items of {found.units} units, {found.wins} won, {found.losses} lost"
    )


def _at_most(p: float | None, alpha: float) -> bool:
    return p is not None and p <= alpha


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"
