"""The documentation is a test: links lead somewhere, commands exist, settings are all there."""

from __future__ import annotations

import ast
import functools
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup, TyperOption

from flows.cli import COMMANDS, load, singular
from flows.commands.settings import knobs, markdown_page
from flows.curate.folder.shapes import KINDS
from flows.evaluate.scorers.registry import JUDGES, PLAIN

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([
    *ROOT.glob("*.md"), *(path for room in ("docs", "examples", "sdk") for path in (ROOT / room).rglob("*.md"))
])  # fmt: skip
ROOMS = ("schemas", "streams", "flows", "ui", "examples", "benchmarks", "tests", "docs", "sdk")
PLACE = re.compile(rf"`((?:{'|'.join(ROOMS)})/[\w./-]*)`")
TEST = re.compile(r"\b(test_\w+\.py)(?:::(\w+))?")
COMMAND = re.compile(r"^\$ (?:\.venv/bin/)?flywheel (.*?)(?:\s+#.*)?$", re.MULTILINE)


@functools.cache
def commands() -> dict[str, Any]:
    """Every command by its full name, `cluster list` and so on."""
    found: dict[str, Any] = {}
    waiting = [(name, load(name)) for name in COMMANDS]
    while waiting:
        name, command = waiting.pop()
        if not isinstance(command, TyperGroup) or command.invoke_without_command:
            found[name] = command
        waiting += [(f"{name} {inner}", each) for inner, each in getattr(command, "commands", {}).items()]
    return found


def command_of(words: list[str]) -> str | None:
    """The longest command that a line begins with, past the options that come before one."""
    named = [word for word in words if not word.startswith("-")]
    named[:1] = [singular(word) for word in named[:1]]
    return next((" ".join(named[:n]) for n in (3, 2, 1) if " ".join(named[:n]) in commands()), None)


def links(page: Path) -> list[Path]:
    """What a page's relative links lead to."""
    return [page.parent / target for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link in a page names a file that exists."""
    assert [str(target) for target in links(page) if not target.exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_a_page_names_exist(page: Path) -> None:
    """`flows/run.py` in a page is a file or folder of this repository; a NAME in capitals stands for any."""
    places = [place for place in PLACE.findall(page.read_text()) if not re.search(r"[A-Z]{2}", place)]

    assert [place for place in places if not (ROOT / place).exists()] == []


@functools.cache
def sources_of_tests() -> dict[str, str]:
    """What stands in the test files of a name."""
    found: dict[str, str] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        found[path.name] = found.get(path.name, "") + path.read_text()
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_tests_that_a_page_names_exist(page: Path) -> None:
    """`test_split.py::test_a_name_has_one_side` in a page is a test that there is: something holds the promise."""
    named = TEST.findall(page.read_text())

    def is_there(file: str, test: str) -> bool:
        begins = rf"^(?:    )?(?:(?:async )?def |class )?{test}\b"
        return bool(re.search(begins, sources_of_tests().get(file, ""), re.MULTILINE))

    assert [(file, test) for file, test in named if not is_there(file, test)] == []


def test_every_page_is_reached_from_the_readme() -> None:
    """By links alone, however many: a page that none leads to is read by nobody."""
    reached, ahead = set[Path](), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop().resolve()
        if page not in reached and page.suffix == ".md" and page.is_file():
            reached.add(page)
            ahead += links(page)

    assert [page.relative_to(ROOT).as_posix() for page in PAGES if page not in reached] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_in_pages_exist(page: Path) -> None:
    """A `$ flywheel …` line in a page is a command with options that the program has."""
    known = commands()
    for line in COMMAND.findall(page.read_text()):
        words = shlex.split(line.rstrip("\\"))
        name = command_of(words)
        assert name, f"{page.name}: `flywheel {line}` is no command"
        options = {option for parameter in known[name].params for option in parameter.opts + parameter.secondary_opts}
        wrong = [word.partition("=")[0] for word in words if word.startswith("--")]
        assert [word for word in wrong if word not in options | {"--home", "--config", "--help"}] == []


def test_every_command_says_what_it_does() -> None:
    """`--help` teaches: each command has a sentence, and so has each of its options."""
    silent = [name for name, command in commands().items() if not command.help]
    mute = [
        f"{name} {parameter.name}"
        for name, command in commands().items()
        for parameter in command.params
        if isinstance(parameter, TyperOption) and not parameter.help
    ]

    assert silent + mute == []


def test_every_command_is_documented() -> None:
    """A command that no page names is one that nobody finds."""
    text = "\n".join(page.read_text() for page in PAGES)

    assert [name for name in commands() if f"flywheel {name}" not in text] == []


def test_every_setting_is_documented() -> None:
    """docs/settings.md is what the code says."""
    assert (ROOT / "docs" / "settings.md").read_text() == markdown_page()


def test_every_setting_has_a_reason() -> None:
    """No knob without a word on why it is there."""
    assert [knob.name for knob in knobs() if not knob.reason] == []


def named_commands() -> list[tuple[str, str]]:
    """Every `flywheel …` between backticks in a string of the package, with the file that it stands in.

    A file's own docstring may name a whole group.
    """
    found = []
    for path in sorted(path for room in ("schemas", "streams", "flows", "ui") for path in (ROOT / room).rglob("*.py")):
        tree = ast.parse(path.read_text())
        strings = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        place = path.relative_to(ROOT).as_posix()
        found += [
            (place, words)
            for text in strings
            for words in re.findall(r"`flywheel ([a-z][^`{]*)`", text)
            if not (text == ast.get_docstring(tree, clean=False) and singular(words) in COMMANDS)
        ]
    return found


def test_commands_named_in_messages_exist() -> None:
    """No error, docstring or help sends anybody to a command or an option that there is not."""
    known, wrong = commands(), []
    for place, line in named_commands():
        words = line.replace("…", "").split()
        name = command_of(words)
        options = {o for p in known[name].params for o in p.opts + p.secondary_opts} if name else set()
        given = [word for word in words if word.startswith("--")]
        if not name or not set(given) <= options:
            wrong.append((place, line))

    assert len(named_commands()) > 40
    assert wrong == []


def test_every_scorer_and_every_kind_of_dataset_is_documented() -> None:
    """Each has its row in the table of its page."""
    scorers, kinds = (ROOT / "docs" / "evaluation.md").read_text(), (ROOT / "docs" / "datasets.md").read_text()

    assert [name for name in [*PLAIN, *JUDGES] if f"| `{name}` |" not in scorers] == []
    assert [name for name in KINDS if f"| `{name}`" not in kinds] == []
