"""A topic that fails in two ways, of which one goes its own way: proposed, accepted, and held by later runs."""

from __future__ import annotations

from dataclasses import replace as changed
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from flows.cluster.lineage.accepted import accept
from flows.cluster.lineage.by_mode import mode_events
from flows.cluster.placement.placing import _by_mode, _families
from flows.cluster.state import State
from flows.testing.events import START
from schemas.records import Cluster, ClusterEvent, EventDetails
from schemas.trend import Mode

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NOTHING = State(
    previous="", clusters={}, pinned={}, resolved={}, proposals=(), changes=(), refused=frozenset(),
    touched=frozenset(), born={}, ran=(), done=frozenset(),
)  # fmt: skip


def counted(kind: Any, failures: list[int], **fields: Any) -> Any:
    trend = tuple((NOW + timedelta(days=day), count, 1000) for day, count in enumerate(failures))
    plain = {"size": failures[-1], "size_total": sum(failures), "rate": None, "rate_low": None, "rate_high": None}
    return kind(**plain, status="steady", trend=trend, **fields)


def cluster(first: list[int], other: list[int], names: tuple[str, str], **fields: Any) -> Cluster:
    modes = tuple(counted(Mode, own, mode=name) for own, name in zip((first, other), names, strict=True))
    both = [one + two for one, two in zip(first, other, strict=True)]
    found: Cluster = counted(Cluster, both, cluster_id="c1", name="refunds", modes=modes, **fields)
    return found


@pytest.mark.parametrize(
    ("first", "other", "names", "proposed"),
    [
        ([30] * 7 + [0], [30] * 8, ("refusal", "edit:number"), True),
        ([30] * 8, [30] * 8, ("refusal", "edit:number"), False),
        ([30] * 7 + [60], [30] * 7 + [60], ("refusal", "edit:number"), False),
        ([3] * 7 + [0], [3] * 8, ("refusal", "edit:number"), False),
        ([30] * 7 + [0], [30] * 8, ("answer:list", "answer:prose"), False),
        ([5] * 7 + [0], [60] * 8, ("refusal", "edit:number"), False),
    ],
    ids=["one ends", "both stay", "both grow", "too few", "shapes", "too small a part"],
)
def test_a_split_by_mode_is_proposed_where_one_goes_its_own_way(
    first: list[int], other: list[int], names: tuple[str, str], proposed: bool
) -> None:
    """Beyond chance, of a mode that is a part; what moves with its cluster stays a facet of it."""
    found = mode_events([cluster(first, other, names)], NOTHING, cap=3)

    assert [(event.event, event.details.proposed) for event in found] == [("split", True)] * proposed
    assert mode_events([cluster(first, other, names, mode="refusal")], NOTHING, cap=3) == []


def test_a_run_proposes_one_split_of_a_cluster() -> None:
    """Where it proposes to part the topic by what is asked, not by mode too: `accept` names the cluster alone."""
    fit = cluster([30] * 7 + [0], [30] * 8, ("refusal", "edit:number"))
    details = EventDetails(proposed=True, parts=(("a",), ("b",)))
    words = ClusterEvent(cluster_id="c1", event="split", details=details)

    assert mode_events([fit], NOTHING, 3, [words]) == []
    assert len(mode_events([fit], NOTHING, 3, [replace(words, cluster_id="c2"), replace(words, event="merged")])) == 1


@pytest.mark.parametrize("ids", [("b", "c"), ("c", "b")], ids=["child first", "grandchild first"])
def test_a_part_of_a_modes_cluster_keeps_what_is_voted_into_it(ids: tuple[str, str]) -> None:
    """a: a topic; refusals were split off it, and those parted by words: whatever the order of their ids."""
    child, part = ids
    clusters = {
        "a": counted(Cluster, [1], cluster_id="a", name="", modes=()),
        child: counted(Cluster, [1], cluster_id=child, name="", mode="refusal", parent_id="a"),
        part: counted(Cluster, [1], cluster_id=part, name="", mode="refusal", parent_id=child),
    }
    families = _families(changed(NOTHING, clusters=clusters))

    homes = {home: [_by_mode(home, mode, families) for mode in ("refusal", "error", None)] for home in clusters}
    assert homes == {"a": [child, "a", "a"], child: [child, "a", "a"], part: [part, "a", "a"]}
    assert _by_mode("z", "refusal", families) == "z"


def test_an_accepted_mode_becomes_a_cluster_whose_like_follow_it(world: Any, make: Any) -> None:
    """Refusals end while wrong numbers go on: proposed by a run, split off by the next, told apart after."""

    def asked(n: int, day: float, refused: bool) -> Any:
        said = "I can't help you." if refused else f"You get {n} euros back."
        return make.asked(
            n,
            make.phrase("refund", 1),
            time=START + timedelta(days=day, minutes=n % 500),
            output_messages=[{"role": "assistant", "content": said}],
        )

    def corrected(row: Any) -> Any:
        return make.said(row, kind="correction", value=None, text="You get 9999 euros back.")

    refused = [asked(100 * day + i, day, True) for day in range(7) for i in range(12)]
    wrong = [asked(5000 + 100 * day + i, day, False) for day in range(8) for i in range(12 if day < 7 else 40)]
    world.happened(*refused, *wrong, *map(corrected, wrong))
    world.run(days=8)
    (home,) = {one.cluster_id for one in world.clusters()}
    (event,) = [one for one in world.events() if one.event == "split"]
    assert event.details.mode in {"refusal", "edit:number"}

    accept(world.lake, world.settings.application, [home], "ann", NOW)
    later = [asked(9000, 8.1, True), asked(9001, 8.1, False)]
    world.happened(*later, corrected(later[1]))
    world.run(days=8.5)
    newest = [asked(9100, 8.6, True), asked(9101, 8.6, False)]
    world.happened(*newest, corrected(newest[1]))
    world.run(days=9)

    (child,) = [one for one in world.clusters() if one.mode]
    assert (child.parent_id, child.mode) == (home, event.details.mode)
    assert child.name.endswith(("refused", "corrected: a number"))
    homes, modes = world.homes(), {id_: row["mode"] for id_, row in world.outcomes().items()}
    assert homes == {id_: child.cluster_id if modes[id_] == child.mode else home for id_ in homes}
    assert not [one for one in world.events() if one.event == "merged"]
