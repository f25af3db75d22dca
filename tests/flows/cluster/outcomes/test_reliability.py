"""How far sources are trusted: estimates from simulated sources whose true rates are known."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from flows.cluster.outcomes.reliability import Source, _Heard, _rates, estimate
from flows.cluster.outcomes.signals import BAD, OK, SIGNALS, Voices, is_two_sided

RATES = {"judge:good": (0.92, 0.06), "judge:poor": (0.6, 0.35), "reviewer": (0.98, 0.02), "retry": (0.4, 0.02)}

ONE_SIDED = {name for name in SIGNALS if not is_two_sided(name)}


def simulated(
    n: int, share_bad: float, sources: dict[str, tuple[float, float]], seed: int
) -> tuple[Voices, np.ndarray]:
    """Each two-sided source speaks of half of n interactions; a one-sided one only where it has something to say."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < share_bad
    names = tuple(sorted(sources))
    rows = []
    for s, name in enumerate(names):
        bad = rng.random(n) < np.where(truth, *sources[name])
        spoken = np.flatnonzero(bad if name == "retry" else rng.random(n) < 0.5)
        rows += [(item, s, BAD if bad[item] else OK) for item in spoken]
    item, source, says = (np.array(column) for column in zip(*rows, strict=True))
    return Voices(item, source, says.astype(np.int8), names), truth


@pytest.mark.parametrize("seed", range(3))
def test_sources_are_told_apart_without_the_truth(seed: int) -> None:
    """Among three judges and a one-sided signal the good and the poor are found, and most outcomes are right."""
    voices, truth = simulated(3000, 0.3, RATES, seed)

    found = estimate(voices, 3000, {})

    sources = {source.source: source for source in found.sources}
    for name, source in sources.items():
        assert abs(source.bad - RATES[name][0]) < 0.2
        assert abs(source.good - RATES[name][1]) < 0.1
    assert sources["judge:poor"].bad - sources["judge:poor"].good < 0.5
    assert sources["judge:good"].bad - sources["judge:good"].good > 0.7
    judged = np.unique(voices.item)
    assert ((found.probability_bad > 0.5) == truth)[judged].mean() > 0.9


@pytest.mark.parametrize("share_bad", [0.05, 0.3, 0.7])
def test_thumbs_and_retries_alone_do_not_drift(share_bad: float) -> None:
    """One two-sided source with one-sided ones keeps its documented reliability: nothing else can measure it."""
    sources = {"thumb": (0.95, 0.05), "retry": (0.4, 0.01)}
    voices, truth = simulated(4000, share_bad, sources, 1)

    found = estimate(voices, 4000, {})

    thumb = next(source for source in found.sources if source.source == "thumb")
    assert thumb == Source(source="thumb", voices=thumb.voices, overlap=0, bad=0.90, good=0.10)
    judged = np.unique(voices.item)
    called = found.probability_bad > 0.5
    assert (called == truth)[judged].mean() > 0.9
    assert abs(found.prior_bad - share_bad) < 0.06


def test_a_source_that_is_worse_than_chance_is_not_turned_around() -> None:
    """A judge who says the opposite of everybody says nothing: his voice adds no odds either way."""
    voices, _ = simulated(2000, 0.4, {"judge:mad": (0.1, 0.9), "reviewer": (0.97, 0.03), "rule:a": (0.95, 0.03)}, 0)

    mad = next(source for source in estimate(voices, 2000, {}).sources if source.source == "judge:mad")

    assert mad.bad == mad.good


@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(0, 29), st.integers(0, 5), st.sampled_from([BAD, OK])), max_size=300),
    st.permutations(sorted(set(SIGNALS) - {"comment"})),
)
def test_nothing_outweighs_all_that_was_said(count: int, said: list[tuple[int, int, int]], kinds: list[str]) -> None:
    """Where every voice says bad the odds are never for good, nor against it where every voice says ok."""
    names = tuple(sorted(kinds[:count]))
    only = {"copy": OK} | dict.fromkeys(ONE_SIDED - {"copy"}, BAD)
    rows = [(item, s % count, only.get(names[s % count], says)) for item, s, says in said]
    item, source, says = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    voices = Voices(item, source, says.astype(np.int8), names)

    bad = estimate(voices, 30, {}).probability_bad

    for i in range(30):
        heard = set(says[item == i].tolist())
        assert heard != {BAD} or bad[i] >= 0.5
        assert heard != {OK} or bad[i] <= 0.5
        assert heard or bad[i] == 0.5


