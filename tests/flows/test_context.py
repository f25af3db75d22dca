"""Settings reach a child process whole."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from flows.context import ADDRESSES, Addresses, child_environment, lake_of, with_addresses
from schemas.loading import load
from schemas.settings import KafkaSettings, Settings


def test_a_child_has_exactly_its_parents_settings(tmp_path: Path) -> None:
    """Every setting survives the way through the environment, whatever its type."""
    settings = Settings(
        home=str(tmp_path),
        storage_options={"endpoint": "http://store"},
        kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1", client={"security.protocol": "SSL"}, partitions=3),
    )

    found = load({"application": "overridden by the environment"}, child_environment(settings))

    assert found == settings


def test_where_nothing_runs_there_is_no_prefect_server(tmp_path: Path) -> None:
    """What answers on the usual port is another home's: it gets no orders from this one."""
    settings = Settings(home=str(tmp_path))
    assert with_addresses(settings).prefect_port == 0

    (tmp_path / "run").mkdir()
    without = Addresses("127.0.0.1:9092", "http://127.0.0.1:6066")
    (tmp_path / "run" / ADDRESSES).write_bytes(msgspec.json.encode(without))
    assert with_addresses(settings).prefect_port == 0

    (tmp_path / "run" / ADDRESSES).write_bytes(
        msgspec.json.encode(msgspec.structs.replace(without, prefect="http://127.0.0.1:4201/api"))
    )
    assert with_addresses(settings).prefect_port == 4201


def test_what_is_added_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables given by name win over the environment, which is otherwise passed on."""
    monkeypatch.setenv("OTHER", "kept")

    environment = child_environment(Settings(), PREFECT_API_URL="http://127.0.0.1:1/api")

    assert (environment["PREFECT_API_URL"], environment["OTHER"]) == ("http://127.0.0.1:1/api", "kept")


def test_the_lake_lies_below_the_home_unless_named(tmp_path: Path) -> None:
    """`lake` wins over the folder below the home."""
    settings = Settings(home=str(tmp_path))

    assert lake_of(settings).root == str(tmp_path / "lake")
    assert lake_of(msgspec.structs.replace(settings, lake="s3://bucket/lake")).root == "s3://bucket/lake"
