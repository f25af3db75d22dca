"""The stage without Prefect: from rows in a lake to folders that `datasets` opens."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

from flows.curate.stage import curate
from flows.testing.events import feedback, interaction
from flows.testing.world import AS_OF, World
from schemas.errors import FileDamaged, NotEnoughData
from streams.lake.audit import audit
from tests.support.examples import questions


def load(path: str, config: str, tmp_path: Path) -> list[dict[str, Any]]:
    (split,) = load_dataset(path, config, cache_dir=str(tmp_path / "cache")).values()
    return list(split)


def test_a_build_opens_in_datasets(world: World, tmp_path: Path) -> None:
    """Accepted answers and corrections teach; corrections pair; eval units are asked and never taught."""
    events = questions(world, 60)
    world.happened(*[feedback(n, events[n], "correction", text=f"better {n}") for n in range(20)])
    outcomes = {e.id: "failed" if n < 20 else "ok" for n, e in enumerate(events)}
    world.judged(outcomes, {events[0].id: "refunds"})

    summary = curate(world.lake, world.settings, AS_OF)

    sft = load(summary["training"]["path"], "sft", tmp_path)
    pairs = load(summary["training"]["path"], "preference", tmp_path)
    evals = load(summary["eval"]["path"], "eval", tmp_path)
    assert (len(sft), len(pairs)) == (summary["training"]["sft_rows"], summary["training"]["preference_rows"])
    assert len(sft) + len(evals) == 60
    assert not {row["unit"] for row in sft} & {row["unit"] for row in evals}
    corrected = next(row for row in sft if row["origin"] == "correction")
    assert [m["role"] for m in corrected["messages"]] == ["user", "assistant"]
    assert corrected["messages"][-1]["content"].startswith("better")
    assert pairs[0]["chosen"][0]["content"].startswith("better")
    assert pairs[0]["rejected"][0]["content"].startswith("answer")
    assert {"item_id", "messages", "reference", "slice", "unit", "rubric", "tools"} <= evals[0].keys()


def test_a_second_start_is_the_same_run(world: World) -> None:
    """The same tables and the same instant: the first summary, and nothing written."""
    events = questions(world, 20)
    world.judged({e.id: "ok" for e in events})

    first = curate(world.lake, world.settings, AS_OF)
    versions = world.lake.version("dataset_versions")

    assert curate(world.lake, world.settings, AS_OF) == first
    assert world.lake.version("dataset_versions") == versions


def test_the_same_rows_are_the_same_version_in_another_home(make_world: Any) -> None:
    """Content names the version, not the place, the order of arrival or the day."""
    summaries = []
    for order in (1, -1):
        world = make_world()
        events = questions(world, 30)[::order]
        world.judged({e.id: "ok" for e in events})
        summaries.append(curate(world.lake, world.settings, AS_OF))

    assert summaries[0]["training"]["sha256"] == summaries[1]["training"]["sha256"]
    assert summaries[0]["eval"]["version"] == summaries[1]["eval"]["version"]


def test_tool_calls_survive(world: World, tmp_path: Path) -> None:
    """Each call keeps its own arguments, as the object that chat templates expect."""
    calls = [{"id": "1", "function": {"name": "refund", "arguments": json.dumps({"order": n})}} for n in range(2)]
    event = interaction(
        1,
        user_id="somebody",
        input_messages=[{"role": "user", "content": "refund two orders please"}],
        output_messages=[{"role": "assistant", "content": None, "tool_calls": calls}],
        tool_definitions=[{"type": "function", "function": {"name": "refund"}}],
    )
    world.happened(event)
    world.judged({event.id: "ok"})

    summary = curate(world.lake, world.settings, AS_OF)

    part, config = ("training", "sft") if summary["training"]["sft_rows"] else ("eval", "eval")
    (row,) = load(summary[part]["path"], config, tmp_path)
    assert row["tools"] == [{"type": "function", "function": {"name": "refund"}}]
    if config == "sft":
        assert [c["function"]["arguments"] for c in row["messages"][-1]["tool_calls"]] == [{"order": 0}, {"order": 1}]


def test_without_a_cluster_run_there_is_nothing_to_build_from(world: World) -> None:
    """The error says which command comes first."""
    questions(world, 3)

    with pytest.raises(NotEnoughData, match="flywheel turn"):
        curate(world.lake, world.settings, AS_OF)


def test_what_is_left_out_has_a_reason(world: World) -> None:
    """No consent, no answer: each is counted under its name, in the summary and the card."""
    events = [
        interaction(1, training_consent=False, user_id="a"),
        interaction(2, output_messages=[], user_id="b"),
        interaction(3, user_id="c"),
    ]
    world.happened(*events)
    world.judged(dict.fromkeys((event.id for event in events), "ok"))

    summary = curate(world.lake, world.settings, AS_OF)

    assert summary["dropped"] == {"no_answer": 1, "no_consent": 1}
    assert "no consent to training" in (Path(summary["training"]["path"]) / "README.md").read_text()


def test_what_a_reviewer_excluded_is_in_no_dataset(world: World) -> None:
    """Neither taught nor asked, by that name; of anybody else the label is a word; taken back it comes in again."""
    events = [interaction(n, user_id=f"u{n}") for n in range(4)]
    world.happened(*events)
    world.judged(dict.fromkeys((event.id for event in events), "ok"))
    label = {"kind": "label", "label": "exclude", "value": None}
    said = [feedback(n, events[n], **label, source="reviewer:ana") for n in range(2)]
    world.happened(*said, feedback(5, events[2], **label))

    first = curate(world.lake, world.settings, AS_OF)
    world.happened(feedback(6, events[1], **label, source="reviewer:ana", retracts=said[1].id))
    second = curate(world.lake, world.settings, AS_OF + timedelta(hours=1))

    assert first["dropped"]["excluded"] == 2
    assert second["dropped"]["excluded"] == 1


def test_a_bit_that_flips_at_rest_is_found_and_nothing_is_built_from_it(world: World) -> None:
    """Wherever in a file it is, and though most readers would not notice: the audit names the file, curate refuses."""
    events = questions(world, 60)
    world.judged({event.id: "ok" for event in events})
    (path,) = Path(world.lake.uri("interactions")).rglob("*.parquet")
    sound = path.read_bytes()
    for at in range(0, len(sound), len(sound) // 20):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 1 << at % 8]) + sound[at + 1 :])
        assert ("damaged", "interactions") in {(found.what, found.table) for found in audit(world.lake).incidents}
        with pytest.raises(FileDamaged, match=path.name):
            curate(world.lake, world.settings, AS_OF)
    assert not world.settings.datasets_path.exists()

    path.write_bytes(sound)
    assert curate(world.lake, world.settings, AS_OF)["training"]["sft_rows"] > 0
