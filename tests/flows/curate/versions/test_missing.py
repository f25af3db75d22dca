"""A version whose files are not here is not an empty one: guards, erasures, traces, trainings say so."""

from __future__ import annotations

import logging
import shutil
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.curate.stage import curate
from flows.curate.versions.freeze import freeze
from flows.curate.versions.lost import lose
from flows.curate.versions.taught import taught
from flows.curate.versions.trace import trace
from flows.erase import carry_out
from flows.evaluate.freshness import unseen
from flows.evaluate.items import of_version, read_items
from flows.ledger import append
from flows.testing.events import event_id, interaction
from flows.testing.world import AS_OF, World
from flows.trainer.stage import due, train
from flows.versions import LOST, Version, find, versions
from schemas.errors import FileDamaged, FilesMissing, UsageError
from schemas.events import Erasure
from schemas.records import make_candidate
from schemas.trainer import TrainSettings
from streams.lake.query import read
from tests.support.examples import questions

LATER = AS_OF + timedelta(hours=1)
MODEL = make_candidate("bot-2", "http://localhost/v1", dataset="")


@pytest.fixture
def built(world: World) -> World:
    """Forty people asked, and a training and an eval set came of it, which is frozen as `holdout`."""
    events = questions(world, 40)
    world.judged({event.id: "ok" for event in events})
    curate(world.lake, world.settings, AS_OF)
    freeze(world.lake, world.settings, AS_OF, "holdout", "all")
    return world


def version(world: World, kind: str) -> Version:
    return next(v for v in reversed(versions(world.lake)) if v.kind == kind)


def lost(world: World, kind: str) -> Path:
    """The folder, gone."""
    folder = version(world, kind).folder(world.settings)
    shutil.rmtree(folder)
    return folder


def more(world: World) -> None:
    """Somebody else asks."""
    world.happened(event := interaction(900, user_id="new"))
    ids = read(world.lake, "interactions")["id"].to_pylist()
    world.judged({**dict.fromkeys(ids, "ok"), event.id: "ok"}, as_of=LATER)


def test_a_build_does_not_lose_a_frozen_set_in_silence(built: World) -> None:
    """It says which, where it looked, and what to do; nothing is built. Put back, the set guards as before."""
    frozen, folder = version(built, "frozen"), version(built, "frozen").folder(built.settings)
    aside = folder.rename(folder.with_name("aside"))
    more(built)

    with pytest.raises(FilesMissing) as raised:
        curate(built.lake, built.settings, LATER)

    said = str(raised.value)
    assert f"holdout@{frozen.version}" in said
    assert str(folder / "data") in said
    assert f"`flywheel dataset lost {frozen.version}`" in said
    assert (raised.value.exit_code, len(versions(built.lake))) == (5, 4)
    aside.rename(folder)
    assert curate(built.lake, built.settings, LATER)["training"]["version"] == version(built, "training").version


def test_a_set_of_which_a_file_is_missing_is_not_whole(built: World) -> None:
    """One file of several is as much of a hole; a comparison on such a set is refused too."""
    kept = version(built, "frozen")
    files = {**kept.manifest["files"], "data/eval-test-00001-of-00002.parquet": "0" * 64}
    half = msgspec.structs.replace(kept, manifest={**kept.manifest, "files": files})

    with pytest.raises(FilesMissing, match="00001-of-00002"):
        half.files(built.settings, "eval")
    with pytest.raises(FileDamaged, match="00001-of-00002"):
        read_items(half.folder(built.settings), of_version(half, built.settings).sha256)
    lost(built, "frozen")
    with pytest.raises(FileDamaged, match="put the folder back"):
        read_items(kept.folder(built.settings), of_version(kept, built.settings).sha256)


def test_a_version_that_does_not_say_its_files_has_one_for_each_part(built: World) -> None:
    """So it was once; a part without rows needs none."""
    kept = version(built, "frozen")
    old = msgspec.structs.replace(kept, manifest={}, rows={**kept.rows, "other/test": 0})
    assert old.files(built.settings) == kept.files(built.settings)
    assert msgspec.structs.replace(kept, path="away", rows=dict.fromkeys(kept.rows, 0)).files(built.settings) == []

    with pytest.raises(FilesMissing, match="kto-train-"):
        msgspec.structs.replace(old, rows={"kto/train": 1}).files(built.settings)


def test_an_erasure_does_not_pass_over_what_it_cannot_read(built: World) -> None:
    """By command nothing is changed, by a wish nothing is built: the person's rows may be in there."""
    lost(built, "training")

    with pytest.raises(FilesMissing):
        carry_out(built.lake, built.settings, "user-3", LATER)
    assert "user-3" in read(built.lake, "interactions")["user_id"].to_pylist()
    built.happened(Erasure(id=event_id(10**6), time=LATER, subject="user-3"))
    with pytest.raises(FilesMissing):
        curate(built.lake, built.settings, LATER)


