"""A comparison that reviews decide: which reviews count, and what it says of its parts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.evaluate.disagreements import asked_of, in_order, reference_from, standing
from flows.evaluate.freshness import unseen
from flows.evaluate.report import markdown
from flows.evaluate.reviewed import Reviewed, difference, level_at, needed, surely_within
from flows.evaluate.sampled import NO_CLUSTER, UNREVIEWED, Asking, View, compare_reviewed, view_of
from flows.evaluations import UNSEEN
from flows.opinions import Opinions, fingerprint, spoken
from flows.pins import pinned_items
from flows.promote.gate import decide
from flows.versions import Version
from schemas.records import Item, Score, make_candidate
from schemas.settings import GateSettings, Settings

OLD, NEW = (make_candidate(name, "http://127.0.0.1:1/v1", dataset=f"of-{name}") for name in ("old", "new"))
GATE = GateSettings()
Answers = dict[str, tuple[str, bool]]
"""Item → what a model says, and whether it is right."""


def items(count: int, **fields: Any) -> list[Item]:
    return [
        Item(f"i{n}", ({"role": "user", "content": f"question {n}"},), None, unit=f"u{n}", source="none", **fields)
        for n in range(count)
    ]


def scored(old: Answers, new: Answers, judged: dict[str, float] | None = None) -> list[Score]:
    return [
        Score(item, role, "judge", score, output=text)  # type: ignore[arg-type]
        for role, answers in (("champion", old), ("candidate", new))
        for item, (text, right) in answers.items()
        for score in [(judged or {}).get(text, float(right))]
    ]


def said_of(*answers: Answers, wanted: set[str]) -> dict[tuple[str, str], dict[str, float | None]]:
    """What an honest reviewer says of these answers to these items."""
    return {
        (item, spoken(text)): {"ann": float(right)}
        for one in answers
        for item, (text, right) in one.items()
        if item in wanted
    }


@pytest.mark.parametrize("policy", ["better", "as_good"])
def test_reviews_made_for_another_candidate_do_not_choose_what_counts_for_this_one(policy: Any) -> None:
    """400 items are reviewed for candidate 1; candidate 2 repeats it where it was right and is worse where it is not.

    A judge is lenient there. With what is left over of the first's reviews it is promoted in none of 20 worlds, nor
    when its own disagreements have been reviewed in their order.
    """
    gate = GateSettings(policy=policy)
    promoted = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        asked = items(400)
        old = {one.item_id: (f"old {one.item_id}", bool(rng.random() < 0.6)) for one in asked}
        first = {item: (f"first {item}", bool(rng.random() < 0.6)) for item in old}
        second = {item: answer if answer[1] else (f"second {item}", False) for item, answer in first.items()}
        second |= {item: (f"worse {item}", False) for item in list(old)[:80]}
        judged = {text: 1.0 for text, _ in second.values()}
        scores = scored(old, second, judged)
        left_over = said_of(old, first, wanted=set(old))
        order = [one.item.item_id for one in in_order(asked_of(asked, scores))]
        own = left_over | said_of(old, second, wanted=set(order[: gate.reviews[-1]]))
        for opinions in (left_over, own):
            found = compare_reviewed(scores, Asking(NEW, OLD, asked, opinions), "v", "e", gate)
            promoted.append(decide(found, gate).verdict == "promote")

    assert sum(promoted) == 0


def world(**asking: Any) -> Any:
    """120 requests in which a candidate is right everywhere, a champion in half; all reviewed."""
    asked = asking.pop("items", None) or items(120)
    old = {one.item_id: (f"old {n}", n % 2 == 0) for n, one in enumerate(asked)}
    new = {one.item_id: (f"new {n}", True) for n, one in enumerate(asked)}
    opinions = said_of(old, new, wanted=set(old))
    return compare_reviewed(scored(old, new), Asking(NEW, OLD, asked, opinions, **asking), "v", "e", GATE)


def test_what_neither_model_was_taught_is_a_slice_of_its_own_and_stands_in_the_verdict() -> None:
    """40 of 120 requests are in nobody's training rows: tested for harm like any slice, and named."""
    found = world(unseen=frozenset(f"i{n}" for n in range(40)))
    sizes = {one.slice: one.items for one in found.slices}
    verdict = decide(found, GATE)

    assert sizes[UNSEEN] == 40
    assert verdict.verdict == "promote"
    assert any(
        reason.startswith("slice unseen: neither model was taught these words: +0.5") for reason in verdict.reasons
    )
    assert UNSEEN not in {one.slice for one in world(unseen=None).slices}
    assert UNSEEN not in {one.slice for one in world(unseen=frozenset(f"i{n}" for n in range(120))).slices}


