"""What happens to dataset versions after they are built: frozen, stale, traced, exported, pushed, withdrawn."""

from __future__ import annotations

import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from flows.curate import stage
from flows.curate.folder.disk import application_folder, check
from flows.curate.folder.export import openai_lines
from flows.curate.folder.folder import write
from flows.curate.folder.metadata import open_lineage
from flows.curate.split import pseudonym
from flows.curate.stage import curate
from flows.curate.versions.freeze import freeze
from flows.curate.versions.push import push
from flows.curate.versions.trace import trace
from flows.erase import carry_out, plan
from flows.testing.events import event_id, feedback, interaction
from flows.testing.world import AS_OF, World
from flows.versions import Version, find, versions
from schemas.errors import FlywheelError, InputFileError, NotEnoughData, UsageError
from schemas.events import Erasure, Interaction
from schemas.records import make_candidate
from schemas.secrets import Secret
from schemas.settings import CurateSettings
from schemas.unit import unit_of
from tests.support.examples import FACTS, example

LATER = AS_OF + timedelta(days=1)
SALT = "a world's"
TOPICS = [
    "refund",
    "login",
    "parcel",
    "invoice",
    "voucher",
    "delivery",
    "address",
    "password",
    "newsletter",
    "warranty",
]


def said(n: int) -> str:
    """A question unlike the others."""
    return f"{TOPICS[n % 10]} {hashlib.sha256(str(n).encode()).hexdigest()} about {n * 1299709}"


def traffic(world: World, count: int = 40) -> list[Interaction]:
    """Interactions of as many users, each accepted, unlike one another."""
    events = [
        interaction(n, user_id=f"person-{n:03d}", input_messages=[{"role": "user", "content": said(n)}])
        for n in range(count)
    ]
    world.happened(*events)
    return events


def built(world: World, count: int = 40) -> tuple[list[Interaction], dict[str, Any]]:
    events = traffic(world, count)
    world.judged({event.id: "ok" for event in events})
    return events, curate(world.lake, world.settings, AS_OF)


def rows(path: str | Path, config: str) -> list[dict[str, Any]]:
    return [
        row for file in sorted(Path(path).glob(f"data/{config}-*.parquet")) for row in pq.read_table(file).to_pylist()
    ]


def test_a_frozen_set_binds_later_builds(world: World) -> None:
    """A user of a frozen set is never taught, nor a text near one of its items, even when the split is dealt anew."""
    events, first = built(world)
    frozen = freeze(world.lake, world.settings, AS_OF, "holdout", "all")
    users = {row["interaction_id"] for row in rows(first["eval"]["path"], "eval")}
    copy = next(e for e in events if e.id in users)
    near = interaction(900, user_id="new", input_messages=[{"role": "user", "content": said(events.index(copy)) + "!"}])
    world.happened(near)
    world.judged({**{event.id: "ok" for event in events}, near.id: "ok"}, as_of=LATER)
    dealt_anew = msgspec.structs.replace(
        world.settings, curate=CurateSettings(salt=Secret("c"), paraphrase=1, hold_back=0, eval_share=0.05)
    )

    again = curate(world.lake, dealt_anew, LATER)

    taught = {row["interaction_id"] for row in rows(again["training"]["path"], "sft")}
    assert frozen.rows == {"eval/test": len(users)}
    assert not taught & (users | {near.id})
    assert again["dropped"]["eval_interaction"] >= len(users) * 0.8


def test_freezing_twice_is_freezing_once(world: World) -> None:
    """The same version under the same name is one row."""
    built(world)

    one = freeze(world.lake, world.settings, AS_OF, "holdout", "all")

    assert freeze(world.lake, world.settings, AS_OF, "holdout", "all") == one
    assert [v.dataset for v in versions(world.lake) if v.kind == "frozen"] == ["holdout"]


def test_freezing_needs_a_name_and_rows(world: World) -> None:
    """Both errors say what to do."""
    with pytest.raises(UsageError, match="small letters"):
        freeze(world.lake, world.settings, AS_OF, "../x", "all")
    with pytest.raises(NotEnoughData, match="flywheel dataset build"):
        freeze(world.lake, world.settings, AS_OF, "holdout", "all")


