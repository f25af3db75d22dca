"""Settings that cannot be meant are refused by name, before anything is done."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.errors import SettingsError
from schemas.loading import PATTERN, load
from schemas.settings import Recipe


def recipe(**fields: Any) -> dict[str, Any]:
    return {"curate": {"recipes": {"refunds": fields}}}


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (recipe(origins=["corection"]), r"curate\.recipes\.refunds\.origins\[0\]: .*'corection'; it may be ab, acc"),
        (recipe(origins="correction"), r"curate\.recipes\.refunds\.origins: Expected `array`.* it may be ab"),
        (recipe(per_cluster="many"), r"curate\.recipes\.refunds\.per_cluster: Expected `int"),
        (recipe(days=0), r"curate\.recipes\.refunds\.days: Expected `int` >= 1"),
        (recipe(max_rows=3), r"curate\.recipes\.refunds\.'max_rows'; known are clusters, days, "),
        ({"curate": {"recipes": {"refunds": 3}}}, r"curate\.recipes\.refunds: Expected `object`"),
        ({"curate": {"recipes": 3}}, r"curate\.recipes: Expected `object`"),
        ({"gate": {"policy": "beter"}}, r"gate\.policy: .*'beter'; it may be as_good, better"),
        ({"gate": 3}, r"gate: Expected `object`"),
        ({"gate": {"protected": [1]}}, r"gate\.protected\[0\]: Expected `str`"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_named(file: dict[str, Any], message: str) -> None:
    """Where it stands, recipes by their own name, and where there is a list of words, the list."""
    with pytest.raises(SettingsError, match=message):
        load(file, {})


def test_a_recipe_from_the_environment_is_held_to_the_same() -> None:
    """As JSON, which is how a child process gets it."""
    good = load({}, {"FLYWHEEL_CURATE_RECIPES": '{"refunds": {"origins": ["correction"], "days": 14}}'})
    assert good.curate.recipes == {"refunds": Recipe(origins=("correction",), days=14)}

    with pytest.raises(SettingsError, match=r"refunds\.origins"):
        load({}, {"FLYWHEEL_CURATE_RECIPES": '{"refunds": {"origins": ["fixed"]}}'})


@pytest.mark.parametrize("character", sorted(PATTERN))
def test_a_home_that_is_a_pattern_is_refused(character: str) -> None:
    """Its datasets could be built, and opened by nobody."""
    with pytest.raises(SettingsError, match="name another folder"):
        load({"home": f"of {character} us"}, {})
