"""Scores into a comparison: candidate - champion on the same items, overall and slice by slice.

Where every item came with a reference to be believed, scores alone decide, here; else people's reviews do, in
`sampled.py`. Pure: the same scores give the same comparison. The formulas are in `flows/statistics.py`; what the
numbers mean for a promotion is decided in `flows/promote/gate.py`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from flows.evaluations import told
from flows.statistics import (
    Codes,
    Floats,
    Grouped,
    cluster_mean,
    grouped,
    guard_p,
    items_needed,
    log_ratio,
    mcnemar_exact,
    mean_ratio,
    minimum_detectable,
)
from schemas.events import Candidate
from schemas.records import Comparison, Difference, Score
from schemas.settings import GateSettings

MEASURED = ("duration_ms", "time_to_first_chunk_ms", "output_tokens", "cost_usd")
"""Columns of scores in which two models are compared beside being right."""
SUMS = frozenset({"output_tokens", "cost_usd"})
"""Those of which the whole is paid for, so that the ratio is that of the means and not a typical answer's."""
LISTED = 20
"""Slices named in a note; of the rest the number is told."""


class Paired(Struct, frozen=True):
    """The items of an eval set with both models' mean scores; NaN where a side has none."""

    items: tuple[str, ...]
    units: Codes
    slices: Codes
    """Index into `slice_names`; -1 where an item belongs to none."""
    slice_names: tuple[str, ...]
    champion: Floats
    candidate: Floats

    @property
    def scored(self) -> npt.NDArray[np.bool_]:
        """Which items have a score on both sides."""
        return np.isfinite(self.champion) & np.isfinite(self.candidate)

    def limits(self) -> tuple[Floats, Floats]:
        """Candidate - champion where every missing score is the worst for the candidate, and where it is the best."""
        missing = np.isnan(self.champion), np.isnan(self.candidate)
        worst, best = (
            np.where(missing[1], one, self.candidate) - np.where(missing[0], 1 - one, self.champion)
            for one in (0.0, 1.0)
        )
        return worst, best

    @property
    def binary(self) -> bool:
        """Whether every score is 0 or 1, so that the tests for counts apply."""
        both = np.concatenate([self.champion, self.candidate])
        return bool(((both == 0) | (both == 1) | np.isnan(both)).all())


def compare(
    scores: Sequence[Score],
    candidate: Candidate,
    champion: Candidate,
    dataset_version: str,
    evaluation_id: str,
    gate: GateSettings,
) -> Comparison:
    """Compare two models by the scores of one scorer, any number of samples an item.

    The difference is of items where both sides have a score; a side's score is the mean over its samples. A score that
    is missing, not finite or outside 0 to 1 is unscored: never a pass, and in a proof as bad for it as it may be.
    """
    paired = pair(scores)
    overall, slices = differences(paired, gate)
    fixed, still, regressed, flaky = item_lists(scores, gate.pass_score)
    return Comparison(
        evaluation_id=evaluation_id,
        candidate=candidate,
        champion=champion,
        dataset_version=dataset_version,
        overall=overall,
        slices=slices,
        fixed=fixed,
        still_failing=still,
        regressed=regressed,
        flaky=flaky,
        guards=guards_of(scores, gate.alpha),
        notes=(*missing_notes(scores), *_mcnemar_note(overall, paired.binary), *untested_note(slices, gate)),
    )


def pair(scores: Iterable[Score]) -> Paired:
    """The scores as arrays, one entry an item, items by id: the order of the scores changes nothing."""
    scores_of: dict[str, dict[str, list[float]]] = defaultdict(lambda: {"champion": [], "candidate": []})
    places: dict[str, tuple[str, str]] = {}
    for score in scores:
        places[score.item_id] = (score.unit or f"item:{score.item_id}", score.slice)
        if (value := valid(score)) is not None:
            scores_of[score.item_id][score.role].append(value)
    items = sorted(places)
    names = sorted({places[item][1] for item in items} - {""})
    index = {name: code for code, name in enumerate(names)}
    units = np.unique([places[item][0] for item in items], return_inverse=True)[1] if items else np.empty(0, np.intp)
    return Paired(
        tuple(items),
        units,
        np.array([index.get(places[item][1], -1) for item in items], np.intp),
        tuple(names),
        np.array([_mean(scores_of[item]["champion"]) for item in items]),
        np.array([_mean(scores_of[item]["candidate"]) for item in items]),
    )