@pytest.mark.parametrize("suffix", ["jsonl", "txt"])
def test_a_benchmark_file_binds_a_build(make_world: Any, tmp_path: Path, suffix: str) -> None:
    """Train rows that resemble a line of a file that the user names are left out."""
    file = tmp_path / f"bench.{suffix}"
    lines = [said(n) for n in range(5)]
    file.write_text("\n".join(json.dumps({"question": t}) if suffix == "jsonl" else t for t in lines) + "\n")
    world = make_world(benchmarks=(str(file),), eval_share=0)

    events, summary = built(world)

    taught = {row["interaction_id"] for row in rows(summary["training"]["path"], "sft")}
    assert taught == {event.id for event in events[5:]}
    assert summary["dropped"] == {"eval_exact": 5}
    assert (
        "5 rows of frozen eval sets and benchmark files"
        in (Path(summary["training"]["path"]) / "README.md").read_text()
    )


def test_a_bad_benchmark_file_names_its_line(make_world: Any, tmp_path: Path) -> None:
    """Before anything is built."""
    file = tmp_path / "bench.jsonl"
    file.write_text('{"question": "fine"}\n{"other": 1}\n')
    world = make_world(benchmarks=(str(file),))

    with pytest.raises(InputFileError, match=r"bench\.jsonl:2"):
        built(world)


def test_a_retracted_feedback_makes_its_datasets_stale(world: World) -> None:
    """The old version stays as it was, with the finding beside it; the new one is current."""
    events = traffic(world)
    corrections = [feedback(n, event, "correction", text=f"better {n}") for n, event in enumerate(events)]
    world.happened(*corrections)
    world.judged({event.id: "failed" for event in events})
    old = curate(world.lake, world.settings, AS_OF)
    world.happened(
        *[
            feedback(100 + n, e, retracts=c.id)
            for n, (e, c) in enumerate(zip(events, corrections, strict=True))
            if n < 40
        ]
    )
    world.happened(feedback(500, events[0], "correction", text="much better"))
    world.judged({event.id: "ok" for event in events}, as_of=LATER)

    new = curate(world.lake, world.settings, LATER)

    found = {v.version: v for v in versions(world.lake)}
    assert found[old["training"]["version"]].status == "stale"
    assert "feedback that has changed" in (found[old["training"]["version"]].status_reason or "")
    assert found[new["training"]["version"]].status == "current"
    assert check(Path(old["training"]["path"]))["version"] == old["training"]["version"]


def test_a_row_leads_back_to_its_kafka_offset(world: World) -> None:
    """Interaction and feedback, each with topic, partition and offset."""
    event = interaction(1, user_id="somebody-1")
    said_so = feedback(1, event, "correction", text="better")
    world.happened(event, said_so)
    world.judged({event.id: "failed"})
    summary = curate(world.lake, world.settings, AS_OF)
    (row,) = rows(summary["training"]["path"], "sft") or rows(summary["eval"]["path"], "eval")

    found = trace(world.lake, world.settings, row["row_id"])

    assert [(e["id"], e["topic"], e["partition"]) for e in found["events"]] == [
        (event.id, "llm.interactions", 0),
        (said_so.id, "llm.feedback", 0),
    ]
    assert found["found_in"][0]["status"] == "current"
    with pytest.raises(UsageError, match="no dataset"):
        trace(world.lake, world.settings, "nonsense")


def test_export_is_what_hosted_fine_tuning_takes(world: World) -> None:
    """Messages only, arguments of tool calls as JSON text, no nulls, no provenance."""
    call = {"id": "1", "function": {"name": "refund", "arguments": {"order": 7}}}
    event = interaction(
        1, user_id="somebody-1", output_messages=[{"role": "assistant", "tool_calls": [call]}],
        tool_definitions=[{"type": "function", "function": {"name": "refund"}}],
    )  # fmt: skip
    world.happened(event, feedback(1, event, "correction", text="better"))
    world.judged({event.id: "failed"})
    summary = curate(world.lake, world.settings, AS_OF)
    folder = Path(summary["training"]["path"])

    (sft,) = [json.loads(line) for line in openai_lines(folder, "sft")]
    (pair,) = [json.loads(line) for line in openai_lines(folder, "preference")]

    assert sft["messages"] == [{"role": "user", "content": "question 1"}, {"role": "assistant", "content": "better"}]
    assert pair["non_preferred_output"][0]["tool_calls"][0]["function"] == {
        "name": "refund",
        "arguments": '{"order":7}',
    }
    assert pair["input"]["tools"] == [{"type": "function", "function": {"name": "refund"}}]
    with pytest.raises(UsageError, match="no OpenAI form"):
        list(openai_lines(folder, "kto"))


