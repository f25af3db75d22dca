"""Fixtures of the evaluate stage: an endpoint, quick settings, and a lake that is ready for an evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.testing.bench import Bench
from flows.testing.endpoint import Endpoint
from schemas.settings import EvaluateSettings
from streams.lake import Lake


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as server:
        yield server


@pytest.fixture
def quick() -> EvaluateSettings:
    """Settings whose waits are short."""
    return EvaluateSettings(connections=4, timeout_s=2.0, tries=3, backoff_s=0.01, retry_after_max_s=0.2)


@pytest.fixture
def bench(lake: Lake, tmp_path: Path, quick: EvaluateSettings, endpoint: Endpoint) -> Bench:
    endpoint.reply = Bench.answer
    return Bench(lake, tmp_path, quick, endpoint)
