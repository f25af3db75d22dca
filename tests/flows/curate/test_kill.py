"""`flywheel dataset build` killed with SIGKILL wherever it is: readers see the old versions or the new ones."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.context import lake_of
from flows.curate.folder.disk import check
from flows.curate.stage import curate
from flows.testing.events import interaction
from flows.testing.world import AS_OF, DEFAULTS, World
from flows.versions import versions
from schemas.secrets import Secret
from schemas.settings import CurateSettings, Settings

OLD, NEW = 50, 1_500
"""Interactions that the old and the new versions are built from: enough that a build can be caught at its writing."""
TRIES = 10
"""A build can be over before a busy machine has looked; it is then begun again on a fresh copy."""
Moment = Callable[[Path], bool]


def seen(pattern: str, count: int) -> Moment:
    return lambda home: len(list(home.glob(pattern))) >= count


MOMENTS: dict[str, Moment] = {
    "a hidden folder": seen("datasets/*/.building-*", 1),
    "a shard in it": seen("datasets/*/.building-*/data/*.parquet", 1),
    "one version visible": seen("datasets/*/[!.]*/manifest.json", 3),
    "both visible": seen("datasets/*/[!.]*/manifest.json", 4),
    "both recorded, no run": seen("lake/dataset_versions/_delta_log/*.json", 3),
}


def settings_of(home: Path) -> Settings:
    return Settings(home=str(home), curate=CurateSettings(paraphrase=1))


def command(home: Path) -> list[str]:
    config = home.with_suffix(".toml")
    salt = DEFAULTS["salt"]
    assert isinstance(salt, Secret)  # the world's own, as the old versions were dealt
    config.write_text(f'[curate]\nparaphrase = 1\nsalt = "{salt.reveal()}"\n')
    return ["--config", str(config), "--home", str(home), "dataset", "build", "all", "--json"]


def built(home: Path) -> dict[str, str]:
    """What the command says when nobody disturbs it: kind → SHA-256 of its rows."""
    done = CliRunner().invoke(app, command(home))
    assert done.exit_code == 0, done.exception
    summary = json.loads(done.output)
    return {kind: summary[kind]["sha256"] for kind in ("training", "eval", "sample")}


def visible(home: Path) -> dict[str, set[str]]:
    """What readers find, each version whole: kind → SHA-256s."""
    found: dict[str, set[str]] = {}
    for version in versions(lake_of(settings_of(home))):
        found.setdefault(version.kind, set()).add(check(version.folder(settings_of(home)))["sha256"])
    return found


def killed_at(moment: Moment, before: Path, home: Path) -> None:
    """Start the command on a copy of `before` and kill it once the moment has come."""
    for _ in range(TRIES):
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(before, home)
        words = [sys.executable, "-m", "flows.cli", *command(home)]
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not moment(home) and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        child.kill()
        if child.wait() == -signal.SIGKILL and moment(home):
            return
    pytest.fail(f"in {TRIES} tries no build could be killed in time")


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with an old training and eval version, and news for new ones."""
    world = World(tmp_path_factory.mktemp("before") / "home")
    events = [interaction(n, user_id=f"u{n}", input_messages=[{"role": "user", "content": sha(n)}]) for n in range(NEW)]
    world.happened(*events[:OLD])
    world.judged({event.id: "ok" for event in events[:OLD]})
    curate(world.lake, world.settings, AS_OF)
    world.happened(*events[OLD:])
    world.judged({event.id: "ok" for event in events}, as_of=AS_OF.replace(day=2))
    return world.settings.home_path


def sha(n: int) -> str:
    return hashlib.sha256(str(n).encode()).hexdigest()


@pytest.fixture(scope="module")
def undisturbed(before: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("undisturbed") / "home"
    shutil.copytree(before, home)
    return built(home)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS.keys())
def test_a_build_killed_at_any_moment_leaves_the_old_or_the_new(
    before: Path, undisturbed: dict[str, str], tmp_path: Path, moment: Moment
) -> None:
    """All versions or none, all whole; the next build makes the same bytes and clears up after the dead one."""
    home, old = tmp_path / "home", visible(before)
    new: dict[str, Any] = {kind: found | {undisturbed[kind]} for kind, found in old.items()}

    killed_at(moment, before, home)

    assert visible(home) in (old, new)
    assert built(home) == undisturbed
    assert visible(home) == new
    assert list(home.rglob(".building-*")) == []
    shown = {path.parent for path in home.glob("datasets/*/*/manifest.json")}
    assert shown == {version.folder(settings_of(home)) for version in versions(lake_of(settings_of(home)))}
