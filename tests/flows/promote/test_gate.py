"""The gate: what passes, what is blocked, and what is not enough evidence."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from flows.promote.gate import decide
from schemas.records import Comparison, Difference, Verdict, make_candidate
from schemas.settings import GateSettings

CHAMPION = make_candidate("old", "http://127.0.0.1:1/v1")
CANDIDATE = make_candidate("new", "http://127.0.0.1:1/v1")


def difference(name: str = "", **fields: Any) -> Difference:
    """A difference on 500 items that is neither proven good nor bad, unless `fields` say otherwise."""
    values: dict[str, Any] = {
        "slice": name, "items": 500, "units": 400, "champion": 0.7, "candidate": 0.7, "difference": 0.0,
        "low": -0.03, "high": 0.03, "p_non_inferior": 0.2, "p_superior": 0.5, "p_harm": 0.5,
        "minimum_detectable": 0.05, "items_needed": 900,
    }  # fmt: skip
    return Difference(**{**values, **fields})


GOOD = {"difference": 0.1, "low": 0.06, "high": 0.14, "p_superior": 0.001, "p_non_inferior": 0.0001, "p_harm": 0.999}
SAME = {"p_non_inferior": 0.001}
BAD = {"difference": -0.1, "low": -0.14, "high": -0.06, "p_superior": 0.999, "p_non_inferior": 0.99, "p_harm": 0.001}


def verdict(overall: dict[str, Any], slices: dict[str, dict[str, Any]] | None = None, **gate: Any) -> Verdict:
    more = {name: gate.pop(name) for name in ("guards", "sampled", "notes") if name in gate}
    comparison = Comparison(
        "e1", CANDIDATE, CHAMPION, "d1", difference(**overall),
        tuple(difference(name, **fields) for name, fields in (slices or {}).items()), **more,
    )  # fmt: skip
    return decide(comparison, GateSettings(**gate))


@pytest.mark.parametrize(
    ("policy", "overall", "expected"),
    [
        ("better", GOOD, "promote"),
        ("better", SAME, "inconclusive"),
        ("better", {}, "inconclusive"),
        ("better", BAD, "block"),
        ("as_good", GOOD, "promote"),
        ("as_good", SAME, "promote"),
        ("as_good", {}, "inconclusive"),
        ("as_good", BAD, "block"),
    ],
)
def test_the_overall_difference_decides_by_policy(policy: Any, overall: dict[str, Any], expected: str) -> None:
    """`better` wants superiority, `as_good` wants proof of no relevant loss; neither takes silence for proof."""
    found = verdict(overall, policy=policy)

    assert (found.verdict, found.policy) == (expected, policy)
    assert found.reasons[0].startswith("overall")


@pytest.mark.parametrize(
    ("items", "units", "expected"),
    [(500, 99, "inconclusive"), (500, 100, "promote"), (60, 58, "promote"), (60, 30, "inconclusive")],
)
def test_few_users_with_many_items_decide_nothing(items: int, units: int, expected: str) -> None:
    """Fewer than `gate.min_units` users of whom each gave two items or more; single items need no more than items."""
    found = verdict({**GOOD, "items": items, "units": units})

    assert found.verdict == expected
    assert (f"come from {units} units; 100 are needed" in found.reasons[0]) == (expected == "inconclusive")


def test_a_protected_slice_must_be_proven_not_worse() -> None:
    """A better mean is not enough where a protected slice is unproven or missing."""
    unproven = verdict(GOOD, {"a": {}}, protected=["a"])
    missing = verdict(GOOD, {"a": SAME}, protected=["a", "gone"])
    proven = verdict(GOOD, {"a": SAME}, protected=["a"])

    assert [v.verdict for v in (unproven, missing, proven)] == ["inconclusive", "inconclusive", "promote"]
    assert "protected slice a" in unproven.reasons[0]
    assert "about 900 items" in unproven.reasons[0]
    assert "gone" in missing.reasons[0]


def test_a_harmed_slice_blocks_whatever_the_mean_says() -> None:
    """One slice that is worse beyond doubt blocks a candidate that is better on the whole."""
    found = verdict(GOOD, {"a": SAME, "b": BAD})

    assert found.verdict == "block"
    assert found.reasons[0].startswith("slice b: worse")


def test_one_alarm_among_many_slices_is_no_alarm() -> None:
    """The harm tests share alpha: with twenty slices, one p of .01 is chance."""
    slices = {f"s{n}": dict(SAME) for n in range(20)}

    assert verdict(GOOD, {**slices, "s3": {**SAME, "p_harm": 0.01}}).verdict == "promote"
    assert verdict(GOOD, {**slices, "s3": {"p_harm": 0.001}}).verdict == "block"


@pytest.mark.parametrize(("policy", "level"), [("better", 0.025), ("as_good", 0.05)])
def test_alpha_is_shared_by_the_ways_to_wrong_equal_models(policy: Any, level: float) -> None:
    """`better` can promote or block them, each in half of alpha; `as_good` promotes them rightly and may only block."""
    just, beyond = level, level * 1.001
    proof = "p_superior" if policy == "better" else "p_non_inferior"

    assert [verdict({proof: p}, policy=policy).verdict for p in (just, beyond)] == ["promote", "inconclusive"]
    assert [verdict({"p_harm": p}, policy=policy).verdict for p in (just, beyond)] == ["block", "inconclusive"]
    assert [
        verdict(GOOD, {"a": {"p_harm": p}}, policy=policy).verdict for p in (just / 2, beyond / 2)
    ] == ["block", "promote"]  # fmt: skip


def test_a_protected_slice_is_proven_at_alpha_itself() -> None:
    """All slices must pass, so none of their tests takes anything from another, nor from the overall one."""
    found = [verdict(GOOD, {"a": {"p_non_inferior": p}}, protected=["a"]).verdict for p in (0.05, 0.0501)]

    assert found == ["promote", "inconclusive"]


def test_harm_that_is_proven_to_be_within_the_margin_is_not_harm() -> None:
    """A margin means something: a slice shown to lose less than it does not block."""
    assert verdict(GOOD, {"a": {**SAME, "p_harm": 0.0001}}).verdict == "promote"


def test_slices_too_small_to_test_do_not_dilute_the_others() -> None:
    """A hundred slices of three items leave the alarm of a large slice as loud as it was."""
    tiny = {f"t{n}": {"items": 3} for n in range(100)}

    assert verdict(GOOD, {**tiny, "a": {**BAD, "p_harm": 0.01}}).verdict == "block"


@pytest.mark.parametrize(
    ("overall", "reason"),
    [
        ({"items": 29}, "only 29 items"),
        ({"units": 9}, "9 units"),
        ({"unscored": 11}, "lack a score"),
        ({"items": 0, "units": 0, "difference": None, "p_superior": None, "p_harm": None}, "only 0 items"),
    ],
)
def test_too_little_to_go_by_is_inconclusive_even_for_the_best_numbers(overall: dict[str, Any], reason: str) -> None:
    """Neither promotion nor block rests on too few items, too few units, or answers that went missing."""
    for numbers in (GOOD, BAD):
        found = verdict({**numbers, **overall}, notes=("candidate: 11 answers unscored (timeout)",))

        assert found.verdict == "inconclusive"
        assert reason in found.reasons[0]


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(1.0, 1.2, "promote"), (1.8, 2.4, "inconclusive"), (2.1, 2.4, "block")]
)
@pytest.mark.parametrize("metric", ["duration_ms", "cost_usd"])
def test_latency_and_cost_have_limits(metric: str, low: float, high: float, expected: str) -> None:
    """Proven to be above the limit blocks; not proven to be below it is not enough evidence."""
    guards = {metric: {"ratio": (low + high) / 2, "ratio_low": low, "ratio_high": high}}

    assert verdict(GOOD, guards=guards).verdict == expected


@pytest.mark.parametrize(
    "guard", [{"unusable": 3.0}, {"ratio": 1.0, "ratio_low": 0.9, "ratio_high": 1.1, "unusable": 1.0}]
)
def test_a_latency_that_is_no_number_promotes_nobody(guard: dict[str, float]) -> None:
    """Who cannot measure cannot say that nothing became slower."""
    found = verdict(GOOD, guards={"duration_ms": guard})

    assert found.verdict == "inconclusive"
    assert "measured values are no numbers" in found.reasons[0]


def test_an_inconclusive_verdict_says_what_is_missing() -> None:
    """Whoever is told "not enough evidence" is told how much would be."""
    gain = verdict({"difference": 0.025}).reasons[0]
    level = verdict({}, policy="as_good").reasons[0]

    assert "a true difference of 0.050 would be found four times in five" in gain
    assert "about 1501 more items" in gain
    assert "about 400 more items" in level


def test_the_same_comparison_gives_the_same_verdict() -> None:
    """The verdict is a value of the comparison and the settings, and survives the way through JSON."""
    first = verdict(GOOD, {"a": SAME})

    assert msgspec.json.decode(msgspec.json.encode(first), type=Verdict) == first == verdict(GOOD, {"a": SAME})