def test_harm_to_what_neither_model_was_taught_blocks() -> None:
    """Better by heart and worse beyond: the mean is flat, and the slice is not."""
    asked = items(200)
    old = {one.item_id: (f"old {n}", n < 100) for n, one in enumerate(asked)}
    new = {one.item_id: (f"new {n}", n >= 100) for n, one in enumerate(asked)}
    opinions = said_of(old, new, wanted=set(old))
    rest = frozenset(f"i{n}" for n in range(100))
    found = compare_reviewed(scored(old, new), Asking(NEW, OLD, asked, opinions, unseen=rest), "v", "e", GATE)

    assert decide(found, GATE).verdict == "block"
    assert decide(found, GATE).reasons[0].startswith("slice unseen: worse")


def test_what_says_the_words_of_a_pinned_cluster_is_a_slice_beside_the_clusters() -> None:
    """Some of the sample, in several at once and in a cluster's slice too; all of it, or none, is no slice."""
    asked = items(120, slice="c1")
    words = {"p1": "question 7", "p2": "7", "p3": "question", "p4": "nobody", "p5": "QUESTION! 11"}
    pins = {pin: frozenset(said.lower().replace("!", "").split()) for pin, said in words.items()}
    found = world(items=asked, pinned=pinned_items(pins, asked))

    assert {one.slice: one.items for one in found.slices} == {"c1": 120, "p1": 1, "p2": 1, "p5": 1}
    assert pinned_items({}, asked) == {}


def test_harm_to_a_pinned_cluster_blocks() -> None:
    """Better in the rest of every cluster and worse in all that ask for a refund: the clusters are flat, it is not."""
    asked = [
        Item(f"i{n}", ({"role": "user", "content": f"{'a REFUND, please' if n % 2 else 'hello'} {n}"},), None,
             slice=f"c{n // 100}", unit=f"u{n}", source="none")
        for n in range(200)
    ]  # fmt: skip
    old = {one.item_id: (f"old {n}", n % 2 == 1) for n, one in enumerate(asked)}
    new = {one.item_id: (f"new {n}", n % 2 == 0) for n, one in enumerate(asked)}
    opinions, pinned = said_of(old, new, wanted=set(old)), pinned_items({"p1": frozenset({"refund"})}, asked)
    blind = decide(compare_reviewed(scored(old, new), Asking(NEW, OLD, asked, opinions), "v", "e", GATE), GATE)
    told = Asking(NEW, OLD, asked, opinions, pinned=pinned)
    found = decide(compare_reviewed(scored(old, new), told, "v", "e", GATE), GATE)

    assert blind.verdict != "block"
    assert found.verdict == "block"
    assert found.reasons[0].startswith("slice p1: worse")


def test_words_are_unseen_where_no_training_row_of_either_model_has_them(tmp_path: Path) -> None:
    """Held against the rows of both datasets; case and spacing do not count; unknown datasets say nothing."""
    settings = Settings(home=str(tmp_path))

    def version(name: str, *texts: str, kind: str = "training") -> Version:
        rows = [{"messages": [{"role": "user", "content": t}, {"role": "assistant", "content": "a"}]} for t in texts]
        file = settings.datasets_path / name / "data" / "sft-train-00000-of-00001.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), file)
        return Version("a", "all", name, kind, name, "", datetime(2026, 1, 1, tzinfo=UTC), {}, {})

    known = [version("of-old", "question 1", "other"), version("of-new", "QUESTION  2."), version("x", "question 0")]

    assert unseen(items(4), (OLD, NEW), known, settings) == {"i0", "i3"}
    assert unseen(items(4), (OLD, NEW), known[2:], settings) is None


