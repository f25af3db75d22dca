"""`flywheel settings`: every knob with its value, default and reason, read from the one file that defines them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import typer

from flows.commands.shared import AsJson, print_json, settings_of
from flows.terminal import Part, Terminal
from schemas import serving, trainer
from schemas import settings as definitions
from schemas.reasons import reasons
from schemas.secrets import shown
from schemas.settings import Settings

HEADER = """# Settings

Made by `flywheel settings --markdown`; a test holds it to the code. A setting comes from its default, then
`flywheel.toml` (or `--config FILE`), then an environment variable: `FLYWHEEL_` + section + `_` + name in capitals, for
example `FLYWHEEL_GATE_ALPHA=0.01`. `KAFKA_BOOTSTRAP_SERVERS` is `kafka.bootstrap_servers`.
"""


class Knob(msgspec.Struct, frozen=True):
    """One setting as a person reads it."""

    name: str
    default: Any
    reason: str


def show(
    context: typer.Context,
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option(help="Print docs/settings.md.")] = False,
) -> None:
    """Show every setting: its value now, its default, and its reason."""
    if markdown:
        print(markdown_page(), end="")  # noqa: T201 the page goes to a file as it is
    elif as_json:
        print_json(shown(settings_of(context)))
    else:
        rows = _rows(settings_of(context))
        Terminal().table(("setting", "value", "default", "reason"), rows, whole=("setting",))


def knobs() -> Iterator[Knob]:
    """All settings in the order of their file, dotted by section."""
    sentences = reasons(definitions) | reasons(serving) | reasons(trainer)
    for field in msgspec.structs.fields(Settings):
        section = definitions.SECTIONS.get(field.name)
        if section is None:
            yield Knob(field.name, _default(field), sentences["Settings", field.name])
            continue
        for inner in msgspec.structs.fields(section):
            yield Knob(f"{field.name}.{inner.name}", _default(inner), sentences[section.__name__, inner.name])


def markdown_page() -> str:
    """docs/settings.md."""
    rows = [f"| `{knob.name}` | `{json.dumps(knob.default)}` | {knob.reason} |" for knob in knobs()]
    return "\n".join([HEADER, "| setting | default | reason |", "|---|---|---|", *rows]) + "\n"


def _rows(settings: Settings) -> list[tuple[Part, ...]]:
    values = shown(settings)
    rows: list[tuple[Part, ...]] = []
    for knob in knobs():
        value: Any = values
        for part in knob.name.split("."):
            value = value[part]
        style = "bold" if value != knob.default else ""
        rows.append(
            tuple((text, style) for text in (knob.name, json.dumps(value), json.dumps(knob.default), knob.reason))
        )
    return rows


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return shown(field.default)
