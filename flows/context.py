"""What a flow needs from its surroundings: the settings, the lake, and the two carried to a child process.

The only file of the flows that reads the environment: a Prefect run is a process of its own, and learns its settings
here. Go on to `flows/commands/`.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from flows import signin
from schemas.errors import SettingsError
from schemas.loading import load
from schemas.secrets import Secret, SecretUrl, encoded, passed_on, revealed, without_userinfo
from schemas.settings import SECTIONS, Settings
from streams.keyring import own_secret
from streams.lake import Lake

ADDRESSES = "addresses.json"
"""In `<home>/run`, while `flywheel up` runs."""

PREFECT_USER = "flywheel"
"""Prefect knows one user; the name is ours to choose."""

OURS = ("FLYWHEEL_", "KAFKA_", "PREFECT_", "MLFLOW_")
"""How the variables begin that are said to us, and to nobody whom we start."""

SERVED_MARK = "run/flows.ready"
"""Below the home: written by the process that serves the flows, once it does."""


class Addresses(msgspec.Struct, frozen=True):
    """Where the processes of a running `flywheel up` are found."""

    kafka: str
    """Bootstrap servers."""
    triage: str
    """URL of the live page."""
    prefect: str = ""
    """URL of the API; empty without Prefect."""
    door: str = ""
    """URL of the HTTP door."""
    ui: str = ""
    """URL of the web app."""


def settings_from_environment(
    config: Path | None = None, home: Path | None = None, application: str | None = None
) -> Settings:
    """Settings from the defaults, then a TOML file, then FLYWHEEL_* variables, then `home` and `application`.

    The file is `config`, or `flywheel.toml` in the working folder where there is one (`found_file`). Raises
    SettingsError.
    """
    if config and not config.exists():
        raise SettingsError(f"{config} does not exist")
    file = config or found_file()
    table = _table(file) if file else {}
    given = {"FLYWHEEL_HOME": str(home) if home else "", "FLYWHEEL_APPLICATION": application or ""}
    return load(table, {**os.environ, **{name: value for name, value in given.items() if value}})


def found_file() -> Path | None:
    """The settings file of the working folder, which nobody has named; None where there is none."""
    file = Path("flywheel.toml")
    return file if file.exists() else None


def _table(file: Path) -> dict[str, Any]:
    """What stands in a settings file. Raises SettingsError, also where somebody else could have written it."""
    try:
        with file.open("rb") as opened:
            facts = os.fstat(opened.fileno())
            if stat.S_ISREG(facts.st_mode) and facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise SettingsError(f"others may write {file}: see what stands in it, then `chmod go-w {file}`")
            if facts.st_uid not in {os.geteuid(), 0}:
                raise SettingsError(
                    f"{file} is another account's: copy it, or name the settings as FLYWHEEL_* variables"
                )
            return tomllib.load(opened)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: {error}") from error


def lake_of(settings: Settings) -> Lake:
    """The lake that the settings name."""
    return Lake(settings.lake_root, revealed(settings.storage_options))


def with_addresses(settings: Settings) -> Settings:
    """The settings, with the addresses of the `flywheel up` that runs on this home where they name none themselves.

    Where none runs there is no Prefect server either: one that answers on the usual port is another home's.
    """
    try:
        addresses = msgspec.json.decode((settings.home_path / "run" / ADDRESSES).read_bytes(), type=Addresses)
    except (FileNotFoundError, msgspec.DecodeError):
        return replace(settings, prefect_port=0)
    kafka = (
        settings.kafka
        if settings.kafka.bootstrap_servers
        else replace(settings.kafka, bootstrap_servers=addresses.kafka)
    )
    ports = {
        name: urlsplit(url).port or 0
        for name, url in (("triage", addresses.triage), ("prefect", addresses.prefect), ("ui", addresses.ui))
    }
    return replace(
        settings, kafka=kafka, prefect_port=ports["prefect"],
        triage=replace(settings.triage, web_port=ports["triage"]), ui=replace(settings.ui, port=ports["ui"]),
    )  # fmt: skip


def child_environment(settings: Settings, **more: str) -> dict[str, str]:
    """The environment with every setting spelled out, so that a child process has exactly these settings.

    `more` is added last. Whatever file or option a setting came from, the child need not find it again.
    """
    return {**os.environ, **_variables(settings), **more}


def foreign_environment() -> dict[str, str]:
    """The environment for a program that is not ours: without our settings and keys, Kafka's, Prefect's and MLflow's.

    What an application's own variables say (PATH, CUDA's, a Hub's token) it may need.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS)}


