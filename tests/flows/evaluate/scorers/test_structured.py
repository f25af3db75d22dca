"""Scorers for answers with a form, some of them hostile."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flows.evaluate.answers import Answer
from flows.evaluate.scorers.numbers import last_number
from flows.evaluate.scorers.protocol import NO_REFERENCE, Each, Mark
from flows.evaluate.scorers.structured import SLOW_MOST, json_schema, numeric, pattern, tool_calls
from schemas.errors import SettingsError
from schemas.records import Item


def mark(scorer: Any, text: str | Answer, reference: str | None = None) -> Mark:
    assert isinstance(scorer, Each)
    return scorer.mark(Item("i", (), reference), text if isinstance(text, Answer) else Answer(text))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("42", 42), ("It is 1,234.5.", 1234.5), ("x = -3", -3), ("3-4", 4), ("-$1,000", -1000), ("5%", 5), (".5", 0.5),
        ("18.", 18), ("about 3e5", 3e5), ("1\u202f234\u00a0567", 1234567), ("1,2345", 1.2345), ("10 20", 20), ("٣", 3),
        ("5 − 1 = −4", -4), ("#### 7 (not 8)", 8), ("9 #### 7", 7), ("none", None), ("", None), ("1e999", None),
        ("-", None), ("½", 0.5), ("2½ cups", 2.5), ("-¾", -0.75), ("3/4", 0.75), ("1 1/2", 1.5), ("5/0", None),
        ("on 3/4/2026", None), ("45,67,891", 4567891), ("1,23,45,678.5", 12345678.5), ("9'876'543.21", 9876543.21),
        ("9’876", 9876), ("9.876,5", 9876.5), ("9.876.543,21", 9876543.21), ("9 876,5 €", 9876.5), ("9 876", 9876),
        ("3,5", 3.5), ("0,125", 0.125), ("12 345 678", 12345678), ("1234 5678", 5678), ("1,2,3", None), ("1.2.3", None),
        ("12,3456,7", None), ("1,234,5", None), ("9,876", 9876), ("it is 9,876.", 9876), ("٩٬٨٧٦٫٥", 9876.5),
        ("９，８７６", 9876), ("-1.234,5", -1234.5), ("costs €1.234,50 in all", 1234.5), ("9 876 or 5 432", 5432),
        ("9" * 400, None), ("1," * 50_000, None),
    ],
)  # fmt: skip
def test_the_last_number_is_read(text: str, number: float | None) -> None:
    """As people and models write numbers."""
    assert last_number(text) == number


def test_numbers_are_compared_by_value() -> None:
    """Within a tolerance that is relative; no number is a wrong answer, no number asked for is no score."""
    assert mark(numeric(), "So the total is $1,500.00", "#### 1500") == Mark(1.0)
    assert mark(numeric(), "1501", "1500") == Mark(0.0)
    assert mark(numeric(tolerance=0.01), "1501", "1500") == Mark(1.0)
    assert mark(numeric(), "0.0", "0") == Mark(1.0)
    assert mark(numeric(), "I do not know", "1500") == Mark(0.0)
    assert mark(numeric(), "1", "many") == NO_REFERENCE
    assert mark(numeric(), "1", None) == NO_REFERENCE


def test_four_real_models_get_their_recorded_marks(shared_data: Any) -> None:
    """On recorded solutions to GSM8K, the number is judged as the data's makers judged it."""
    same = total = 0
    for line in (shared_data / "gsm8k_model_solutions.jsonl").read_text().splitlines():
        row = json.loads(line)
        for model in [name for name, value in row.items() if isinstance(value, dict) and "is_correct" in value]:
            total += 1
            found = mark(numeric(), row[model]["solution"], row["ground_truth"])
            same += found == Mark(float(row[model]["is_correct"]))

    assert total == 4 * 1319
    assert same / total > 0.99


def test_a_pattern_is_searched() -> None:
    """Found or not; with a group, what it took is the reference or not."""
    assert mark(pattern(r"\bORD-\d{4}\b"), "your order ORD-1234") == Mark(1.0)
    assert mark(pattern(r"\bORD-\d{4}\b"), "your order") == Mark(0.0)
    assert mark(pattern("sorry", ignore_case=True), "SORRY") == Mark(1.0)
    assert mark(pattern(r"answer: (\w+)"), "The answer: Yes", "yes") == Mark(1.0)
    assert mark(pattern(r"answer: (\w+)"), "The answer: no", "yes") == Mark(0.0)
    assert mark(pattern(r"answer: (\w+)"), "The answer: no", None) == NO_REFERENCE
    with pytest.raises(SettingsError, match="not a pattern"):
        pattern("(")


def test_an_explosive_pattern_is_stopped() -> None:
    """A pattern that would search for years is given up: no score, and the run goes on."""
    explosive = pattern(r"^(?:a|aa)+$")

    assert mark(explosive, "a" * 5000 + "b") == Mark(None, "pattern_too_slow")
    assert mark(explosive, "aa") == Mark(1.0)


