"""Accepted splits and merges: recorded once, carried out by the next run, refused when they no longer stand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from flows.cli import app
from flows.cluster.lineage.accepted import accept, proposals_of
from flows.run import latest
from schemas.acts import ClusterDecision
from schemas.errors import UsageError
from streams.lake.query import read


@pytest.fixture(scope="module")
def first_day(tmp_path_factory: pytest.TempPathFactory, make: Any) -> tuple[Path, dict[str, str]]:
    """A home whose run proposed a split and a merge, and the cluster of each topic."""
    home = tmp_path_factory.mktemp("first") / "home"
    return home, make.planted(make.World(home))


@pytest.fixture
def world(first_day: tuple[Path, dict[str, str]], make: Any, tmp_path: Path) -> Any:
    """A world of its own after that day."""
    shutil.copytree(first_day[0], tmp_path / "home")
    return make.World(tmp_path / "home")


@pytest.fixture
def topics(first_day: tuple[Path, dict[str, str]]) -> dict[str, str]:
    return first_day[1]


def open_(world: Any) -> set[tuple[str, ...]]:
    """The proposals that stand after the newest run."""
    run = latest(world.lake, "cluster", "support-bot")
    assert run is not None
    return {(proposal.event, *proposal.clusters) for proposal in proposals_of(world.lake, run)}


def say_yes(world: Any, make: Any, *clusters: str) -> ClusterDecision:
    return accept(world.lake, "support-bot", clusters, "ann", make.start)


def test_an_accepted_split_is_carried_out_once(world: Any, make: Any, topics: dict[str, str]) -> None:
    """The cards keep the id, the parcels get one of their own with a name, and an event says who wanted it."""
    before = world.homes()
    assert ("split", topics["card"]) in open_(world)

    say_yes(world, make, topics["card"])
    assert world.homes() == before
    summary = world.run(days=2)
    again = world.run(days=2)

    homes = world.homes()
    changed = {id_ for id_ in homes if homes[id_] != before[id_]}
    assert changed == {make.event_id(1000 * make.topics.index("parcel") + i) for i in range(40)}
    assert len({homes[id_] for id_ in changed}) == 1
    child = next(cluster for cluster in world.clusters() if cluster.cluster_id == homes[min(changed)])
    assert (child.parent_id, child.status, child.size_total) == (topics["card"], "steady", 40)
    assert "parcel" in child.name
    told = [event for event in world.events() if event.event == "split"]
    assert [(event.cluster_id, event.other_ids) for event in told] == [(topics["card"], (child.cluster_id,))]
    assert told[0].details.accepted_by == "ann"
    assert again == summary


def test_an_accepted_merge_leaves_one_id(world: Any, make: Any, topics: dict[str, str]) -> None:
    """All refunds live under one id again; the other id stands for it, and its rows stay where they were written."""
    pair = next(found[1:] for found in open_(world) if found[0] == "merged")
    assert set(pair) == {topics["refund"], "cother"}

    say_yes(world, make, *pair)
    world.run(days=2)

    homes = world.homes()
    refunds = {homes[make.event_id(1000 * make.topics.index("refund") + i)] for i in range(56)}
    clusters = {cluster.cluster_id: cluster for cluster in world.clusters()}
    (gone,) = set(pair) - refunds
    assert len(refunds) == 1
    assert (clusters[gone].alias_of, clusters[gone].status, clusters[gone].size_total) == (*refunds, "merged", 0)
    assert clusters[next(iter(refunds))].size_total == 56


def test_accepting_twice_is_once(world: Any, make: Any, topics: dict[str, str]) -> None:
    """The second word changes nothing, whoever says it."""
    first = say_yes(world, make, topics["card"])
    second = accept(world.lake, "support-bot", [topics["card"][:6]], "bob", make.start)

    assert second == first
    assert len(read(world.lake, "cluster_decisions")) == 1


def test_what_no_longer_stands_is_refused(world: Any, make: Any, topics: dict[str, str]) -> None:
    """Never proposed, carried out already, merged away, or about to change: each is refused and says why."""
    pair = (topics["refund"], "cother")
    with pytest.raises(UsageError, match=r"is not proposed.*flywheel cluster list"):
        say_yes(world, make, topics["password"])
    with pytest.raises(UsageError, match="0 clusters match"):
        say_yes(world, make, "nothing")
    with pytest.raises(UsageError, match="two different ones"):
        say_yes(world, make, topics["card"], topics["card"])
    say_yes(world, make, topics["card"])
    say_yes(world, make, *pair)
    world.run(days=2)

    with pytest.raises(UsageError, match="overtaken"):
        say_yes(world, make, topics["card"])
    with pytest.raises(UsageError, match="was merged into"):
        say_yes(world, make, *pair)


@settings(max_examples=1, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000))
def test_replay_with_decisions_gives_the_same_ids(
    tmp_path_factory: pytest.TempPathFactory, make: Any, seed: int
) -> None:
    """The state is a fold over runs and decisions: shuffled events and the decisions again end in the same homes."""
    homes = []
    for order in (None, seed):
        world = make.World(tmp_path_factory.mktemp("world"))
        topics = make.planted(world, order)
        say_yes(world, make, topics["card"])
        say_yes(world, make, "cother", topics["refund"])
        world.failures(50_000, "parcel", 40)
        world.run(days=2)
        homes.append(world.homes())

    assert homes[0] == homes[1]


def test_a_person_sees_what_is_proposed(world: Any, topics: dict[str, str], tmp_path: Path) -> None:
    """The list and the report name the proposal and the command; once accepted they say by whom."""

    def flywheel(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["--home", world.settings.home, "cluster", *arguments])
        assert done.exit_code == 0, done.exception
        return done.stdout

    listed = flywheel("list")
    flywheel("report", "--out", str(tmp_path))
    accepted = flywheel("accept", topics["card"][:8], "--by", "ann")
    rows = json.loads(flywheel("list", "--json"))
    shown = flywheel("show", topics["card"])

    assert f"flywheel cluster accept {topics['card']}" in listed
    assert f"flywheel cluster accept {topics['card']}" in next(tmp_path.glob("*.html")).read_text()
    assert "The next run carries it out." in accepted
    of_card = next(row for row in rows if row["cluster_id"] == topics["card"])["proposals"]
    assert [(row["event"], row["accepted_by"]) for row in of_card] == [("split", "ann")]
    assert "accepted by ann, next run" in shown
