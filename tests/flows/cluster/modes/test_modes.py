"""How a failure failed: from its reasons, its calls, what a person changed, and the shape of its answer."""

from __future__ import annotations

from typing import Any

import pytest

from flows.cluster.modes.calls import agent_mode, is_error
from flows.cluster.modes.edits import EDITS, edit_of
from flows.cluster.modes.modes import SHAPES, mode_of, own_mode, said, shape
from flows.topic import CHARS, topic
from schemas.messages import to_chat
from tests.support.growing import grows


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def answer(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def call(id_: str, name: str, arguments: str = "{}") -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}],
    }


def result(id_: str, text: str) -> dict[str, str]:
    return {"role": "tool", "tool_call_id": id_, "content": text}


@pytest.mark.parametrize(
    ("turns", "wanted"),
    [
        ([user("cancel my order please now")], "cancel my order please now"),
        ([user("cancel my order please"), answer("Sure?"), user("yes please")], "cancel my order please\nyes please"),
        ([user("hello"), answer("Hi"), user("refund"), answer("?"), user("yes")], "hello\nrefund\nyes"),
        ([user("where is my parcel now"), answer("?"), user("I want the money back")], "I want the money back"),
        ([answer("Welcome")], ""),
        ([], ""),
        ([user("a" * 5000), answer("?"), user("ok")], "a" * CHARS + "\nok"),
        ([user("我的包裹在哪里"), answer("?"), user("好")], "我的包裹在哪里\n好"),
    ],
)
def test_a_short_request_takes_the_turns_before_it(turns: list[dict[str, str]], wanted: str) -> None:
    """`yes please` is no topic: what was asked before is; a request that says what it wants stands alone."""
    assert topic(to_chat(turns)) == wanted


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("Your order 4512 comes.", "Your order 4513 comes.", "number"),
        ("It costs 12.50 with tax", "It costs 13 with tax", "number"),
        ("It arrives on March 3 at noon", "It arrives on March 4 at noon", "date"),
        ("It leaves 2026-01-02 in time", "It leaves 2026-02-01 in time", "date"),
        ("Please ask Anna Berg at the desk", "Please ask Maria Holm at the desk", "name"),
        ("- red\n- green\n- blue", "red, green, blue", "format"),
        ("one two three four five six seven eight nine ten", "one two three four", "shortened"),
        ("we ship", "we ship to your door within two days of the order", "extended"),
        ("you can pay by card or cash at the till", "you can pay by card or transfer at the desk", "reworded"),
        ("the shop opens early in summer", "please write to support about invoices", "rewritten"),
        ("the same", "the same", "same"),
        ("", "an answer", "rewritten"),
    ],
)
def test_the_kind_of_an_edit(before: str, after: str, kind: str) -> None:
    """What a person changed is named by what was exchanged for what."""
    assert edit_of(before, None, after) == kind
    assert kind in EDITS


@pytest.mark.parametrize(
    ("correction", "kind"),
    [
        ('{"name": "refund", "arguments": {"order": 2}}', "arguments"),
        ('{"order": 2}', "arguments"),
        ('[{"function": {"name": "refund", "arguments": "{}"}}]', "arguments"),
        ('{"name": "cancel", "arguments": {}}', "tool"),
        ("You should have said no.", "rewritten"),
        ("42", "rewritten"),
        ('["no", "refund"]', "rewritten"),
        ("[" * 5000, "rewritten"),
    ],
)
def test_an_edit_of_a_call(correction: str, kind: str) -> None:
    """Of an answer that called a tool: other arguments, another tool, or words instead."""
    calls = [{"id": "1", "type": "function", "function": {"name": "refund", "arguments": '{"order": 1}'}}]
    assert edit_of("", calls, correction) == kind


