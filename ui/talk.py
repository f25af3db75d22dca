"""One conversation, read from the lake by the places that the index knows: messages, tools, voices, outcome, offsets.

Go on to `pages/conversations.py`, which shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from flows.run import runs
from schemas.messages import Chat, parse
from schemas.topics import INTERACTIONS
from streams.lake.query import stored_rows
from ui.index.lists import LISTED, listed, said, voices_of
from ui.index.rows import EPOCH, OF_CONVERSATION, id_of, text_of
from ui.state import State
from ui.words import at

LONGEST = 200
"""Interactions of one conversation that are shown, the newest."""


class Call(Struct, frozen=True):
    """A tool that the model asked for."""

    name: str
    arguments: str


class Said(Struct, frozen=True):
    """A message as people read it."""

    role: str
    text: str
    calls: tuple[Call, ...] = ()


class Voice(Struct, frozen=True):
    """A word of feedback."""

    id: str
    time: datetime
    what: str
    source: str
    text: str
    bad: bool | None
    waiting: bool = False
    """Whether it is on its way: said, and not in the lake yet."""


class Turn(Struct, frozen=True, kw_only=True):
    """One interaction: what was new in the question, the answer, and what was said of it."""

    id: str
    time: datetime
    model: str
    prompt: str
    variant: str
    before: tuple[Said, ...]
    """Messages that were sent along and are not shown above: instructions, history of elsewhere."""
    asked: tuple[Said, ...]
    answered: tuple[Said, ...]
    voices: tuple[Voice, ...]
    outcome: str
    cluster: str
    error: str | None
    score: float | None
    reasons: tuple[str, ...]
    place: str
    """Topic, partition and offset in Kafka."""
    duration: float | None
    first_chunk: float | None
    tokens: tuple[int | None, int | None]
    cost: float | None


class Talk(Struct, frozen=True):
    """A conversation."""

    id: str
    user: str | None
    turns: tuple[Turn, ...]
    more: int
    """Older interactions of it that are not shown."""


def talk_of(state: State, interaction_id: str) -> Talk | None:
    """The conversation that an interaction is in; None where it is not there."""
    with state.reading() as sql:
        found = sql.execute("SELECT conversation FROM interaction WHERE id = ?", (id_of(interaction_id),)).fetchone()
        if found is None:
            return None
        rows = sql.execute(
            f"{LISTED} WHERE {OF_CONVERSATION} ORDER BY i.n DESC LIMIT ?", (found[0], found[0], LONGEST)
        ).fetchall()
        count = f"SELECT count(*) FROM interaction WHERE {OF_CONVERSATION}"  # noqa: S608 ours
        (every,) = sql.execute(count, (found[0], found[0])).fetchone()
        shown = [listed(row) for row in sorted(rows, key=lambda row: (row["time"], row["n"]))]
        voices = {row["id"]: voices_of(sql, row["id"]) for row in rows}
    stored = stored_of(state, shown)
    mine = stored.get(interaction_id)
    if mine is None:
        return None
    same = [row for row in shown if row["id"] in stored and _same(stored[row["id"]], mine)]
    return Talk(mine["conversation_id"], mine["user_id"], tuple(_turns(state, same, stored, voices)), every - len(rows))


def _same(row: dict[str, Any], mine: dict[str, Any]) -> bool:
    """Whether two are of one conversation: the index knows only a hash of its name."""
    return bool(row["conversation_id"] == mine["conversation_id"])


def stored_of(state: State, shown: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The rows of the lake, of each id the first to arrive; found by their ingest days."""
    days: list[date] = [EPOCH + timedelta(days=row["arrived"]) for row in shown]
    found = stored_rows(state.lake, "interactions", ingest_date=set(days), id={row["id"] for row in shown})
    first: dict[str, dict[str, Any]] = {}
    for row in sorted(found, key=lambda row: (row["ingested_at"], row["kafka_partition"], row["kafka_offset"])):
        first.setdefault(row["id"], row)
    return first


