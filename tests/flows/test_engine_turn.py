"""A turn on DuckDB and a turn on Spark are one: the same runs, outcomes, members and datasets, also after a kill -9."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from examples.support_bot.demo import Options, World
from examples.support_bot.model import save, train
from examples.support_bot.service import Service
from examples.support_bot.traffic import Line, serve
from flows.cluster.stage import cluster
from flows.curate.stage import curate
from flows.testing.events import START, feedback, happened, interaction
from schemas.events import Event
from schemas.records import content_hash, make_candidate
from schemas.secrets import Secret
from schemas.settings import CurateSettings, Settings
from streams.lake import Lake
from streams.lake.query import read
from tests.support import spark
from tests.support.clusters import Tools

pytestmark = pytest.mark.timeout(5400)
DAYS = (1, 2)
TABLES = ("runs", "outcomes", "voices", "cluster_members", "clusters", "cluster_events", "embeddings", "examples")
KILLED = """
import os, signal, sys
from pathlib import Path
from streams.lake import append
from tests.flows.test_engine_turn import turned

commit = append._commit
def killed(handle, name, actions, txns):
    if name == "outcomes":
        os.kill(os.getpid(), signal.SIGKILL)
    commit(handle, name, actions, txns)
append._commit = killed
turned(Path(sys.argv[1]), sys.argv[2])
"""


def settings_of(home: Path, engine: str) -> Settings:
    how = CurateSettings(hold_back=0.2, paraphrase=1, salt=Secret("a test's"))
    return Settings(home=str(home), curate=how, engine=engine)


def events(day: int) -> list[Event]:
    """A day's traffic: failures of four topics, answers that pleased, corrections with somebody's number in them."""
    found: list[Event] = []
    for n in range(96):
        number = day * 1_000 + n
        topic = list(Tools.topics)[n % 4]
        said = Tools.phrase(topic, n // 4) if n < 56 else f"hello number {number}, how are you"
        asked = interaction(
            number,
            time=START + timedelta(days=day, seconds=n),
            prompt_version=None if n % 3 else "p1",
            user_id=None if n % 7 == 0 else f"user-{n % 11}",
            input_messages=[{"role": "user", "content": said}],
        )
        found.append(asked)
        if n < 56:
            found.append(feedback(number, asked))
        elif n % 3:
            found.append(feedback(number, asked, value=1.0))
        else:
            found.append(feedback(number, asked, "correction", text=f"Write to ada{n}@example.org, please"))
    return found


def turned(home: Path, engine: str) -> dict[str, Any]:
    """Two days, each with a turn; what came of them. What was begun before goes on."""
    settings = settings_of(home, engine)
    lake, found = Lake(settings.lake_root), dict[str, Any]()
    for day in DAYS:
        if lake.version("interactions") < day:
            happened(lake, *events(day))
        found = one_turn(lake, settings, START + timedelta(days=day + 1))
    return found


def one_turn(lake: Lake, settings: Settings, as_of: datetime) -> dict[str, Any]:
    """A turn of the first two stages, and a hash of whatever came of it."""
    cluster(lake, settings, as_of)
    summary = curate(lake, settings, as_of)
    hashes = {part: summary[part]["sha256"] for part in ("training", "eval", "sample")}
    return {**hashes, **{name: content_of(lake, name) for name in TABLES}}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Event], datetime]:
    """What the demo's customers ask its first bot in its first turn, and how they react; and when the turn is."""
    folder, options = tmp_path_factory.mktemp("demo"), Options(now=START + timedelta(days=10))
    world, found = World(options), list[Event]()
    requests = list(world.traffic.requests(options.interactions, 1, world.day(1)))
    with Service(folder / "models", folder / "run") as service:
        save(train(world.seed_rows), service.models / "bot-0")
        bot, line = make_candidate("bot-0", service.endpoint), Line(found.append, lambda *_: None)
        asyncio.run(serve(bot, world.traffic, requests, world.replies, line, application="support-bot"))
    return found, world.day(1) + timedelta(hours=15)


def content_of(lake: Lake, name: str) -> str:
    """A hash of a table's rows, in whatever order and files they lie; what a run says of itself names its home."""
    rows = read(lake, name).drop_columns(["summary"] if name == "runs" else []).to_pylist()
    return content_hash(sorted(msgspec.json.encode(row, order="sorted").decode() for row in rows))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What comes of it on DuckDB."""
    return turned(tmp_path_factory.mktemp("duckdb"), "")


def test_the_world_has_something_to_say(tmp_path: Path) -> None:
    """Failures in clusters, and datasets that hold something: else equal results would be no news."""
    turned(tmp_path, "")
    lake = Lake(settings_of(tmp_path, "").lake_root)

    assert {row["outcome"] for row in read(lake, "outcomes").to_pylist()} >= {"ok", "failed"}
    assert len(read(lake, "clusters")) >= 4
    assert all(sum(msgspec.json.decode(row["rows"]).values()) for row in read(lake, "dataset_versions").to_pylist())


def test_a_turn_on_spark_is_the_same_turn(tmp_path: Path, expected: dict[str, Any]) -> None:
    """Run ids, outcomes, members and the SHA-256 of datasets; the second turn goes on from the first."""
    assert turned(tmp_path, spark.needed()) == expected


@pytest.mark.integration
def test_a_turn_of_the_demo_is_the_same_on_spark(tmp_path: Path, demo: tuple[list[Event], datetime]) -> None:
    """Thousands of events of the demo's customers: more than a few, so that redaction is done in Spark's workers."""
    said, as_of = demo
    found = []
    for home, engine in ((tmp_path / "duckdb", ""), (tmp_path / "spark", spark.needed())):
        settings = Settings(home=str(home), curate=CurateSettings(salt=Secret("a test's")), engine=engine)
        happened(Lake(settings.lake_root), *said)
        found.append(one_turn(Lake(settings.lake_root), settings, as_of))
        print(engine or "duckdb", msgspec.json.format(msgspec.json.encode(found[-1])).decode())  # noqa: T201 for docs/scale.md

    assert found[0] == found[1]


def test_a_driver_that_is_killed_before_its_commit_leaves_one_run(tmp_path: Path, expected: dict[str, Any]) -> None:
    """Its files are orphans; started again, the run is one run with one mark, and all is as if nothing had happened."""
    engine = spark.needed()
    done = subprocess.run([sys.executable, "-c", spark.KIN + KILLED, str(tmp_path), engine], check=False, timeout=900)
    assert done.returncode == -signal.SIGKILL
    lake = Lake(settings_of(tmp_path, engine).lake_root)
    assert not len(read(lake, "outcomes"))
    assert list((Path(lake.root) / "outcomes").glob("*.parquet"))

    assert turned(tmp_path, engine) == expected
    runs = [row["run_id"] for row in read(lake, "runs").to_pylist() if row["stage"] == "cluster"]
    assert len(runs) == len(set(runs)) == len(DAYS)
    assert all(lake.committed("outcomes", f"run:{run}") == 1 for run in runs)
