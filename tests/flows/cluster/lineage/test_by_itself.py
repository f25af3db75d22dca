"""What runs accept by themselves: certain enough and nobody's yet; and taking back what was split or merged."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from flows.cli import app
from flows.cluster.lineage.accepted import accept, proposals_of
from flows.cluster.lineage.acts import Acts, decisions_of
from flows.cluster.lineage.by_itself import acts_of_runs, waiting_by_itself
from flows.cluster.lineage.by_itself import certain as by_itself
from flows.cluster.lineage.taken_back import came_from
from flows.cluster.standing import Change, touched_by_people
from flows.cluster.state import load
from flows.run import latest
from schemas.errors import SettingsError, UsageError
from schemas.loading import load as settings_of
from schemas.records import Cluster, ClusterEvent, EventDetails
from streams.lake.query import read

APPLICATION = "support-bot"
SURE = {"split": 0.96, "merged": 0.99}
"""How sure the proposals of the planted day are."""


@pytest.fixture(scope="module")
def first_day(tmp_path_factory: pytest.TempPathFactory, make: Any) -> Path:
    """A home in which parcels live under the cards' id and the refunds under two, and a run proposed to mend both."""
    home = tmp_path_factory.mktemp("first") / "home"
    make.planted(make.World(home), **SURE)
    return home


@pytest.fixture
def world(first_day: Path, make: Any, tmp_path: Path) -> Any:
    """A world of its own after that day, in which runs accept from .95 on."""
    return after(first_day, make, tmp_path / "home")


def after(first_day: Path, make: Any, home: Path, accept_from: float = 0.95) -> Any:
    shutil.copytree(first_day, home)
    return make.World(home, accept_from=accept_from)


def ids_of(make: Any, topic: str, count: int) -> list[str]:
    first = 1000 * list(make.topics).index(topic)
    return [make.event_id(first + i) for i in range(count)]


def homes_of(world: Any, make: Any, topic: str) -> set[str]:
    count = 40 if topic == "parcel" else 56
    homes = world.homes()
    return {homes[id_] for id_ in ids_of(make, topic, count)}


def seen(world: Any) -> dict[str, Cluster]:
    return {cluster.cluster_id: cluster for cluster in world.clusters()}


def acts(world: Any, make: Any, by: str = "ann") -> Acts:
    return Acts(world.lake, world.settings, by, make.start)


def done(world: Any) -> list[tuple[str, float]]:
    """What the newest run did by itself: event and certainty."""
    found = [event for event in world.events() if event.details.proposed is False]
    return sorted((event.event, event.details.certainty) for event in found if event.details.certainty)


def proposed(world: Any) -> set[tuple[str, ...]]:
    run = latest(world.lake, "cluster", APPLICATION)
    assert run is not None
    return {one.key for one in proposals_of(world.lake, run)}


def certain(world: Any, accept_from: float = 0.95) -> frozenset[tuple[str, ...]]:
    """What the next run accepts by itself."""
    run = latest(world.lake, "cluster", APPLICATION)
    assert run is not None
    return waiting_by_itself(world.lake, run, accept_from)


def test_what_is_certain_enough_is_done_by_the_next_run(world: Any, make: Any) -> None:
    """Both are carried out, the run is their actor, and people's decisions stay theirs; once is once."""
    before = world.homes()

    summary = world.run(days=2)
    again = world.run(days=2)

    assert done(world) == [("merged", 0.99), ("split", 0.96)]
    assert homes_of(world, make, "parcel").isdisjoint(homes_of(world, make, "card"))
    assert len(homes_of(world, make, "refund")) == 1
    moved = {id_ for id_, home in world.homes().items() if home != before[id_]}
    assert moved >= set(ids_of(make, "parcel", 40))
    run = latest(world.lake, "cluster", APPLICATION)
    assert run is not None
    assert {act.decided_by for act in acts_of_runs(world.lake, APPLICATION)} == {f"run {run.run_id}"}
    assert decisions_of(world.lake, APPLICATION) == []
    assert again == summary


def test_only_from_the_stated_certainty_on(first_day: Path, make: Any, tmp_path: Path) -> None:
    """What is not certain enough waits for a person; the default is never."""
    world = after(first_day, make, tmp_path / "home", accept_from=0.97)
    pair = ("merged", *sorted(homes_of(world, make, "refund")))
    world.failures(50_000, "password", 1)
    announced = {accept_from: certain(world, accept_from) for accept_from in (0.97, 0.99, 0.995, 1.0)}
    world.run(days=2)

    assert announced == {0.97: {pair}, 0.99: {pair}, 0.995: frozenset(), 1.0: frozenset()}
    assert make.World(tmp_path / "other").settings.cluster.accept_from == 1.0
    assert done(world) == [("merged", 0.99)]
    assert len(homes_of(world, make, "parcel") | homes_of(world, make, "card")) == 1


