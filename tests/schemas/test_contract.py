"""The contract that other languages build on: JSON Schemas and golden events, held word for word."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from schemas.codec import decode, encode, json_schemas
from schemas.events import EVENT_TYPES
from schemas.fields import page
from schemas.rows import row
from schemas.tables import TABLES
from schemas.topics import ARCHIVED, TOPICS

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_the_json_schema_is_the_one_that_was_agreed(name: str) -> None:
    """A change of an event type changes a file that a person reviews: `make schemas` writes it."""
    held = json.loads((ROOT / "schemas" / "json" / f"{name}.json").read_text())

    assert held == json_schemas()[name], "write it anew with `make schemas`, and look at what changes for others"


def test_the_page_of_fields_is_what_the_code_says() -> None:
    """Every field of every event has its kind, its range and its meaning there."""
    assert (ROOT / "docs" / "fields.md").read_text() == page(), "write it anew with `make schemas`"
    assert [line for line in page().splitlines() if line.endswith("|  |")] == []


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_events_are_read_for_ever(path: Path) -> None:
    """An event that was ever valid stays valid, under its JSON Schema and under both ways of reading it."""
    type_name = path.stem.partition("-")[0]
    value = path.read_bytes()

    jsonschema.validate(json.loads(value), json_schemas()[type_name])
    decoded = decode(value, type_name)
    assert decode(encode(decoded.event), type_name).event == decoded.event
    assert row(value, type_name)[0] == decoded.event.id


def test_every_event_type_has_a_golden_file() -> None:
    """No type is without a recorded example of each version."""
    assert {path.stem.partition("-")[0] for path in GOLDEN} == set(EVENT_TYPES)


def test_topics_tables_and_types_fit_together() -> None:
    """Each topic carries a known type under a field of it, and each archived field has its column."""
    for topic in TOPICS:
        assert topic.key in EVENT_TYPES[topic.event_type].__struct_fields__
    for topic in ARCHIVED:
        fields = {field.name for field in msgspec.structs.fields(EVENT_TYPES[topic.event_type])}
        columns = set(TABLES[topic.table].schema.names)
        assert fields <= columns, f"{topic.table} has no column for {fields - columns}"
