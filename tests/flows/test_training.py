"""Who trained on what: `flywheel.json` is written, read at a registration, and followed back to Kafka."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from flows import ledger
from flows.cli import app
from flows.curate.stage import curate
from flows.evaluate.freshness import cut_of
from flows.promote.forget import resting_on
from flows.testing.events import feedback, interaction
from flows.testing.world import AS_OF, World
from flows.training import FILE, LIMIT, Training, read
from flows.versions import Version, versions
from schemas.errors import FlywheelError, InputFileError

Shell = Callable[..., Result]
ENDPOINT = ("--endpoint", "http://127.0.0.1:9/v1", "--no-check")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with twenty corrected answers of twenty people, and the datasets that were built of them."""
    world = World(tmp_path_factory.mktemp("built") / "home")
    said = [[{"role": "user", "content": f"{n * 7919}" * 9}] for n in range(20)]
    events = [interaction(n, user_id=f"person-{n:03d}", input_messages=said[n]) for n in range(20)]
    world.happened(*events, *[feedback(n, e, "correction", text=f"better {n}") for n, e in enumerate(events)])
    world.judged({event.id: "failed" for event in events})
    curate(world.lake, world.settings, AS_OF)
    return world.settings.home_path


@pytest.fixture
def world(tmp_path: Path, built: Path) -> World:
    """A copy of it."""
    shutil.copytree(built, tmp_path / "home")
    return World(tmp_path / "home")


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """On the home of the test, with what a world is set to; beside it lies a model's folder."""
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    env = {"COLUMNS": "250", "FLYWHEEL_CURATE_SALT": "a world's", "FLYWHEEL_CURATE_PARAPHRASE": "1"}
    env["FLYWHEEL_CURATE_HOLD_BACK"] = "0"
    return lambda *words: CliRunner(env=env).invoke(app, ["--home", str(tmp_path / "home"), *words])


@pytest.fixture
def trained(world: World) -> Version:
    return next(v for v in versions(world.lake, "support-bot") if v.kind == "training")


def parsed(shell: Shell, *words: str) -> Any:
    done = shell(*words, "--json")
    assert done.exit_code == 0, done.exception
    return json.loads(done.stdout)


def refused(result: Result) -> str:
    """The one sentence of a refusal: no traceback of a bug."""
    assert isinstance(result.exception, FlywheelError), result.exception
    return str(result.exception)


def described(shell: Shell, *more: str) -> Any:
    return parsed(shell, "candidate", "describe", "model", "--dataset", "all", *more)


def test_a_training_is_described_and_registered(world: World, shell: Shell, trained: Version) -> None:
    """The file's dataset becomes the candidate's, so freshness knows its cut; all of it stands in the ledger."""
    written = described(
        shell, "--config", "sft", "--base-model", "tiny", "--seed", "7", "--settings", '{"learning_rate": 0.001}'
    )
    added = parsed(shell, "candidate", "add", *ENDPOINT, "--model", "bot-1", "--model-dir", "model")

    registry = ledger.fold(world.lake, "support-bot")
    assert added["dataset"] == trained.version
    assert cut_of(registry.candidates[added["id"]], registry, versions(world.lake)).known
    assert registry.training(added["id"]) == {**written, "format": 1}
    assert (written["seed"], written["settings"], written["sha256"]) == (7, {"learning_rate": 0.001}, trained.sha256)
    assert written["libraries"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert ledger.verify(world.lake, "support-bot") == 1


def test_another_training_wants_another_name(world: World, shell: Shell) -> None:
    """Answers are kept by candidate: those of weights of another seed must not count for it. The same again is one."""
    add = ("candidate", "add", *ENDPOINT, "--model-dir", "model", "--model")
    for _ in range(2):
        described(shell, "--seed", "1")
        parsed(shell, *add, "bot-1")
    described(shell, "--seed", "2")

    assert "another name" in refused(shell(*add, "bot-1"))
    other = parsed(shell, *add, "bot-2")

    registry = ledger.fold(world.lake, "support-bot")
    assert len(registry.decisions) == 2
    assert (registry.training(other["id"]) or {})["seed"] == 2


GOOD = {"dataset": "all", "version": "v", "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "has no flywheel.json"),
        (b"", "does not describe a training"),
        (b"[" * 30_000, "does not describe a training"),
        (b"\xff\xfe", "does not describe a training"),
        (json.dumps({**GOOD, "format": 2}).encode(), "format"),
        (json.dumps({**GOOD, "sha256": "../../etc"}).encode(), "sha256"),
        (json.dumps({**GOOD, "libraries": {"trl": 1}}).encode(), "libraries"),
        (json.dumps({**GOOD, "dataset": "x" * 300}).encode(), "dataset"),
        (b" " * (LIMIT + 1), "more than"),
        (json.dumps(GOOD).encode(), "no such training dataset"),
    ],
)
def test_a_wrong_file_is_one_sentence(shell: Shell, tmp_path: Path, content: bytes | None, says: str) -> None:
    """Absent, cut, deep, of another format, too large, of nowhere: refused, and nothing is registered."""
    if content is not None:
        (tmp_path / "model" / FILE).write_bytes(content)

    told = refused(shell("candidate", "add", *ENDPOINT, "--model", "bot", "--model-dir", "model"))

    assert says in told
    assert shell("candidate", "list", "--json").stdout == "[]\n"


