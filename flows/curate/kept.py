"""Examples that are kept: read and redacted once, and made anew only where what they rest on has changed.

A conversation is made as a whole, since an earlier turn that failed changes what the later ones teach; a guardrail's
verdict is by itself. A key says what such a group rests on: how examples are made, the ids of its events and what was
concluded of them. Events never change, so their words need no look. The table `examples` is a memory and no truth: what
it lacks is made again, and is the same. Go on to `examples.py`, which makes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from flows.curate import golden
from flows.curate.examples import Dropped, Found, examples_of
from flows.curate.salt import salt_hash, salts
from flows.curate.split import pseudonym
from flows.curate.versions.withdraw import discard_unlisted_stored
from flows.extend import fingerprint
from flows.redact.own import patterns_of
from flows.redact.work import GIVEN, Redact
from flows.run import Run, code_version, latest, under_way
from flows.versions import versions
from schemas.errors import LakeError
from schemas.prompts import Examples
from schemas.records import Example, content_hash
from schemas.settings import CurateSettings, Settings
from schemas.tables import TIME
from streams.lake import Lake, parts
from streams.lake.append import publish, to_rows
from streams.lake.maintain import delete_rows, holding, read_files
from streams.lake.query import ask, worked

FOLDER = Path(__file__).parent
AT_ONCE = 2_000
"""Groups that are made together: some megabytes of messages."""
SENT = 40_000
"""The same where their redaction is sent to Spark, to which a job of seconds is a small one: some hundred megabytes."""
MESSAGES = ("input_messages", "output_messages", "system_instructions", "tool_definitions")
"""What of an interaction is looked at only where its group is made."""
FORGOTTEN = "forgotten"
"""In a build's summary: which wishes the memory has been looked through for, and how."""
TOLD = ("interaction_id", "other_id", "feedback_id", "unit", "told_by", "time")
"""What says whose a remembered row is."""
MOVES = ("score", "cluster_id")
"""What moves of an interaction without changing what its example says: it is put in when the example is recalled."""
Places = dict[str, tuple[float | None, str]]
"""Interaction → its score and its cluster as they are now."""


class Group(msgspec.Struct, frozen=True):
    """Rows that are made into examples together, or one verdict."""

    key: str
    rows: list[dict[str, Any]]
    verdict: bool


class Kept(msgspec.Struct, frozen=True):
    """All examples of an application, redacted, in order of interaction."""

    found: Found
    redacted: Counter[str]
    """How often which kind of personal data was replaced."""
    made: int
    """Groups that were made now."""


def kept(lake: Lake, run: Run, settings: Settings, outcome_run: str, shots: Examples = ()) -> Kept:
    """The examples of the lake as a run reads it: from memory where nothing has changed, else made, and remembered.

    `shots` are the examples of known prompts; with another one everything is made anew, once.
    """
    how = how_made(settings.curate, shots)
    known = _known(lake, run.application, how)
    current: set[str] = set()
    places: Places = {}
    wanted: list[Group] = []
    for group in _groups(lake, run, settings, outcome_run, how):
        current.add(group.key)
        places |= {} if group.verdict else {r["interaction_id"]: (r["score"], r["cluster_id"]) for r in group.rows}
        if group.key not in known:
            wanted.append(group)
    there = current & known.keys()
    at_once = SENT if lake.engine else AT_ONCE
    for start in range(0, len(wanted), at_once):
        there |= _make(lake, run, settings, how, wanted[start : start + at_once], shots)
    _drop_others(lake, run.application, known, current)
    return _recalled(lake, run.application, how, there, places, len(wanted))


def forget(lake: Lake, units: Mapping[str, datetime], events: Iterable[str] = ()) -> int:
    """Remove what people said from the memory: their own rows, and what they said of others' answers; how many.

    `units`: pseudonym → until when they are forgotten. `events`: ids of interactions and feedback. The whole group of
    such a row goes: one that lacks a row would pass for what is remembered.
    """
    which = _of(units, events)
    affected = holding(lake, "examples", which)
    if affected:
        theirs = read_files(lake, "examples", list(affected), columns=["key", *TOLD]).filter(which)
        delete_rows(lake, "examples", pc.field("key").isin(pc.unique(theirs["key"])))
    return sum(affected.values())


