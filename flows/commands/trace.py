"""`flywheel trace`: from a model to what taught it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from flows.commands.dataset import STYLES
from flows.commands.shared import AsJson, print_json, settings_of
from flows.context import lake_of
from flows.curate.versions.taught import models, taught
from flows.terminal import Terminal, pairs
from flows.visible import one_line


def trace_command(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(help="A candidate's id, or a model's name as its endpoint says it; none: list all.")
    ] = "",
    rows: Annotated[bool, typer.Option("--rows", help="Name every row: `flywheel dataset trace` follows one.")] = False,
    as_json: AsJson = False,
) -> None:
    """Follow a model back to the dataset, rows and Kafka offsets that taught it.

    And to the models that it was made from. Without a model it lists those whose dataset is known, with what that is
    worth now: a withdrawn one is gone, since rows of an erased person were in it or its files are lost; of a stale one
    some rows rest on feedback that has changed.
    """
    settings = settings_of(context)
    lake = lake_of(settings)
    found = taught(lake, settings, model, each_row=rows) if model else models(lake, settings)
    if as_json:
        print_json(found)
    elif model:
        for one in found:
            _show(Terminal(), one)
    else:
        _list(Terminal(), found)


def _list(terminal: Terminal, found: list[dict[str, Any]]) -> None:
    cells = [
        (
            one["candidate"], one["model"], one["status"], one["dataset"]["version"], _worth(one["dataset"]),
            ", ".join(f"{base['model']} ({base['dataset']['status']})" for base in one["bases"]),
        )
        for one in found
    ]  # fmt: skip
    columns = ("candidate", "model", "status", "trained on", "which is", "made from (whose is)")
    terminal.table(columns, cells, whole=("candidate", "trained on"))
    if not found:
        terminal.say("No model says what it was trained on: `flywheel candidate add --model-dir` reads it.")


def _show(terminal: Terminal, one: dict[str, Any]) -> None:
    terminal.say((one_line(one["model"]), "bold"), f" {one['candidate']}: {one['status']}")
    dataset = one["dataset"]
    if dataset is None:
        terminal.say("what it was trained on is not known")
        return
    name = f"{dataset['dataset']}@" if "dataset" in dataset else ""
    terminal.say(f"trained on {name}{one_line(dataset['version'])}, which is ", _worth(dataset))
    for key, value in sorted((one["training"] or {}).items()):
        if value not in ("", None, {}) and key not in {"format", "dataset", "version", "sha256"}:
            terminal.say((f"  {key.replace('_', ' ')}: {one_line(_said(value))}", "dim"))
    for base in one["bases"]:
        name, dataset = one_line(base["model"]), base["dataset"]
        trained = f" {base['candidate']}, trained on {one_line(dataset['version'])}, which is "
        terminal.say("made from ", (name, "bold"), trained, _worth(dataset))
    for config, origins in one["rows"].items():
        terminal.say(f"{config}: {sum(origins.values())} rows ({pairs(origins)})")
    for config, ids in one.get("row_ids", {}).items():
        for row in ids:
            terminal.say(f"{config} {one_line(row)}")
    columns = ("topic", "partition", "first offset", "last offset", "events")
    keys = ("topic", "partition", "first_offset", "last_offset", "events")
    cells = [tuple(str(place[key]) for key in keys) for place in one["events"]]
    if cells:
        terminal.table(columns, cells, whole=("topic",))


def _said(value: Any) -> str:
    return pairs(value) if isinstance(value, dict) else str(value)


def _worth(dataset: dict[str, Any]) -> tuple[str, str]:
    reason = f": {dataset['status_reason']}" if dataset.get("status_reason") else ""
    return f"{dataset['status']}{reason}", STYLES.get(dataset["status"], "dim")