def test_a_pipe_in_the_file_s_place_is_not_waited_for(tmp_path: Path) -> None:
    """Reading it would never end."""
    os.mkfifo(tmp_path / FILE)

    with pytest.raises(InputFileError, match="has no"):
        read(tmp_path)


def test_a_hash_or_a_dataset_that_differs_is_refused(shell: Shell, tmp_path: Path, trained: Version) -> None:
    """Whoever claims another content under a known version, or names two datasets, is told so."""
    described(shell)
    add = ("candidate", "add", *ENDPOINT, "--model", "bot", "--model-dir", "model")
    assert "--dataset says" in refused(shell(*add, "--dataset", "other"))

    path = tmp_path / "model" / FILE
    path.write_text(path.read_text().replace(trained.sha256, "0" * 64))
    assert "but that has" in refused(shell(*add))


def test_what_nobody_can_train_on_is_not_described(world: World, shell: Shell, tmp_path: Path) -> None:
    """An eval set, a config that there is not, a folder that there is not, an interpreter that is none."""
    evaluation = next(v for v in versions(world.lake) if v.kind == "eval").version
    describe = ("candidate", "describe", "model", "--dataset")

    assert "no model may train on it" in refused(shell(*describe, evaluation))
    assert "has no config 'nope'" in refused(shell(*describe, "all", "--config", "nope"))
    assert "--settings is not" in refused(shell(*describe, "all", "--settings", "[1]"))
    assert "does not say what" in refused(shell(*describe, "all", "--python", "/bin/false"))
    assert "may have" in refused(shell(*describe, "all", "--settings", json.dumps({"x": "y" * LIMIT})))
    assert "cannot be written" in refused(shell("candidate", "describe", "nowhere", "--dataset", "all"))
    assert list((tmp_path / "model").iterdir()) == []


@pytest.mark.usefixtures("world")
def test_the_interpreter_that_trained_learns_no_key_of_ours(shell: Shell, tmp_path: Path) -> None:
    """It is the trainer's environment, which is not ours."""
    spy = tmp_path / "python"
    spy.write_text(f'#!/bin/sh\nenv > {tmp_path}/seen\nexec {sys.executable} "$@"\n')
    spy.chmod(0o755)

    described(shell, "--python", str(spy))

    seen = (tmp_path / "seen").read_text()
    assert "PATH=" in seen
    assert "FLYWHEEL_" not in seen


def test_a_model_is_followed_to_its_rows_and_offsets(shell: Shell, trained: Version) -> None:
    """By its name as by its id: the version, the rows by origin, each row's id, and which offsets are behind them."""
    described(shell, "--config", "sft")
    added = parsed(shell, "candidate", "add", *ENDPOINT, "--model", "bot-1", "--model-dir", "model")

    (one,) = parsed(shell, "trace", "bot-1", "--rows")

    assert parsed(shell, "trace", added["id"], "--rows") == [one]
    assert (one["dataset"]["version"], one["dataset"]["status"]) == (trained.version, "current")
    assert one["rows"] == {"sft": {"correction": trained.rows["sft/train"]}}
    events = {place["topic"]: place for place in one["events"]}
    assert {topic: place["events"] for topic, place in events.items()} == dict.fromkeys(
        ("llm.interactions", "llm.feedback"), trained.rows["sft/train"]
    )
    row = parsed(shell, "dataset", "trace", one["row_ids"]["sft"][0])
    for event in row["events"]:
        place = events[event["topic"]]
        assert place["first_offset"] <= event["offset"] <= place["last_offset"]
    assert "llm.interactions" in shell("trace", "bot-1").output
    assert "no model 'bot-2'" in refused(shell("trace", "bot-2"))


