"""A training step of the wheel: a real command, killed, bounded, disbelieved, and registered where it ends well."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from prefect.testing.utilities import prefect_test_harness

from flows import ledger
from flows.curate.stage import curate
from flows.enlist import enlist
from flows.evaluate.stage import evaluate
from flows.evaluations import scores_of
from flows.maintain.stage import maintain
from flows.run import runs
from flows.seal import seal_of
from flows.serve import TRAINING_FAILED, train_and_register_flow
from flows.testing.endpoint import Endpoint
from flows.testing.events import interaction
from flows.testing.world import AS_OF, World
from flows.trained import places
from flows.trainer.command import limit_s
from flows.trainer.stage import Outcome, due, key_of, train
from flows.versions import versions
from schemas.errors import UsageError
from schemas.events import Message
from schemas.settings import EvaluateSettings, Settings
from schemas.trainer import TrainSettings
from streams.logs import WithIds
from streams.processes.orphans import Claim
from tests.support.waiting import eventually

SCRIPT = Path(__file__).parents[2] / "support" / "trainer.py"
ROOT = Path(__file__).parents[3]
TOPICS = ("refund", "parcel", "card", "password")


def words(n: int) -> str:
    """Two words that no other number has: what resembles an eval row is not taught."""
    letters = hashlib.sha256(str(n).encode()).hexdigest().translate(str.maketrans("0123456789", "ghijklmnop"))
    return f"{letters[:9]} {letters[9:20]}"


def lives(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def command(*more: str) -> str:
    return shlex.join([sys.executable, str(SCRIPT), "train", *more])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Eighty people asked, were answered well, and half of it is a training set."""
    found = World(tmp_path_factory.mktemp("wheel") / "home", eval_share=0.5, near_duplicate=1.0, new_hours=0)
    rows = [
        interaction(
            n,
            user_id=f"u{n}",
            conversation_id=f"c{n}",
            input_messages=[Message(role="user", content=f"{words(n)} {TOPICS[n % 4]} {words(n + 99)}")],
            output_messages=[Message(role="assistant", content=f"{TOPICS[n % 4]} desk")],
        )
        for n in range(80)
    ]
    found.happened(*rows)
    found.judged({row.id: "ok" for row in rows})
    curate(found.lake, found.settings, AS_OF)
    return found


def told(world: World, **train_settings: Any) -> Settings:
    how = TrainSettings(**{"command": command(), "min_rows": 5, **train_settings})
    return msgspec.structs.replace(world.settings, train=how)


def place(settings: Settings, outcome: Outcome) -> Path:
    return settings.home_path / "training" / outcome.key


