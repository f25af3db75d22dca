"""Secrets that an installation makes for itself."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from schemas.errors import SettingsError
from streams.keyring import own_secret


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    """The same name is the same secret, another name or home another one, each of 256 bits."""
    first = own_secret(tmp_path / "a", "prefect")

    assert own_secret(tmp_path / "a", "prefect") == first
    assert len({first, own_secret(tmp_path / "a", "salt"), own_secret(tmp_path / "b", "prefect")}) == 3
    assert len(first) == 43


def test_all_who_ask_at_once_get_the_same(tmp_path: Path) -> None:
    """Many that start together on a new home agree, and leave no draft behind."""
    with ThreadPoolExecutor(16) as pool:
        made = set(pool.map(lambda _: own_secret(tmp_path, "prefect"), range(64)))

    assert len(made) == 1
    assert [path.name for path in (tmp_path / "secrets").iterdir()] == ["prefect"]


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    """The file is its owner's; one that others may read is refused, with what to do."""
    own_secret(tmp_path, "prefect")
    path = tmp_path / "secrets" / "prefect"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    path.chmod(0o644)

    with pytest.raises(SettingsError, match="chmod 600"):
        own_secret(tmp_path, "prefect")


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A sentence, not a traceback."""
    (tmp_path / "file").write_text("")

    with pytest.raises(SettingsError, match="can be neither read nor made"):
        own_secret(tmp_path / "file", "prefect")
