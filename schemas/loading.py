"""Settings from a TOML file and the environment: `FLYWHEEL_<SECTION>_<NAME>` over the file over the defaults.

What is unknown or cannot work is refused by its name. Go on to `settings.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, inspect

from llm_flywheel.settings import VARIABLES
from schemas.errors import SettingsError
from schemas.secrets import Secret, SecretUrl, decoded
from schemas.serving import Webhook
from schemas.settings import SECTIONS, Recipe, Settings

T = TypeVar("T", bound=Struct)
NAMED: dict[str, type[Struct]] = {"curate.recipes": Recipe, "alerts.webhooks": Webhook}
"""Settings that are tables of tables, each under a name of its own."""
_PREFIX = "FLYWHEEL_"
PATTERN = frozenset("*?[]")
"""Characters that make a path a pattern of paths."""
OF_APPLICATIONS = frozenset(VARIABLES) - {"FLYWHEEL_APPLICATION"}
"""Variables that the SDK reads in an application: a shell that has them set can run `flywheel` too."""


def load(file: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Settings from a parsed TOML file and the environment, the environment winning.

    Raises SettingsError naming the setting that is wrong or unknown.
    """
    merged: dict[str, Any] = {key: dict(value) if isinstance(value, Mapping) else value for key, value in file.items()}
    for name, text in environment.items():
        if name.startswith(_PREFIX) and name not in OF_APPLICATIONS:
            _place(merged, name.removeprefix(_PREFIX).lower(), text)
    if servers := environment.get("KAFKA_BOOTSTRAP_SERVERS"):
        merged.setdefault("kafka", {})["bootstrap_servers"] = servers
    _refuse_unknown(merged)
    for (place, name), values in _named(merged).items():
        _convert(values, NAMED[place], f"{place}.{name}")
    settings = _convert(merged, Settings)
    _refuse_pattern(settings)
    return settings


def _refuse_pattern(settings: Settings) -> None:
    """Of a home whose path is a pattern no dataset could be opened: `datasets` reads folders by patterns."""
    if PATTERN.intersection(found := str(settings.home_path)):
        raise SettingsError(f"home: {found!r} has one of {' '.join(sorted(PATTERN))} in it: name another folder")


def _place(merged: dict[str, Any], name: str, text: str) -> None:
    """Put a variable's text where its setting lies; JSON is read where the setting is no text."""
    section, _, field = name.partition("_")
    if section in SECTIONS and field:
        merged.setdefault(section, {})[field] = _value(SECTIONS[section], field, text)
    else:
        merged[name] = _value(Settings, name, text)


def _value(cls: type[Struct], field: str, text: str) -> Any:
    types = {one.name: one.type for one in msgspec.structs.fields(cls)}
    if not text.startswith(("{", "[")) or types.get(field) in {str, Secret, SecretUrl}:
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise SettingsError(f"{field}: it begins like JSON and is none: {error}") from error


def _refuse_unknown(merged: Mapping[str, Any]) -> None:
    _known(merged, Settings, "")
    for section, cls in SECTIONS.items():
        _known(merged.get(section), cls, section + ".")
    for (place, name), values in _named(merged).items():
        _known(values, NAMED[place], f"{place}.{name}.")


def _named(merged: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """Place and name → values, of the settings that people name themselves."""
    found = {}
    for place in NAMED:
        section, _, field = place.partition(".")
        table = merged[section].get(field) if isinstance(merged.get(section), Mapping) else None
        found.update({(place, name): values for name, values in table.items()} if isinstance(table, Mapping) else {})
    return found


def _known(values: Any, cls: type[Struct], prefix: str) -> None:
    known = {field.name for field in msgspec.structs.fields(cls)}
    for name in values if isinstance(values, Mapping) else ():
        if name not in known:
            raise SettingsError(f"unknown setting {prefix}{name!r}; known are {', '.join(sorted(known))}")


def _convert(values: Any, cls: type[T], place: str = "") -> T:
    """The values as `cls`, which lies at `place`: msgspec names no key of a table, and not what a word may be."""
    try:
        return msgspec.convert(values, cls, strict=False, dec_hook=decoded)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        where = (place + path.removesuffix("`")).removeprefix(".")
        raise SettingsError(f"{where}: {what}{_allowed(cls, path)}. docs/settings.md lists every setting.") from error


def _allowed(cls: type[Struct], path: str) -> str:
    """The words that the setting at `path` may be, where it has such a list."""
    found: Any = inspect.type_info(cls)
    for name in re.findall(r"\.(\w+)", path):
        found = next(field.type for field in found.fields if field.encode_name == name)
    found = getattr(found, "item_type", found)
    return f"; it may be {', '.join(map(str, found.values))}" if isinstance(found, inspect.LiteralType) else ""