def test_a_model_of_unknown_training_says_so(shell: Shell) -> None:
    """No dataset, or one that this home never had."""
    parsed(shell, "candidate", "add", *ENDPOINT, "--model", "a")
    parsed(shell, "candidate", "add", *ENDPOINT, "--model", "b", "--dataset", "elsewhere")

    assert "is not known" in shell("trace", "a").output
    assert "elsewhere, which is unknown" in shell("trace", "b").output
    assert [one["model"] for one in parsed(shell, "trace")] == ["b"]


@pytest.mark.usefixtures("world")
def test_an_erasure_names_the_models_that_learned_of_the_person(shell: Shell) -> None:
    """`erase` says which; from then on `trace` and `candidate add` say that their dataset is withdrawn."""
    described(shell)
    parsed(shell, "candidate", "add", *ENDPOINT, "--model", "bot-1", "--model-dir", "model")
    (one,) = parsed(shell, "trace", "bot-1", "--rows")
    row = parsed(shell, "dataset", "trace", one["row_ids"]["sft"][0])
    asked = next(e["id"] for e in row["events"] if e["event"] == "interactions")
    person = next(f"person-{n:03d}" for n in range(20) if interaction(n).id == asked)

    assert "bot-1 was trained on a dataset that holds them" in shell("erase", person, "--dry-run").output
    receipt = parsed(shell, "erase", person)

    (after,) = parsed(shell, "trace", "bot-1", "--rows")
    (listed,) = parsed(shell, "trace")
    assert receipt["models"] == ["bot-1"]
    assert after["dataset"]["status"] == listed["dataset"]["status"] == "withdrawn"
    assert (after["rows"], after["events"], after["row_ids"]) == ({}, [], {})
    assert "withdrawn: holds rows of a person who asked to be forgotten" in shell("trace").output
    again = shell("candidate", "add", *ENDPOINT, "--model", "bot-2", "--model-dir", "model")
    assert "which is withdrawn" in again.output


@pytest.mark.usefixtures("world")
def test_an_erasure_says_which_models_learned_of_what_is_gone(shell: Shell) -> None:
    """What a model learned of was withdrawn for another person: whether somebody else was in it too nobody can say."""
    described(shell)
    parsed(shell, "candidate", "add", *ENDPOINT, "--model", "bot-1", "--model-dir", "model")
    rows = parsed(shell, "trace", "bot-1", "--rows")[0]["row_ids"]["sft"][:2]
    events = [parsed(shell, "dataset", "trace", row)["events"] for row in rows]
    asked = [next(event["id"] for event in each if event["event"] == "interactions") for each in events]
    first, second = (next(f"person-{n:03d}" for n in range(20) if interaction(n).id == id_) for id_ in asked)

    receipts = [parsed(shell, "erase", person) for person in (first, second, first)]

    said = [(receipt["interactions"], receipt["models"], receipt["models_perhaps"]) for receipt in receipts]
    assert said == [(1, ["bot-1"], []), (1, [], ["bot-1"]), (0, [], ["bot-1"])]
    assert "nobody can say, since the datasets are gone: bot-1" in shell("erase", second, "--dry-run").output


@pytest.fixture
def line(world: World, shell: Shell, trained: Version) -> list[str]:
    """The versions of three models, each made from the one before; people of the first's are in no other's."""
    known = [trained.version]
    for first in (100, 110):
        people = range(first, first + 8)
        said = {n: [{"role": "user", "content": f"{n * 7919}" * 9}] for n in people}
        late = [interaction(n, user_id=f"late-{n}", input_messages=said[n]) for n in people]
        world.happened(
            *late, *[feedback(n, e, "correction", text=f"better {n}") for n, e in zip(people, late, strict=True)]
        )
        world.judged({event.id: "failed" for event in late})
        known.append(curate(world.lake, world.settings, AS_OF)["training"]["version"])
    known.reverse()
    for version, model, base in zip(known, ("bot-1", "bot-2", "bot-3"), ("tiny", "bot-1", "models/bot-2"), strict=True):
        parsed(shell, "candidate", "describe", "model", "--dataset", version, "--base-model", base)
        parsed(shell, "candidate", "add", *ENDPOINT, "--model", model, "--model-dir", "model")
    return known


