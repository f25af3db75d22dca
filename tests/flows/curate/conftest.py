"""Fixtures of the curate stage: worlds to build datasets from."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.testing.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty world with default settings."""
    return World(tmp_path / "home")


@pytest.fixture
def make_world(tmp_path: Path) -> Callable[..., World]:
    """Worlds with settings of their own, each in its own home."""
    numbers = itertools.count()
    return lambda **curate: World(tmp_path / f"home-{next(numbers)}", **curate)