def test_a_proposal_that_nobody_measured_waits_for_a_person(first_day: Path, make: Any, tmp_path: Path) -> None:
    """Older versions proposed without a certainty: that is none at all."""
    world = after(first_day, make, tmp_path / "home", accept_from=0.001)
    run = latest(world.lake, "cluster", APPLICATION)
    assert run is not None
    state = load(world.lake, APPLICATION, run.as_of)
    unmeasured = changed(state, proposals=tuple(changed(one, certainty=0.0) for one in state.proposals))

    assert len(by_itself(state, 0.001)) == 2
    assert by_itself(unmeasured, 0.001) == []


def test_a_persons_word_keeps_the_run_off(world: Any, make: Any) -> None:
    """One cluster was named, a merge refused, before the run: it leaves these alone, then and later."""
    cards, pair = next(iter(homes_of(world, make, "card"))), sorted(homes_of(world, make, "refund"))
    before = world.homes()
    assert certain(world) == {("split", cards), ("merged", *pair)}
    acts(world, make).rename(cards, "Cards and parcels")
    acts(world, make).refuse(pair, "two teams")
    assert certain(world) == frozenset()
    for day in (2, 3):
        world.failures(50_000 * day, "password", 1)
        world.run(days=day)
        assert done(world) == []

    homes = world.homes()
    assert {id_: homes[id_] for id_ in before} == before
    assert ("split", cards) in proposed(world)  # for people it stands
    assert ("merged", *pair) not in proposed(world)


def test_what_a_person_accepts_is_theirs(world: Any, make: Any) -> None:
    """The run carries both out, one in the person's name, one in its own."""
    cards = next(iter(homes_of(world, make, "card")))
    accept(world.lake, APPLICATION, [cards], "ann", make.start)
    world.run(days=2)

    by = {event.event: event.details.accepted_by for event in world.events() if event.details.proposed is False}
    assert (by["split"], done(world)) == ("ann", [("merged", 0.99)])


@pytest.mark.parametrize("event", ["renamed", "ignored", "reopened", "assigned", "refused", "split", "merged"])
def test_whatever_a_person_did_to_a_cluster_it_is_theirs(event: Any) -> None:
    """And what their act made of it; what a run did by itself, or only proposed, is nobody's."""
    told = ClusterEvent(cluster_id="a", event=event, other_ids=("b",), details=EventDetails(accepted_by="ann"))
    own = EventDetails(accepted_by="run 1", proposed=False, certainty=0.9)
    proposal = EventDetails(proposed=True, certainty=0.9)

    assert touched_by_people([told]) == {"a", "b"}
    assert touched_by_people([replace(told, details=own), replace(told, details=proposal)]) == frozenset()


def test_what_was_refused_is_not_proposed_again(first_day: Path, make: Any, tmp_path: Path) -> None:
    """Whatever later runs find; accepting it is refused, and refusing what nobody proposes too."""
    world = after(first_day, make, tmp_path / "home", 1.0)
    cards = next(iter(homes_of(world, make, "card")))
    pair = sorted(homes_of(world, make, "refund"))
    first, twice = acts(world, make).refuse([cards]), acts(world, make, "bob").refuse([cards])
    acts(world, make).refuse(pair)

    assert twice == first
    assert proposed(world) == set()
    with pytest.raises(UsageError, match="ann has refused it"):
        accept(world.lake, APPLICATION, [cards], "bob", make.start)
    world.failures(100_000, "parcel", 40)
    world.failures(120_000, "refund", 40)
    world.run(days=2)
    assert not proposed(world) & {("split", cards), ("merged", *pair)}
    with pytest.raises(UsageError, match="is not proposed"):
        acts(world, make).refuse([cards])


def test_undo_takes_a_split_and_a_merge_back(world: Any, make: Any) -> None:
    """A person's and a run's alike: each failure is where it was, ids live again, and it stays so.

    Taking back again does it again.
    """
    before = world.homes()
    cards, pair = next(iter(homes_of(world, make, "card"))), sorted(homes_of(world, make, "refund"))
    accept(world.lake, APPLICATION, pair, "bob", make.start)
    world.run(days=2)
    apart = world.homes()
    assert done(world) == [("split", 0.96)]
    split, merge = acts(world, make).undo(cards), acts(world, make).undo(pair[0])
    assert acts(world, make, "bob").undo(cards) == split
    world.failures(50_000, "password", 1)
    world.run(days=3)
    back = world.homes()

    assert (split.event, merge.event, split.cluster_id) == ("undone", "undone", cards)
    assert {id_: back[id_] for id_ in before} == before
    assert [seen(world)[one].alias_of for one in pair] == [None, None]
    assert certain(world) == frozenset()
    acts(world, make).undo(cards)
    world.run(days=4)
    assert done(world) == []
    homes = world.homes()
    assert {id_: homes[id_] for id_ in apart} == {
        id_: home if home != pair[0] and home != pair[1] else before[id_] for id_, home in apart.items()
    }