def test_a_model_comes_of_a_dataset_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told what to train on, without a key of ours; its folder says what made it; the second time nothing is done."""
    monkeypatch.setenv("FLYWHEEL_CURATE_SALT", "a secret")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "a secret")
    settings = told(world, command=command("--steps", "3"), seed=5)
    assert due(world.lake, settings)

    outcome = train(world.lake, settings)

    assert (outcome.status, outcome.starts, outcome.failed) == ("trained", 1, False)
    folder = place(settings, outcome)
    made = json.loads((folder / "model" / "flywheel.json").read_text())
    assert (made["version"], made["config"], made["seed"]) == (outcome.dataset, "completion", 5)
    environment = json.loads((folder / "model" / "told.json").read_text())["env"]
    assert [name for name in environment if name.startswith(("FLYWHEEL_", "KAFKA_", "PREFECT_"))] == []
    assert not (folder / "checkpoints").exists()
    assert train(world.lake, settings, again=True) == outcome
    assert not due(world.lake, settings)


@pytest.mark.parametrize(
    ("does", "status", "says"),
    [
        ("exit", "exit", "code 7"),
        ("nothing", "no_output", "TRAIN_OUTPUT"),
        ("link", "unusable_output", "neither a file nor a folder"),
        ("swap", "unusable_output", "in place of its output folder"),
        ("fifo", "unusable_output", "neither a file nor a folder"),
        ("large", "too_large", "max_bytes"),
        ("other", "unusable_output", "no such training dataset"),
        ("bomb", "unusable_output", "does not describe a training"),
    ],
)
def test_however_it_ends_has_a_name(world: World, does: str, status: str, says: str) -> None:
    """It is recorded, not tried again by itself, and a terminal obeys nothing of it."""
    settings = told(world, command=command("--does", does, "--steps", "1"), max_bytes=2**20)

    outcome = train(world.lake, settings)

    assert (outcome.status, outcome.failed) == (status, True)
    assert says in outcome.reason
    assert outcome.reason.isprintable()
    assert not (place(settings, outcome) / "model").exists()
    assert not os.path.lexists(place(settings, outcome) / "output")
    assert not due(world.lake, settings)
    assert train(world.lake, settings) == outcome
    assert [run.told(Outcome) for run in runs(world.lake, "train", "support-bot")].count(outcome) == 1


def test_a_failed_training_is_tried_anew_when_a_person_says_so(world: World, tmp_path: Path) -> None:
    """The same command may work by then: a full disk, a busy accelerator."""
    script = tmp_path / "flaky.py"
    script.write_text("import sys; sys.exit(3)")
    settings = told(world, command=shlex.join([sys.executable, str(script)]))
    assert train(world.lake, settings).status == "exit"
    script.write_text("import os, pathlib; pathlib.Path(os.environ['TRAIN_OUTPUT'], 'w').write_text('weights')")

    assert train(world.lake, settings).status == "exit"
    assert train(world.lake, settings, again=True).status == "trained"
    assert train(world.lake, settings).status == "trained"


def test_a_limit_ends_even_a_stubborn_command(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By time or by cost, whichever comes first; and what it started."""
    monkeypatch.setattr("flows.trainer.command.STOP_S", 0.5)
    settings = told(world, command=command("--does", "stubborn"), usd_per_hour=3600.0, max_cost_usd=8.0)

    outcome = train(world.lake, settings)

    assert (outcome.status, outcome.starts) == ("cost", 1)
    assert 8.0 <= outcome.spent_s < 40
    assert not (place(settings, outcome) / "trainer.pid").exists()
    assert not lives(int((place(settings, outcome) / "checkpoints" / "pid").read_text()))


def test_hours_and_money_are_one_limit() -> None:
    """The smaller one, under its own name."""
    assert limit_s(TrainSettings(hours=2)) == (7200, "timeout")
    assert limit_s(TrainSettings(hours=2, usd_per_hour=4, max_cost_usd=6)) == (5400, "cost")
    assert limit_s(TrainSettings(hours=1, usd_per_hour=4, max_cost_usd=6)) == (3600, "timeout")
    with pytest.raises(ValueError, match="usd_per_hour"):  # a cap that nothing reaches is no cap
        TrainSettings(max_cost_usd=6)


HERE = """
import sys, msgspec
from flows.context import lake_of
from flows.trainer.stage import train
from schemas.settings import Settings
settings = msgspec.json.decode(sys.argv[1], type=Settings, dec_hook=lambda kind, value: kind(value))
print(train(lake_of(settings), settings).status, flush=True)
"""


def test_killed_half_way_it_goes_on(world: World) -> None:
    """Kill -9 of the flywheel: the command ends too, and the next start goes on behind its newest checkpoint."""
    settings = told(world, command=command("--steps", "4", "--step-s", "0.7", "--does", "child"))
    plain = msgspec.json.encode(settings, enc_hook=lambda secret: secret.reveal()).decode()
    (version,) = [v for v in versions(world.lake) if v.kind == "training"]
    checkpoint = settings.home_path / "training" / key_of(settings, version) / "checkpoints" / "counts.json"
    parent = subprocess.Popen([sys.executable, "-c", HERE, plain], cwd=ROOT)
    eventually(lambda: checkpoint.exists() and json.loads(checkpoint.read_text())["step"] >= 1, 60)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    (first,) = json.loads(checkpoint.read_text())["pids"]
    eventually(lambda: not lives(first), 20)
    reached = json.loads(checkpoint.read_text())["step"]
    assert 1 <= reached < 4

    outcome = train(world.lake, settings)

    assert (outcome.status, outcome.starts) == ("trained", 2)
    folder = place(settings, outcome)
    pids = json.loads((folder / "model" / "told.json").read_text())["pids"]
    assert len(pids) == 2
    said = [line for line in (folder / "trainer.log").read_text().splitlines() if line.startswith("step")]
    assert [int(line.split()[1]) for line in said if line.endswith(str(pids[1]))] == list(range(reached + 1, 5))
    assert [p.pid for p in psutil.process_iter() if str(folder) in environment_of(p)] == []