def without_keys(settings: Settings) -> Settings:
    """The settings without the keys of endpoints that only the flows call: for the processes that call none."""
    return replace(
        settings,
        cluster=replace(settings.cluster, embedder_key=Secret(), namer_key=Secret()),
        curate=replace(settings.curate, salt=Secret()),
        evaluate=replace(settings.evaluate, api_keys={}),
        gate=replace(settings.gate, mlflow_uri=SecretUrl()),
    )


def prefect_url(settings: Settings) -> str:
    """The API of the Prefect server: PREFECT_API_URL where it is set, else the one that `flywheel up` starts.

    Port 0 stands for none: nothing ever answers there.
    """
    return os.environ.get("PREFECT_API_URL") or f"http://127.0.0.1:{settings.prefect_port}/api"


CLOUD = re.compile(r"https://api\.prefect\.cloud/api/accounts/([^/]+)/workspaces/([^/]+)")
"""The API of a workspace of Prefect Cloud."""


def prefect_page(url: str) -> str:
    """Where a person looks at the server that has its API at this URL."""
    cloud = CLOUD.fullmatch(url)
    return f"https://app.prefect.cloud/account/{cloud[1]}/workspace/{cloud[2]}" if cloud else url.removesuffix("/api")


def prefect_key() -> Secret:
    """The API key of Prefect Cloud (PREFECT_API_KEY), for a server that PREFECT_API_URL names and no other."""
    return Secret(os.environ.get("PREFECT_API_KEY", "") if "PREFECT_API_URL" in os.environ else "")


def prefect_auth(settings: Settings) -> Secret:
    """What a client of the Prefect server signs in with, `user:password`; empty where it needs none.

    A server that somebody else runs (PREFECT_API_URL) says itself what it wants: PREFECT_API_AUTH_STRING. The one that
    `flywheel up` starts has a secret of this home: whoever may write to its API can run any program as its owner.
    """
    if "PREFECT_API_URL" in os.environ:
        return Secret(os.environ.get("PREFECT_API_AUTH_STRING", ""))
    return Secret(f"{PREFECT_USER}:{own_secret(settings.home_path, 'prefect')}")


def prefect_environment(settings: Settings) -> dict[str, str]:
    """What Prefect's server and runs are told: who may ask, no calls home, results as JSON and never pickled."""
    url = prefect_url(settings)
    page, auth = prefect_page(url), prefect_auth(settings).reveal()
    return {
        **({"PREFECT_SERVER_API_AUTH_STRING": auth, "PREFECT_API_AUTH_STRING": auth} if auth else {}),
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": page,  # its default lets every page of the operator's browser ask
        "PREFECT_UI_STATIC_DIRECTORY": str(settings.home_path / signin.UI),
        "PREFECT_LOGGING_EXTRA_LOGGERS": "flows",  # what the stages say of their work stands in the run's own log
        "PREFECT_HOME": str(settings.home_path / "prefect"),
        "TMPDIR": str(settings.home_path / "run" / "tmp"),  # Prefect's runner keeps one folder there for all accounts
        "PREFECT_API_URL": url,
        "PREFECT_UI_URL": page,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_UI_V2_ENABLED": "false",  # its pages call an analytics host from the browser
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    }


def shareable(settings: Settings) -> dict[str, str]:
    """The FLYWHEEL_* variables of what differs from its default, without the home and without whatever holds a secret.

    For runs on other machines: what stands in Prefect's books is read by whoever may look at them.
    """
    usual, masked = _variables(Settings(home=settings.home)), _variables(settings, encoded)
    return {
        name: value
        for name, value in _variables(settings).items()
        if name != "FLYWHEEL_HOME" and value != usual[name] and value == masked[name] == without_userinfo(value)
    }


def _variables(settings: Settings, secrets: Callable[[Any], str] = passed_on) -> dict[str, str]:
    """Each setting as its FLYWHEEL_* variable; relative folders become absolute."""
    values = {**msgspec.to_builtins(settings, enc_hook=secrets), "home": str(settings.home_path)}
    flat = {name: value for name, value in values.items() if name not in SECTIONS}
    for section in SECTIONS:
        flat |= {f"{section}_{name}": value for name, value in values[section].items()}
    return {
        f"FLYWHEEL_{name}".upper(): value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in flat.items()
    }