def test_undo_leaves_what_came_since_and_what_a_person_put(world: Any, make: Any) -> None:
    """Failures placed after a merge stay; one that a person assigned meanwhile stays where they said."""
    pair = sorted(homes_of(world, make, "refund"))
    before = world.homes()
    world.run(days=2)
    (kept,) = homes_of(world, make, "refund")
    (other,) = set(pair) - {kept}
    moved = [id_ for id_, home in before.items() if home == other]
    acts(world, make).assign(kept, moved[:2])
    fresh = world.failures(50_000, "refund", 5)
    world.run(days=3)
    acts(world, make).undo(kept)
    world.run(days=4)

    homes = world.homes()
    assert {homes[id_] for id_ in moved[:2]} == {kept}
    assert {homes[id_] for id_ in moved[2:]} == {other}
    assert {homes[row.id] for row in fresh} == {kept}


def test_undo_refuses_what_cannot_be_taken_back(world: Any, make: Any) -> None:
    """Nothing was done to it; or what it left was merged into another since: that goes first."""
    password = next(iter(homes_of(world, make, "password")))
    cards = next(iter(homes_of(world, make, "card")))
    with pytest.raises(UsageError, match="neither split nor merged"):
        acts(world, make).undo(password)
    world.run(days=2)
    (parcels,) = homes_of(world, make, "parcel")
    acts(world, make).merge(password, [cards])
    world.run(days=3)

    with pytest.raises(UsageError, match=f"{cards} was merged into {password} since: undo that first"):
        acts(world, make).undo(parcels)
    acts(world, make).undo(password)
    world.run(days=4)
    acts(world, make).undo(parcels)
    world.run(days=5)
    assert homes_of(world, make, "parcel") == homes_of(world, make, "card") == {cards}


def test_a_merge_of_merges_comes_back_one_by_one(world: Any, make: Any) -> None:
    """The other names of a cluster that lives again are its own again."""
    password = next(iter(homes_of(world, make, "password")))
    world.run(days=2)
    (kept,) = homes_of(world, make, "refund")
    (gone,) = {"cother", *(id_ for id_, one in seen(world).items() if one.alias_of == kept)} - {kept}
    acts(world, make).merge(password, [kept])
    world.run(days=3)
    assert seen(world)[gone].alias_of == password
    acts(world, make).undo(password)
    world.run(days=4)

    assert (seen(world)[gone].alias_of, seen(world)[kept].alias_of) == (kept, None)
    assert homes_of(world, make, "refund") == {kept}


def test_no_run_reverses_what_a_run_did(world: Any, make: Any) -> None:
    """Parts that a run has split are joined by people only, and what it merged is parted by people only."""
    world.run(days=2)
    parts = homes_of(world, make, "parcel") | homes_of(world, make, "card")
    (refunds,) = homes_of(world, make, "refund")
    world.failures(50_000, "password", 1)
    world.run(days=3)
    make.propose(world, "merged", sorted(parts), 0.99)
    make.propose(world, "split", [refunds], 0.99)

    assert {("merged", *sorted(parts)), ("split", refunds)} <= proposed(world)
    assert not certain(world) & {("merged", *sorted(parts)), ("split", refunds)}
    world.failures(60_000, "password", 1)
    world.run(days=4)
    assert done(world) == []


