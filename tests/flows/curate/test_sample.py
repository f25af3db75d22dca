"""The newest requests are held back from training, and decide."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from flows.curate.stage import curate
from flows.testing.events import feedback, interaction
from flows.testing.world import AS_OF, World


def rows(folder: str, kind: str) -> list[dict[str, Any]]:
    """The rows of a kind in a dataset's folder."""
    return [
        row for file in sorted(Path(folder).glob(f"data/{kind}-*.parquet")) for row in pq.read_table(file).to_pylist()
    ]


def test_the_newest_first_requests_are_held_back_and_taught_by_a_later_build(make_world: Callable[..., World]) -> None:
    """[20 requests, build, 20 more, build]: the sample is never taught by the build that drew it; the next one does."""
    world = make_world(hold_back=0.25, eval_share=0)
    events = [interaction(n, input_messages=[{"role": "user", "content": f"{n * 7919}" * 9}]) for n in range(40)]
    world.happened(*events[:20])
    world.judged({event.id: "ok" for event in events[:20]})
    first = curate(world.lake, world.settings, AS_OF)
    world.happened(*events[20:])
    world.judged({event.id: "ok" for event in events}, as_of=AS_OF + timedelta(days=1))
    second = curate(world.lake, world.settings, AS_OF + timedelta(days=1))

    held, again = (
        {row["interaction_id"] for row in rows(made["sample"]["path"], "sample")} for made in (first, second)
    )
    taught, later = (
        {row["interaction_id"] for row in rows(made["training"]["path"], "sft")} for made in (first, second)
    )
    assert held == {event.id for event in events[15:20]}
    assert taught == {event.id for event in events[:15]}
    assert again == {event.id for event in events[30:]}
    assert held <= later
    assert first["dropped"]["held_back"] == 5
    assert first["sample"]["cut"] == events[15].time.isoformat()


def test_a_request_counts_with_or_without_a_reference_and_a_second_attempt_does_not(
    make_world: Callable[..., World],
) -> None:
    """Origins `none`, `correction`, `accepted`; what was asked again because the first answer failed is left out."""
    world = make_world(hold_back=0.5, sample=3)
    events = [interaction(n) for n in range(10)]
    retry = feedback(1, events[8], "retry", replaced_by=events[9].id)
    world.happened(*events, retry, feedback(2, events[7], "correction", text="better"))
    said = {event.id: "ok" for event in events} | {events[7].id: "failed", events[8].id: "unknown"}
    world.judged(said)

    made = curate(world.lake, world.settings, AS_OF)

    found = {row["interaction_id"]: (row["source"], row["reference"]) for row in rows(made["sample"]["path"], "sample")}
    assert found == {
        events[6].id: ("accepted", "answer 6"), events[7].id: ("correction", "better"), events[8].id: ("none", None),
    }  # fmt: skip


def test_an_item_is_the_same_whatever_is_said_of_it_later(make_world: Callable[..., World]) -> None:
    """Reviews go by the item: a correction that comes afterwards changes its reference, and not its name."""
    world = make_world(hold_back=0.5)
    older, event = interaction(0), interaction(1)
    world.happened(older, event)
    world.judged({older.id: "ok", event.id: "ok"})
    first = curate(world.lake, world.settings, AS_OF)
    world.happened(feedback(1, event, "correction", text="better"))
    world.judged({older.id: "ok", event.id: "failed"}, as_of=AS_OF + timedelta(days=1))
    second = curate(world.lake, world.settings, AS_OF + timedelta(days=1))

    (before,), (after,) = (rows(made["sample"]["path"], "sample") for made in (first, second))
    assert before["item_id"] == after["item_id"]
    assert (before["reference"], after["reference"]) == ("answer 1", "better")