def valid(score: Score) -> float | None:
    """The score's value where it is one."""
    return score.score if score.score is not None and 0 <= score.score <= 1 else None


def differences(paired: Paired, gate: GateSettings) -> tuple[Difference, tuple[Difference, ...]]:
    """The paired difference overall and in every slice."""
    everything, limits = np.ones(len(paired.items), bool), paired.limits()
    binary = paired.binary
    overall = _difference(paired, limits, everything, "", gate, _How(binary, gate.margin, gate.level, gate.level))
    sizes = np.bincount(paired.slices[paired.scored & (paired.slices >= 0)], minlength=len(paired.slice_names))
    family = 1 + int((sizes >= gate.min_slice_items).sum())
    how = _How(binary, gate.slice_margin, gate.alpha, gate.level / family)
    slices = tuple(
        _difference(paired, limits, paired.slices == code, name, gate, how)
        for code, name in enumerate(paired.slice_names)
    )
    return overall, slices


class _How(Struct, frozen=True):
    """How a difference is tested."""

    binary: bool
    """By counts: every score of the comparison is 0 or 1."""
    margin: float
    interval: float
    """Of the one-sided bounds that are shown: those of the test that has to pass."""
    detect: float
    """At which a difference is found: superiority overall, harm in a slice (Holm's first step)."""


def _difference(
    paired: Paired,
    limits: tuple[Floats, Floats],
    mask: npt.NDArray[np.bool_],
    name: str,
    gate: GateSettings,
    how: _How,
) -> Difference:
    """The difference over the masked items; what is missing is tested at its worst, never left out of a proof."""
    scored = mask & paired.scored
    missing = int(mask.sum() - scored.sum())
    if not scored.any():
        return Difference(slice=name, unscored=missing)
    champion, candidate = paired.champion[scored], paired.candidate[scored]
    values = candidate - champion
    units = grouped(paired.units[mask])
    worst, best = (_Limit(limit[mask], units, how.binary) for limit in limits)
    estimate = cluster_mean(values, paired.units[scored]) if missing else worst.estimate
    measurable = estimate.se > 0 and estimate.units > 1
    return Difference(
        slice=name,
        items=len(values),
        units=estimate.units,
        champion=float(champion.mean()),
        candidate=float(candidate.mean()),
        difference=estimate.mean,
        low=worst.estimate.interval(how.interval)[0],
        high=best.estimate.interval(how.interval)[1],
        p_non_inferior=worst.p_above(-how.margin),
        p_superior=worst.p_above(0.0),
        p_harm=best.p_below(),
        wins=int((values > 0).sum()),
        losses=int((values < 0).sum()),
        ties=int((values == 0).sum()),
        unscored=missing,
        minimum_detectable=minimum_detectable(estimate, how.detect) if measurable else None,
        items_needed=items_needed(len(values), estimate.se, how.margin, gate.alpha) if measurable else None,
    )


class _Limit:
    """Candidate - champion of some items, with what each missing score may be at most or at least."""

    def __init__(self, values: Floats, units: Grouped, binary: bool) -> None:
        self.estimate = cluster_mean(values, units)
        self._values, self._units, self._binary = values, units, binary

    def p_above(self, bound: float) -> float:
        """One-sided p of H0: mean <= bound: the larger of the cluster-robust t test's and the guard's."""
        return max(self.estimate.p_above(bound), guard_p(self._values, self._units, bound, self._binary))

    def p_below(self) -> float:
        """The same of H0: mean >= 0."""
        mirrored = guard_p(-self._values, self._units, 0.0, self._binary)
        return max(self.estimate.mirrored().p_above(0.0), mirrored)