def test_words_that_were_only_answered_badly_are_seen_too(tmp_path: Path) -> None:
    """No row of `sft` has them, and `kto` teaches them."""
    settings = Settings(home=str(tmp_path))
    data = settings.datasets_path / "of-new" / "data"
    data.mkdir(parents=True)
    for config, column, text in (("sft", "messages", "question 1"), ("kto", "prompt", "question 2")):
        rows = [{column: [{"role": "user", "content": text}]}]
        pq.write_table(pa.Table.from_pylist(rows), data / f"{config}-train-00000-of-00001.parquet")
    known = [Version("a", "all", "of-new", "training", "of-new", "", datetime(2026, 1, 1, tzinfo=UTC), {}, {})]

    assert unseen(items(4), (OLD, NEW), known, settings) == {"i0", "i3"}


@pytest.mark.parametrize(
    ("source", "model", "reviewed", "frozen", "origin"),
    [
        ("accepted", "old", False, False, "own"),
        ("accepted", "old", True, True, "own"),
        ("accepted", "other", False, False, "other"),
        ("accepted", "other", False, True, "frozen"),
        ("correction", "old", False, False, "correction"),
        ("correction", "old", True, False, "reviewer"),
        ("golden", "", False, True, "golden"),
        ("none", "old", True, False, "none"),
    ],
)
def test_every_reference_says_whose_word_it_is(
    source: str, model: str, reviewed: bool, frozen: bool, origin: str
) -> None:
    """The champion's own, another model's, a frozen set's, a person's, a reviewer's, the set's maker's, or nobody's."""
    one = Item("i", (), None if source == "none" else "text", source=source, model=model)

    assert reference_from(one, OLD, reviewed, frozen) == origin


def test_a_report_says_which_requests_were_asked_and_shows_the_difference_by_origin() -> None:
    """Left out, kept out, reviewed, and a row for each kind of reference."""
    accepted = [Item(f"i{n}", (), f"old {n}", unit=f"u{n}", source="accepted", model="old") for n in range(60)]
    text = markdown(world(items=[*accepted, *items(120)[60:]], left_out=7, kept_out=3))

    assert "The answers differ in 120 of 120 requests. Reviewed without a gap: 120" in text
    assert "Not asked, since a model may know them: 7; older, but of users of whom nothing is taught: 3." in text
    assert "| **own** | 60 | 60 | 60 | +0.5" in text
    assert "| **none** | 60 | 60 | 60 | +0.5" in text


def test_slices_without_reviews_and_reviews_that_all_tie_are_named() -> None:
    """A slice with two reviews is listed, not tested; where nothing was won or lost the comparison says so."""
    few = [*items(118), *(Item(f"r{n}", (), None, unit=f"r{n}", source="none", slice="rare") for n in range(2))]
    assert any("not tested for harm" in note and "rare (2)" in note for note in world(items=few).notes)

    asked = items(120)
    old, new = ({one.item_id: (f"{name} {one.item_id}", True) for one in asked} for name in ("old", "new"))
    opinions = said_of(old, new, wanted=set(old))
    tied = compare_reviewed(scored(old, new), Asking(NEW, OLD, asked, opinions), "v", "e", GATE)

    assert any(note.startswith("all 120 reviews are ties") for note in tied.notes)
    assert tied.overall.low is not None
    assert tied.overall.low < 0 < (tied.overall.high or 0)


def test_a_gap_in_the_order_ends_what_counts() -> None:
    """The first disagreement without a review: none of the later ones is counted."""
    asked = items(120)
    old, new = ({one.item_id: (f"{name} {one.item_id}", True) for one in asked} for name in ("old", "new"))
    everything = asked_of(asked, scored(old, new))
    order = [one.item.item_id for one in in_order(everything)]

    for gap, look in ((0, 0), (50, 50), (119, 100)):
        opinions = said_of(old, new, wanted=set(order) - {order[gap]})
        assert (
            standing(everything, opinions, GATE.reviews).reviewed,
            standing(everything, opinions, GATE.reviews).look,
        ) == (gap, look)


WIN, LOSS, TIE = (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)
VERDICTS: tuple[tuple[float, float], ...] = (LOSS, TIE, WIN, WIN, TIE, WIN, WIN, WIN, WIN, TIE)
"""What is said of (candidate, champion) in the order of the disagreements, again and again."""