def test_push_copies_byte_for_byte(world: World, tmp_path: Path) -> None:
    """The copy is the version; a damaged or withdrawn one is never pushed."""
    _, summary = built(world)
    version = find(world.lake, "support-bot", summary["training"]["version"])
    folder = version.folder(world.settings)

    place = push(version, folder, f"file://{tmp_path}/bucket", {})

    copy = Path(place.removeprefix("file://"))
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert [path.relative_to(copy) for path in sorted(copy.rglob("*")) if path.is_file()] == files
    assert all((copy / name).read_bytes() == (folder / name).read_bytes() for name in files)
    with pytest.raises(UsageError, match="hf://"):
        push(version, folder, "ftp://x", {})
    next(folder.glob("data/sft-*")).write_bytes(b"rot")
    with pytest.raises(FlywheelError, match="SHA-256"):
        push(version, folder, f"file://{tmp_path}/bucket", {})


def test_a_version_says_what_it_was_built_from(world: World) -> None:
    """OpenLineage: inputs are tables at versions, the output is the dataset version."""
    _, summary = built(world)
    version = find(world.lake, "support-bot", "all")

    event = open_lineage(version.manifest)

    assert {i["name"] for i in event["inputs"]} == {"interactions", "outcomes", "cluster_members"}
    assert event["outputs"][0]["facets"]["version"]["datasetVersion"] in {
        summary["training"]["version"], summary["eval"]["version"],
    }  # fmt: skip
    croissant = json.loads((Path(summary["training"]["path"]) / "croissant.json").read_text())
    assert {f["@id"]: f["sha256"] for f in croissant["distribution"]} == check(Path(summary["training"]["path"]))[
        "files"
    ]


def everything_under(home: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file())


def strings_in(world: World) -> str:
    """All that can be read: bytes of files, and every Parquet file's decompressed rows."""
    home = world.settings.home_path
    tables = [str(pq.read_table(path, partitioning=None).to_pylist()) for path in home.rglob("*.parquet")]
    return everything_under(home).decode("latin-1") + "\n".join(tables)


def test_after_an_erasure_no_file_knows_the_person(world: World) -> None:
    """Raw and derived rows, datasets, frozen sets: a scan over bytes and decompressed rows finds nothing of them."""
    events = traffic(world)
    world.happened(*[feedback(n, e, "correction", text=f"answer for {n * 31337}") for n, e in enumerate(events)])
    world.judged({event.id: "failed" for event in events}, {event.id: "c1" for event in events})
    first = curate(world.lake, world.settings, AS_OF)
    freeze(world.lake, world.settings, AS_OF, "holdout", "all")
    items = [row["interaction_id"] for row in rows(first["eval"]["path"], "eval")]
    n = next(n for n, e in enumerate(events) if e.id == items[0])
    person, secret = f"person-{n:03d}", f"answer for {n * 31337}"
    assert secret in strings_in(world)

    before = everything_under(world.settings.home_path)
    plan(world.lake, world.settings, person)
    assert before == everything_under(world.settings.home_path), "a plan changes nothing"
    receipt = carry_out(world.lake, world.settings, person, LATER)

    after = strings_in(world)
    assert person not in after
    assert secret not in after
    assert f" about {n * 1299709}" not in after
    assert receipt["remaining"] == []
    assert {held["kind"] for held in receipt["datasets"]} == {"eval", "frozen"}
    assert receipt["rows"]["interactions"] == 1
    assert receipt["rows"]["outcomes"] == 1
    kinds = {(v.kind, v.status): v for v in versions(world.lake)}
    assert ("eval", "withdrawn") in kinds
    assert kinds["frozen", "current"].rows == {"eval/test": len(items) - 1}
    assert {path.name for path in kinds["frozen", "current"].folder(world.settings).iterdir()} == {
        "README.md", "croissant.json", "data", "manifest.json",
    }  # fmt: skip
    assert not Path(first["eval"]["path"]).exists()
    again = curate(world.lake, world.settings, LATER + timedelta(hours=1))
    assert again["eval"]["eval_rows"] == len(items) - 1