def _turns(
    state: State,
    shown: Sequence[dict[str, Any]],
    stored: dict[str, dict[str, Any]],
    voices: dict[bytes, list[dict[str, Any]]],
) -> list[Turn]:
    outcomes = _outcomes(state, [row["id"] for row in shown])
    waiting = [event for event in state.outbox.feedback() if event.retracts is None]
    turns: list[Turn] = []
    above: Chat = []
    for row in shown:
        raw = stored[row["id"]]
        chat, answer = parse(raw["input_messages"]), parse(raw["output_messages"])
        before, asked = _fresh(chat, above, raw["system_instructions"])
        judged = outcomes.get(row["id"], {})
        told = [_voice(voice) for voice in voices[id_of(row["id"]) or b""]]
        told += [
            Voice(event.id, event.time, said(event.kind, event.value, event.label), event.source, event.text or "",
                  None, waiting=True)
            for event in waiting
            if event.interaction_id == row["id"] and event.id not in {voice.id for voice in told}
        ]  # fmt: skip
        turns.append(
            Turn(
                id=row["id"], time=raw["time"], model=raw["request_model"], prompt=raw["prompt_version"] or "",
                variant=raw["variant"] or "", before=tuple(map(said_of, before)), asked=tuple(map(said_of, asked)),
                answered=tuple(map(said_of, answer)), voices=tuple(told),
                outcome={0: "unknown", 1: "ok", 2: "failed"}.get(row["outcome"], ""),
                cluster=row["cluster_id"] or "", error=raw["error_type"], score=judged.get("score"),
                reasons=tuple(judged.get("reasons") or ()),
                place=f"{INTERACTIONS.name}, partition {raw['kafka_partition']}, offset {raw['kafka_offset']}",
                duration=raw["duration_ms"], first_chunk=raw["time_to_first_chunk_ms"],
                tokens=(raw["input_tokens"], raw["output_tokens"]), cost=raw["cost_usd"],
            )
        )  # fmt: skip
        above = [*chat, *answer]
    return turns


def _fresh(chat: Chat, above: Chat, instructions: str | None) -> tuple[Chat, Chat]:
    """Messages of a request that were not shown above, apart: what was sent along, and what was asked now."""
    known = [(message["role"], message.get("content")) for message in above]
    mine = [(message["role"], message.get("content")) for message in chat]
    if known and mine[: len(known)] == known:
        return [], chat[len(known) :]
    last = max((place for place, message in enumerate(chat) if message["role"] == "user"), default=0)
    told: Chat = [{"role": "system", "content": instructions}] if instructions else []
    return [*told, *chat[:last]], chat[last:]


def said_of(message: dict[str, Any]) -> Said:
    """A message of a chat as people read it."""
    calls = tuple(
        Call(str(call["function"].get("name", "")), _pretty(call["function"].get("arguments", "")))
        for call in message.get("tool_calls") or ()
    )
    content = message.get("content")
    text = content if isinstance(content, str) else "" if content is None else _pretty(content)
    return Said(message["role"], _pretty(text) if message["role"] == "tool" else text, calls)


def _pretty(value: Any) -> str:
    """JSON with its lines apart; what is none as it is."""
    try:
        decoded = msgspec.json.decode(value) if isinstance(value, str) else value
        text = msgspec.json.format(msgspec.json.encode(decoded), indent=2).decode()
    except (msgspec.DecodeError, TypeError, RecursionError):
        return str(value)
    return text if isinstance(decoded, dict | list) else str(value)


def _voice(row: dict[str, Any]) -> Voice:
    return Voice(text_of(row["id"]), at(row["time"]), row["said"], row["source"], row["text"] or "", row["bad"])


def _outcomes(state: State, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What the newest run that judged each of them found."""
    if state.clusters is None:
        return {}
    order = state.once("cluster runs", lambda: _order(state))
    found = stored_rows(state.lake, "outcomes", interaction_id=set(ids))
    finished = [row for row in found if row["run_id"] in order]
    return {row["interaction_id"]: row for row in sorted(finished, key=lambda row: order[row["run_id"]])}


def _order(state: State) -> dict[str, int]:
    """Finished cluster runs by their order: of an interaction the newest run that judged it counts."""
    return {run.run_id: place for place, run in enumerate(runs(state.lake, "cluster", state.application))}
