"""`flywheel dead-letters`: what was refused on the way into the lake, why, and once more after a fix."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.context import lake_of
from schemas.events import to_json
from schemas.settings import Settings
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
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs, without contents.")] = False,
) -> None:
    """List dead letters, the newest last: where they were in Kafka, why they were refused, which field is wrong."""
    settings: Settings = context.obj
    rows = dead_letters.find(lake_of(settings), topic=topic, reason=reason, content=False)
    if as_json:
        print(to_json(rows[-limit:]))  # noqa: T201
        return
    table = Table("letter", "reason", "bytes", "arrived (UTC)", "detail")
    for row in rows[-limit:]:
        arrived, size = f"{row['ingested_at']:%Y-%m-%d %H:%M:%S}", str(row["value_size"] or "")
        table.add_row(dead_letters.name_of(row), row["reason"], size, arrived, _harmless(row["detail"] or ""))
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print(f"{len(rows)} dead letters" + (f", the newest {limit} shown" if len(rows) > limit else ""))
    if not rows and (topic or reason):
        console.print("`flywheel status` counts them by topic and reason.")


@app.command("show")
def show(
    context: typer.Context,
    letter: Annotated[str, typer.Argument(help="TOPIC:PARTITION:OFFSET, as `list` prints it.")],
    raw: Annotated[bool, typer.Option("--raw", help="Write only the value, to mend and `replay` it.")] = False,
) -> None:
    """Show one dead letter with its bytes."""
    settings: Settings = context.obj
    row = dead_letters.find_one(lake_of(settings), letter)
    if raw:
        sys.stdout.buffer.write(row["value"] or b"")
        return
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for name, value in row.items():
        text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
        console.print(f"{name}: {'' if value is None else _harmless(text)}")


@app.command("replay")
def replay(context: typer.Context, topic: Topic = "", reason: Reason = "") -> None:
    """Send dead letters that this version can read to their topics again; the rest stay. Twice does no harm."""
    settings: Settings = context.obj
    lake = lake_of(settings)
    with EventProducer(settings.kafka, source="flywheel dead-letters replay") as producer:
        result = dead_letters.resend(lake, producer, dead_letters.find(lake, topic=topic, reason=reason))
    kept = "".join(f", {count} kept ({why})" for why, count in sorted(result.kept.items()))
    Console(highlight=False, soft_wrap=True).print(
        f"{result.sent} sent again, {result.there} in the lake already{kept}"
    )


def _harmless(text: str) -> str:
    """Text from whoever could send to Kafka, without what a terminal would obey."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
