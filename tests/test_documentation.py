"""The documentation is a test: links lead somewhere, commands exist, settings are all there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup, TyperOption

from flows.cli import app
from flows.commands.settings import knobs, markdown_page

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
COMMAND = re.compile(r"^\$ (?:\.venv/bin/)?flywheel (.*?)(?:\s+#.*)?$", re.MULTILINE)


def commands() -> dict[str, Any]:
    """Every command by its full name, `clusters list` and so on."""

    def walk(group: TyperGroup, prefix: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, command in group.commands.items():
            full = f"{prefix}{name}"
            if isinstance(command, TyperGroup):
                found.update(walk(command, full + " "))
                if command.invoke_without_command:
                    found[full] = command
            else:
                found[full] = command
        return found

    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return walk(group, "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link in a page names a file that exists."""
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())

    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_in_pages_exist(page: Path) -> None:
    """A `$ flywheel …` line in a page is a command with options that the program has."""
    known = commands()
    for line in COMMAND.findall(page.read_text()):
        words = shlex.split(line.rstrip("\\"))
        named = [word for word in words if not word.startswith("-")]
        name = next((" ".join(named[:n]) for n in (3, 2, 1) if " ".join(named[:n]) in known), None)
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