def environment_of(process: psutil.Process) -> str:
    try:
        return process.environ().get("TRAIN_OUTPUT", "")
    except (psutil.Error, OSError):
        return ""


def test_what_was_finished_before_a_kill_is_taken_as_it_is(world: World) -> None:
    """Between the model's rename and the run's row: nothing is trained again."""
    settings = told(world, command=command("--steps", "2", "--step-s", "0.01"))
    outcome = train(world.lake, settings)
    other = msgspec.structs.replace(settings, application="support-bot", lake=str(settings.home_path / "lake"))
    log = (place(settings, outcome) / "trainer.log").read_text()

    assert train(world.lake, other) == outcome
    assert (place(settings, outcome) / "trainer.log").read_text() == log


def test_half_a_model_of_a_killed_start_is_in_no_model(world: World) -> None:
    """Each start has an empty output folder: what lay there when one was killed is no part of what the next makes."""
    settings = told(world, command=command("--steps", "1", "--step-s", "0.02"))
    (version,) = [v for v in versions(world.lake) if v.kind == "training"]
    half = settings.home_path / "training" / key_of(settings, version) / "output" / "model-00001-of-00002"
    half.parent.mkdir(parents=True)
    half.write_text("half")

    outcome = train(world.lake, settings)

    assert outcome.status == "trained"
    assert sorted(path.name for path in (place(settings, outcome) / "model").iterdir()) == [
        "flywheel.json", "model.json", "told.json",
    ]  # fmt: skip


def test_two_trainings_of_one_dataset_do_not_meet(world: World) -> None:
    """The second says that the first is at work."""
    settings = told(world, command=command("--steps", "9"))
    (version,) = [v for v in versions(world.lake) if v.kind == "training"]
    claim = Claim(settings.home_path / "training" / key_of(settings, version))

    assert train(world.lake, settings).status == "running"
    claim.release()


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({"command": ""}, "off"),
        ({"min_rows": 1000}, "few_rows"),
        ({"recipe": "cards"}, "no_dataset"),
        ({"command": "no-such-program-of-ours"}, "cannot_start"),
        ({"command": "sh -c true | tee log"}, "cannot_start"),
        ({"serve": "no-such-server-of-ours {port}"}, "cannot_start"),
    ],
)
def test_what_cannot_begin_is_said(world: World, how: dict[str, Any], status: str) -> None:
    """By its name, and with what to do."""
    outcome = train(world.lake, told(world, **how))

    assert outcome.status == status
    assert outcome.reason


def test_its_lines_stand_in_our_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Harmless, not without end, and each with the run's id."""
    caplog.set_level(logging.INFO, "flows.trainer")
    caplog.handler.setFormatter(WithIds(logging.Formatter("%(message)s")))

    train(world.lake, told(world, command=command("--does", "exit", "--steps", "2")))

    assert any("out of memory" in message for message in caplog.messages)
    assert all(message.isprintable() for message in caplog.messages)
    run = runs(world.lake, "train", "support-bot")[-1].run_id
    assert all(line.endswith(f" [train={run}]") for line in caplog.text.splitlines())


