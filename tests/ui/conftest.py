"""A lake with a turn in it, made once, and the app over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from schemas.serving import UiSettings
from schemas.settings import Settings
from streams.lake import Lake
from tests.support.clusters import World
from tests.support.pages import chromium, served
from tests.support.turned import turned
from ui.app import make_app


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Four topics, two of which fail; a turn; a champion, and a candidate that was evaluated."""
    return turned(tmp_path_factory.mktemp("ui"))


@pytest.fixture(scope="session")
def address(world: World) -> Iterator[str]:
    """Where the app answers."""
    with served(world.lake, world.settings) as (url, _):
        yield url


@pytest.fixture(scope="session")
def client(world: World) -> TestClient:
    """A client of the app over that lake."""
    app: Any = make_app(world.lake, world.settings, keep=False)
    app.flywheel.refresh()
    return TestClient(app, base_url="http://127.0.0.1:6067")


@pytest.fixture(scope="module")  # its event loop runs in this thread: tests of other files could run none of their own
def browser() -> Iterator[Any]:
    """A Chromium."""
    with chromium() as found:
        yield found


@pytest.fixture
def client_of(tmp_path: Path) -> Any:
    """Makes a client of an app over an empty lake, with settings of one's own."""

    def make(client: tuple[str, int] = ("127.0.0.1", 50_000), **ui: Any) -> TestClient:
        settings = Settings(home=str(tmp_path), ui=UiSettings(**ui))
        app: Any = make_app(Lake(settings.lake_root), settings, keep=False)
        app.flywheel.refresh()
        return TestClient(app, base_url="http://127.0.0.1:6067", client=client)

    return make
