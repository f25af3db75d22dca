"""`flywheel dataset`: build datasets, see which there are and what waits, follow a row home, hand them on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from flows.commands.shared import AsJson, identity, print_json, settings_of
from flows.context import lake_of
from flows.curate.folder.disk import check
from flows.curate.folder.export import openai_lines
from flows.curate.folder.fit import fit
from flows.curate.folder.metadata import open_lineage
from flows.curate.folder.recipes import LENGTH, TOOLS, Wanted, recipe
from flows.curate.quarantine import clear, waiting
from flows.curate.stage import curate
from flows.curate.versions.lost import lose
from flows.curate.versions.push import push
from flows.curate.versions.trace import trace
from flows.evalset import again
from flows.terminal import Terminal, pairs, working
from flows.versions import Version, find, versions
from flows.visible import one_line
from schemas.errors import UsageError
from schemas.secrets import revealed
from schemas.settings import DEFAULT_RECIPE, Settings

app = typer.Typer(
    help="Datasets: build, list, quarantine, trace, recipe, fit, export, push, lost.", no_args_is_help=True
)
Name = Annotated[str, typer.Argument(help="A dataset's name (its newest version), a version, or its beginning.")]
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""Small enough to try a recipe on any machine."""
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
    as_json: AsJson = False,
) -> None:
    """Build a training and an eval dataset from what is known now."""
    settings = settings_of(context)
    moment = (as_of or datetime.now(UTC)).astimezone(UTC)
    with working(Terminal(stderr=True), f"building {one_line(name)}"):
        summary = curate(lake_of(settings), settings, moment, name)
    if as_json:
        print_json(summary)
        return
    terminal = Terminal()
    for kind in ("training", "eval", "sample"):
        counts = {key.removesuffix("_rows"): n for key, n in summary[kind].items() if key.endswith("_rows")}
        rows = ", ".join(f"{n} {part}" for part, n in counts.items())
        terminal.say(f"{kind}: {rows} rows in {summary[kind]['path']}")
    terminal.say(f"left out: {pairs(summary['dropped']) or 'nothing'}")
    for stale in summary["stale"]:
        terminal.say(("now stale", "yellow"), f": {stale}")


@app.command("list")
def list_datasets(context: typer.Context, as_json: AsJson = False) -> None:
    """List every dataset version with what it is worth now, oldest first."""
    settings = settings_of(context)
    found = versions(lake_of(settings), settings.application)
    if as_json:
        print_json([_plain(version) for version in found])
        return
    rows = []
    for version in found:
        parts = ", ".join(f"{count} {part.split('/')[0]}" for part, count in version.rows.items())
        reason = f": {version.status_reason}" if version.status_reason else ""
        when = f"{version.created:%Y-%m-%d %H:%M}"
        status = (version.status + reason, STYLES[version.status])
        rows.append((version.dataset, version.kind, version.version, when, parts, status))
    terminal = Terminal()
    terminal.table(("dataset", "kind", "version", "as of", "rows", "status"), rows, whole=("version",))
    if not rows:
        terminal.say("No dataset yet: `flywheel dataset build` makes one, and so does every turn.")