def test_killed_before_it_is_finished_a_run_does_it_once(
    first_day: Path, make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that dies after it moved failures, and is started again, ends as one that nobody killed."""
    ends = []
    for name in ("killed", "whole"):
        world = after(first_day, make, tmp_path / name)
        if name == "killed":
            with monkeypatch.context() as patch:
                patch.setattr("flows.cluster.stage.catalogue", _die)
                with pytest.raises(_Killed):
                    world.run(days=2)
            assert acts_of_runs(world.lake, APPLICATION) == []  # what never finished did nothing
        world.run(days=2)
        acts(world, make).undo(next(iter(homes_of(world, make, "parcel"))))
        world.run(days=3)
        rows = [(row["interaction_id"], row["moves"]) for row in read(world.lake, "cluster_members").to_pylist()]
        assert len(set(rows)) == len({(row[0], row[1] or 0) for row in rows})
        ends.append(bytes_of(world))

    assert ends[0] == ends[1]


class _Killed(BaseException):
    pass


def _die(*_: Any, **__: Any) -> None:
    raise _Killed


def bytes_of(world: Any) -> str:
    """What runs have concluded, as canonical text."""
    tables = ("cluster_members", "cluster_events", "clusters")
    found = {name: read(world.lake, name).to_pylist() for name in tables}
    return json.dumps({name: sorted(map(repr, rows)) for name, rows in found.items()})


def test_replayed_from_the_log_it_is_the_same(tmp_path_factory: pytest.TempPathFactory, make: Any) -> None:
    """The same events in another order, and the same words of people: the same homes, clusters and acts of runs."""
    ends = []
    for seed in (None, 7):
        world = make.World(tmp_path_factory.mktemp("world"), accept_from=0.95)
        make.planted(world, seed, **SURE)
        world.failures(50_000, "parcel", 10)
        world.run(days=2)
        acts(world, make).undo(min(homes_of(world, make, "refund")))
        world.run(days=3)
        told = [
            (act.event, act.cluster_id, act.other_ids, act.decision_id) for act in acts_of_runs(world.lake, APPLICATION)
        ]
        ends.append((world.homes(), {id_: (one.name, one.alias_of) for id_, one in seen(world).items()}, told))

    assert ends[0] == ends[1]


def test_people_read_who_did_it_and_take_it_back(world: Any, make: Any, tmp_path: Path) -> None:
    """The list says what the next run does and how to stop it; `show`, `diff` and the report say what a run did."""

    def flywheel(*arguments: str) -> str:
        settings = tmp_path / "flywheel.toml"
        settings.write_text("[cluster]\naccept_from = 0.95\n")
        command = ["--config", str(settings), "--home", world.settings.home, "cluster", *arguments]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, (done.exception, done.output)
        return " ".join(done.stdout.split())

    cards = next(iter(homes_of(world, make, "card")))
    listed = flywheel("list")
    world.run(days=2)
    run = latest(world.lake, "cluster", APPLICATION)
    assert run is not None
    shown, changed = flywheel("show", cards), flywheel("diff")
    flywheel("report", "--out", str(tmp_path / "reports"))
    told = json.loads(flywheel("show", cards, "--json"))["acts"]
    undone = flywheel("undo", cards[:8], "--by", "bob", "--reason", "one team")
    after_it = flywheel("show", cards)

    assert f"certainty 0.960: the next run accepts it by itself, unless: flywheel cluster refuse {cards}" in listed
    assert f"{cards} is split, says run {run.run_id}, since: proposed with certainty 0.960" in shown
    assert "split, by itself:" in changed
    assert "(by itself, certainty 0.960)" in next((tmp_path / "reports").glob("*.html")).read_text()
    assert [(act["event"], act["decided_by"]) for act in told] == [("split", f"run {run.run_id}")]
    assert "is taken back, says bob, since: one team. The next run carries it out." in undone
    assert "says bob" in after_it


@pytest.mark.parametrize("given", ["1.01", "-0.1", "nan", "often"])
def test_a_certainty_is_between_nought_and_one(given: str) -> None:
    """Anything else is a settings error that names the setting."""
    with pytest.raises(SettingsError, match="accept_from"):
        settings_of({}, {"FLYWHEEL_CLUSTER_ACCEPT_FROM": given})


@pytest.mark.parametrize(
    ("been", "expected"),
    [
        ([("r1", "b", False), ("r2", "a", False)], "b"),
        ([("r1", "a", False)], ""),
        ([("r1", "b", False), ("r3", "a", False)], ""),
        ([("r1", "b", True), ("r2", "a", True)], "b"),
        ([("r1", "b", False), ("r2", "a", False), ("r3", "a", True)], ""),
        ([("r1", "b", True), ("r2", "a", True), ("r3", "a", True)], ""),
        ([("r1", "b", False), ("r2", "a", False), ("r3", "d", False), ("r4", "a", False)], "b"),
    ],
    ids=["moved", "born there", "another run", "pinned before", "pinned since", "pinned again", "and back"],
)
def test_where_a_failure_came_from(been: list[tuple[str, str, bool]], expected: str) -> None:
    """What the merge moved goes back, unless a person has put it where it is since."""
    change = Change(decision="d", event="merged", cluster="a", others=("b", "c"), run_id="r2")

    assert came_from(been, change) == expected
