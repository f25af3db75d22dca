"""What a flow needs from its surroundings: the settings, the lake, and the two carried to a child process.

The only file of the flows that reads the environment: a Prefect run is a process of its own, and learns its settings
here. Go on to `turn.py`.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import msgspec

from schemas.settings import SECTIONS, Settings, load
from streams.lake import Lake


def settings_from_environment() -> Settings:
    """Settings from `flywheel.toml` in the working folder, where there is one, and FLYWHEEL_* variables.

    Raises SettingsError.
    """
    file = Path("flywheel.toml")
    return load(tomllib.loads(file.read_text()) if file.exists() else {}, os.environ)


def lake_of(settings: Settings) -> Lake:
    """The lake that the settings name."""
    return Lake(settings.lake_root, settings.storage_options)


def child_environment(settings: Settings, **more: str) -> dict[str, str]:
    """The environment with every setting spelled out, so that a child process has exactly these settings.

    `more` is added last. Whatever file or option a setting came from, the child need not find it again.
    """
    return {**os.environ, **_variables(settings), **more}


def _variables(settings: Settings) -> dict[str, str]:
    """Each setting as its FLYWHEEL_* variable; relative folders become absolute."""
    values = {**msgspec.to_builtins(settings), "home": str(settings.home_path)}
    flat = {name: value for name, value in values.items() if name not in SECTIONS}
    for section in SECTIONS:
        flat |= {f"{section}_{name}": value for name, value in values[section].items()}
    return {
        f"FLYWHEEL_{name}".upper(): value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in flat.items()
    }