def test_a_weak_sign_is_weighed_against_how_rare_failures_are() -> None:
    """Where overlap shows that one in twenty fails, a retry alone tells nothing; a thumb down still does."""
    rates = {"thumb": (0.92, 0.08), "judge:a": (0.8, 0.15), "retry": (0.3, 0.05)}
    voices, _ = simulated(4000, 0.05, rates, 0)
    alone = np.flatnonzero(np.bincount(voices.item) == 1)
    said = {
        (voices.sources[s], v): i for i, s, v in zip(voices.item, voices.source, voices.says, strict=True) if i in alone
    }

    found = estimate(voices, 4000, {})

    bad = found.probability_bad
    assert abs(found.prior_bad - 0.05) < 0.03
    assert bad[said["retry", BAD]] == 0.5
    assert bad[said["thumb", BAD]] == pytest.approx(0.9)
    assert bad[said["thumb", OK]] < 0.2


def test_a_weight_scales_a_voice() -> None:
    """Weight 0 silences a source; 1 leaves it as it is."""
    voices = Voices(np.array([0]), np.array([0]), np.array([BAD], dtype=np.int8), ("thumb",))

    assert estimate(voices, 1, {"thumb": 0.0}).probability_bad[0] == pytest.approx(0.5, abs=0.01)
    assert estimate(voices, 1, {}).probability_bad[0] > 0.8


def test_no_voices_at_all() -> None:
    """Interactions of which nobody spoke have the prior, and no source is listed."""
    nobody = np.array([], dtype=np.int64)

    found = estimate(Voices(nobody, nobody, nobody.astype(np.int8), ()), 3, {})

    assert found.sources == ()
    assert found.probability_bad.tolist() == [0.5, 0.5, 0.5]


def test_a_prior_counts_as_twenty_voices() -> None:
    """Rates are Beta posterior means: after two hundred overlapping voices, ten parts in eleven are what was seen."""
    truth = np.repeat([1.0, 0.0], 200)
    item = np.tile(np.arange(400), 2)
    says = np.concatenate([np.arange(400) % 4 == 0, truth == 1]).astype(np.int8)  # BAD of a quarter; BAD of the bad
    voices = Voices(item, np.repeat([0, 1], 400), says, ("judge:a", "judge:b"))
    once = np.ones(400)
    heard = _Heard(voices, once, np.zeros(2, dtype=bool), np.ones(800, dtype=bool), once)
    prior = np.array([[0.8, 0.15], [0.8, 0.15]])

    rates = _rates(heard, truth, prior)

    seen = np.array([[0.25, 0.25], [1.0, 0.0]])
    posterior = [[stats.beta(20 * p + 200 * s, 20 * (1 - p) + 200 * (1 - s)).mean() for p, s in zip(*row, strict=True)]
                 for row in zip(prior, seen, strict=True)]  # fmt: skip
    assert rates == pytest.approx(np.array(posterior))
    assert rates == pytest.approx(prior / 11 + 10 * seen / 11)


def test_no_voice_counts_more_than_odds_of_fifty() -> None:
    """However heavy its weight: one voice moves one interaction to 50 in 51 and no further, either way."""
    for says, expected in ((BAD, 50 / 51), (OK, 1 / 51)):
        voice = Voices(np.array([0]), np.array([0]), np.array([says], dtype=np.int8), ("thumb",))
        assert estimate(voice, 1, {"thumb": 1000.0}).probability_bad[0] == pytest.approx(expected)


def family(share_bad: float, rates: tuple[float, float], copied: float, seed: int) -> tuple[Voices, np.ndarray]:
    """Two judges, of whom one copies the other that often, and thumbs as good as documented; each on every other."""
    rng = np.random.default_rng(seed)
    truth = rng.random(4000) < share_bad
    one = rng.random(4000) < np.where(truth, *rates)
    other = np.where(rng.random(4000) < copied, one, rng.random(4000) < np.where(truth, *rates))
    thumbs = rng.random(4000) < np.where(truth, 0.92, 0.06)
    rows = [
        (item, source, int(bad[item]))
        for source, bad in enumerate((one, other, thumbs))
        for item in np.flatnonzero(rng.random(4000) < 0.5)
    ]
    item, source, says = (np.array(column) for column in zip(*rows, strict=True))
    return Voices(item, source, says.astype(np.int8), ("judge:a", "judge:b", "thumb")), truth