def test_a_wish_to_be_forgotten_that_arrives_as_an_event_is_done_by_the_next_build(world: World) -> None:
    """Versions that hold the person's rows are withdrawn, their folders gone; the new version has none."""
    events, first = built(world)
    taught = {row["interaction_id"] for row in rows(first["training"]["path"], "sft")}
    n = next(n for n, event in enumerate(events) if event.id in taught)
    wish = {"id": event_id(5_000_000), "time": LATER, "application": None, "subject": f"person-{n:03d}"}
    world.happened(msgspec.convert(wish, Erasure))

    second = curate(world.lake, world.settings, LATER)

    assert second["withdrawn"] == [f"all@{first['training']['version']}"]
    assert not Path(first["training"]["path"]).exists()
    assert events[n].id not in {row["interaction_id"] for row in rows(second["training"]["path"], "sft")}
    assert Path(first["eval"]["path"]).exists()


def test_an_erasure_finds_what_no_version_names(world: World) -> None:
    """A build that was killed before it recorded its folder left a row of theirs there; a stranger's stays."""
    built(world)
    root = application_folder(world.settings.datasets_path, "support-bot")
    theirs, strangers = (
        write(
            root,
            "all-training",
            {("sft", "train"): [example(n, said(n), unit=pseudonym(unit_of(who, ""), SALT))]},
            FACTS,
        ).path
        for n, who in enumerate(("person-003", "somebody else"))
    )

    receipt = carry_out(world.lake, world.settings, "person-003", LATER)

    assert receipt["unlisted"] == [theirs.name]
    assert not theirs.exists()
    assert strangers.exists()


def test_an_erasure_can_be_begun_again(world: World) -> None:
    """The second time there is nothing left to do, and it says so."""
    built(world)
    carry_out(world.lake, world.settings, "person-003", LATER)

    again = carry_out(world.lake, world.settings, "person-003", LATER)

    assert (again["interactions"], again["datasets"]) == (0, [])


def test_an_erasure_waits_for_a_build_that_has_read_their_rows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build under way publishes what it read; the erasure comes after it and finds that."""
    events = traffic(world)
    world.judged({event.id: "ok" for event in events})
    has_read, may_publish = threading.Event(), threading.Event()
    publish = stage._publish

    def late(*arguments: Any) -> dict[str, Any]:
        has_read.set()
        assert may_publish.wait(60)
        return publish(*arguments)

    monkeypatch.setattr(stage, "_publish", late)
    with ThreadPoolExecutor() as pool:
        building = pool.submit(curate, world.lake, world.settings, AS_OF)
        assert has_read.wait(60)
        erasing = pool.submit(carry_out, world.lake, world.settings, "person-003", LATER)
        with pytest.raises(TimeoutError):
            erasing.result(timeout=1)
        may_publish.set()
        summary, receipt = building.result(60), erasing.result(60)

    published = {summary[kind]["version"] for kind in ("training", "eval")}
    assert {held["version"] for held in receipt["datasets"]} & published
    assert "person-003" not in strings_in(world)
    assert said(3) not in strings_in(world)


def test_the_receipt_lists_decisions_and_models(world: World) -> None:
    """A model trained on a dataset that held the person's rows is named."""
    from flows.ledger import append  # noqa: PLC0415 only this test needs a ledger

    _, summary = built(world)
    person = next(
        f"person-{n:03d}" for n in range(40)
        if plan(world.lake, world.settings, f"person-{n:03d}").held[0].version.kind == "training"
    )  # fmt: skip
    candidate = make_candidate("bot-2", "http://localhost/v1", dataset=summary["training"]["version"])
    append(world.lake, "support-bot", "registered", candidate, id="01900000-0000-7000-8000-000000000001", time=AS_OF)

    receipt = plan(world.lake, world.settings, person).receipt()

    assert receipt["models"] == ["bot-2"]
    assert receipt["decisions"][0]["action"] == "registered"
    assert person not in json.dumps(receipt)


def test_a_name_means_the_newest_living_version(world: World) -> None:
    """By dataset, by version, by its beginning; unknown names say where to look."""
    _, summary = built(world)
    known: list[Version] = versions(world.lake, "support-bot")

    assert find(world.lake, "support-bot", "all").kind == "training"
    assert find(world.lake, "support-bot", summary["eval"]["version"][:6]).kind == "eval"
    assert [v.kind for v in known] == ["eval", "training", "sample"]
    with pytest.raises(UsageError, match="flywheel dataset list"):
        find(world.lake, "support-bot", "nothing")
