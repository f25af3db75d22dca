"""Redaction as work: what comes back of each example, and what goes to where they are."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from flows.redact.redact import STEPS
from flows.redact.work import GIVEN, Redact
from schemas.errors import LakeError
from schemas.records import Example
from schemas.secrets import Secret
from schemas.settings import CurateSettings
from tests.support.examples import example

SETTINGS = CurateSettings(salt=Secret("never told"), recognisers={"badge": r"\bB-\d{5}\b"})


def redacted(work: Redact, *examples: Example) -> list[dict[str, Any]]:
    """What a work makes of them, in two batches."""
    given = pa.table({"example": [msgspec.json.encode(each).decode() for each in examples]}, GIVEN)
    return pa.Table.from_batches(work(iter(given.to_batches(max_chunksize=2)))).to_pylist()


def test_each_example_comes_back_without_personal_data() -> None:
    """With what was replaced in it alone; null where it would take too long, and the others are there."""
    heavy = example(2, json.dumps(["x"] * (STEPS // 50 + 1)))
    first, second, third = redacted(
        Redact.of(SETTINGS), example(1, "I am ann@example.org, B-12345"), heavy, example(3, "where is my parcel")
    )

    assert msgspec.json.decode(first["example"], type=Example).text == "I am <EMAIL_1>, <BADGE_1>"
    assert json.loads(first["redacted"]) == {"email": 1, "badge": 1}
    assert second["example"] is None
    assert msgspec.json.decode(third["example"], type=Example).text == "where is my parcel"
    assert third["redacted"] == "{}"


def test_what_is_sent_is_what_redaction_needs() -> None:
    """It does elsewhere what it does here, and the salt of the settings is not among what goes there."""
    sent = pickle.dumps(Redact.of(SETTINGS))

    assert b"never told" not in sent
    assert redacted(pickle.loads(sent), example(1, "B-12345")) == redacted(Redact.of(SETTINGS), example(1, "B-12345"))


def test_other_code_does_not_redact_for_it() -> None:
    """Another version might find something else, and would not be asked again."""
    with pytest.raises(LakeError, match="install the same version"):
        redacted(replace(Redact.of(SETTINGS), code="another"), example(1, "hello"))
