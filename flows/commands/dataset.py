"""`flywheel dataset`: build datasets, see which there are, follow a row home, hand them on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from flows.commands.shared import print_json
from flows.context import lake_of
from flows.curate.folder.export import openai_lines
from flows.curate.folder.folder import check
from flows.curate.folder.metadata import open_lineage
from flows.curate.stage import curate
from flows.curate.versions.push import push
from flows.curate.versions.trace import trace
from flows.versions import Version, find, versions
from schemas.errors import UsageError
from schemas.settings import DEFAULT_RECIPE, Settings

app = typer.Typer(help="Datasets: build, list, trace, export, push.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Name = Annotated[str, typer.Argument(help="A dataset's name (its newest version), a version, or its beginning.")]
STYLES = {"current": "green", "stale": "yellow", "withdrawn": "red"}


@app.command("build")
def build_dataset(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help="A recipe: `all`, or one of [curate.recipes] in the settings.")
    ] = DEFAULT_RECIPE,
    as_of: Annotated[
        datetime | None, typer.Option(help="Logical time of the run; the same time twice is one run. Default: now.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Build a training and an eval dataset from what is known now."""
    settings: Settings = context.obj
    moment = (as_of or datetime.now(UTC)).astimezone(UTC)
    summary = curate(lake_of(settings), settings, moment, name)
    if as_json:
        print_json(summary)
        return
    console = Console()
    for kind in ("training", "eval"):
        counts = ", ".join(
            f"{n} {key.removesuffix('_rows')}" for key, n in summary[kind].items() if key.endswith("_rows")
        )
        console.print(f"{kind}: {counts} rows in {summary[kind]['path']}", highlight=False, soft_wrap=True)
    left_out = ", ".join(f"{reason} {count}" for reason, count in summary["dropped"].items())
    console.print(f"left out: {left_out or 'nothing'}", highlight=False)
    for stale in summary["stale"]:
        console.print(f"[yellow]now stale[/]: {stale}", highlight=False)


@app.command("list")
def list_datasets(context: typer.Context, as_json: Json = False) -> None:
    """List every dataset version with what it is worth now, oldest first."""
    settings: Settings = context.obj
    found = versions(lake_of(settings), settings.application)
    if as_json:
        print_json([_plain(version) for version in found])
        return
    table = Table("dataset", "kind", "version", "as of", "rows", "status")
    for version in found:
        rows = ", ".join(f"{count} {part.split('/')[0]}" for part, count in version.rows.items())
        status = f"[{STYLES[version.status]}]{version.status}[/]"
        reason = f": {version.status_reason}" if version.status_reason else ""
        when = f"{version.created:%Y-%m-%d %H:%M}"
        table.add_row(version.dataset, version.kind, version.version, when, rows, status + reason)
    Console().print(table)


@app.command("show")
def show(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show a version's manifest, after checking every file against its SHA-256."""
    settings: Settings = context.obj
    version = find(lake_of(settings), settings.application, name)
    manifest = check(version.folder(settings))
    if as_json:
        print_json({**_plain(version), "manifest": manifest, "path": str(version.folder(settings))})
        return
    console = Console()
    console.print(f"{version.dataset} ({version.kind}) {version.version}: {version.status}", style="bold")
    console.print(f"{version.folder(settings)}\nall files have their SHA-256", highlight=False, soft_wrap=True)
    console.print_json(msgspec.json.encode(manifest).decode())


@app.command("trace")
def trace_row(
    context: typer.Context,
    row: Annotated[str, typer.Argument(help="A row's `row_id` (an eval row's `item_id`).")],
    as_json: Json = False,
) -> None:
    """Follow a row back to the Kafka offsets that it came from."""
    settings: Settings = context.obj
    found = trace(lake_of(settings), settings, row)
    if as_json:
        print_json(found)
        return
    console = Console()
    for place in found["found_in"]:
        console.print(
            f"in {place['dataset']}@{place['version']} ({place['config']}, {place['status']})", highlight=False
        )
    table = Table("event", "id", "topic", "partition", "offset", "time")
    for event in found["events"]:
        table.add_row(*(str(event[name]) for name in ("event", "id", "topic", "partition", "offset", "time")))
    console.print(table)


@app.command("export")
def export(
    context: typer.Context,
    name: Name,
    out: Annotated[Path, typer.Option(help="File to write.", dir_okay=False)],
    form: Annotated[str, typer.Option("--format", help="openai-jsonl")] = "openai-jsonl",
    config: Annotated[str, typer.Option(help="sft or preference")] = "sft",
) -> None:
    """Write a training dataset as lines for hosted fine-tuning."""
    settings: Settings = context.obj
    if form != "openai-jsonl":
        raise UsageError(f"--format {form!r}: there is openai-jsonl")
    version = _usable(find(lake_of(settings), settings.application, name))
    check(version.folder(settings))
    scratch = out.with_name(out.name + ".part")
    try:
        with scratch.open("wb") as file:
            count = sum(bool(file.write(line)) for line in openai_lines(version.folder(settings), config))
        scratch.rename(out)
    except OSError as error:
        raise UsageError(f"--out {out} cannot be written: {error.strerror}") from error
    Console().print(f"{count} lines of {version.dataset}@{version.version} in {out}", highlight=False, soft_wrap=True)


@app.command("push")
def push_dataset(
    context: typer.Context,
    name: Name,
    target: Annotated[str, typer.Argument(help="hf://datasets/OWNER/NAME, s3://BUCKET/PREFIX or file:///FOLDER")],
) -> None:
    """Copy a version to a Hub repository or an object store, byte for byte."""
    settings: Settings = context.obj
    version = find(lake_of(settings), settings.application, name)
    place = push(version, version.folder(settings), target, settings.storage_options)
    Console().print(f"pushed to {place}", highlight=False, soft_wrap=True)


@app.command("lineage")
def lineage(context: typer.Context, name: Name) -> None:
    """Print the OpenLineage event of a version as one line of JSON."""
    settings: Settings = context.obj
    print_json(open_lineage(find(lake_of(settings), settings.application, name).manifest))


def _usable(version: Version) -> Version:
    if version.status == "withdrawn":
        raise UsageError(f"{version.dataset}@{version.version} was withdrawn: {version.status_reason}")
    return version


def _plain(version: Version) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(version)
    return {key: value for key, value in plain.items() if key != "manifest"}