@app.command("show")
def show(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Show a version's manifest, after checking every file against its SHA-256."""
    settings = settings_of(context)
    version = _usable(settings, name)
    manifest = check(version.folder(settings))
    if as_json:
        print_json({**_plain(version), "manifest": manifest, "path": str(version.folder(settings))})
        return
    terminal = Terminal()
    terminal.say(f"{version.dataset} ({version.kind}) {version.version}: {version.status}", style="bold")
    terminal.say(f"{version.folder(settings)}\nall files have their SHA-256")
    terminal.say(msgspec.json.format(msgspec.json.encode(manifest), indent=2).decode())


@app.command("trace")
def trace_row(
    context: typer.Context,
    row: Annotated[str, typer.Argument(help="A row's `row_id` (an eval row's `item_id`).")],
    as_json: AsJson = False,
) -> None:
    """Follow a row back to the Kafka offsets that it came from."""
    settings = settings_of(context)
    origin = trace(lake_of(settings), settings, row)
    if as_json:
        print_json(origin)
        return
    terminal = Terminal()
    for place in origin["found_in"]:
        terminal.say(f"in {place['dataset']}@{place['version']} ({place['config']}, {place['status']})")
    columns = ("event", "id", "topic", "partition", "offset", "time")
    rows = [tuple(str(event[name]) for name in columns) for event in origin["events"]]
    terminal.table(columns, rows, whole=("id", "topic", "offset"))


@app.command("quarantine")
def quarantine(
    context: typer.Context,
    cleared: Annotated[
        list[str] | None, typer.Option("--clear", help="Vouch for the row of this id, or its beginning; repeatable.")
    ] = None,
    by: Annotated[str, typer.Option(help="Who vouches; default: the name of your account.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the rows that the newest build held back until somebody vouches for them, or vouch for some."""
    settings = settings_of(context)
    lake, terminal = lake_of(settings), Terminal()
    if cleared:
        done = clear(lake, settings.application, cleared, by or identity(), datetime.now(UTC))
        if as_json:
            print_json(done)
        else:
            terminal.say(f"cleared {len(done)}: the next build teaches them")
        return
    found = waiting(lake, settings.application)
    if as_json:
        print_json(found)
        return
    rows = [(one.id, one.reason.removeprefix("quarantine_"), one.origin, one.contributor[:8]) for one in found]
    terminal.table(("id", "held as", "signal", "whose"), rows, whole=("id",))
    if not rows:
        terminal.say("Nothing waits: `flywheel dataset build` says what it left out.")


@app.command("export")
def export(
    context: typer.Context,
    name: Name,
    out: Annotated[Path, typer.Option(help="File to write.", dir_okay=False)],
    form: Annotated[str, typer.Option("--format", help="openai-jsonl")] = "openai-jsonl",
    config: Annotated[str, typer.Option(help="sft or preference")] = "sft",
) -> None:
    """Write a training dataset as lines for hosted fine-tuning."""
    settings = settings_of(context)
    if form != "openai-jsonl":
        raise UsageError(f"--format {form!r}: there is openai-jsonl")
    version = _usable(settings, name)
    check(version.folder(settings))
    scratch = out.with_name(out.name + ".part")
    try:
        with scratch.open("wb") as file:
            count = sum(bool(file.write(line)) for line in openai_lines(version.folder(settings), config))
        scratch.rename(out)
    except OSError as error:
        raise UsageError(f"--out {out} cannot be written: {error.strerror}") from error
    Terminal().say(f"{count} lines of {version.dataset}@{version.version} in {out}")


@app.command("recipe")
def print_recipe(
    context: typer.Context,
    tool: Annotated[str, typer.Argument(help=", ".join(TOOLS))],
    name: Name = f"{DEFAULT_RECIPE}-training",
    model: Annotated[str, typer.Option(help="The model to train, as the tool names it.")] = MODEL,
    config: Annotated[str, typer.Option(help="sft, preference or kto")] = "sft",
    max_length: Annotated[int, typer.Option(min=1, help="Tokens of a row.")] = LENGTH,
    seed_set: Annotated[
        list[str] | None, typer.Option(help="A dataset with the same columns to mix in; repeatable.")
    ] = None,
) -> None:
    """Print what a trainer needs to train on a version's folder as it is."""
    settings = settings_of(context)
    version = _usable(settings, name)
    wanted = Wanted(version.folder(settings), config, model, max_length, tuple(seed_set or ()))
    print(recipe(tool, wanted), end="")  # noqa: T201 it goes to a file as it is


@app.command("fit")
def measure(
    context: typer.Context,
    name: Name,
    tokenizer: Annotated[Path, typer.Option(help="A folder with tokenizer.json, as a model's is.", exists=True)],
    config: Annotated[str, typer.Option(help="sft, completion, preference or kto")] = "sft",
    max_length: Annotated[int, typer.Option(min=1, help="Tokens of a row that the trainer keeps.")] = LENGTH,
    as_json: AsJson = False,
) -> None:
    """Count rows that are too long for a model, and say what its chat template drops."""
    settings = settings_of(context)
    version = _usable(settings, name)
    found = fit(version.folder(settings), config, tokenizer, max_length)
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    terminal = Terminal()
    terminal.say(f"{found.rows} rows of {found.config}: half have at most {found.median} tokens, 95 of 100 {found.p95}")
    said = f"{found.cut} rows are longer than {max_length} tokens, the longest has {found.longest}"
    terminal.say((said, "yellow" if found.cut else "green"))
    for finding in found.findings:
        terminal.say(("look: ", "yellow"), finding)


@app.command("push")
def push_dataset(
    context: typer.Context,
    name: Name,
    target: Annotated[str, typer.Argument(help="hf://datasets/OWNER/NAME, s3://BUCKET/PREFIX or file:///FOLDER")],
) -> None:
    """Copy a version to a Hub repository or an object store, byte for byte."""
    settings = settings_of(context)
    version = _usable(settings, name)
    place = push(version, version.folder(settings), target, revealed(settings.storage_options))
    Terminal().say(f"pushed to {place}")


@app.command("lost")
def lost(context: typer.Context, name: Name) -> None:
    """Withdraw a version whose files are lost for good: builds and erasures, which ask for them, then go on."""
    settings = settings_of(context)
    for version in lose(lake_of(settings), settings, datetime.now(UTC), name):
        guards = ", which keeps nothing out of train any more" if version.kind == "frozen" else ""
        Terminal().say(f"withdrawn: {version.dataset}@{version.version} ({version.kind}){guards}; {again(version)}")


@app.command("lineage")
def lineage(context: typer.Context, name: Name) -> None:
    """Print the OpenLineage event of a version as one line of JSON."""
    settings = settings_of(context)
    print_json(open_lineage(find(lake_of(settings), settings.application, name).manifest))


def _usable(settings: Settings, name: str) -> Version:
    """The version that a name means, all of whose files are here. Raises UsageError, FilesMissing."""
    version = find(lake_of(settings), settings.application, name)
    if version.status == "withdrawn":
        raise UsageError(f"{version.dataset}@{version.version} was withdrawn: {version.status_reason}")
    version.files(settings)
    return version


def _plain(version: Version) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(version)
    return {key: value for key, value in plain.items() if key != "manifest"}
