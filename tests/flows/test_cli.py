"""The door: what it loads, what it calls its commands, and how it ends."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from flows import cli
from flows.cli import COMMANDS, app, load, run
from schemas.errors import FlywheelError, LakeError, UsageError

HEAVY = (
    "aiohttp", "confluent_kafka", "datasets", "deltalake", "duckdb", "fastapi", "faust", "graspologic_native", "jinja2",
    "kafka", "mlflow", "numpy", "pandas", "prefect", "pyarrow", "rapidfuzz", "rensa", "scipy", "sklearn", "wordllama",
)  # fmt: skip
NEVER = {"pandas", "sklearn", "graspologic_native", "faust", "datasets", "prefect", "mlflow", "wordllama"}
"""What no command needs before it does its work, if at all."""


def loaded_by(code: str) -> set[str]:
    """The heavy libraries that a new Python has loaded after running the code."""
    names = f"print(__import__('json').dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\n{names}"], capture_output=True, text=True, check=True, timeout=120
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_help_loads_no_heavy_library() -> None:
    """`flywheel --help` needs the words of the commands, not the commands."""
    assert loaded_by("from flows.cli import run\nassert run(['--help']) == 0") == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_loads_only_what_it_needs(name: str) -> None:
    """Nothing that learns, trains or orchestrates is loaded before it is used."""
    assert loaded_by(f"from flows.cli import load\nload({name!r})") & NEVER == set()


def test_looking_at_clusters_loads_no_science() -> None:
    """`cluster list` reads four small tables: neither statistics nor Kafka has a part in it."""
    loaded = loaded_by("from flows.cli import load\nload('cluster')")

    assert loaded & {"scipy", "kafka", "confluent_kafka"} == set()
    assert {"duckdb", "deltalake"} <= loaded


def test_arrow_still_finds_pandas_for_whoever_wants_it() -> None:
    """The lake keeps pandas out only until somebody asks for it."""
    loaded = loaded_by("import streams.lake, pyarrow as pa\nassert len(pa.table({'a': [1]}).to_pandas()) == 1")

    assert "pandas" in loaded


@pytest.mark.parametrize("name", COMMANDS)
def test_a_line_in_the_table_is_the_first_sentence_of_its_help(name: str) -> None:
    """The table repeats what the command says of itself, so that it need not be loaded to say it."""
    first = " ".join(load(name).help.split("\n\n")[0].split()).replace("\\[", "[")

    assert first.startswith(COMMANDS[name].line)


def test_brackets_in_a_help_are_brackets() -> None:
    """No help text is read as markup."""
    assert "[curate.recipes]" in CliRunner().invoke(app, ["dataset", "build", "--help"]).output


def test_the_plural_of_a_group_is_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`clusters list` is `cluster list`; a plural of what is no group is nothing."""
    assert run(["--home", str(tmp_path), "candidates", "list"]) == 0
    assert run(["--home", str(tmp_path), "turns"]) == cli.ERROR
    assert "No such command 'turns'. Did you mean" in capsys.readouterr().err


def test_the_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` names what is installed."""
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"llm-flywheel {importlib.metadata.version('llm-flywheel')}"


def refused(number: int, path: str) -> OSError:
    return OSError(number, "no luck", path)


@pytest.mark.parametrize(
    ("error", "command", "code"),
    [
        (UsageError("x"), "turn", 2),
        (LakeError("x"), "turn", 5),
        (FlywheelError("x"), "turn", 3),
        (typer.BadParameter("x"), "turn", 2),
        (refused(13, "/a"), "turn", 2),
        (refused(104, ""), "turn", 1),
        (ZeroDivisionError(), "turn", 1),
        (UsageError("x"), "gate", 3),
        (LakeError("x"), "gate", 3),
        (typer.BadParameter("x"), "gate", 3),
        (ZeroDivisionError(), "gate", 3),
        (typer.BadParameter("x"), None, 3),
    ],
)
def test_every_error_has_its_exit_code(error: Exception, command: str | None, code: int) -> None:
    """One map; no error of `gate`, or of what may have been meant to be `gate`, is one of its verdicts."""
    assert cli.exit_code(error, command) == code


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--nope"], 3, "No such option: --nope"),
        (["gat"], 3, "Did you mean 'gate'?"),
        (["gate", "--nope"], 3, "`flywheel gate --help`"),
        (["cluster", "show"], 2, "`flywheel cluster show --help`"),
        (["cluster", "list"], 6, "`flywheel turn` makes one"),
        (["cluster", "diff", "-2", "-1"], 6, "there are 0 cluster runs"),
        (["dataset", "show", "x"], 2, "UsageError"),
    ],
)
def test_an_error_is_one_sentence_that_says_what_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, says: str
) -> None:
    """No traceback for what a person can mend."""
    assert run(["--home", str(tmp_path), *words] if words[0] != "--nope" else words) == code

    told = capsys.readouterr().err
    assert says in told
    assert "Traceback" not in told
    assert len(told.strip().splitlines()) == 1


@pytest.mark.parametrize("words", [["up", "--no-prefect"], ["settings"], ["candidate", "list"], ["champion"]])
def test_a_home_that_cannot_be_made_ends_in_a_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """A path below /proc can be read, at most: what would write there says so."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    code = run(["--home", "/proc/nope", *words])

    assert code == (2 if words[0] == "up" else 0)
    assert "Traceback" not in capsys.readouterr().err


def test_a_bug_keeps_its_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What nobody foresaw is not hidden behind a sentence, and what it quotes cannot speak to the terminal."""

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("\x1b[2Joops")

    monkeypatch.setattr("flows.context.settings_from_environment", broken)

    assert run(["--home", str(tmp_path), "turn"]) == 1
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert r"\x1b[2Joops" in told
