"""A comparison that people's blind reviews decide: candidate - champion over a sample of requests, and by slice.

The estimator is `reviewed.py`; which reviews count, `disagreements.py`. Pure. p values are given as shares of the whole
level: a look that may use a quarter of it shows four times its p, so that the gate compares all of them alike.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec
import numpy as np
from msgspec import Struct

from flows.evaluate.compare import guards_of, item_lists, missing_notes, untested_note
from flows.evaluate.disagreements import (
    Asked,
    Standing,
    answers_of,
    asked_of,
    in_order,
    opinion_of,
    reference_from,
    standing,
)
from flows.evaluate.reviewed import Bools, Evidence, Reviewed, difference, level_at, needed
from flows.evaluations import UNSEEN
from flows.opinions import Opinions, fingerprint
from flows.statistics import kappa, minimum_detectable_z
from schemas.events import Candidate
from schemas.records import Comparison, Difference, Item, Sampled, Score
from schemas.settings import GateSettings

NO_CLUSTER = "no cluster"
"""The slice of requests that resemble no failure so far."""
UNREVIEWED = 1 / 16
"""Share of the level of `as_good` for the test that needs no review: answers differ in less than the margin."""


class Asking(Struct, frozen=True):
    """Who was asked what, and what people said of the answers."""

    candidate: Candidate
    champion: Candidate
    items: Sequence[Item]
    opinions: Opinions
    left_out: int = 0
    kept_out: int = 0
    unseen: frozenset[str] | None = None
    """Items whose words no training row of either model has; None where no training rows are known."""
    frozen: bool = False
    pinned: Mapping[str, frozenset[str]] = {}
    """Pinned cluster → the items that say its words: slices that may share items with others."""


class View(Struct, frozen=True):
    """A sample as arrays, made once for all slices."""

    stood: Standing
    tie: Evidence
    """With what reviewers could not tell as a tie, as a loss and as a win."""
    loss: Evidence
    win: Evidence
    slices: tuple[str, ...]
    origins: tuple[str, ...]
    unseen: Bools | None = None
    pinned: tuple[tuple[str, Bools], ...] = ()

    def exchanged(self, which: Bools) -> View:
        """The same with the two models' answers exchanged in some requests: an A/A comparison on these reviews."""
        sign = np.where(which, -1.0, 1.0)
        tie, loss, win = (
            Evidence(one.differs, one.said * sign, one.guess * sign, one.groups, one.missing)
            for one in (self.tie, self.loss, self.win)
        )
        return View(self.stood, tie, loss, win, self.slices, self.origins, self.unseen, self.pinned)


def view_of(stood: Standing, asking: Asking) -> View:
    """The arrays of a sample, as far as its reviews have come."""
    judged = {item for item, _ in asking.opinions}
    unseen = asking.unseen
    return View(
        stood,
        stood.evidence(),
        stood.evidence(-1.0),
        stood.evidence(1.0),
        tuple(one.item.slice or NO_CLUSTER for one in stood.asked),
        tuple(
            reference_from(one.item, asking.champion, one.item.item_id in judged, asking.frozen) for one in stood.asked
        ),
        None if unseen is None else _among(stood, unseen),
        tuple((pin, _among(stood, items)) for pin, items in asking.pinned.items()),
    )


def _among(stood: Standing, items: Collection[str]) -> Bools:
    return np.array([one.item.item_id in items for one in stood.asked], bool)


def compare_reviewed(
    scores: Sequence[Score], asking: Asking, dataset_version: str, evaluation_id: str, gate: GateSettings
) -> Comparison:
    """Compare two models on requests by what reviewers said of their disagreements; scores only guess."""
    asked = asked_of(asking.items, scores)
    stood = standing(asked, asking.opinions, gate.reviews)
    overall, slices, sampled = reviewed_differences(view_of(stood, asking), gate)
    fixed, still, regressed, flaky = item_lists(scores, gate.pass_score)
    return Comparison(
        evaluation_id=evaluation_id,
        candidate=asking.candidate,
        champion=asking.champion,
        dataset_version=dataset_version,
        overall=overall,
        slices=slices,
        fixed=fixed,
        still_failing=still,
        regressed=regressed,
        flaky=flaky,
        guards=guards_of(scores, gate.alpha),
        sampled=msgspec.structs.replace(
            sampled,
            left_out=asking.left_out,
            kept_out=asking.kept_out,
            reviews=fingerprint(asking.opinions, answers_of(asked)),
        ),
        notes=(
            *missing_notes(scores), *_agreement_note(asked, asking.opinions), *_ties_note(overall),
            *untested_note(slices, gate),
        ),
    )  # fmt: skip


