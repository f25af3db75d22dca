"""`flywheel erase`: forget a person, in every table and dataset, with a receipt."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer

from flows.commands.shared import AsJson, print_json, settings_of
from flows.context import lake_of
from flows.curate.stage import curate
from flows.erase import carry_out, plan, recipes_of
from flows.terminal import Terminal, pairs, working
from flows.visible import one_line
from schemas.errors import NotEnoughData, UsageError
from schemas.settings import Settings
from streams.admin import client_options


def erase_command(
    context: typer.Context,
    subject: Annotated[str, typer.Argument(help="The `user_id` of the person.")],
    application: Annotated[str, typer.Option(help="Only in this application; default: in all.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go; change nothing.")] = False,
    purge_kafka: Annotated[
        bool,
        typer.Option(
            "--purge-kafka",
            help="Also delete from Kafka all that is archived, instead of leaving it to Kafka's retention. "
            "Other readers that lag behind the archiver miss it.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove a person's rows, withdraw and rebuild the datasets that hold them, and write a receipt."""
    settings = settings_of(context)
    if not subject.strip():
        raise UsageError("name the person: the `user_id` that their events carry")
    lake = lake_of(settings)
    moment = datetime.now(UTC)
    if purge_kafka:
        client_options(settings.kafka)  # no broker named: say so before anything is done
    if dry_run:
        result = plan(lake, settings, subject, application).receipt()
    else:
        with working(Terminal(stderr=True), "erasing"):
            result = carry_out(lake, settings, subject, moment, application=application, purge_kafka=purge_kafka)
        result["rebuilt"] = [_rebuilt(settings, app, recipe, moment) for app, recipe in recipes_of(result)]
    if as_json:
        print_json(result)
    else:
        _show(Terminal(), result, dry_run)


def _rebuilt(settings: Settings, application: str, recipe: str, moment: datetime) -> dict[str, Any]:
    there = msgspec.structs.replace(settings, application=application)
    try:
        summary = curate(lake_of(settings), there, moment, recipe)
    except NotEnoughData as error:
        return {"application": application, "dataset": recipe, "left": str(error)}
    versions = {kind: summary[kind]["version"] for kind in ("training", "eval", "sample")}
    return {"application": application, "dataset": recipe, **versions}


def _show(terminal: Terminal, result: dict[str, Any], dry_run: bool) -> None:
    verb = "would go" if dry_run else "went"
    terminal.say(f"{result['interactions']} interactions and {result['feedback']} feedback events {verb}")
    for held in result["datasets"]:
        terminal.say(f"{held['dataset']}@{held['version']} ({held['kind']}) holds {held['rows']} rows")
    for row in result["decisions"]:
        terminal.say(
            f"decision {one_line(row['application'])}/{row['sequence']}: {row['action']} {one_line(row['model'])}"
        )
    for model in result["models"]:
        through = {row["through"] for row in result["decisions"] if row["model"] == model and row["trained_on"]}
        made = "" if None in through else f"made from {', '.join(map(one_line, sorted(through)))}, which was "
        terminal.say(
            (one_line(model), "bold"), f" was {made}trained on a dataset that holds them: `flywheel trace` names it"
        )
    if result["models_perhaps"]:
        named = ", ".join(map(one_line, result["models_perhaps"]))
        terminal.say(f"whether they taught these nobody can say, since the datasets are gone: {named}")
    if dry_run:
        return
    for made in result["rebuilt"]:
        terminal.say(f"built again: {pairs(made)}")
    for place, offset in result["kafka"].items():
        terminal.say(f"Kafka forgot {place} before offset {offset}")
    if result["interactions"] and not result["kafka"]:
        terminal.say("Kafka keeps their events until its retention ends, or use --purge-kafka")
    for path in result["remaining"]:
        terminal.say(("still says the name", "yellow"), f": {path}")
    terminal.say(f"receipt: {result['receipt']}")