def test_traffic_becomes_a_candidate_that_waits_for_its_verdict(world: World, tmp_path: Path) -> None:
    """Trained, registered with its command, served for the evaluation, and better than who serves; then cleaned up."""
    serve = shlex.join([sys.executable, str(SCRIPT), "serve", "{port}", "{model_dir}", "{model}"])
    settings = told(
        world, endpoint="http://127.0.0.1:{port}/v1", serve=serve, port=23_100 + os.getpid() % 5000,
        command=command("--steps", "6"), parameters={"temperature": 0},
    )  # fmt: skip
    settings = msgspec.structs.replace(settings, evaluate=EvaluateSettings(eval_set="all", tries=2, timeout_s=20))
    now = datetime(2026, 2, 2, tzinfo=UTC)
    with Endpoint() as endpoint:
        endpoint.reply = lambda _: "refund desk"
        old = endpoint.candidate("old")
        ledger.bootstrap(world.lake, "support-bot", old, "the first", time=AS_OF, seal=seal_of(settings))
        outcome = train(world.lake, settings)
        assert due(world.lake, settings), "trained, and not registered: a kill came between"

        candidate = enlist(world.lake, settings, outcome.key, now)
        assert enlist(world.lake, settings, outcome.key, now) == candidate
        assert not due(world.lake, settings)
        summary = evaluate(world.lake, settings, now)

    assert candidate is not None
    assert (summary.candidate, candidate.dataset, candidate.parameters) == (
        candidate.id, outcome.dataset, {"temperature": 0},
    )  # fmt: skip
    scores = scores_of(world.lake, summary.evaluation_id)
    marks = {role: [one.score for one in scores if one.role == role] for role in ("candidate", "champion")}
    wrong = [(one.item_id, one.output) for one in scores if one.role == "candidate" and one.score != 1.0]
    assert wrong == []
    assert set(marks["champion"]) == {0.0, 1.0}
    registry = ledger.fold(world.lake, "support-bot")
    assert [one.id for one in registry.waiting] == [candidate.id]
    assert (registry.training(candidate.id) or {})["version"] == outcome.dataset
    kept = msgspec.structs.replace(settings, train=msgspec.structs.replace(settings.train, keep=1))
    maintain(world.lake, kept, now)
    assert place(settings, outcome) in [one.folder for one in places(settings.home_path)]
    assert len(places(settings.home_path)) <= 2


def test_a_model_whose_folder_is_gone_is_not_registered(world: World) -> None:
    """In a sentence."""
    with pytest.raises(UsageError, match="flywheel candidate describe"):
        enlist(world.lake, told(world, endpoint="http://127.0.0.1:1/v1"), "0" * 16, AS_OF)


def test_another_name_in_the_settings_makes_no_registered_model_due(world: World) -> None:
    """It is known by the name that it was trained under; and what was cleaned away can be registered no more."""
    settings = told(world, command=command("--steps", "2"), endpoint="http://127.0.0.1:1/v1", seed=77)
    outcome = train(world.lake, settings)
    renamed = told(world, command=command("--steps", "2"), endpoint="http://127.0.0.1:1/v1", seed=77, model="other")
    assert due(world.lake, renamed)
    enlist(world.lake, settings, outcome.key, AS_OF)
    assert not due(world.lake, renamed)

    gone = told(world, command=command("--steps", "2"), endpoint="http://127.0.0.1:1/v1", seed=78)
    shutil.rmtree(place(gone, train(world.lake, gone)))
    assert not due(world.lake, gone)


@pytest.mark.integration
def test_under_prefect_it_registers_its_model_or_says_how_it_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of its own: a candidate in the ledger, or a state with a name of its own; no turn waits for it."""
    settings = told(world, command=command("--steps", "7"), endpoint="http://127.0.0.1:1/v1")
    for name, value in (
        ("HOME", settings.home), ("LAKE", settings.lake_root), ("TRAIN_MIN_ROWS", "5"),
        ("TRAIN_COMMAND", settings.train.command), ("TRAIN_ENDPOINT", settings.train.endpoint),
    ):  # fmt: skip
        monkeypatch.setenv(f"FLYWHEEL_{name}", value)
    with prefect_test_harness(server_startup_timeout=240):
        made = train_and_register_flow()
        monkeypatch.setenv("FLYWHEEL_TRAIN_COMMAND", command("--does", "exit", "--steps", "7"))
        failed = train_and_register_flow(return_state=True)

    assert made["train"]["status"] == "trained"
    registry = ledger.fold(world.lake, "support-bot")
    assert registry.candidate(made["candidate"]).model == f"trained-{made['train']['key'][:8]}"
    assert (failed.name, failed.type.value) == (TRAINING_FAILED, "FAILED")
    assert (failed.message or "").startswith("exit: it ended with code 7")