@pytest.mark.parametrize(
    ("turns", "mode"),
    [
        ([user("q"), call("1", "find"), result("1", "[1]"), answer("found")], None),
        ([user("q"), call("1", "book"), result("1", "Error: no seats"), answer("sorry")], "gave_up:book"),
        (
            [user("q"), call("1", "book"), result("1", "Error: no"), call("2", "book"), result("2", "ok"), answer("k")],
            "tool_error:book",
        ),
        (
            [user("q"), call("1", "f", '{"a":1,"b":2}'), result("1", "x"),
             call("2", "f", '{"b":2,"a":1}'), result("2", "x")],
            "loop:f",
        ),
        (  # the second answer is another: something was learnt
            [user("q"), call("1", "f"), result("1", "x"), call("2", "f"), result("2", "y"), answer("y")],
            None,
        ),
        ([user("q"), call("1", "<b>\n" + "x" * 99), result("1", "Error")], "gave_up:_b__" + "x" * 60),
        ([user("q"), answer("no call at all")], None),
    ],
)  # fmt: skip
def test_what_the_calls_of_an_agent_show(turns: list[dict[str, Any]], mode: str | None) -> None:
    """A loop before a goal that was given up, that before an error which was mended; a tool's name is kept plain."""
    assert agent_mode(to_chat(turns)) == mode


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Error: payment not found", True),
        ("  [ERROR] timeout", True),
        ('{"error": "no such user"}', True),
        ('{"error": null, "rows": 3}', False),
        ('{"status": "failed"}', True),
        ("errors are described in chapter 4", False),
        ("no error occurred", False),
        ("{" * 20_000, False),
        ("", False),
    ],
)
def test_a_tool_that_failed_says_so(text: str, error: bool) -> None:
    """By how its answer begins or by a field of its JSON, never by a word somewhere in what it found."""
    assert is_error(text) is error


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Yes.", "short"), ("Words that go on. " * 20, "prose"), ("Words that go on. " * 200, "long"),
        ("First:\n- a\n- b", "list"), ("1. a\n2. b", "list"), ("|a|b|\n|-|-|\n|1|2|", "table"),
        ("Run:\n```\nls\n```", "code"), ('{"a": 1}', "json"), ("", "empty"),
    ],
)  # fmt: skip
def test_the_shape_of_an_answer(text: str, wanted: str) -> None:
    """By its marks and its length, in any language."""
    assert shape(to_chat([answer(text)])) == wanted
    assert wanted in SHAPES


def test_a_failure_has_the_first_mode_that_holds() -> None:
    """Findings, then calls, then verdicts, then what was corrected, then the shape: a thumb says nothing of how."""
    own, loop = "answer:list", "loop:find"
    assert mode_of(["refusal", "truncated"], loop, ["refusal", "guardrail:toxic"], "number") == "truncated"
    assert mode_of([], loop, ["guardrail:toxic"], "number") == "loop:find"
    assert mode_of([], own, ["label:rude", "guardrail:toxic", "thumb_down"], "number") == "guardrail:toxic"
    assert mode_of([], own, ["correction", "judge:strict"], "number") == "edit:number"
    assert mode_of([], own, ["correction"], "same") == own
    assert mode_of(["error:500"], None, [], None) == "error:500"
    assert mode_of([], None, ["thumb_down"], None) == "answer:prose"
    assert (said("edit:number"), said("loop:find"), said("answer:list"), said("other")) == (
        "corrected: a number", "the same call again: find", "answered: a list", "other",
    )  # fmt: skip


def test_long_and_hostile_texts_cost_no_more_than_reading_them() -> None:
    """Of repeated marks, brackets and blanks four times as many cost some four times the time."""

    def read(text: str) -> None:
        own_mode(to_chat([user(text)]), to_chat([answer(text)]))
        edit_of(text, None, text[::-1])
        is_error(text)

    for piece in ("|", "- ", " \n", "{", "a.", "`", "\n|"):
        assert grows(read, piece * 12_500, piece * 50_000, 9), piece


def test_many_exchanged_words_cost_no_more_than_reading_them() -> None:
    """Each word of two long texts is another: names and dates are looked for once a text, not once a word."""
    small, large = (" ".join(f"{n:x}" for n in range(many)) for many in (1_500, 6_000))

    assert grows(lambda text: edit_of(text, None, text.replace(" ", " z")), small, large, 9)
