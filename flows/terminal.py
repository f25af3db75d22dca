"""What commands print: text of strangers is shown, never obeyed, and no id is cut.

A `Terminal` passes every string through `visible.py`, reads none as Rich markup, and lays out tables so that an id can
be copied whatever the width. Styles are given as `(text, style)`. No command prints past it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn
from rich.rule import Rule
from rich.table import Column, Table
from rich.text import Text

from flows.visible import one_line, visible

Part = str | tuple[str, str]
"""A string, or a string and the Rich style that it is shown in."""
PIPE_WIDTH = 100_000
"""A pipe or a file has no edge: each row stays one line, for grep."""
READABLE = 14
"""Columns that a cell of prose needs at least: a long word or two short ones."""


def styled(*parts: Part, style: str = "") -> Text:
    """One text of several, each visible and in its own style."""
    pairs = [(part, "") if isinstance(part, str) else part for part in parts]
    return Text.assemble(*((visible(text), inner) for text, inner in pairs), style=style)


class Terminal(Console):
    """A Rich console on which a string is only ever text.

    On a terminal prose is left to the terminal's own wrapping, so that what is copied has no breaks in it.
    """

    def __init__(self, *, stderr: bool = False, **options: Any) -> None:
        super().__init__(stderr=stderr, markup=False, highlight=False, emoji=False, **options)
        if not self.is_terminal and "COLUMNS" not in os.environ and "width" not in options:
            self.width = PIPE_WIDTH

    def render_str(self, text: str, **options: Any) -> Text:
        """What Rich makes of every string that it is given: its characters, made visible, and nothing else."""
        style, justify, overflow = (options.get(name) for name in ("style", "justify", "overflow"))
        return Text(visible(text), style=style or "", justify=justify, overflow=overflow)

    def say(self, *parts: Part, style: str = "") -> None:
        """Print one line of text."""
        self.print(styled(*parts, style=style), soft_wrap=True)

    def rule(self, title: Any = "", **options: Any) -> None:
        """A line with a title in it, as wide as a page at most: in a pipe the width has no end."""
        self.print(Rule(title, **options), width=min(self.width, 120))

    def markdown(self, text: str) -> None:
        """Print Markdown in which strangers' words went through `flows/markdown.py`; no link can be clicked."""
        self.print(Markdown(visible(text), hyperlinks=False), width=min(self.width, 120))

    def table(
        self,
        headings: Sequence[str],
        rows: Iterable[Sequence[Part]],
        *,
        whole: Sequence[str] = (),
        right: Sequence[str] = (),
        title: str = "",
    ) -> None:
        """Print a table, or where it would be too narrow to read, one record below the other as psql can.

        `whole` names the columns that are never broken: ids and what else is typed again. `right` names those of
        numbers. An empty table is not printed: its caller says what to do next.
        """
        cells = [[styled(_flat(part)) for part in row] for row in rows]
        if not cells:
            return
        widths = [max([len(name), *(row[i].cell_len for row in cells)]) for i, name in enumerate(headings)]
        needed = sum(
            width if name in whole else min(width, READABLE) for name, width in zip(headings, widths, strict=True)
        )
        if needed + 3 * len(headings) + 1 <= self.width:
            columns = [
                Column(name, overflow="fold", no_wrap=name in whole, justify="right" if name in right else "left")
                for name in headings
            ]
            self._rows(Table(*columns, title=title or None, title_justify="left"), cells)
            return
        if title:
            self.say((title, "italic"))
        for row in cells:
            record = zip([(name, "dim") for name in headings], row, strict=True)
            grid = Table.grid(Column(no_wrap=True), Column(overflow="fold"), padding=(0, 2, 0, 0))
            self._rows(grid, [[styled(name), value] for name, value in record if value.plain])
            self.print()

    def _rows(self, table: Table, rows: Iterable[Sequence[Text]]) -> None:
        for row in rows:
            table.add_row(*row)
        self.print(table)


def progress(terminal: Terminal, *, counted: bool = False, noted: bool = False) -> Progress:
    """A bar for long work; what it is called is text like any other. Where there is no terminal nothing is drawn.

    `counted` adds how many of how many, `noted` the task's field `note`.
    """
    columns: list[ProgressColumn] = [TextColumn("{task.description}", markup=False), BarColumn()]
    columns += [MofNCompleteColumn()] if counted else []
    columns += [TimeElapsedColumn()]
    columns += [TextColumn("{task.fields[note]}", markup=False)] if noted else []
    return Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal)


class _Note(logging.Handler):
    """Shows the last word of our own log as a bar's note, and a warning as a line of its own."""

    def __init__(self, terminal: Terminal, show: Callable[[str], object]) -> None:
        super().__init__(logging.INFO)
        self._terminal, self._show = terminal, show

    def emit(self, record: logging.LogRecord) -> None:
        text = one_line(record.getMessage())
        if record.levelno >= logging.WARNING:
            self._terminal.say((text, "yellow"))
        else:
            self._show(text)


@contextmanager
def working(terminal: Terminal, what: str) -> Iterator[None]:
    """Meanwhile a terminal shows what is done, for how long, and what the flows log of it."""
    logger = logging.getLogger("flows")
    with progress(terminal, noted=True) as bar:
        task = bar.add_task(what, total=None, note="")
        note, level = _Note(terminal, lambda text: bar.update(task, note=text)), logger.level
        logger.addHandler(note)
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.removeHandler(note)
            logger.setLevel(level)


def pairs(values: Mapping[str, Any]) -> str:
    """A mapping as prose: `name value, name value`."""
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _flat(part: Part) -> Part:
    return one_line(part) if isinstance(part, str) else (one_line(part[0]), part[1])