def test_what_is_lost_for_good_is_withdrawn_by_a_person(built: World) -> None:
    """Then the erasure goes on; under every name of the folder, once, and not where the files are there."""
    folder = lost(built, "frozen")
    with pytest.raises(UsageError, match="is not lost"):
        lose(built.lake, built.settings, LATER, version(built, "training").version)

    environment = {"FLYWHEEL_HOME": built.settings.home, "FLYWHEEL_LAKE": built.lake.root}
    said = CliRunner().invoke(app, ["dataset", "lost", folder.name], env=environment)

    assert said.exit_code == 0, said.output
    assert "(frozen), which keeps nothing out of train any more; `flywheel dataset build all`, then" in said.output
    assert {v.kind for v in versions(built.lake) if v.status_reason == LOST} == {"eval", "frozen"}
    with pytest.raises(UsageError, match="already"):
        lose(built.lake, built.settings, LATER, folder.name)
    assert carry_out(built.lake, built.settings, "user-3", LATER)["interactions"] == 1


def test_the_same_rows_built_anew_are_the_lost_version_again(built: World) -> None:
    """Its folder is there, and stays."""
    folder = lost(built, "training")
    lose(built.lake, built.settings, LATER, folder.name)

    summary = curate(built.lake, built.settings, LATER + timedelta(hours=1))

    assert summary["training"]["version"] == folder.name
    assert find(built.lake, "support-bot", folder.name).status == "current"
    assert folder.is_dir()


def test_a_build_as_of_before_somebody_said_lost_makes_the_version_again_too(built: World) -> None:
    """It failed for want of files, somebody said that they are lost, and it is started once more: its folder stays."""
    folder = lost(built, "training")
    lose(built.lake, built.settings, LATER + timedelta(days=1), folder.name)

    summary = curate(built.lake, built.settings, LATER)

    assert summary["training"]["version"] == folder.name
    assert find(built.lake, "support-bot", folder.name).status == "current"
    assert folder.is_dir()
    shutil.rmtree(folder)
    lose(built.lake, built.settings, LATER + timedelta(days=2), folder.name)
    assert find(built.lake, "support-bot", folder.name).status_reason == LOST


def test_a_training_whose_dataset_is_lost_meanwhile_says_so(built: World, tmp_path: Path) -> None:
    """Not that somebody asked to be forgotten."""
    training, program = version(built, "training"), Path(sys.executable).with_name("flywheel")
    script = tmp_path / "train.sh"
    script.write_text(
        f'touch "$TRAIN_OUTPUT/weights"\nrm -r "$TRAIN_DATASET"\n'
        f"{program} --home {built.settings.home} dataset lost {training.version}\n"
    )
    told = TrainSettings(command=f"sh {script}", min_rows=1, config="sft")

    outcome = train(built.lake, msgspec.structs.replace(built.settings, train=told))

    assert (outcome.status, outcome.reason) == ("withdrawn", f"its dataset was withdrawn meanwhile: {LOST}")


def test_whether_a_lost_version_is_stale_is_unknown(built: World, caplog: pytest.LogCaptureFixture) -> None:
    """A build that needs none of its rows goes on, and says so."""
    training = version(built, "training")
    lost(built, "training")
    more(built)

    with caplog.at_level(logging.WARNING):
        assert curate(built.lake, built.settings, LATER)["stale"] == []

    assert f"whether all@{training.version} is stale is unknown" in caplog.text


@pytest.mark.parametrize(
    "words", ["show VERSION", "recipe trl VERSION", "fit VERSION --tokenizer .", "export VERSION --out x",
              "push VERSION file:///x"],
)  # fmt: skip
def test_a_command_that_reads_a_version_says_what_is_missing(built: World, words: str) -> None:
    """Also where the rows that it would read are there: no tool is given a part of a version for the whole."""
    training = version(built, "training")
    next(path for path in training.files(built.settings) if not path.name.startswith("sft")).unlink()

    environment = {"FLYWHEEL_HOME": built.settings.home, "FLYWHEEL_LAKE": built.lake.root}
    said = CliRunner().invoke(app, ["dataset", *words.replace("VERSION", training.version).split()], env=environment)

    assert isinstance(said.exception, FilesMissing), said.output
    assert f"`flywheel dataset lost {training.version}`" in str(said.exception)


def test_nothing_is_said_of_rows_that_nobody_can_read(built: World) -> None:
    """Which words are unseen is unknown; a row, or what taught a model, is not simply nowhere; no training is tried."""
    training = version(built, "training")
    model: Any = msgspec.structs.replace(MODEL, dataset=training.version)
    append(built.lake, "support-bot", "registered", model, id=event_id(7), time=AS_OF)
    told = msgspec.structs.replace(built.settings, train=TrainSettings(command="true", min_rows=1, config="sft"))
    assert due(built.lake, told)
    lost(built, "training")

    assert unseen((), (model,), [training], built.settings) is None
    with pytest.raises(FilesMissing):
        trace(built.lake, built.settings, "nowhere")
    with pytest.raises(FilesMissing):
        taught(built.lake, built.settings, "bot-2")
    assert not due(built.lake, told)
    assert train(built.lake, told).status == "no_dataset"