@pytest.mark.parametrize("copied", [0.5, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("rates", [(0.65, 0.3), (0.55, 0.45), (0.8, 0.15)])
@pytest.mark.parametrize("share_bad", [0.2, 0.4])
def test_two_judges_of_one_family_do_not_outvote_people(
    share_bad: float, rates: tuple[float, float], copied: float
) -> None:
    """Whatever they copy of each other, outcomes beat the best constant answer, and thumbs stay trusted."""
    voices, truth = family(share_bad, rates, copied, 1)

    found = estimate(voices, 4000, {})

    judged = np.unique(voices.item)
    constant = max(truth[judged].mean(), 1 - truth[judged].mean())
    assert ((found.probability_bad > 0.5) == truth)[judged].mean() >= constant
    thumb = next(source for source in found.sources if source.source == "thumb")
    assert thumb.bad - thumb.good > 0.6


def test_two_sources_are_not_told_apart() -> None:
    """Of two sources one may be poor, and nothing says which: the documented guesses of both hold."""
    voices, _ = simulated(4000, 0.3, {"judge:a": (0.6, 0.35), "thumb": (0.97, 0.03)}, 0)

    found = {source.source: source for source in estimate(voices, 4000, {}).sources}

    assert (found["judge:a"].bad, found["judge:a"].good, found["judge:a"].overlap) == (0.80, 0.15, 0)
    assert (found["thumb"].bad, found["thumb"].good, found["thumb"].overlap) == (0.90, 0.10, 0)


def test_judges_whom_people_confirm_are_heard_alone() -> None:
    """Where thumbs agree with a judge, its "bad" alone is a failure; where they do not, it is none."""
    for rates, fails in (((0.9, 0.05), True), ((0.5, 0.5), False)):
        voices, _ = simulated(4000, 0.3, {"judge:a": rates, "thumb": (0.92, 0.06)}, 0)
        alone = np.flatnonzero(np.bincount(voices.item, minlength=4000) == 1)
        judge = voices.sources.index("judge:a")
        said_bad = voices.item[(voices.source == judge) & (voices.says == BAD) & np.isin(voices.item, alone)]
        assert bool((estimate(voices, 4000, {}).probability_bad[said_bad] > 0.5).all()) is fails


def test_combinations_and_how_often_they_were_heard_are_all_that_counts() -> None:
    """Ten thousand interactions and the few combinations of voices on them give the same estimate."""
    voices, _ = simulated(3000, 0.3, RATES, 4)
    said: dict[int, list[tuple[int, int]]] = {}
    for item, source, says in zip(voices.item, voices.source, voices.says, strict=True):
        said.setdefault(int(item), []).append((int(source), int(says)))
    combinations = Counter(tuple(sorted(one)) for one in said.values())
    keys = sorted(combinations)
    rows = [(i, source, says) for i, key in enumerate(keys) for source, says in key]
    item, source, says = (np.array(column) for column in zip(*rows, strict=True))
    folded = Voices(item, source, says.astype(np.int8), voices.sources)

    one = estimate(voices, 3000, {})
    other = estimate(folded, len(keys), {}, np.array([combinations[key] for key in keys], dtype=float))

    assert len(keys) < 100
    for left, right in zip(one.sources, other.sources, strict=True):
        assert (left.source, left.voices, left.overlap) == (right.source, right.voices, right.overlap)
        assert (left.bad, left.good) == pytest.approx((right.bad, right.good), abs=1e-9)


def test_rates_are_those_of_a_plain_likelihood() -> None:
    """Three independent sources: the fixed point is the maximum of the penalised likelihood that scipy finds."""
    names = {"judge:a": (0.85, 0.2), "reviewer": (0.95, 0.04), "thumb": (0.8, 0.12)}
    rng = np.random.default_rng(3)
    truth = rng.random(20_000) < 0.3
    bad = np.stack([rng.random(20_000) < np.where(truth, *rates) for rates in names.values()], axis=1)
    keys, counts = np.unique(bad, axis=0, return_counts=True)
    rows = [(i, s, int(key[s])) for i, key in enumerate(keys) for s in range(3)]
    item, source, says = (np.array(column) for column in zip(*rows, strict=True))

    found = estimate(Voices(item, source, says.astype(np.int8), tuple(names)), len(keys), {}, counts.astype(float))

    def loss(x: np.ndarray) -> float:
        p = 1 / (1 + np.exp(-x))
        one = p[0] * np.prod(np.where(keys, p[1:4], 1 - p[1:4]), axis=1)
        none = (1 - p[0]) * np.prod(np.where(keys, p[4:7], 1 - p[4:7]), axis=1)
        return -float((counts * np.log(one + none)).sum())

    start = np.array([-0.8, 1.7, 3.0, 1.4, -1.4, -3.2, -2.0])
    best = 1 / (1 + np.exp(-optimize.minimize(loss, start, method="BFGS").x))
    assert [s.bad for s in found.sources] == pytest.approx(best[1:4], abs=0.01)
    assert [s.good for s in found.sources] == pytest.approx(best[4:7], abs=0.01)
