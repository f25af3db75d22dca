"""Settings reach a child process whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from flows.context import (
    ADDRESSES,
    Addresses,
    child_environment,
    lake_of,
    prefect_environment,
    settings_from_environment,
    with_addresses,
    without_keys,
)
from schemas.errors import SettingsError
from schemas.loading import load
from schemas.secrets import Secret
from schemas.settings import KafkaSettings, Settings

ROOT = Path(__file__).resolve().parents[2]


def test_a_child_has_exactly_its_parents_settings(tmp_path: Path) -> None:
    """Every setting survives the way through the environment, whatever its type."""
    settings = Settings(
        home=str(tmp_path),
        storage_options={"endpoint": Secret("http://store")},
        kafka=KafkaSettings(
            bootstrap_servers="127.0.0.1:1",
            client={"security.protocol": Secret("SSL"), "sasl.password": Secret("[hunter2")},
            partitions=3,
        ),
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


@pytest.mark.parametrize(
    "option",
    [
        "plugin.library.paths",
        "ssl.engine.location",
        "ssl.providers",
        "sasl.kerberos.kinit.cmd",
        "Plugin.Library.Paths",
        "",
    ],
)
def test_a_folder_is_no_order(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A settings file that somebody put into the working folder runs no code through Kafka's client."""
    (tmp_path / "flywheel.toml").write_text(f'[kafka.client]\n"{option}" = "/tmp/evil.so"\n')
    (tmp_path / "flywheel.toml").chmod(0o600)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SettingsError, match="may not be set"):
        settings_from_environment()


@pytest.mark.parametrize("mode", [0o622, 0o606, 0o666])
def test_settings_that_others_may_write_are_refused(mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named or found, with what to do about it."""
    file = tmp_path / "flywheel.toml"
    file.write_text('application = "shop"\n')
    file.chmod(mode)
    monkeypatch.chdir(tmp_path)

    for config in (None, file):
        with pytest.raises(SettingsError, match="chmod go-w"):
            settings_from_environment(config)

    file.chmod(0o644)
    assert settings_from_environment().application == "shop"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another account")
def test_settings_of_another_account_are_refused(tmp_path: Path) -> None:
    """Whoever else owns the file can write it whatever its mode."""
    file = tmp_path / "flywheel.toml"
    file.write_text('application = "shop"\n')
    file.chmod(0o644)
    os.chown(file, 65534, 65534)

    with pytest.raises(SettingsError, match="another account"):
        settings_from_environment(file)


def test_the_file_that_was_found_is_named(tmp_path: Path) -> None:
    """On stderr, so that nobody works with settings they have not seen; what is printed for programs stays whole."""
    (tmp_path / "flywheel.toml").write_text('application = "shop"\n')
    (tmp_path / "flywheel.toml").chmod(0o644)
    words = [sys.executable, "-m", "flows.cli", "settings", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True, timeout=60)

    assert f"settings of {tmp_path / 'flywheel.toml'}" in done.stderr
    assert msgspec.json.decode(done.stdout)


def test_what_a_command_writes_is_its_owners_alone(tmp_path: Path) -> None:
    """No account of the machine but one's own reads what people said."""
    words = [sys.executable, "-m", "flows.cli", "--home", str(tmp_path / "home"), "champion", "set"]
    words += ["--endpoint", "http://127.0.0.1:9/v1", "--model", "bot", "--reason", "the first"]

    subprocess.run(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, timeout=120, cwd=tmp_path)

    written = list((tmp_path / "home").rglob("*"))
    assert [path for path in written if path.suffix == ".parquet"]
    assert [path for path in written if path.stat().st_mode & 0o077] == []


def test_prefect_shares_no_temporary_folder(tmp_path: Path) -> None:
    """Its runner keeps a folder of one name for all accounts of a machine: ours lies below the home."""
    environment = prefect_environment(Settings(home=str(tmp_path)))

    assert Path(environment["TMPDIR"]).is_relative_to(tmp_path)


def test_who_calls_no_endpoint_gets_no_key_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Archiver, triage and Prefect's server know how to reach Kafka and the lake, and no key that only flows use."""
    monkeypatch.setenv("FLYWHEEL_CLUSTER_NAMER_KEY", "namer-key")
    given = {
        "cluster": {"namer_key": "namer-key", "embedder_key": "embedder-key"},
        "evaluate": {"api_keys": {"http://x/v1": "judge-key"}},
        "gate": {"mlflow_uri": "http://me:mlflow-key@x"},
        "storage_options": {"aws_secret_access_key": "store-key"},
        "kafka": {"client": {"sasl.password": "kafka-key"}},
    }

    environment = child_environment(without_keys(load(given, {})))

    text = "\n".join(environment.values())
    assert [key for key in ("namer", "embedder", "judge", "mlflow", "store", "kafka") if f"{key}-key" in text] == [
        "store", "kafka",
    ]  # fmt: skip
