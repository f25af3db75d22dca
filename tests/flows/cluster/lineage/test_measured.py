"""A certainty from end to end: one run measures and proposes, a later one acts on it where the setting lets it."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from flows.cluster.lineage.accepted import proposals_of
from flows.run import Finished, latest

UTTERANCES = Path(__file__).parents[4] / "examples" / "support_bot" / "utterances.jsonl"
EVERY = 5
"""Of the demo's utterances, one in so many is asked on the first day, the others on the second."""
ACCEPT_FROM = 0.85
Key = tuple[str, ...]


@pytest.fixture(scope="module")
def two_days(tmp_path_factory: pytest.TempPathFactory, make: Any) -> Path:
    """A home in which runs accept from .85 on, after two days."""
    return play(make, tmp_path_factory.mktemp("two") / "home")


def play(make: Any, home: Path, seed: int | None = None) -> Path:
    """Few ask on the first day, and their failures lie in coarse clusters, the largest under two ids; then many ask.

    With a seed, events come in another order and in several commits.
    """
    world = make.World(home, accept_from=ACCEPT_FROM)
    asked = [make.asked(n, json.loads(line)["text"]) for n, line in enumerate(UTTERANCES.read_text().splitlines())]
    for day, rows in enumerate((asked[::EVERY], [row for n, row in enumerate(asked) if n % EVERY]), start=1):
        events = [event for row in rows for event in (row, make.said(row))]
        if seed is not None:
            random.Random(seed).shuffle(events)
        step = len(events) if seed is None else len(events) // 3
        for start in range(0, len(events), step):
            world.happened(*events[start : start + step])
        world.run(days=day)
        if day == 1:
            make.halved(world, world.clusters()[0].cluster_id)
    return home


def third_day(two_days: Path, make: Any, home: Path, accept_from: float) -> Any:
    """A world of its own after those days, in which runs accept from there on, with one more failure, not yet run."""
    shutil.copytree(two_days, home)
    world = make.World(home, accept_from=accept_from)
    world.failures(50_000, "password", 1)
    return world


def newest(world: Any) -> Finished:
    run = latest(world.lake, "cluster", "support-bot")
    assert run is not None
    return run


def measured(world: Any) -> dict[Key, float]:
    """What the newest run proposes → its certainty, the surest first."""
    found = {
        (event.event, event.cluster_id, *event.other_ids): event.details.certainty
        for event in world.events()
        if event.details.proposed is True
    }
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def done(world: Any) -> list[Any]:
    """What the newest run did by itself, the surest first."""
    found = [event for event in world.events() if event.details.proposed is False]
    return sorted(found, key=lambda event: -event.details.certainty)


def largest(make: Any, ids: set[str]) -> str:
    """What most of the failures ask for."""
    told = (json.loads(line)["label"] for line in UTTERANCES.read_text().splitlines())
    return Counter(label for n, label in enumerate(told) if make.event_id(n) in ids).most_common(1)[0][0]


def test_the_run_that_measures_does_nothing_yet(two_days: Path, make: Any) -> None:
    """Its own setting would let it: people see first what it found, sure and unsure."""
    world = make.World(two_days)

    sure = {kind for (kind, *_), certainty in measured(world).items() if certainty >= ACCEPT_FROM}
    assert sure == {"split", "merged"}
    assert min(measured(world).values()) < ACCEPT_FROM
    assert done(world) == []


@pytest.mark.parametrize(
    ("at_least_as", "more", "acts"), [(2, 0.0, 3), (2, 0.001, 2), (0, 0.001, 0)], ids=["as", "above", "above all"]
)
def test_the_next_run_does_what_is_as_certain_as_the_setting_says(
    two_days: Path, make: Any, tmp_path: Path, at_least_as: int, more: float, acts: int
) -> None:
    """[as the third surest, just above it, above the surest]: [three, two, none] are done; all others only stand."""
    before = make.World(two_days)
    homes, found = before.homes(), measured(before)
    world = third_day(two_days, make, tmp_path / "home", list(found.values())[at_least_as] + more)

    world.run(days=3)

    told, after = done(world), world.homes()
    taken = list(found.items())[:acts]
    assert [(event.event, event.details.certainty) for event in told] == [(key[0], sure) for key, sure in taken]
    assert {event.details.accepted_by for event in told} <= {f"run {newest(world).run_id}"}
    moved = {home for id_, home in homes.items() if after[id_] != home}
    assert bool(moved) == bool(acts)
    assert moved <= {id_ for key, _ in taken for id_ in key[1:]}
    still = {(one.event, *one.clusters) for one in proposals_of(world.lake, newest(world))}
    assert set(found) - still == {key for key, _ in taken}


def test_what_it_does_is_right(two_days: Path, make: Any, tmp_path: Path) -> None:
    """The halves are one again, and the parts of each split ask for other things."""
    world = third_day(two_days, make, tmp_path / "home", ACCEPT_FROM)
    world.run(days=3)

    homes, told = world.homes(), done(world)
    inside = {id_: {failure for failure, home in homes.items() if home == id_} for id_ in set(homes.values())}
    ((kept, gone),) = [(event.cluster_id, event.other_ids) for event in told if event.event == "merged"]
    assert "cother" in {kept, *gone}
    assert not set(gone) & set(inside)
    splits = [(event.cluster_id, *event.other_ids) for event in told if event.event == "split"]
    assert all(len({largest(make, inside[id_]) for id_ in parts}) == len(parts) > 1 for parts in splits)


def test_measured_anew_from_the_log_it_is_as_certain(two_days: Path, make: Any, tmp_path: Path) -> None:
    """The same events in another order: the same proposals with the same certainties, to the last digit."""
    again = make.World(play(make, tmp_path / "home", seed=7))

    assert measured(again) == measured(make.World(two_days))