def test_a_pattern_that_is_always_slow_is_given_up() -> None:
    """An eval set of ten thousand slow answers takes seconds, not an hour."""
    explosive = pattern(r"^(?:a|aa)+$")
    for _ in range(SLOW_MOST):
        mark(explosive, "a" * 5000 + "b")

    assert mark(explosive, "aa") == Mark(None, "pattern_too_slow")


SCHEMA = {"type": "object", "required": ["total"], "properties": {"total": {"type": "number", "minimum": 0}}}


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"total": 5}', 1.0),
        ('```json\n{"total": 5}\n```', 1.0),
        ('{"total": -5}', 0.0),
        ("{}", 0.0),
        ('Here it is: {"total": 5}', 0.0),
        ('{"total": NaN}', 0.0),
        ("", 0.0),
        ('{"total": 5}{"total": 6}', 0.0),
    ],
)
def test_json_is_held_to_the_schema(text: str, score: float) -> None:
    """JSON alone, of the right shape."""
    assert mark(json_schema(SCHEMA), text) == Mark(score)


def test_a_deep_text_does_not_break_the_scorer() -> None:
    """A hundred thousand brackets are one bad answer."""
    recursive = {"$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}

    assert mark(json_schema(recursive), "[" * 100_000 + "]" * 100_000).score in {0.0, None}
    assert mark(json_schema(recursive), "[" * 900 + "]" * 900).score in {1.0, None}


def test_a_schema_fetches_nothing(endpoint: Any) -> None:
    """A reference to another document is an answer that cannot be checked, not a request from inside."""
    remote = json_schema({"$ref": f"{endpoint.url}/chat/completions"})

    assert mark(remote, "{}") == Mark(None, "schema_unresolved")
    assert not endpoint.seen


def test_a_schema_that_is_none_is_refused() -> None:
    """Before the run, not in the middle of it."""
    with pytest.raises(SettingsError, match="not a JSON Schema"):
        json_schema({"type": "nothing"})


def called(*calls: tuple[str, Any]) -> Answer:
    functions = [{"name": name, "arguments": arguments} for name, arguments in calls]
    return Answer(tool_calls=tuple({"id": "c", "type": "function", "function": function} for function in functions))


REFUND = {"name": "refund", "arguments": {"order": 7, "reason": "late"}}
REFERENCE = json.dumps([REFUND, {"name": "mail", "arguments": {}}])


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        (called(("refund", '{"reason": "late", "order": 7}'), ("mail", "")), 1.0),
        (called(("mail", "{}"), ("refund", {"order": 7, "reason": "late"})), 1.0),
        (called(("refund", '{"order": 7, "reason": "late"}')), 0.0),
        (called(("refund", '{"order": "7", "reason": "late"}'), ("mail", "{}")), 0.0),
        (called(("refund", '{"order": 7'), ("mail", "{}")), 0.0),
        (called(("refund", '{"order": 7, "reason": "late"}'), ("mail", "{}"), ("mail", "{}")), 0.0),
        (Answer("I refunded it."), 0.0),
        (called(("refund", "[" * 100_000), ("mail", "{}")), 0.0),
        (Answer(tool_calls=({"id": "1"},)), 0.0),
    ],
)
def test_tool_calls_are_compared_by_name_and_arguments(answer: Answer, score: float) -> None:
    """Whatever the order of keys and calls; every call counts, and talk is no call."""
    assert mark(tool_calls(), answer, REFERENCE) == Mark(score)


def test_the_order_of_tool_calls_can_matter() -> None:
    """With `ordered`, first things come first."""
    backwards = called(("mail", "{}"), ("refund", {"order": 7, "reason": "late"}))

    assert mark(tool_calls(ordered=True), backwards, REFERENCE) == Mark(0.0)


def test_no_call_can_be_right() -> None:
    """An empty list expects that no tool is called; a reference that is not JSON expects nothing."""
    assert mark(tool_calls(), Answer("Hello!"), "[]") == Mark(1.0)
    assert mark(tool_calls(), called(("mail", "{}")), "[]") == Mark(0.0)
    assert mark(tool_calls(), Answer("Hello!"), "Hello!") == NO_REFERENCE


@pytest.mark.parametrize(
    ("schema", "text", "reason"),
    [
        ({"multipleOf": 0.01}, "7" * 400, "number_too_large"),
        ({"properties": {"n": {"multipleOf": 0.5}}}, '{"n": ' + "1" * 400 + "}", "number_too_large"),
        ({"type": "number"}, "1" * 5000, "number_too_large"),
        ({"type": "number"}, "1e999", "number_too_large"),
        ({"type": "array"}, "[" * 100_000, "nested_too_deep"),
    ],
    ids=str,
)
def test_what_no_schema_can_look_at_is_unscored(schema: dict[str, Any], text: str, reason: str) -> None:
    """A model's number or nesting that stops the checker is nobody's failure, and the run goes on."""
    assert mark(json_schema(schema), text) == Mark(None, reason)