def _of(units: Mapping[str, datetime], events: Iterable[str]) -> pc.Expression:
    ids = pa.array(sorted(events), pa.string())
    which = pc.field("interaction_id").isin(ids) | pc.field("other_id").isin(ids) | pc.field("feedback_id").isin(ids)
    for unit, until in sorted(units.items()):
        theirs = (pc.field("unit") == unit) | (pc.field("told_by") == unit)
        which = which | (theirs & (pc.field("time") <= pa.scalar(until, TIME)))
    return which


def forget_wished(lake: Lake, settings: Settings) -> str:
    """`forget` for everybody whose wish has arrived as an event; the name of what was done, for the build's summary.

    The memory is looked through where the last build does not say that name: since wishes have come, or people are
    looked for in another way. It waits then until no run is under way, and whoever begins later reads those wishes: no
    later row is of somebody who was forgotten. What was written by hand is looked through each time.
    """
    version = lake.version("erasures")
    units, wished = forgotten(lake, settings, version), golden.wishes(lake, settings, version)
    done = content_hash([version, settings.archive.after_erasure, sorted(map(salt_hash, salts(settings)))])[:32]
    by_hand = golden.rows_of(wished, application=settings.application)
    if not units:
        return done
    last = latest(lake, "curate", settings.application)
    seen = last is not None and last.told(dict[str, Any]).get(FORGOTTEN) == done
    if not seen or holding(lake, "golden", by_hand):
        with under_way(lake, alone=True):
            golden.forget(lake, by_hand)
            if not seen:
                forget(lake, units)
                discard_unlisted_stored(versions(lake), settings, settings.application, units)
    return done


def forgotten(lake: Lake, settings: Settings, version: int) -> dict[str, datetime]:
    """The units of the people whose wish to be forgotten has arrived as an event, and until when they are forgotten.

    Under every salt that a version of this home may have been dealt with.
    """
    units: dict[str, datetime] = {}
    for unit, until in golden.wishes(lake, settings, version).items():
        for salt in salts(settings):
            name = pseudonym(unit, salt)
            units[name] = max(until, units.get(name, until))
    return units


def how_made(how: CurateSettings, shots: Examples = ()) -> str:
    """The hash of all but the lake that decides what an example is like."""
    return content_hash([
        how.redact, patterns_of(how), fingerprint(*how.recognise_with), how.consent, how.failed_turns,
        content_hash(how.salt.reveal()), code_version(), *([shots] if shots else []),
    ])[:32]  # fmt: skip


def _groups(lake: Lake, run: Run, settings: Settings, outcome_run: str, how: str) -> Iterator[Group]:
    rows = _rows(lake, run, settings, "examples.sql", outcome_run=outcome_run)
    for _, conversation in groupby(rows, key=lambda row: row["conversation_id"]):
        together = list(conversation)
        yield Group(_key(how, together), together, verdict=False)
    for row in _rows(lake, run, settings, "guardrails.sql"):
        yield Group(_key(how, [row]), [row], verdict=True)


def _key(how: str, rows: Sequence[dict[str, Any]]) -> str:
    said = [[_plain(value) for name, value in row.items() if name not in MOVES] for row in rows]
    return content_hash([how, said])[:32]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _rows(lake: Lake, run: Run, settings: Settings, file: str, **more: Any) -> Iterator[dict[str, Any]]:
    parameters, after = {"application": run.application, **more}, settings.archive.after_erasure
    with ask(lake, (FOLDER / file).read_text(), run.versions, parameters, after_erasure=after) as answer:
        yield from answer.dicts()


def _known(lake: Lake, application: str, how: str) -> dict[str, bool]:
    """The keys that are remembered, and whether they are made as examples are made now."""
    sql = "SELECT DISTINCT key, how = $how AS ours FROM examples WHERE application = $application"
    with ask(lake, sql, lake.versions(["examples"]), {"application": application, "how": how}) as answer:
        return {row["key"]: row["ours"] for row in answer.dicts()}


def _make(lake: Lake, run: Run, settings: Settings, how: str, groups: Sequence[Group], shots: Examples) -> set[str]:
    """Make some groups, and remember what came of them: the keys of those that gave anything."""
    wanted = {row[name] for group in groups for row in group.rows for name in ("interaction_id", "replacement_id")
              if row.get(name)}  # fmt: skip
    ids, version = pa.array(sorted(wanted), pa.string()), run.versions["interactions"]
    those = {"interactions": parts.holding(lake, "interactions", version, "id", ids)}
    with ask(lake, (FOLDER / "messages.sql").read_text(), {"interactions": version}, parts=those) as answer:
        messages = {row["id"]: row for row in answer.dicts()}
    found = [(group.key, _found(group, messages, settings.curate, shots)) for group in groups]
    texts = _texts(lake, settings.curate, [example for _, each in found for example in each.examples])
    rows = [row for key, each in found for row in _stored(key, each, texts)]
    shared = {"application": run.application, "how": how}
    stored = to_rows("examples", [shared | row for row in rows])
    about = ["examples", how, lake.version("examples"), [group.key for group in groups]]  # they may have gone since
    publish(lake, "examples", stored, content_hash(about)[:32])
    return {row["key"] for row in rows}


