"""`flywheel status`: how the way into the lake is doing."""

from __future__ import annotations

import msgspec
import typer

from flows.commands.shared import AsJson, print_json, settings_of
from flows.context import lake_of
from flows.maintain.status import Condition, condition
from flows.terminal import Terminal


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show lag per partition, rows, bytes and last commit per table, and dead letters by reason."""
    settings = settings_of(context)
    state = condition(lake_of(settings), settings.kafka)
    if as_json:
        print_json(msgspec.to_builtins(state, builtin_types=()))
        return
    terminal = Terminal()
    _tables(terminal, state)
    if state.partitions:
        _partitions(terminal, state)
    else:
        terminal.say(f"Kafka: {state.kafka}")
    if state.dead_letters:
        _letters(terminal, state)
    else:
        terminal.say("No dead letters.")


def _tables(terminal: Terminal, found: Condition) -> None:
    rows = [
        (
            state.name, str(state.version), f"{state.rows:,}", f"{state.files:,}", f"{state.bytes / 2**20:,.1f}",
            f"{state.last_commit:%Y-%m-%d %H:%M:%S}" if state.last_commit else "",
        )
        for state in found.tables
    ]  # fmt: skip
    columns = ("table", "version", "rows", "files", "MiB", "last commit (UTC)")
    terminal.table(columns, rows, whole=("table",), right=columns[1:5], title="Lake")


def _partitions(terminal: Terminal, found: Condition) -> None:
    rows = [
        (
            at.topic, str(at.partition), "" if at.archived is None else f"{at.archived:,}", f"{at.latest:,}",
            f"{at.lag:,}", (f"{at.lost:,}", "bold red" if at.lost else ""),
        )
        for at in found.partitions
    ]  # fmt: skip
    columns = ("topic", "partition", "archived to", "latest", "lag", "lost")
    terminal.table(columns, rows, whole=("topic",), right=columns[1:], title="Kafka")


def _letters(terminal: Terminal, found: Condition) -> None:
    rows = [
        (row["kafka_topic"], row["reason"], f"{row['offsets']:,}", f"{row['newest']:%Y-%m-%d %H:%M:%S}")
        for row in found.dead_letters
    ]
    columns = ("topic", "reason", "offsets", "newest (UTC)")
    terminal.table(columns, rows, whole=("topic", "reason"), right=("offsets",), title="Dead letters")
    terminal.say("`flywheel dead-letter list` names each.")
