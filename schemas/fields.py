"""docs/fields.md: every field of every event with its kind, its range and what it means, out of the JSON Schemas.

`make schemas` writes it beside them; a test holds it to the code. Go on to `schemas/codec.py`.
"""

from __future__ import annotations

from typing import Any

from schemas.codec import json_schemas

HEADER = """# Fields: every event, field by field

Made by `make schemas` of the sentences in `schemas/events.py`; a test holds it to the code. The same stands for
machines in [`schemas/json/`](../schemas/json). **Bold** fields must be there; every other one may be absent or
null. How events are sent is in [contracts](contracts.md).
"""
RULES = """
## What takes back, and what comes instead

Three fields of feedback name other events by their id; which of them holds is decided when somebody reads, so that
order does not matter.

- **`retracts`**: an earlier feedback event is taken back, and this one says nothing itself; its `kind` is that of
  the event that it takes back, and no `value` is needed. Somebody withdrew their thumb.
- **`supersedes`**: an earlier feedback event is replaced by this one, which counts in its place. Somebody changed
  three stars into five. Both count only where `source`, `user_id` (or, without one, `conversation_id`),
  `application` and `interaction_id` are those of the event that they name: nobody takes back what another said.
- **`replaced_by`**: of `regenerate` and `retry`, the id of the *interaction* that answered instead. The first
  answer was not good enough; where the second was, the two are a pair to learn from.
"""
NAMED = {"Interaction", "Feedback", "Erasure", "Decision", "Candidate", "Alert"}
"""Structures that are shown; messages have a section of their own in docs/contracts.md."""


def page() -> str:
    """The whole page."""
    parts = [HEADER]
    for name, schema in json_schemas().items():
        for structure, definition in schema["$defs"].items():
            if structure in NAMED and not (structure == "Candidate" and "decision" not in name):
                parts.append(_table(name if structure != "Candidate" else "Candidate, of a decision", definition))
        if name == "llm.feedback.v1":
            parts.append(RULES)
    return "\n".join(parts)


def _table(title: str, definition: dict[str, Any]) -> str:
    required = set(definition.get("required", ()))
    rows = [
        f"| {f'**`{name}`**' if name in required else f'`{name}`'} | {_kind(about)} | {about.get('description', '')} |"
        for name, about in definition["properties"].items()
    ]
    head = f"\n## `{title}`\n" if title.startswith("llm.") else f"\n### {title}\n"
    return "\n".join([head, "| field | kind and range | meaning |", "|---|---|---|", *rows])


def _kind(about: dict[str, Any]) -> str:
    """What a value may be, in words."""
    options = [each for each in about.get("anyOf", [about]) if each.get("type") != "null"]
    return " or ".join(_one(each) for each in options)


def _one(about: dict[str, Any]) -> str:
    if choices := about.get("enum"):
        return ", ".join(f"`{each}`" for each in choices)
    if place := about.get("$ref"):
        return str(place).rpartition("/")[2].lower()
    if about.get("format") == "uuid":
        return "UUID in lower case"
    if about.get("format") == "date-time":
        return "RFC 3339 time with an offset"
    return f"{_noun(about)}{_range(about)}"


def _noun(about: dict[str, Any]) -> str:
    nouns = {"string": "text", "number": "number", "integer": "whole number", "boolean": "true or false",
             "object": "object", "array": "list"}  # fmt: skip
    noun = nouns.get(str(about.get("type")), "any value")
    if noun == "list" and about.get("items"):
        noun += f" of {_kind(about['items'])}"
    return noun


def _range(about: dict[str, Any]) -> str:
    unit = " characters" if about.get("type") == "string" else " entries" if about.get("type") == "array" else ""
    least = next((about[name] for name in ("minimum", "minLength", "minItems") if name in about), None)
    most = next((about[name] for name in ("maximum", "maxLength", "maxItems") if name in about), None)
    if least is None:
        return "" if most is None else f", at most {_figure(most)}{unit}"
    return f", {_figure(least)} to {_figure(most)}{unit}" if most is not None else f", at least {_figure(least)}{unit}"


def _figure(number: float) -> str:
    return "2^53" if number == 2**53 else f"{number:,.0f}" if abs(number) < 1e9 else f"{number:g}"