def _found(group: Group, messages: Mapping[str, dict[str, Any]], how: CurateSettings, shots: Examples) -> Found:
    """What a group gives, in the words that were said."""
    rows = [_whole(row, messages) for row in group.rows]
    salt, mask = how.salt.reveal(), how.failed_turns == "mask"
    given = ([], rows) if group.verdict else (rows, [])
    return examples_of(*given, salt, how.consent, mask=mask, shots=shots)


def _texts(lake: Lake, how: CurateSettings, examples: Sequence[Example]) -> Iterator[dict[str, str | None]]:
    """Each example as JSON, without personal data, and how often which kind was replaced; null: it takes too long."""
    texts = [msgspec.json.encode(example).decode() for example in examples]
    if not how.redact:
        for text in texts:
            yield {"example": text, "redacted": "{}"}
        return
    with worked(lake, pa.table({"example": texts}, GIVEN), Redact.of(how)) as answer:
        yield from answer.dicts()


def _stored(key: str, found: Found, texts: Iterator[dict[str, str | None]]) -> Iterator[dict[str, Any]]:
    """The rows of `examples` that a group gives; its examples' texts are next among all."""
    left_out = list(found.dropped)
    for place, example in enumerate(found.examples):
        text = next(texts)
        if text["example"] is None:
            left_out.append(Dropped(example.interaction_id, "too_costly"))
            continue
        yield {
            "key": key,
            "place": place,
            "interaction_id": example.interaction_id,
            "other_id": example.other_id,
            "feedback_id": example.feedback_id,
            "unit": example.unit,
            "told_by": example.told_by,
            "time": example.time,
            **text,
        }
    for place, dropped in enumerate(left_out, len(found.examples)):
        yield {
            "key": key,
            "place": place,
            "interaction_id": dropped.interaction_id,
            "reason": dropped.reason,
        }


def _whole(row: dict[str, Any], messages: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """A row with the words of its interaction, and of the one that replaced it."""
    own, other = messages.get(row["interaction_id"], {}), messages.get(row.get("replacement_id") or "", {})
    return {
        **row,
        **{name: own.get(name) for name in MESSAGES},
        "replacement_input": other.get("input_messages"),
        "replacement_output": other.get("output_messages"),
    }


def _drop_others(lake: Lake, application: str, known: Mapping[str, bool], current: set[str]) -> None:
    """Let go of what no build wants any more, once that is more than what one wants: each row is moved a few times."""
    gone = [key for key in known if key not in current]
    if len(gone) > len(current):
        keys = pa.array(sorted(gone), pa.string())
        which = (pc.field("application") == application) & pc.field("key").isin(keys)
        delete_rows(lake, "examples", which, at_once=False)


def _recalled(lake: Lake, application: str, how: str, there: set[str], places: Places, made: int) -> Kept:
    """What is remembered of these groups. Raises LakeError where one went since it was looked for."""
    sql = (FOLDER / "kept.sql").read_text()
    examples: list[Example] = []
    dropped: list[Dropped] = []
    redacted: Counter[str] = Counter()
    decoder = msgspec.json.Decoder(Example)
    missing = set(there)
    with ask(lake, sql, lake.versions(["examples"]), {"application": application, "how": how}) as stored:
        for row in stored.dicts():
            if row["key"] not in there:
                continue
            missing.discard(row["key"])
            if row["reason"]:
                dropped.append(Dropped(row["interaction_id"], row["reason"]))
            else:
                example = decoder.decode(row["example"])
                if example.interaction_id in places and example.origin != "guardrail":
                    score, cluster_id = places[example.interaction_id]
                    example = msgspec.structs.replace(example, score=score, cluster_id=cluster_id)
                examples.append(example)
                redacted.update(msgspec.json.decode(row["redacted"]))
    if missing:  # by a build with other settings, which wants none of them
        raise LakeError(f"{len(missing)} conversations left the memory of examples meanwhile: build again")
    return Kept(Found(tuple(examples), tuple(dropped)), redacted, made)
