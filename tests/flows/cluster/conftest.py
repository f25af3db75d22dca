"""Fixtures of the cluster stage: a world, and makers of what happens in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.clusters import Tools, World


@pytest.fixture(scope="session")
def make() -> type[Tools]:
    """Makers of events and worlds."""
    return Tools


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty world with default settings."""
    return World(tmp_path)
