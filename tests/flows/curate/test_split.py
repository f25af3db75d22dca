"""Whose examples are eval: stateless, keyed, monotone."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.curate.split import pseudonym, side_of
from schemas.unit import unit_of


def test_the_split_is_the_same_in_every_process() -> None:
    """A keyed hash, not Python's own: these sides are known by heart."""
    units = [pseudonym(unit_of(f"user-{n}", "c"), "salt") for n in range(5)]

    assert units[:2] == ["da1914fea6d3d254", "d69c1c56d9c78370"]
    assert [side_of(unit, "salt", 0.5) for unit in units] == ["eval", "train", "eval", "eval", "eval"]


def test_a_user_is_one_unit_in_all_conversations() -> None:
    """And a conversation is one where no user is known; the two never collide."""
    assert pseudonym(unit_of("ann", "c-1"), "s") == pseudonym(unit_of(" ann ", "c-2"), "s")
    assert pseudonym(unit_of(None, "c-1"), "s") != pseudonym(unit_of(None, "c-2"), "s")
    assert pseudonym(unit_of("c-1", "x"), "s") != pseudonym(unit_of(None, "c-1"), "s")


@settings(max_examples=50, deadline=None)
@given(st.text(min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_raising_the_share_moves_units_to_eval_only(name: str, a: float, b: float) -> None:
    """No unit goes back to train when the share grows."""
    low, high = sorted((a, b))

    assert not (side_of(name, "s", low) == "eval" and side_of(name, "s", high) == "train")


def test_the_share_is_met() -> None:
    """Of 10,000 units a fifth is eval, give or take five standard deviations."""
    sides = [side_of(pseudonym(unit_of(f"user-{n}", ""), "salt"), "salt", 0.2) for n in range(10_000)]

    assert abs(sides.count("eval") - 2_000) < 200


def test_one_name_spelled_two_ways_is_one_unit() -> None:
    """Composed or with combining marks, with or without space around it: the same person, on the same side."""
    assert pseudonym(unit_of("Zoë", "c"), "s") == pseudonym(unit_of("Zoe\u0308\n", "c"), "s")
    assert pseudonym(unit_of(None, "Zoë"), "s") == pseudonym(unit_of(None, " Zoe\u0308"), "s")
    assert pseudonym(unit_of("Zoë", "c"), "s") != pseudonym(unit_of("Zoë", "c"), "another salt")
