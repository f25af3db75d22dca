"""The salt is a secret of the home: made once, never changed unasked, never published, and none that others know."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows.curate.salt import PUBLIC
from flows.curate.split import pseudonym
from flows.curate.stage import curate
from flows.curate.versions.push import push
from flows.testing.world import AS_OF, World
from flows.versions import find
from schemas.errors import SettingsError, UsageError
from schemas.secrets import Secret
from schemas.unit import unit_of
from tests.support.examples import questions


def built(world: World) -> dict[str, Any]:
    events = questions(world, 20)
    world.judged({event.id: "ok" for event in events})
    return curate(world.lake, world.settings, AS_OF)


def units(summary: dict[str, Any]) -> set[str]:
    files = [f for part in ("training", "eval") for f in Path(summary[part]["path"]).glob("data/*.parquet")]
    return {row["unit"] for file in files for row in pq.read_table(file, columns=["unit"]).to_pylist()}


def without_salt(tmp_path: Path, home: str) -> World:
    return World(tmp_path / home, salt=Secret(), eval_share=0.5)


def test_each_home_makes_its_own(tmp_path: Path) -> None:
    """The same people have other names in another home, and the secret lies there for its owner alone."""
    one, two = without_salt(tmp_path, "one"), without_salt(tmp_path, "two")

    assert not units(built(one)) & units(built(two))
    file = tmp_path / "one" / "secrets" / "split"
    assert file.stat().st_mode & 0o777 == 0o600


def test_nobody_is_found_by_guessing_names(tmp_path: Path) -> None:
    """Every user's name, hashed with the salt that everybody knows, or with none: nothing meets."""
    found = units(built(without_salt(tmp_path, "home")))

    for salt, name in itertools.product((PUBLIC, "", "split", f"split:{PUBLIC}"), range(60)):
        assert pseudonym(unit_of(f"user-{name}", ""), salt) not in found


def test_it_stands_in_no_file_but_its_own(tmp_path: Path) -> None:
    """Neither manifests nor run rows nor cards show it."""
    built(without_salt(tmp_path, "home"))
    secret = (tmp_path / "home" / "secrets" / "split").read_bytes().strip()

    files = [path for path in (tmp_path / "home").rglob("*") if path.is_file() and secret in path.read_bytes()]

    assert files == [tmp_path / "home" / "secrets" / "split"]


def test_a_split_never_changes_unasked(tmp_path: Path) -> None:
    """[build, the secret is lost, build]: refused, naming the file; with the old secret as a setting it goes on."""
    world = without_salt(tmp_path, "home")
    first = built(world)
    file = tmp_path / "home" / "secrets" / "split"
    old = file.read_text()
    file.unlink()
    world.judged({}, as_of=AS_OF)
    questions(world, 21)

    with pytest.raises(SettingsError, match="put that file back"):
        curate(world.lake, world.settings, AS_OF)

    again = World(tmp_path / "home", salt=Secret(old), eval_share=0.5)
    assert units(curate(again.lake, again.settings, AS_OF)) >= units(first)


def test_a_version_of_the_public_salt_is_not_pushed(tmp_path: Path) -> None:
    """Who has a list of names would know who is who: refused before a byte leaves."""
    world = World(tmp_path / "home", salt=Secret(PUBLIC))
    built(world)
    version = find(world.lake, "support-bot", "all")

    with pytest.raises(UsageError, match="everybody knows"):
        push(version, version.folder(world.settings), f"file://{tmp_path}/out", {})
    assert not (tmp_path / "out").exists()
