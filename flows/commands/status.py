"""`flywheel status`: how the way into the lake is doing."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from flows.context import lake_of
from flows.maintain.status import Condition, condition
from schemas.events import to_json
from schemas.settings import Settings


def status(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False
) -> None:
    """Show lag per partition, rows, bytes and last commit per table, and dead letters by reason."""
    settings: Settings = context.obj
    found = condition(lake_of(settings), settings.kafka)
    if as_json:
        print(to_json(msgspec.to_builtins(found, builtin_types=())))  # noqa: T201
        return
    console = Console(highlight=False)
    console.print(_tables(found))
    console.print(_partitions(found) if found.partitions else f"Kafka: {found.kafka}")
    console.print(_letters(found) if found.dead_letters else "No dead letters.")


def _tables(found: Condition) -> Table:
    table = Table("table", title="Lake", title_justify="left")
    for column in ("version", "rows", "files", "MiB", "last commit (UTC)"):
        table.add_column(column, justify="right")
    for state in found.tables:
        last = f"{state.last_commit:%Y-%m-%d %H:%M:%S}" if state.last_commit else ""
        sizes = (f"{state.rows:,}", f"{state.files:,}", f"{state.bytes / 2**20:,.1f}")
        table.add_row(state.name, str(state.version), *sizes, last)
    return table


def _partitions(found: Condition) -> Table:
    table = Table("topic", title="Kafka", title_justify="left")
    for column in ("partition", "archived to", "latest", "lag", "lost"):
        table.add_column(column, justify="right")
    for at in found.partitions:
        archived = "" if at.archived is None else f"{at.archived:,}"
        lost = f"[bold red]{at.lost:,}[/]" if at.lost else "0"
        table.add_row(at.topic, str(at.partition), archived, f"{at.latest:,}", f"{at.lag:,}", lost)
    return table


def _letters(found: Condition) -> Table:
    table = Table("topic", "reason", title="Dead letters", title_justify="left")
    table.add_column("offsets", justify="right")
    table.add_column("newest (UTC)")
    for row in found.dead_letters:
        table.add_row(row["kafka_topic"], row["reason"], f"{row['offsets']:,}", f"{row['newest']:%Y-%m-%d %H:%M:%S}")
    return table