def begun(count: int, gate: GateSettings = GATE, skip: int = 0, worse: bool = False) -> tuple[Any, View]:
    """300 requests, two thirds answered differently, the first `count` reviewed, the last `skip` of these in vain."""
    asked = items(300)
    old = {one.item_id: (f"old {n}", n % 2 == 0) for n, one in enumerate(asked)}
    new = {item: (f"new {item}" if n % 3 else text, n % 5 > 0) for n, (item, (text, _)) in enumerate(old.items())}
    scores = scored(old, new)
    order = in_order(asked_of(asked, scores))[:count]
    said: Opinions = {
        (one.item.item_id, spoken(text or "")): {"ann": None if at >= count - skip else VERDICTS[at % 10][side ^ worse]}
        for at, one in enumerate(order)
        for side, text in enumerate((one.candidate, one.champion))
    }
    asking = Asking(NEW, OLD, asked, said, left_out=3, kept_out=2)
    stood = standing(asked_of(asked, scores), said, gate.reviews)
    return compare_reviewed(scores, asking, "v", "e", gate), view_of(stood, asking)


@pytest.mark.parametrize("policy", ["better", "as_good"])
@pytest.mark.parametrize("count", [50, 100, 200])
def test_every_p_is_a_share_of_what_its_look_may_use(policy: Any, count: int) -> None:
    """50 reviews may use a sixteenth of the level, 100 what is then due: raw p over that share, at most 1."""
    gate = GateSettings(policy=policy)
    found, view = begun(count, gate)
    raw = difference(view.tie, gate.level, gate.margin, view.stood.youden)
    share = level_at(gate.level, gate.reviews, count, 200) / gate.level
    overall = found.overall

    assert share == pytest.approx({50: 1 / 16, 100: 0.22, 200: 0.87}[count], abs=0.02)
    assert 0 < raw.p_superior < 1e-3
    assert overall.p_superior == pytest.approx(min(1, raw.p_superior / share))
    assert overall.p_harm == pytest.approx(min(1, raw.p_harm / share))
    assert overall.p_non_inferior == pytest.approx(min(1, raw.p_non_inferior / (share * (1 - UNREVIEWED))))
    mirrored = difference(view.tie.mirrored(), gate.level, gate.margin, view.stood.youden)
    assert overall.p_superior == pytest.approx(min(1, mirrored.p_harm / share))


def test_harm_is_found_at_the_level_of_its_look_too() -> None:
    """Wins and losses exchanged: the p of better becomes that of harm, and the verdict a block."""
    found, view = begun(50)
    worse, _ = begun(50, worse=True)
    turned = view.exchanged(np.ones(300, bool))

    assert (turned.tie.guess == -view.tie.guess).all()
    assert np.abs(view.tie.guess).max() == 1
    assert difference(turned.tie, GATE.level, GATE.margin).p_harm * 16 == pytest.approx(found.overall.p_superior)
    assert 0 < worse.overall.p_harm < GATE.level / 16
    assert decide(worse, GATE).verdict == "block"


def test_before_any_review_only_answers_that_hardly_differ_are_as_good() -> None:
    """Nothing is better and nothing is harmed; not worse is tested by the share that differs, with a sixteenth."""
    found, view = begun(0)
    asked = items(400)
    same = {one.item_id: (f"same {n}", True) for n, one in enumerate(asked)}
    close = compare_reviewed(scored(same, same | {"i0": ("other", True)}), Asking(NEW, OLD, asked, {}), "v", "e", GATE)
    certain = 0.97**400 + 400 * 0.03 * 0.97**399

    assert (found.overall.p_superior, found.overall.p_harm) == (1.0, 1.0)
    assert surely_within(view.tie, GATE.margin) > 0.999
    assert close.overall.p_non_inferior == pytest.approx(certain / UNREVIEWED)
    assert (close.overall.p_superior, close.overall.p_harm) == (1.0, 1.0)


@pytest.mark.parametrize("worse", [False, True])
def test_what_reviewers_could_not_tell_is_a_loss_for_better_and_a_win_for_harm(worse: bool) -> None:
    """Each test and each end of the interval takes it at its worst; the estimate takes it as a tie."""
    found, view = begun(50, skip=3, worse=worse)

    def as_if(case: Any) -> Reviewed:
        return difference(case, GATE.level, GATE.margin, view.stood.youden)

    tie, loss, win = as_if(view.tie), as_if(view.loss), as_if(view.win)
    share = level_at(GATE.level, GATE.reviews, 50, 200) / GATE.level
    overall = found.overall

    assert found.sampled.skipped == 3
    assert (view.loss.said[view.stood.skipped == 1] == -1).all()
    assert (view.win.said[view.stood.skipped == 1] == 1).all()
    assert overall.difference == tie.mean
    assert (overall.low, overall.high) == (loss.low, win.high)
    assert loss.low < tie.low < tie.high < win.high
    assert overall.p_superior == pytest.approx(min(1, loss.p_superior / share))
    assert overall.p_harm == pytest.approx(min(1, win.p_harm / share))
    assert overall.p_non_inferior == pytest.approx(min(1, loss.p_non_inferior / (share * (1 - UNREVIEWED))))
    assert (
        (tie.p_harm * 2 < win.p_harm < 0.1 * share) if worse else (tie.p_superior * 2 < loss.p_superior < 0.1 * share)
    )