def p_above(values: Floats, units: Codes, bound: float, binary: bool) -> float:
    """One-sided p of H0: mean <= bound, as every difference is tested."""
    return _Limit(values, grouped(units), binary).p_above(bound)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def item_lists(scores: Sequence[Score], pass_score: float) -> tuple[tuple[str, ...], ...]:
    """Items fixed, still failing, regressed and flaky: only a flip in every sample is one.

    With one item in four flaky, single samples call 51 of 1,000 items regressed although nothing changed; unanimity
    over three samples calls 2.
    """
    passes: dict[str, dict[str, set[bool]]] = defaultdict(lambda: {"champion": set(), "candidate": set()})
    for score in scores:
        if (value := valid(score)) is not None:
            passes[score.item_id][score.role].add(value >= pass_score)
    kinds: dict[tuple[bool, bool], list[str]] = {(False, True): [], (False, False): [], (True, False): []}
    flaky = []
    for item, sides in sorted(passes.items()):
        champion, candidate = sides["champion"], sides["candidate"]
        if len(champion) > 1 or len(candidate) > 1:
            flaky.append(item)
        elif champion and candidate:
            kinds.setdefault((next(iter(champion)), next(iter(candidate))), []).append(item)
    return (
        tuple(kinds[False, True]),
        tuple(kinds[False, False]),
        tuple(kinds[True, False]),
        tuple(flaky),
    )


def guards_of(scores: Sequence[Score], alpha: float) -> dict[str, dict[str, float | None]]:
    """Latency, time to first token, tokens and cost of the candidate over the champion's, with bounds at 1 - 2 alpha.

    A measured value that is no number is counted as `unusable`: there is none that we measure ourselves.
    """
    measures = {name: _measure(scores, name, alpha) for name in MEASURED}
    return {name: measure for name, measure in measures.items() if measure}


def _measure(scores: Sequence[Score], name: str, alpha: float) -> dict[str, float | None]:
    sides: dict[str, dict[str, list[float]]] = {"champion": defaultdict(list), "candidate": defaultdict(list)}
    units: dict[str, str] = {}
    unusable = 0
    for score in scores:
        value = getattr(score, name)
        if value is None or score.unscored is not None:
            continue
        if not np.isfinite(value) or value < 0:
            unusable += 1
        elif value > 0:
            sides[score.role][score.item_id].append(value)
            units[score.item_id] = score.unit or f"item:{score.item_id}"
    broken = {"unusable": float(unusable)} if unusable else {}
    items = sorted(sides["champion"].keys() & sides["candidate"].keys())
    if len(items) < 2:
        return dict(broken)
    champion = np.array([_mean(sides["champion"][item]) for item in items])
    candidate = np.array([_mean(sides["candidate"][item]) for item in items])
    codes = np.unique([units[item] for item in items], return_inverse=True)[1]
    ratio, low, high = (mean_ratio if name in SUMS else log_ratio)(candidate, champion, codes, alpha)
    return {
        "champion": float(champion.mean()),
        "candidate": float(candidate.mean()),
        "champion_p95": float(np.quantile(champion, 0.95)),
        "candidate_p95": float(np.quantile(candidate, 0.95)),
        "ratio": ratio,
        "ratio_low": low,
        "ratio_high": high,
        **broken,
    }


def missing_notes(scores: Sequence[Score]) -> Iterable[str]:
    """Why scores are missing, counted by role and reason."""
    reasons = Counter((score.role, _why(score)) for score in scores if valid(score) is None)
    for (role, reason), count in sorted(reasons.items()):
        yield f"{role}: {count} answers unscored ({reason})"


def untested_note(slices: Iterable[Difference], gate: GateSettings) -> Iterable[str]:
    """Which slices are listed and not tested: with so few of what would tell, silence about them says nothing."""
    few = {one.slice: size for one in slices if (size := told(one)) < gate.min_slice_items}
    if few:
        named = ", ".join(f"{name} ({size})" for name, size in sorted(few.items())[:LISTED])
        more = f" and {len(few) - LISTED} more" if len(few) > LISTED else ""
        yield f"not tested for harm, with fewer than {gate.min_slice_items} reviews or scores: slices {named}{more}"


def _mcnemar_note(overall: Difference, binary: bool) -> Iterable[str]:
    """The test that most papers report."""
    if binary and overall.items:
        p = mcnemar_exact(overall.wins, overall.losses)
        yield f"exact McNemar test, two-sided, units ignored: p {p:.3g}"


def _why(score: Score) -> str:
    return score.unscored or ("no score and no reason" if score.score is None else "score outside 0 to 1")
