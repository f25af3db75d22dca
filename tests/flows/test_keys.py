"""A key is used, and has no part in anything that is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flows.cli import run
from flows.evaluate.stage import evaluate
from flows.run import latest
from flows.testing.bench import Bench
from flows.testing.endpoint import Endpoint
from schemas.secrets import Secret
from schemas.settings import EvaluateSettings
from streams.lake import Lake
from streams.lake.query import read
from tests.support.clusters import World

TABLES = ("runs", "clusters", "outcomes", "evaluations", "scores", "dataset_versions", "ledger")


def keyed(world: World, key: str, url: str) -> Any:
    how = msgspec.structs.replace(
        world.settings.cluster, namer_key=Secret(key), namer_url=url, namer_model="namer", embedder_key=Secret(key)
    )
    return msgspec.structs.replace(world.settings, cluster=how)


def stored(lake: Lake) -> str:
    return "".join(str(read(lake, name).to_pylist()) for name in TABLES)


def test_a_rotated_key_makes_no_cluster_run_anew(tmp_path: Path) -> None:
    """The namer is asked with the new key next time; the run that was made with the old one stands."""
    world = World(tmp_path)
    world.failures(0, "card", 40)
    with Endpoint() as server:
        server.reply = lambda _: json.dumps({"name": "card", "description": ""})
        world.settings = keyed(world, "hunter2-old", server.url)
        world.run()
        asked, first = len(server.seen), latest(world.lake, "cluster", "support-bot")
        world.settings = keyed(world, "hunter2-new", server.url)
        world.run()

    again = latest(world.lake, "cluster", "support-bot")
    assert first
    assert again
    assert asked > 0
    assert {headers["Authorization"] for headers in server.headers} == {"Bearer hunter2-old"}
    assert again.run_id == first.run_id
    assert "hunter2" not in stored(world.lake)


def test_a_rotated_key_makes_no_evaluation_anew(lake: Lake, tmp_path: Path) -> None:
    """Neither the key of an endpoint nor a password in the registry's address names an evaluation."""
    with Endpoint() as server:
        bench = Bench(lake, tmp_path, EvaluateSettings(), server)
        server.reply = bench.answer
        bench.freeze(4)
        bench.enlist()

        def made(key: str) -> Any:
            how = msgspec.structs.replace(bench.settings.evaluate, api_keys={server.url: Secret(key)})
            return evaluate(lake, msgspec.structs.replace(bench.settings, evaluate=how), bench.as_of)

        first, asked = made("hunter2-old"), len(server.seen)
        again = made("hunter2-new")

    assert again == first
    assert len(server.seen) == asked
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if b"hunter2" in path.read_bytes()] == []
    assert "hunter2" not in stored(lake)


@pytest.mark.parametrize("words", [["settings"], ["settings", "--json"], ["settings", "--markdown"]])
def test_no_command_prints_a_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """What somebody pastes into a bug report holds none of their keys."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "CLUSTER_NAMER_KEY": "hunter2", "CLUSTER_EMBEDDER_KEY": "hunter2", "GATE_MLFLOW_URI": "http://a:hunter2@h/",
        "EVALUATE_API_KEYS": '{"http://h/v1": "hunter2"}', "KAFKA_CLIENT": '{"sasl.password": "hunter2"}',
        "STORAGE_OPTIONS": '{"AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_REGION": "eu-1"}', "LAKE": "s3://a:hunter2@b/l",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"FLYWHEEL_{name}", value)

    assert run(words) == 0

    told = capsys.readouterr()
    assert "hunter2" not in told.out + told.err
    assert words[-1] == "--markdown" or ("***" in told.out and "eu-1" in told.out)


def test_what_runs_when_nothing_runs_is_what_is_configured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`flywheel settings` shows the port that Prefect would get, not that none has it now."""
    assert run(["--home", str(tmp_path), "settings", "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["prefect_port"] == 4200