def test_a_comparison_says_what_it_stands_on() -> None:
    """Reviews and their fingerprint, who was left out, where the references came from, and slices that have a name."""
    found, view = begun(50)
    sampled = found.sampled

    assert (sampled.requests, sampled.differ, sampled.reviewed, sampled.look, sampled.next_look) == (
        300, 200, 50, 50, 100,
    )  # fmt: skip
    assert (sampled.left_out, sampled.kept_out) == (3, 2)
    assert {one.slice for one in found.slices} == {NO_CLUSTER}
    assert sampled.reviews not in {begun(49)[0].sampled.reviews, begun(50, skip=1)[0].sampled.reviews}
    assert sampled.reviews != fingerprint({}, [])
    assert (found.overall.wins, found.overall.losses, found.overall.ties) == (30, 5, 15)
    accepted = [Item(f"i{n}", (), f"old {n}", unit=f"u{n}", source="accepted", model="new") for n in range(120)]
    assert {one.slice for one in world(items=accepted).sampled.origins} == {"other"}
    assert view.origins == ("none",) * 300


@pytest.mark.parametrize("policy", ["better", "as_good"])
def test_the_reviews_that_would_decide_are_of_the_last_look(policy: Any) -> None:
    """What was seen so far, for `as_good` with the margin on top, at the level that the last look may use."""
    gate = GateSettings(policy=policy)
    found, view = begun(50, gate)
    seen = difference(view.tie, gate.level, gate.margin, view.stood.youden)
    assert seen.mean is not None
    effect = seen.mean + (0.0 if policy == "better" else gate.margin)
    level = level_at(gate.level, gate.reviews, 200, 10_000)

    assert found.sampled.needed == needed(200 / 300, effect, level, seen.one_right, seen.explained)
    assert begun(0, gate)[0].sampled.needed is None


@pytest.mark.parametrize(("judge", "agrees"), [(1.0, "kappa 1.00"), (-1.0, "kappa -")])
def test_how_far_scores_agree_with_reviewers_is_told(judge: float, agrees: str) -> None:
    """A judge that is right of all, and one that is wrong of all: people read it before they trust the next one."""
    asked = items(120)
    old = {one.item_id: (f"old {n}", n % 2 == 0) for n, one in enumerate(asked)}
    new = {one.item_id: (f"new {n}", n % 2 == 1) for n, one in enumerate(asked)}
    scores = (
        scored(old, new) if judge > 0 else scored(*({k: (t, not r) for k, (t, r) in one.items()} for one in (old, new)))
    )
    said = said_of(old, new, wanted=set(old))
    notes = compare_reviewed(scores, Asking(NEW, OLD, asked, said), "v", "e", GATE).notes

    assert any(f"scores agree with reviewers on who was better: {agrees}" in note for note in notes)
    assert any("over 120 disagreements" in note for note in notes)


def test_a_slice_that_neither_model_was_taught_is_made_of_those_alone() -> None:
    """Which requests it holds, not only how many: lost there, and won elsewhere."""
    asked = items(120)
    old = {one.item_id: (f"old {n}", n < 30) for n, one in enumerate(asked)}
    new = {one.item_id: (f"new {n}", n >= 30) for n, one in enumerate(asked)}
    rest = frozenset(f"i{n}" for n in range(30))
    said = said_of(old, new, wanted=set(old))
    found = compare_reviewed(scored(old, new), Asking(NEW, OLD, asked, said, unseen=rest), "v", "e", GATE)
    (unknown,) = (one for one in found.slices if one.slice == UNSEEN)

    assert (unknown.items, unknown.wins) == (30, 0)
    assert unknown.losses == unknown.reviewed
