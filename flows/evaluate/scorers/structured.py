"""Scorers for answers with a form: numbers, patterns, JSON, tool calls.

What a model writes may be hostile: a pattern has a time limit, a schema fetches nothing. Go on to `registry.py`.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from flows.evaluate.answers import Answer
from flows.evaluate.scorers.numbers import last_number
from flows.evaluate.scorers.protocol import NO_REFERENCE, Each, Mark, Scorer
from schemas.errors import SettingsError
from schemas.messages.called import called, canonical
from schemas.normalise import normalise
from schemas.records import Item

PATTERN_S = 0.2
"""The longest that one answer may be searched: patterns that need more are explosive."""
SLOW_MOST = 5
"""So many slow answers are enough to know such a pattern by."""


def pattern(pattern: str, ignore_case: bool = False) -> Scorer:
    """1 if the pattern is found in the text; with a group in it, 1 if what the first group took is the reference.

    `pattern_too_slow` where one answer takes more than PATTERN_S, and for all that come after SLOW_MOST such answers.
    Raises SettingsError for a pattern that is none.
    """
    import regex  # type: ignore[import-untyped]  # noqa: PLC0415 slow to import; unlike `re` it can be stopped

    try:
        search = regex.compile(pattern, regex.IGNORECASE if ignore_case else 0).search
    except regex.error as error:
        raise SettingsError(f"evaluate.scorer_options: {pattern!r} is not a pattern: {error}") from error

    slow = 0

    def mark(item: Item, answer: Answer) -> Mark:
        nonlocal slow
        if slow == SLOW_MOST:
            return Mark(None, "pattern_too_slow")
        try:
            match = search(answer.text, timeout=PATTERN_S)
        except TimeoutError:
            slow += 1
            return Mark(None, "pattern_too_slow")
        if match is None or not match.re.groups:
            return Mark(float(match is not None))
        if item.reference is None:
            return NO_REFERENCE
        return Mark(float(normalise(match.group(1) or "") == normalise(item.reference)))

    return Each("pattern", mark)


def json_schema(schema: dict[str, Any]) -> Scorer:
    """1 if the text is JSON (bare, or as one fenced block) that the schema allows.

    References to other documents are not fetched. Raises SettingsError for a schema that is none.
    """
    from jsonschema import exceptions, validators  # type: ignore[import-untyped]  # noqa: PLC0415 slow to import
    from referencing import Registry  # noqa: PLC0415
    from referencing.exceptions import Unresolvable  # noqa: PLC0415

    kind = validators.validator_for(schema)
    try:
        kind.check_schema(schema)
    except exceptions.SchemaError as error:
        raise SettingsError(f"evaluate.scorer_options: not a JSON Schema: {error.message}") from error
    validator = kind(schema, registry=Registry())

    def mark(_: Item, answer: Answer) -> Mark:
        try:
            return Mark(float(validator.is_valid(_json(answer.text))))
        except (msgspec.ValidationError, ArithmeticError):  # beyond what Python reads, or what `multipleOf` divides
            return Mark(None, "number_too_large")
        except ValueError:
            return Mark(0.0)
        except RecursionError:
            return Mark(None, "nested_too_deep")
        except Unresolvable:
            return Mark(None, "schema_unresolved")

    return Each("json_schema", mark)


def numeric(tolerance: float = 1e-6) -> Scorer:
    """1 if the last number of the text equals that of the reference, within a relative tolerance.

    Where a text marks its answer with `####`, as GSM8K does, the number after the last mark counts.
    """

    def mark(item: Item, answer: Answer) -> Mark:
        expected = last_number(item.reference or "")
        if expected is None:
            return NO_REFERENCE
        found = last_number(answer.text)
        close = found is not None and math.isclose(found, expected, rel_tol=tolerance, abs_tol=tolerance * 1e-3)
        return Mark(float(close))

    return Each("numeric", mark)


def tool_calls(ordered: bool = False) -> Scorer:
    """1 if the model called the tools of the reference with equal arguments, in any order unless `ordered`.

    The reference is the calls as JSON: `[{"name": …, "arguments": {…}}]`, or in OpenAI's form. `[]` expects no call.
    """

    def mark(item: Item, answer: Answer) -> Mark:
        try:
            expected = [canonical(called(call)) for call in msgspec.json.decode(item.reference or "")]
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            return NO_REFERENCE
        try:
            made = [canonical(called(call)) for call in answer.tool_calls]
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            return Mark(0.0)  # the model wrote arguments that no tool could take
        return Mark(float(made == expected if ordered else sorted(made) == sorted(expected)))

    return Each("tool_calls", mark)


def _json(text: str) -> Any:
    """A text as JSON, with or without one Markdown fence around it. Raises ValueError."""
    bare = text.strip()
    if bare.startswith("```") and bare.endswith("```") and "\n" in bare:
        bare = bare[bare.index("\n") : -3]
    return msgspec.json.decode(bare)
