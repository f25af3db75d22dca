"""What a person sees of tables, names and long work."""

from __future__ import annotations

import io
import logging

import pytest

from flows.markdown import unwrapped
from flows.names import named
from flows.terminal import Terminal, pairs, working


def screen(columns: int) -> Terminal:
    return Terminal(file=io.StringIO(), force_terminal=True, width=columns, color_system=None)


def text(terminal: Terminal) -> str:
    assert isinstance(terminal.file, io.StringIO)
    return terminal.file.getvalue()


ROWS = [("4f2a81c09b7e", "late parcel " * 6, "3"), ("0" * 12, "lost card", "12,000")]


@pytest.mark.parametrize("columns", [24, 40, 60, 80, 200])
def test_an_id_is_never_broken(columns: int) -> None:
    """A table while it can be read, records below that; ids stand whole wherever the line can hold them."""
    terminal = screen(columns)

    terminal.table(("id", "what", "failures"), ROWS, whole=("id",), right=("failures",))

    lines = text(terminal).splitlines()
    assert [id_ for id_, *_ in ROWS if not any(id_ in line for line in lines)] == []
    assert max(map(len, lines)) <= columns
    assert "late" in text(terminal)


def test_a_pipe_gets_a_row_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is long: nothing is folded, so that grep finds it."""
    monkeypatch.delenv("COLUMNS", raising=False)
    terminal = Terminal(file=io.StringIO())

    terminal.table(("id", "what", "n"), [("x", "long " * 400, "1")])

    assert "long " * 399 in text(terminal)


def test_an_empty_table_is_not_drawn() -> None:
    """Its caller says what to do next instead."""
    terminal = screen(80)

    terminal.table(("id",), [])

    assert text(terminal) == ""


def test_long_work_shows_what_it_is_at() -> None:
    """The last word of our own log stands beside the bar, and a warning on a line of its own; both are only text."""
    terminal, log = screen(80), logging.getLogger("flows.somewhere")

    with working(terminal, "building [bold]all\x1b[2J"):
        log.info("checking [/red] files\x1b]0;x\x07")
        log.warning("waiting until an erasure is over\x9b2J")
        log.debug("not a word")

    told = text(terminal)
    assert r"waiting until an erasure is over\x9b2J" in told
    assert r"checking [/red] files\x1b]0;x\x07" in told
    assert "not a word" not in told
    assert logging.getLogger("flows").handlers == []


def test_where_there_is_no_terminal_nothing_is_drawn() -> None:
    """A log file of a cron job holds no bars."""
    terminal = Terminal(file=io.StringIO())

    with working(terminal, "building"):
        logging.getLogger("flows.somewhere").info("checking")

    assert text(terminal) == ""


def test_a_cluster_is_called_by_its_name_where_its_id_stands() -> None:
    """Ids stay, for they are what is typed; names are made harmless; other words are nobody's id."""
    names = {"4f2a81c09b7e": "late\nparcel\x1b"}

    assert named("slice 4f2a81c09b7e: worse", names) == r"slice 4f2a81c09b7e (late parcel\x1b): worse"
    assert named("4f2a81c09b7e0 is another", names) == "4f2a81c09b7e0 is another"
    assert pairs({"a": 1, "b": "x"}) == "a 1, b x"


def test_a_page_for_prefect_has_a_paragraph_a_line() -> None:
    """Its UI breaks lines where the source does; lists, tables and headings stay as they are."""
    page = "# T\n\nOther rows are\nanother version.\n\n- a\n- b\n\n| a |\n|---|\n| 1 |\n"

    assert unwrapped(page) == page.replace("are\nanother", "are another")


def test_a_rule_in_a_pipe_is_as_wide_as_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe has no width; a line across it would be thousands of characters long. Its title is only text."""
    monkeypatch.delenv("COLUMNS", raising=False)
    out = io.StringIO()

    Terminal(file=out).rule("Turn 1: [bold]bot-1[/bold] serves")

    (line,) = out.getvalue().splitlines()
    assert len(line) == 120
    assert " Turn 1: [bold]bot-1[/bold] serves " in line
