"""`flywheel dead-letter`: what was refused on the way into the lake, why, and once more after a fix."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from flows.commands.shared import AsJson, print_json, settings_of
from flows.context import lake_of
from flows.terminal import Terminal
from schemas.errors import UsageError
from streams import dead_letters
from streams.producer import EventProducer

app = typer.Typer(help="Refused events: list them, look into one, send them again after a fix.", no_args_is_help=True)
Topic = Annotated[str, typer.Option(help="Only of this topic.")]
Reason = Annotated[str, typer.Option(help="Only of this reason, e.g. invalid_field.")]


@app.command("list")
def list_letters(
    context: typer.Context,
    topic: Topic = "",
    reason: Reason = "",
    limit: Annotated[int, typer.Option(help="Show the newest so many.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the newest last: where they were in Kafka, why they were refused, which field is wrong."""
    settings = settings_of(context)
    rows = dead_letters.find(lake_of(settings), topic=topic, reason=reason, content=False)
    if as_json:
        print_json(rows[-limit:])
        return
    terminal = Terminal()
    cells = [
        (
            dead_letters.name_of(row),
            row["reason"],
            str(row["value_size"] or ""),
            f"{row['ingested_at']:%Y-%m-%d %H:%M:%S}",
            row["detail"] or "",
        )
        for row in rows[-limit:]
    ]
    terminal.table(("letter", "reason", "bytes", "arrived (UTC)", "detail"), cells, whole=("letter", "reason"))
    terminal.say(f"{len(rows)} dead letters" + (f", the newest {limit} shown" if len(rows) > limit else ""))
    if not rows and (topic or reason):
        terminal.say("`flywheel status` counts them by topic and reason.")


@app.command("show")
def show(
    context: typer.Context,
    letter: Annotated[str, typer.Argument(help="TOPIC:PARTITION:OFFSET, as `list` prints it.")],
    raw: Annotated[bool, typer.Option("--raw", help="Write only the value, to mend and `replay` it.")] = False,
) -> None:
    """Show one dead letter with its bytes."""
    settings = settings_of(context)
    row = dead_letters.find_one(lake_of(settings), letter)
    if raw:
        if sys.stdout.isatty():
            raise UsageError(
                "--raw writes the bytes as they came, which a terminal may obey: send them to a file or a pipe"
            )
        sys.stdout.buffer.write(row["value"] or b"")
        return
    terminal = Terminal()
    for name, value in row.items():
        text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
        terminal.say(f"{name}: {'' if value is None else text}")


@app.command("replay")
def replay(context: typer.Context, topic: Topic = "", reason: Reason = "") -> None:
    """Send dead letters that this version can read to their topics again; the rest stay. Twice does no harm."""
    settings = settings_of(context)
    lake = lake_of(settings)
    with EventProducer(settings.kafka, source="flywheel dead-letter replay") as producer:
        result = dead_letters.resend(lake, producer, dead_letters.find(lake, topic=topic, reason=reason))
    kept = "".join(f", {count} kept ({why})" for why, count in sorted(result.kept.items()))
    Terminal().say(f"{result.sent} sent again, {result.there} in the lake already{kept}")