def reviewed_differences(view: View, gate: GateSettings) -> tuple[Difference, tuple[Difference, ...], Sampled]:
    """The difference overall and in every slice, and what it stands on."""
    stood = view.stood
    everything = np.ones(len(stood.asked), bool)
    overall, estimate = _difference(view, everything, "", gate, gate.margin, gate.level)

    def by(names: tuple[str, ...], margin: float, level: float) -> tuple[Difference, ...]:
        codes = np.array(names)
        return tuple(_difference(view, codes == name, name, gate, margin, level)[0] for name in sorted(set(names)))

    sampled = Sampled(
        requests=len(stood.asked),
        differ=estimate.differ,
        reviewed=stood.reviewed,
        look=stood.look,
        skipped=int(stood.skipped.sum()),
        next_look=stood.next_look,
        needed=_needed(estimate, gate),
        youden=stood.youden[0],
        trust=estimate.trust,
        origins=by(view.origins, gate.margin, gate.level),
    )
    return overall, (*by(view.slices, gate.slice_margin, gate.alpha), *_beside(view, gate)), sampled


def _beside(view: View, gate: GateSettings) -> tuple[Difference, ...]:
    """Slices beside the clusters', which may share requests with them: each that is some of the sample and not all.

    What neither model can know by heart, and what says the words of a pinned cluster.
    """
    masks = [*view.pinned, *([] if view.unseen is None else [(UNSEEN, view.unseen)])]
    return tuple(
        _difference(view, mask, name, gate, gate.slice_margin, gate.alpha)[0]
        for name, mask in masks
        if mask.any() and not mask.all()
    )


def _difference(
    view: View, mask: Bools, name: str, gate: GateSettings, margin: float, level: float
) -> tuple[Difference, Reviewed]:
    """The difference over some of the requests, tested with what the reviewers could not tell at its worst."""
    stood, evidence = view.stood, view.tie.of(mask)
    estimate = difference(evidence, level, margin, stood.youden)
    if stood.skipped[mask].any():
        low, high = (difference(case.of(mask), level, margin, stood.youden) for case in (view.loss, view.win))
        estimate = msgspec.structs.replace(
            estimate,
            low=low.low,
            high=high.high,
            p_superior=low.p_superior,
            p_non_inferior=low.p_non_inferior,
            p_harm=high.p_harm,
        )
    share, unreviewed = _share_of_level(stood, gate), estimate.mean is None
    missing = int(evidence.missing.sum())
    return Difference(
        slice=name,
        items=estimate.requests - missing,
        units=len(np.unique(evidence.groups[0])),
        champion=None,
        candidate=None,
        difference=estimate.mean,
        low=estimate.low,
        high=estimate.high,
        p_non_inferior=min(1.0, estimate.p_non_inferior / (UNREVIEWED if unreviewed else share * (1 - UNREVIEWED))),
        p_superior=1.0 if unreviewed else min(1.0, estimate.p_superior / share),
        p_harm=1.0 if unreviewed else min(1.0, estimate.p_harm / share),
        wins=estimate.wins,
        losses=estimate.losses,
        ties=estimate.reviewed - estimate.wins - estimate.losses,
        unscored=missing,
        minimum_detectable=minimum_detectable_z(estimate.se, gate.level * share) if estimate.se else None,
        differ=estimate.differ,
        reviewed=estimate.reviewed,
    ), estimate


def _share_of_level(stood: Standing, gate: GateSettings) -> float:
    """What share of the level this look may use; the smallest positive number where none may."""
    differ = sum(one.differs for one in stood.asked)
    return max(level_at(gate.level, gate.reviews, stood.look, differ) / gate.level, 1e-12)


def _needed(estimate: Reviewed, gate: GateSettings) -> int | None:
    """Reviews that would find the difference seen so far, at the level that the last look may use."""
    if estimate.mean is None or not estimate.differ:
        return None
    level = level_at(gate.level, gate.reviews, max(gate.reviews), max(gate.reviews) + 1)
    effect = estimate.mean + (gate.margin if gate.policy == "as_good" else 0.0)
    return needed(estimate.differ / estimate.requests, effect, level, estimate.one_right, estimate.explained)


def _ties_note(overall: Difference) -> tuple[str, ...]:
    """Nothing won and nothing lost is little known, not nothing between them."""
    if not overall.reviewed or overall.wins or overall.losses:
        return ()
    return (
        f"all {overall.reviewed} reviews are ties: the interval says how much of what was not reviewed may be none",
    )


def _agreement_note(asked: Sequence[Asked], opinions: Opinions) -> tuple[str, ...]:
    """How far scores agree with reviewers on who was better: a guess that agrees with nobody narrows nothing."""
    pairs = [(one.guess > 0, told > 0) for one in in_order(asked) if one.guess and (told := opinion_of(one, opinions))]
    agreement = kappa([guess for guess, _ in pairs], [told for _, told in pairs])
    if agreement is None:
        return ()
    return (f"scores agree with reviewers on who was better: kappa {agreement:.2f} over {len(pairs)} disagreements",)
