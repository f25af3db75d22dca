"""What the SDK's tests share: a door to send to, and an SDK that begins and ends with each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import llm_flywheel as fly
from llm_flywheel import sender
from tests.support.door import Door, serving
from tests.support.sdk import end


@pytest.fixture
def door() -> Iterator[Door]:
    """An HTTP door."""
    with serving() as it:
        yield it


@pytest.fixture
def begin(door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Begin to capture for the application `app`, to the door unless told otherwise; ended after the test."""
    monkeypatch.setattr(sender, "FIRST_WAIT_S", 0.05)  # an outage of a test is short

    def start(**options: Any) -> None:
        assert fly.init(**{"application": "app", "url": door.url, "state_dir": tmp_path / "state", **options})

    yield start
    end()


@pytest.fixture
def sdk(begin: Callable[..., None]) -> None:
    """The SDK, capturing for the application `app` and sending to the door."""
    begin()
