"""Tokens: shown once, kept as hashes, believed from the next request on."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from schemas.errors import SettingsError, UsageError
from streams.doors.tokens import ALL, ANYBODY, Grant, May, Tokens

FILE = "secrets/door-tokens.json"


def grant(name: str = "shop", *may: May) -> Grant:
    """A grant of the application `shop`."""
    return Grant(name=name, application="shop", may=may) if may else Grant(name=name, application="shop")


def test_a_token_is_known_by_its_hash_alone(tmp_path: Path) -> None:
    """The file, its owner's alone, holds no token; the token is masked wherever it is shown."""
    tokens = Tokens(tmp_path)
    made = tokens.make(grant())

    kept = tmp_path / FILE
    assert made.reveal() not in kept.read_text()
    assert str(made) == "***"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert tokens.grant(made.reveal()) == tokens.all()[0]


def test_without_tokens_anybody_may_send_and_with_one_nobody_else(tmp_path: Path) -> None:
    """Also in a process that looked before: it sees the file change."""
    looking, making = Tokens(tmp_path), Tokens(tmp_path)
    assert looking.grant(None) is ANYBODY
    made = making.make(grant())

    assert looking.grant(None) is None
    assert looking.grant("") is None
    assert looking.grant(made.reveal() + "x") is None
    found = looking.grant(made.reveal())
    assert found is not None
    assert found.name == "shop"


def test_a_door_that_others_reach_is_never_open_to_anybody(tmp_path: Path) -> None:
    """Not even where its tokens went while it ran: their file was deleted, or holds none."""
    tokens = Tokens(tmp_path, "0.0.0.0")
    made = tokens.make(grant())
    assert tokens.grant(made.reveal()) is not None

    (tmp_path / FILE).write_text("[]")
    assert tokens.grant(made.reveal()) is None
    (tmp_path / FILE).unlink()
    assert tokens.grant(made.reveal()) is None
    assert tokens.grant(None) is None
    assert Tokens(tmp_path, "localhost").grant(None) is ANYBODY


def test_a_revoked_token_is_nobodys(tmp_path: Path) -> None:
    """The last one stays, or everybody could send again."""
    tokens = Tokens(tmp_path)
    first, second = tokens.make(grant("a")), tokens.make(grant("b"))
    tokens.revoke("a")

    assert Tokens(tmp_path).grant(first.reveal()) is None
    assert Tokens(tmp_path).grant(second.reveal()) is not None
    with pytest.raises(UsageError, match="last token"):
        tokens.revoke("b")
    with pytest.raises(UsageError, match="no token 'a'"):
        tokens.revoke("a")
    with pytest.raises(UsageError, match="already"):
        tokens.make(grant("b"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
def test_a_file_that_others_reach_lets_nobody_in(tmp_path: Path, mode: int) -> None:
    """They could have added a token of their own."""
    made = Tokens(tmp_path).make(grant())
    (tmp_path / FILE).chmod(mode)

    with pytest.raises(SettingsError, match="chmod 600"):
        Tokens(tmp_path).grant(made.reveal())


@pytest.mark.parametrize(
    ("type_name", "fields", "may", "taken"),
    [
        ("llm.interaction.v1", {"application": "shop"}, ("interactions",), True),
        ("llm.interaction.v1", {"application": "shop"}, ("feedback",), False),
        ("llm.interaction.v1", {"application": "other"}, ALL, False),
        ("llm.interaction.v1", {}, ALL, False),
        ("llm.feedback.v1", {"application": "shop"}, ("feedback",), True),
        ("llm.feedback.v1", {"application": "shop", "source": None}, ("feedback",), True),
        ("llm.feedback.v1", {"application": "shop", "source": "judge:x"}, ("feedback",), False),
        ("llm.feedback.v1", {"application": "shop", "source": ["user"]}, ("feedback",), False),
        ("llm.feedback.v1", {"application": "shop", "source": "judge:x"}, ("verdicts",), True),
        ("llm.feedback.v1", {"application": "shop", "source": "user"}, ("verdicts",), False),
        ("llm.erasure.v1", {"application": "shop"}, (), False),
        ("llm.erasure.v1", {"application": "shop"}, ALL, True),
        ("llm.erasure.v1", {"application": None}, ALL, False),
        ("llm.decision.v1", {"application": "shop"}, ALL, False),
        ("llm.alert.v1", {"application": "shop"}, ALL, False),
    ],
)
def test_a_token_sends_what_it_may(
    type_name: str, fields: dict[str, object], may: tuple[May, ...], taken: bool
) -> None:
    """Of its own application; an erasure in every application is nobody's; decisions are never taken."""
    one = grant("t", *may) if may else grant()

    assert (one.refusal(type_name, fields) == "") is taken


def test_the_commands_make_list_and_revoke(tmp_path: Path) -> None:
    """As an operator meets them."""
    runner, home = CliRunner(), ["--home", str(tmp_path)]
    made = runner.invoke(app, [*home, "door", "token", "make", "shop"])
    assert Tokens(tmp_path).grant(made.output.strip()) is not None
    runner.invoke(app, [*home, "door", "token", "make", "shop", "--name", "page", "--may", "feedback"])

    listed = runner.invoke(app, [*home, "door", "token", "list"]).output
    assert "page" in listed
    assert made.output.strip() not in listed
    assert "revoked" in runner.invoke(app, [*home, "door", "token", "revoke", "page"]).output
    wrong = runner.invoke(app, [*home, "door", "token", "make", "x", "--may", "everything"])
    assert isinstance(wrong.exception, UsageError)
