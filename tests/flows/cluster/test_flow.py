"""The stage as a whole: events in the lake, one run or several, and what the tables then say."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.errors import NotEnoughData, UsageError


def test_failures_that_go_wrong_alike_share_a_cluster(world: Any) -> None:
    """Three kinds of questions that fail become clusters that never mix them, named by their words."""
    kinds = {
        row.id: topic
        for i, topic in enumerate(("card", "parcel", "refund"))
        for row in world.failures(1000 * i, topic, 80)
    }

    summary = world.run()

    homes = world.homes()
    assert (summary.failed, summary.unclustered) == (240, 0)
    for cluster in world.clusters():
        inside = {kinds[id_] for id_, home in homes.items() if home == cluster.cluster_id}
        assert len(inside) == 1
        assert inside.pop() in cluster.name
        assert cluster.status == "new"


def test_a_double_start_is_one_run(world: Any) -> None:
    """Starting a finished run again changes nothing and gives its summary."""
    world.failures(0, "card", 30)
    first = world.run()
    versions = world.lake.versions(["outcomes", "clusters", "cluster_members", "runs"])

    assert world.run() == first
    assert world.lake.versions(["outcomes", "clusters", "cluster_members", "runs"]) == versions


def test_homes_last(world: Any) -> None:
    """A failure keeps its home in later runs, and its like join it there."""
    old = world.failures(0, "card", 40)
    world.run()
    before = world.homes()
    young = world.failures(5000, "card", 40)

    summary = world.run(days=2)

    after = world.homes()
    assert summary.born == 0
    assert {id_: after[id_] for id_ in before} == before
    assert {after[row.id] for row in young} <= {before[row.id] for row in old}


def test_something_new_is_born(world: Any) -> None:
    """Failures of a kind never seen before get an id of their own, and an event says so."""
    world.failures(0, "card", 60)
    world.failures(1000, "parcel", 60)
    world.run()
    old = set(world.homes().values())
    young = world.failures(90_000, "password", 60)

    world.run(days=2)

    homes = {world.homes()[row.id] for row in young}
    assert not homes & old
    assert [event.cluster_id for event in world.events() if event.event == "born"] == sorted(homes)


def test_a_run_before_a_finished_one_is_refused(world: Any) -> None:
    """Runs go forward in time: an earlier one is refused, leaves nothing behind, and later ones go on."""
    world.failures(0, "card", 30)
    done = world.run(days=2)
    world.failures(1000, "parcel", 30)
    tables = ["outcomes", "clusters", "cluster_members", "cluster_events", "embeddings", "runs"]
    versions = world.lake.versions(tables)

    with pytest.raises(UsageError, match="forward in time"):
        world.run(days=1)

    assert world.lake.versions(tables) == versions
    assert world.run(days=3).interactions == done.interactions + 30


def test_an_empty_lake_says_what_to_do(world: Any) -> None:
    """With no interactions there is nothing to work on, and the message names the next step."""
    with pytest.raises(NotEnoughData, match="flywheel replay"):
        world.run()


def test_traffic_without_failures_has_no_clusters(world: Any, make: Any) -> None:
    """Interactions that nobody complained about give outcomes, and no cluster."""
    world.happened(*[make.asked(i) for i in range(20)])

    summary = world.run()

    assert (summary.unknown, summary.clusters, summary.unclustered_share) == (20, 0, 0.0)
    assert world.clusters() == []


@pytest.mark.parametrize(
    "texts",
    [
        [""] * 12,
        ["the very same words"] * 300,
        ["x " * 50_000 + str(i) for i in range(8)],
        ["😀🎉", "🙃", "日本語のテキスト", "Привет мир", "مرحبا", "résumé naïve", "😀", "ᚠᛇᚻ", "½ ⅓", "\u0000\u0007"],
        ["only one"],
        ["one", "two"],
    ],
    ids=["empty", "identical", "huge", "scripts", "single", "pair"],
)
def test_odd_texts_do_no_harm(world: Any, make: Any, texts: list[str]) -> None:
    """Empty, identical, huge, mixed-script and very few failures all end in a run whose counts are whole."""
    rows = [make.asked(i, text) for i, text in enumerate(texts)]
    world.happened(*rows, *[make.said(row) for row in rows])

    summary = world.run()

    assert summary.failed == len(texts)
    assert len(world.homes()) + summary.unclustered == len(texts)
    assert summary.unclustered == len(texts) or len(texts) >= 5
