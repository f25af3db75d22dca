"""Columns of the lake's tables ▶ values of the index's rows. Pure.

Go on to `fold.py`, which puts them in.
"""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from schemas.messages import last_text, parse
from schemas.unit import unit_of

ASK, REPLY, SAID = 240, 140, 2_000
"""Characters of a question and an answer that are listed and searched, and of a word of feedback: two lines, one line,
a page. The whole texts lie in the lake."""
ID_BYTES = 16
BUCKETS = 4
"""Of latency, a doubling: a percentile is known to within 9 %."""
EPOCH = date(1970, 1, 1)
NANO = 10**9
"""Costs are whole billionths of a dollar: sums are exact, in whatever order, in half the bytes."""
MOST_TOKENS, MOST_COST = 2**31, 1000 * NANO
"""Of one interaction; what is more counts as so much. SQLite's whole numbers and their sums end at 2^63, with an error,
and the contract takes more than that of a few events: whoever sends them would stop the index."""
INTERACTION = (
    "id", "time", "application", "conversation_id", "user_id", "request_model", "prompt_version", "variant",
    "error_type", "input_messages", "output_messages", "input_tokens", "output_tokens", "duration_ms", "cost_usd",
    "ingest_date",
)  # fmt: skip
FEEDBACK = (
    "id", "time", "application", "conversation_id", "user_id", "interaction_id", "kind", "source", "value", "label",
    "text", "supersedes", "retracts", "ingest_date",
)  # fmt: skip
OUTCOMES = {"unknown": 0, "ok": 1, "failed": 2}
NOT_JUDGED = 3
"""The outcome of what no run has judged yet."""
OF_CONVERSATION = "conversation & 2147483647 = ? & 2147483647 AND +conversation = ?"
OF_UNIT = "unit & 2147483647 = ? & 2147483647 AND +unit = ?"
"""Tests for one of them, its number given twice: the first half is what the index knows. Without the plus SQLite would
put the number in place of the column, and go through all of the index."""


def key_of(text: str) -> int:
    """A number of 63 bits for a name: the index holds no name of a conversation or a person."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def talk_key(conversation: str) -> int:
    """The number of a conversation: of a million, two share one once in five hundred worlds, and both are listed."""
    return key_of(conversation) >> 15


def id_of(text: str | None) -> bytes | None:
    """A UUID as its 16 bytes; None for what is none."""
    try:
        found = bytes.fromhex((text or "").replace("-", ""))
    except ValueError:
        return None
    return found if len(found) == ID_BYTES else None


def text_of(value: bytes) -> str:
    """The UUID of 16 bytes."""
    return str(uuid.UUID(bytes=value))


def milliseconds(moment: datetime) -> int:
    """Since 1970, in UTC."""
    return round(moment.timestamp() * 1000)


def beginning(text: str, longest: int) -> str:
    """A text, cut where it is too long, and showing that it is."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def bucket(duration: float | None) -> int | None:
    """The latency bucket of a duration in milliseconds."""
    return None if duration is None else math.floor(math.log2(max(duration, 1.0)) * BUCKETS)


def middle(number: int) -> float:
    """The duration in milliseconds that a bucket stands for: the geometric mean of its ends."""
    return float(2 ** ((number + 0.5) / BUCKETS))


def interactions(table: pa.Table, application: str) -> Iterator[tuple[Any, ...]]:
    """Rows of `interactions` of one application, in the order of `PUT`; the dim as (model, prompt version, variant)."""
    for (
        id_, time, told, conversation, user, model, prompt, variant, error, asked, answered, tokens_in, tokens_out,
        duration, cost, day,
    ) in _rows(table, INTERACTION):  # fmt: skip
        if told == application:
            yield (
                id_of(id_), milliseconds(time), (day - EPOCH).days, talk_key(conversation),
                key_of(unit_of(user, conversation)), (model, prompt or "", variant or ""), NOT_JUDGED, error,
                None if duration is None else round(duration), _most(tokens_in), _most(tokens_out),
                None if cost is None else min(round(cost * NANO), MOST_COST),
                beginning(last_text(parse(asked), "user"), ASK),
                beginning(last_text(parse(answered), "assistant"), REPLY),
            )  # fmt: skip


def feedback(table: pa.Table, application: str) -> Iterator[tuple[Any, ...]]:
    """Rows of `feedback` of one application, in the order of the index's columns."""
    for (
        id_, time, told, conversation, user, about, kind, source, value, label, text, supersedes, retracts, day,
    ) in _rows(table, FEEDBACK):  # fmt: skip
        if told == application:
            yield (
                id_of(id_), id_of(about), milliseconds(time), (day - EPOCH).days, key_of(unit_of(user, conversation)),
                kind, source or "user", value, label, None if text is None else beginning(text, SAID),
                id_of(retracts or supersedes), retracts is not None,
            )  # fmt: skip


def _most(tokens: int | None) -> int | None:
    return None if tokens is None else min(tokens, MOST_TOKENS)


def _rows(table: pa.Table, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Rows as tuples: a dict for each costs as much as all else that is done with it."""
    return zip(*(table[name].to_pylist() for name in names), strict=True)
