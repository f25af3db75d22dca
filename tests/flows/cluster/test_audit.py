"""The random audit: who is drawn, which days count, and that its interval holds what is true."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from flows.cluster.audit import answers, others_say, share_of_day
from flows.cluster.audited import LEAST, Stratum, audited_rate
from flows.testing.events import START
from schemas.kinds import ADJUDICATED, RANDOM


def stratum(interactions: int, failed: int, fine: int) -> Stratum:
    bad = np.repeat([1.0, 0.0], [failed, fine])
    return Stratum(interactions=interactions, bad=bad, weights=np.ones(len(bad)))


def test_the_interval_holds_the_truth_though_feedback_is_biased() -> None:
    """Half of what failed is spoken of, a tenth of the rest, a fifth of it wrongly; fifty reviews: 93 to 97 in 100."""
    rng, held, worlds, judged = np.random.default_rng(3), 0, 2000, 0
    for _ in range(worlds):
        cells = rng.multinomial(10_000, [0.06, 0.018, 0.015, 0.072, 0.075, 0.76])
        drawn = rng.multivariate_hypergeometric(cells, 50)
        strata = [stratum(int(cells[2 * i] + cells[2 * i + 1]), *drawn[2 * i : 2 * i + 2]) for i in range(3)]
        found = audited_rate(strata)
        assert found is not None
        truth = cells[::2].sum() / cells.sum()
        held += found[1] <= truth <= found[2]
        judged += abs(cells[:2].sum() / cells[:4].sum() - truth) < 0.05

    assert 0.93 <= held / worlds <= 0.97
    assert judged == 0  # the rate of the judged is nowhere near


def test_nothing_reviewed_gives_no_rate_and_few_reviews_a_wide_one() -> None:
    """No rate without an answer; a stratum of few reviews is pooled, and what nobody reviewed widens the interval."""
    assert audited_rate([stratum(100, 0, 0), stratum(0, 0, 0)]) is None
    assert audited_rate([]) is None
    few = audited_rate([stratum(50, 1, 0), stratum(50, 0, LEAST)])
    assert few is not None
    assert few[1] < 0.03
    assert few[2] > 0.3
    rate, low, high = audited_rate([stratum(100, 0, 60), stratum(900, 30, 30)]) or (0, 0, 0)
    assert rate == pytest.approx(0.45)
    assert 0 < low < rate < high < 1


def test_an_answer_counts_by_day_weight() -> None:
    """A day with nine times the traffic weighs nine times as much, and as many reviews are worth fewer."""
    bad, weights = np.repeat([1.0, 0.0], 10), np.repeat([9.0, 1.0], 10)
    rate, low, high = audited_rate([Stratum(interactions=100, bad=bad, weights=weights)]) or (0, 0, 0)
    even = audited_rate([stratum(100, 18, 2)]) or (0, 0, 0)

    assert rate == pytest.approx(0.9)
    assert (low, high) != pytest.approx(even[1:])
    assert low < even[1]


def test_a_week_is_dealt_to_its_days() -> None:
    """The days of a week differ by one review at most, and make up the week."""
    for a_week in (0, 1, 7, 50, 1000):
        per = share_of_day(a_week)
        assert (sum(per), len(per), max(per) - min(per) <= 1) == (a_week, 7, True)


def test_what_reviewers_say_and_what_others_said() -> None:
    """The share of those who say bad; an adjudicated word for all; cannot tell is an answer."""
    said = [
        {"interaction_id": "a", "kind": "reviewer", "value": 0.0, "label": RANDOM},
        {"interaction_id": "a", "kind": "reviewer", "value": 1.0, "label": None},
        {"interaction_id": "b", "kind": "reviewer", "value": 1.0, "label": RANDOM},
        {"interaction_id": "b", "kind": "reviewer", "value": 0.0, "label": ADJUDICATED},
        {"interaction_id": "c", "kind": "label", "value": None, "label": "cannot_tell"},
    ]
    assert answers(said) == {"a": 0.5, "b": 1.0, "c": None}
    assert others_say('[["reviewer:reviewer:ann",1]]') == ""
    assert others_say('[["copy",0],["reviewer:reviewer:ann",1]]') == "good"
    assert others_say('[["copy",0],["retry",1]]') == "bad"


def test_whole_days_are_drawn_and_count_once_they_are_answered(world: Any, make: Any) -> None:
    """Three days: nobody waits of today; half a day's answers count for nothing, all of them for that day's traffic."""
    world.settings = replace(world.settings, cluster=replace(world.settings.cluster, audit=21))
    rows = [
        make.asked(100 * day + i, time=START + timedelta(days=day, minutes=i)) for day in range(3) for i in range(40)
    ]
    world.happened(*rows, make.said(rows[0]))
    by_id = {row.id: row for row in rows}

    first = world.run(days=2.1).audit

    assert (len(first.waiting), first.rate) == (6, None)
    days = [by_id[id_].time.date() for id_ in first.waiting]
    assert days == sorted(days)
    assert set(days) == {START.date(), (START + timedelta(days=1)).date()}

    def review(id_: str, value: float) -> Any:
        fields = {"source": "reviewer:ann", "user_id": None, "label": RANDOM}
        return make.said(by_id[id_], kind="reviewer", value=value, **fields)

    world.happened(*[review(id_, 0.0) for id_ in first.waiting[:2]])
    second = world.run(days=2.2).audit
    assert (second.waiting, second.rate) == (first.waiting[2:], None)

    world.happened(
        make.said(by_id[first.waiting[2]], kind="label", value=None, label="cannot_tell", source="reviewer:ann"),
    )
    third = world.run(days=2.3).audit
    assert (third.rate, third.reviewed, third.unsure, third.interactions) == (1.0, 2, 1, 40)
    assert (third.first, third.last) == (START.date().isoformat(), START.date().isoformat())
    assert third.waiting == first.waiting[3:]
    assert "100.0% of all interactions failed" in str(third)

    world.settings = replace(world.settings, cluster=replace(world.settings.cluster, audit=0))
    assert world.run(days=2.4).audit.waiting == ()


def test_days_of_which_nothing_is_asked_do_not_push_out_the_answered_one(world: Any, make: Any) -> None:
    """One review a week: the day that it is asked of stands, though a week of others came after it."""
    world.settings = replace(world.settings, cluster=replace(world.settings.cluster, audit=1))
    rows = [make.asked(100 * day + i, time=START + timedelta(days=day, minutes=i)) for day in range(14) for i in (1, 2)]
    world.happened(*rows)
    asked = world.run(days=14.1).audit.waiting
    (row,) = [row for row in rows if row.id == asked[0]]
    fields = {"kind": "reviewer", "source": "reviewer:ann", "user_id": None, "label": RANDOM}
    world.happened(make.said(row, value=0.0, **fields))

    found = world.run(days=14.2).audit

    assert (len(asked), found.reviewed, found.rate, found.interactions) == (2, 1, 1.0, 2)
    assert (found.first, found.last) == (row.time.date().isoformat(),) * 2


def test_a_reviewer_has_one_word(world: Any, make: Any) -> None:
    """Whoever reviews twice is heard once, with what they said last."""
    world.settings = replace(world.settings, cluster=replace(world.settings.cluster, audit=7))
    row = make.asked(1, time=START)
    later = {"time": START + timedelta(hours=2)}
    fields = {"kind": "reviewer", "source": "reviewer:ann", "user_id": None, "label": RANDOM}
    world.happened(row, make.said(row, value=0.0, **fields), make.said(row, value=1.0, **fields | later))

    assert world.run(days=1.5).audit.rate == 0.0
