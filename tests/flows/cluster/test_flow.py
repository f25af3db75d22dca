"""The stage as a whole: events in the lake, one run or several, and what the tables then say."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from flows.run import finish, latest, runs
from schemas.errors import NotEnoughData, UsageError
from streams.lake.maintain import compact
from streams.lake.query import read
from tests.support.clusters import said


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


def bytes_of(home: str) -> dict[str, int]:
    return {str(path): path.stat().st_size for path in Path(home).rglob("*") if path.is_file()}


def test_a_run_without_news_writes_not_a_byte(world: Any) -> None:
    """Nothing has come, or files were only joined: the last run stands, whatever the hour; news make another."""
    world.failures(0, "card", 30)
    world.failures(1000, "card", 5)
    first = world.run()
    before = bytes_of(world.settings.home)

    assert [world.run(days=1 + hour / 24) for hour in range(1, 4)] == [first] * 3
    assert bytes_of(world.settings.home) == before
    for name in ("interactions", "feedback"):
        assert compact(world.lake, name, 2**20)
    compacted = bytes_of(world.settings.home)
    assert world.run(days=2) == first
    assert bytes_of(world.settings.home) == compacted

    world.failures(2000, "card", 5)
    assert world.run(days=2).interactions == 40
    assert bytes_of(world.settings.home) != compacted


def test_a_run_with_other_settings_is_another_run(world: Any) -> None:
    """Without news too: what was found in another way does not stand."""
    world.failures(0, "card", 30)
    world.run()
    world.settings = replace(world.settings, cluster=replace(world.settings.cluster, subject_cap=1))

    world.run(days=2)

    assert len(runs(world.lake, "cluster", "support-bot")) == 2


def test_two_failures_beside_one_known_text_have_a_home(world: Any, make: Any) -> None:
    """A small application's second day: fewer texts, known and new ones together, than neighbours are looked at."""
    for day, texts in enumerate((["where is my card"] * 6, ["where is my new card", "where is that card"]), start=1):
        asked = [make.asked(100 * day + n, text) for n, text in enumerate(texts)]
        world.happened(*(event for row in asked for event in (row, make.said(row))))
        world.run(days=day)

    assert len(set(world.homes().values())) == 1
    assert len(world.homes()) == 8


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

    found = world.homes()
    homes = {found[row.id] for row in young}
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


def test_two_runs_at_once_are_not_both_finished(world: Any) -> None:
    """What goes on from a run that is no longer the newest is refused: both would judge the same interactions."""
    world.failures(0, "card", 10)
    world.run()
    newest = latest(world.lake, "cluster", world.settings.application)
    assert newest is not None
    other = replace(newest, run_id="other", as_of=newest.as_of + timedelta(hours=1))

    with pytest.raises(UsageError, match="meanwhile"):
        finish(world.lake, other, {}, "")
    finish(world.lake, other, {}, newest.run_id)


def test_a_run_without_news_publishes_no_outcome(world: Any) -> None:
    """Later runs write what has changed: nothing, then one interaction of which somebody spoke late."""
    rows = world.failures(0, "card", 10)
    world.run()
    stored = read(world.lake, "outcomes").num_rows
    world.run(days=2)
    assert read(world.lake, "outcomes").num_rows == stored == len(rows)
    assert read(world.lake, "voices").num_rows == 1

    world.happened(said(rows[3], value=1.0, supersedes=None, time=rows[3].time + timedelta(hours=1)))
    summary = world.run(days=3)

    assert read(world.lake, "outcomes").num_rows == stored + 1
    assert (world.outcomes()[rows[3].id]["outcome"], world.outcomes()[rows[3].id]["revision"]) == ("ok", 1)
    assert (summary.interactions, summary.ok, summary.failed) == (10, 1, 9)


def test_another_embedder_keeps_all_ids_and_computes_once(world: Any) -> None:
    """Known failures stay where they are, new ones go to the old ids; all vectors of the new embedder are kept."""
    world.failures(0, "card", 60)
    world.failures(1000, "parcel", 60)
    world.run()
    before, ids = world.homes(), {cluster.cluster_id for cluster in world.clusters()}
    world.settings = replace(world.settings, cluster=replace(world.settings.cluster, embedder="wordllama+wordllama"))
    later = [world.failures(start, topic, 20) for start, topic in ((2000, "card"), (3000, "parcel"))]
    world.run(days=1)

    homes = world.homes()
    assert {id_: homes[id_] for id_ in before} == before
    assert {homes[row.id] for rows in later for row in rows} <= ids
    by_embedder: dict[str, set[str]] = {}
    for row in read(world.lake, "embeddings").to_pylist():
        by_embedder.setdefault(row["embedder"], set()).add(row["text_hash"])
    first, second = sorted(by_embedder, key=len)
    assert by_embedder[first] <= by_embedder[second]