def only_of_the_first(shell: Shell) -> str:
    """Somebody whose row taught bot-1, and none of the models that were made from it."""
    first, second = (parsed(shell, "trace", model, "--rows")[0]["row_ids"]["sft"] for model in ("bot-1", "bot-2"))
    row = parsed(shell, "dataset", "trace", min(set(first) - set(second)))
    asked = next(event["id"] for event in row["events"] if event["event"] == "interactions")
    return next(f"late-{n}" for n in range(110, 118) if interaction(n).id == asked)


def test_an_erasure_names_who_was_made_from_a_model_that_learned_of_the_person(
    world: World, shell: Shell, line: list[str]
) -> None:
    """The whole line after it, whatever each was trained on itself; not who was made from none of it."""
    parsed(shell, "candidate", "add", *ENDPOINT, "--model", "alone", "--dataset", "elsewhere")

    person = only_of_the_first(shell)
    receipt, said = parsed(shell, "erase", person, "--dry-run"), shell("erase", person, "--dry-run").output

    assert receipt["models"] == ["bot-1", "bot-2", "bot-3"]
    assert [(row["model"], row["trained_on"], row["through"]) for row in receipt["decisions"]] == [
        ("bot-1", line[0], None), ("bot-2", line[0], "bot-1"), ("bot-3", line[0], "bot-1")
    ]  # fmt: skip
    assert "bot-1 was trained on a dataset that holds them" in said
    assert "bot-3 was made from bot-1, which was trained on a dataset that holds them" in said
    found = resting_on(world.lake, {line[1]})
    assert [(row["model"], row["through"]) for row in found] == [("bot-2", None), ("bot-3", "bot-2")]


def test_a_model_is_followed_to_what_it_was_made_from(shell: Shell, line: list[str]) -> None:
    """The nearest first, each with what its dataset is worth; `trace` without a name says it too."""
    parsed(shell, "erase", only_of_the_first(shell))

    (third,) = parsed(shell, "trace", "bot-3")

    assert [(base["model"], base["dataset"]["version"]) for base in third["bases"]] == [
        ("bot-2", line[1]), ("bot-1", line[0])
    ]  # fmt: skip
    assert third["bases"][1]["dataset"]["status"] == "withdrawn" != third["bases"][0]["dataset"]["status"]
    assert [len(one["bases"]) for one in parsed(shell, "trace")] == [0, 1, 2]
    shown = shell("trace", "bot-3").output
    assert f"made from bot-1 {third['bases'][1]['candidate']}, trained on {line[0]}, which is withdrawn" in shown
    assert "bot-1 (withdrawn)" in shell("trace").output


@pytest.mark.usefixtures("world")
def test_models_that_name_each_other_end(shell: Shell) -> None:
    """A base's name is whatever somebody wrote: a ring is walked once, and nobody is made from themselves."""
    for model, base in (("a", "b"), ("b", "a"), ("c", "c")):
        described(shell, "--base-model", base)
        parsed(shell, "candidate", "add", *ENDPOINT, "--model", model, "--model-dir", "model")

    found = {one["model"]: [base["model"] for base in one["bases"]] for one in parsed(shell, "trace")}

    assert found == {"a": ["b"], "b": ["a"], "c": []}


def test_the_file_is_written_by_anybody(shell: Shell, tmp_path: Path, trained: Version) -> None:
    """A trainer without this program writes the three fields that the dataset's own manifest says."""
    manifest = json.loads((find_folder(shell) / "manifest.json").read_text())
    fields = {"dataset": manifest["name"], "version": manifest["version"], "sha256": manifest["sha256"]}
    (tmp_path / "model" / FILE).write_text(json.dumps(fields))

    added = parsed(shell, "candidate", "add", *ENDPOINT, "--model", "bot", "--model-dir", "model")

    assert added["dataset"] == trained.version
    assert read(tmp_path / "model") == Training(**fields)


def find_folder(shell: Shell) -> Path:
    return Path(parsed(shell, "dataset", "show", "all")["path"])
