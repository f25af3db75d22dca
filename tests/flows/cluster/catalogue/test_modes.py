"""Modes through the stage: how a cluster's failures failed, each mode counted for itself, run after run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np

from flows.cluster.catalogue.closure import Known, Promotion
from flows.cluster.catalogue.measured import Look, measured
from flows.cluster.catalogue.trends import Traffic, windows
from flows.testing.events import START


def test_one_topic_has_its_modes_and_a_late_correction_moves_a_failure(world: Any, make: Any) -> None:
    """Refusals and corrected numbers of one topic: rates of their own that add up; what is said late counts anew."""
    refused = [
        make.asked(i, make.phrase("refund", 1), output_messages=[{"role": "assistant", "content": "I can't help you."}])
        for i in range(30)
    ]
    wrong = [
        make.asked(
            1000 + i,
            make.phrase("refund", 1),
            output_messages=[{"role": "assistant", "content": f"You get {i} euros back."}],
        )
        for i in range(40)
    ]
    world.happened(*refused, *wrong, *[make.said(row) for row in wrong])
    world.happened(
        *[make.said(row, kind="correction", value=None, text="You get 99 euros back.") for row in wrong[:25]]
    )
    world.run()

    (cluster,) = world.clusters()
    modes = {mode.mode: mode for mode in cluster.modes}
    assert {name: mode.size_total for name, mode in modes.items()} == {
        "refusal": 30, "edit:number": 25, "answer:short": 15,
    }  # fmt: skip
    assert sum(mode.size for mode in cluster.modes) == cluster.size == 70
    assert modes["refusal"].trend[-1][1:] == (30, 70)
    assert {mode.status for mode in cluster.modes} == {"steady"}
    before = world.outcomes()

    late = wrong[30]
    world.happened(make.said(late, kind="correction", value=None, text="Ask the bank, we cannot know that."))
    world.run(days=1.1)

    assert world.outcomes()[late.id]["mode"] == "edit:rewritten"
    assert {id_: row["mode"] for id_, row in world.outcomes().items() if id_ != late.id} == {
        id_: row["mode"] for id_, row in before.items() if id_ != late.id
    }
    (cluster,) = world.clusters()
    assert {mode.mode: mode.size_total for mode in cluster.modes} == {
        "refusal": 30, "edit:number": 25, "answer:short": 14, "other": 1,
    }  # fmt: skip


def test_a_promotion_closes_one_mode_and_not_the_other(world: Any) -> None:
    """Of two groups one ends with a promotion: its closure says fell, and the other's does not."""
    promoted = START + timedelta(days=7)
    time, group, unit = [], [], []
    for day in range(12):
        for person in range(400):
            fails = 0 if person < 20 and day < 7 else 1 if 20 <= person < 40 else -1
            time.append((START + timedelta(days=day, minutes=person)).timestamp())
            group.append(fails)
            unit.append(1000 * day + person)
    traffic = Traffic(np.array(time), np.array(group), np.array(unit))
    as_of = START + timedelta(days=12)
    known = Known(ids=["c/refusal", "c/edit:number"], born=[START] * 2, min_size=5, closures=[(), ()])
    promotions = [Promotion(promoted, "bot-2", "promoted")]
    spans = windows(as_of, 24, promoted)
    look = Look(spans=spans, promotions=promotions, as_of=as_of, looks=1, settings=world.settings.cluster)

    found = measured(traffic, known, np.array([0, 0]), look)

    assert [closed[0].verdict for closed in found.closures] == ["fell", "unclear"]
    assert [len(trend) for trend in found.trends] == [8, 8]
