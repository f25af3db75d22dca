"""Golden examples: eval items that a person adds, edits and retires by hand, with who, when and why.

An act is a row of `golden`, which nobody edits: the item as it is from then on, so that the newest row of an item is
the item. The next build asks every item that is not retired and teaches nothing that resembles one. The same act twice
is one. What a person types is bounded, without personal data, and what a terminal would obey is written out in it.
Go on to `stage.py`, which builds with them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from flows.curate.split import pseudonym
from flows.redact.own import redactor_of
from flows.redact.redact import TooCostly
from flows.run import Run, under_way
from flows.visible import visible
from schemas.acts import GoldenAct
from schemas.codec import check_depth
from schemas.errors import EventError, UsageError
from schemas.events import to_json
from schemas.messages import Chat, parse, read_messages, text_of
from schemas.normalise import bounded
from schemas.records import GOLDEN, Example, content_hash
from schemas.settings import Settings
from schemas.tables import TIME
from streams.lake import Lake
from streams.lake.append import publish
from streams.lake.maintain import delete_rows, holding
from streams.lake.query import query, rows
from streams.lake.rows import from_row, to_table

FOLDER = Path(__file__).parent
TEXT_CHARS, SLICE_CHARS, REASON_CHARS, WHO_CHARS, ID_CHARS = 16_000, 120, 1_000, 200, 200
MOST = 1_000
"""Items that stand at a time: more than anybody writes, and each is a question to two models at every evaluation."""
SAID = ("messages", "reference", "rubric", "slice")
"""What an item says: whoever says it again adds or changes nothing."""


class Written(msgspec.Struct, frozen=True):
    """An item as somebody typed it."""

    asked: str
    """A text is the user's; a JSON list of messages is the conversation."""
    reference: str
    rubric: str = ""
    slice: str = ""


def written(one: GoldenAct) -> Written:
    """An item as somebody would type it."""
    chat = parse(one.messages)
    alone = len(chat) == 1 and chat[0].keys() == {"role", "content"} and chat[0]["role"] == "user"
    asked = chat[0]["content"] if alone else one.messages
    return Written(asked, one.reference, one.rubric or "", one.slice or "")


@dataclass(frozen=True)
class Book:
    """Where acts are recorded: by whom and when. An act waits until no erasure is under way."""

    lake: Lake
    settings: Settings
    by: str
    now: datetime

    def add(self, item: Written, reason: str = "", interaction_id: str = "") -> GoldenAct:
        """Add an item. An item that stands already with the same words, made from the same, is that one.

        Raises UsageError for what cannot be asked, for an unknown interaction, and where MOST stand already.
        """
        said, why = self._said(item), self._reason(reason)
        with under_way(self.lake):
            return self._add(said, self._source(interaction_id), why)

    def _add(self, said: dict[str, Any], source: dict[str, Any], why: str | None) -> GoldenAct:
        every = acts(self.lake, self.settings.application)
        same = [one for one in every if _says(one, said) and one.interaction_id == source["interaction_id"]]
        if standing := [one for one in living(every) if one in same]:
            return standing[0]
        if len(living(every)) >= MOST:
            raise UsageError(f"{MOST} golden items stand already: retire some that tell the least")
        before = [one.act_id for one in same]
        item_id = content_hash([self.settings.application, said, source["interaction_id"], sorted(before)])[:16]
        return self._record(event="added", item_id=item_id, version=1, reason=why, **said, **source)

    def edit(self, item_id: str, item: Written, reason: str = "", version: int = 0) -> GoldenAct:
        """Make a new version of an item; saying what it says already changes nothing.

        `version`: the one that was read; where the item has moved on since, UsageError. 0 does not ask.
        """
        said, why = self._said(item), self._reason(reason)
        with under_way(self.lake):
            return self._edit(self.find(item_id), said, why, version)

    def _edit(self, one: GoldenAct, said: dict[str, Any], why: str | None, version: int) -> GoldenAct:
        if _says(one, said):
            return one
        if version not in {0, one.version}:
            raise UsageError(f"{one.item_id} has a version {one.version} since: look at that first")
        kept = {"interaction_id": one.interaction_id, "unit": one.unit, "asked_at": one.asked_at}
        return self._record(event="edited", item_id=one.item_id, version=one.version + 1, reason=why, **said, **kept)

    def retire(self, item_id: str, reason: str) -> GoldenAct:
        """Leave an item out of every later eval set. Raises UsageError where no reason is given."""
        why = self._typed(reason, REASON_CHARS, "a reason")
        with under_way(self.lake):
            return self._retire(self.find(item_id, retired=True), why)

    def _retire(self, one: GoldenAct, why: str) -> GoldenAct:
        if one.event == "retired":
            return one
        kept = msgspec.structs.asdict(one) | {"event": "retired", "version": one.version + 1, "reason": why}
        return self._record(**{name: kept[name] for name in kept if name not in {"act_id", "time", "decided_by"}})

    def find(self, wanted: str, *, retired: bool = False) -> GoldenAct:
        """The newest version of an item, by its id or the beginning of it. Raises UsageError; `retired` ones may do."""
        known = newest(acts(self.lake, self.settings.application))
        matching = [one for one in known if wanted and one.item_id.startswith(wanted)]
        if len(matching) != 1:
            raise UsageError(
                f"{wanted[:64]!r} is the id of {len(matching) or 'no'} golden items: `flywheel golden list` shows them"
            )
        if matching[0].event == "retired" and not retired:
            raise UsageError(f"{matching[0].item_id} is retired: add what it said again, and it is a new item")
        return matching[0]

    def _said(self, item: Written) -> dict[str, Any]:
        """What an item says, as it is kept."""
        asked = self._plain(item.asked, TEXT_CHARS, "what is asked")
        reference = self._plain(item.reference, TEXT_CHARS, "the reference")
        example = Example(
            interaction_id="", unit="", text="", origin=GOLDEN, prompt=to_json(_chat(asked)),
            answer=to_json([{"role": "assistant", "content": reference}]),
        )  # fmt: skip
        try:
            clean = redactor_of(self.settings.curate).example(example)
        except TooCostly:
            raise UsageError("that is too much to look through for personal data: make it shorter") from None
        rubric = self._typed(item.rubric, TEXT_CHARS, "a rubric") if item.rubric.strip() else None
        part = self._typed(" ".join(item.slice.split()), SLICE_CHARS, "a slice") if item.slice.strip() else None
        return {"messages": clean.prompt, "reference": text_of(parse(clean.answer)), "rubric": rubric, "slice": part}

    def _source(self, interaction_id: str) -> dict[str, Any]:
        """Whose interaction an item was made from, and when it was; Nones where it was made from none."""
        wanted = interaction_id.strip()
        if not wanted:
            return {"interaction_id": None, "unit": None, "asked_at": None}
        if len(wanted) > ID_CHARS:
            raise UsageError(f"an interaction's id has at most {ID_CHARS} characters")
        parameters = {"application": self.settings.application, "id": wanted, "consent": self.settings.curate.consent}
        versions = self.lake.versions(("interactions", "erasures"))
        after = self.settings.archive.after_erasure
        sql = (FOLDER / "golden_source.sql").read_text()
        found = query(self.lake, sql, versions, parameters, after_erasure=after).to_pylist()
        if not found or not found[0].pop("agreed"):
            raise UsageError(f"no interaction {wanted!r} that may be asked again: it is unknown, or without consent")
        return dict(found[0])

    def _reason(self, text: str) -> str | None:
        return self._typed(text, REASON_CHARS, "a reason") if text.strip() else None

    def _typed(self, text: str, most: int, what: str) -> str:
        return redactor_of(self.settings.curate).texts([self._plain(text, most, what)])[0]

    def _plain(self, text: str, most: int, what: str) -> str:
        unbroken = text.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n")
        plain = visible(bounded(unbroken[: most + 1])).strip()
        if not plain or len(unbroken) > most:
            raise UsageError(f"{what} has 1 to {most} characters, this has {len(unbroken.strip())}")
        return plain

    def _record(self, **act: Any) -> GoldenAct:
        by = visible(" ".join(self.by.encode("utf-8", "replace").decode().split()))[:WHO_CHARS] or "unknown"
        named = {"application": self.settings.application, **act}
        about = [named[name] for name in ("application", "event", "item_id", "version", *SAID)]
        new = GoldenAct(**{"act_id": content_hash(about)[:32], "time": self.now, "decided_by": by, **named})
        publish(self.lake, "golden", to_table("golden", [new]), new.act_id)
        return new


def acts(lake: Lake, application: str, version: int | None = None) -> list[GoldenAct]:
    """All that people did to golden items, oldest first; of one act that two people recorded at once, one."""
    found = [from_row(GoldenAct, row) for row in rows(lake, "golden", version, application=application)]
    return sorted({one.act_id: one for one in found}.values(), key=_order)


def newest(every: Iterable[GoldenAct]) -> list[GoldenAct]:
    """Each item as its last act left it, retired ones too; in order of id."""
    last: dict[str, GoldenAct] = {}
    for act in sorted(every, key=lambda one: (one.version, *_order(one))):
        last[act.item_id] = act
    return [last[item_id] for item_id in sorted(last)]


def living(every: Iterable[GoldenAct]) -> list[GoldenAct]:
    """The items that the next eval set asks."""
    return [one for one in newest(every) if one.event != "retired"]


def items_of(lake: Lake, run: Run, settings: Settings) -> tuple[Example, ...]:
    """The items that stand, as a run reads them, without those of people who asked to be forgotten by then."""
    gone = wishes(lake, settings, run.versions["erasures"])
    every = living(acts(lake, run.application, run.versions["golden"]))
    salt = settings.curate.salt.reveal()
    return tuple(_example(one, salt) for one in every if not _forgotten(one, gone))


def wishes(lake: Lake, settings: Settings, version: int) -> dict[str, datetime]:
    """The people whose wish to be forgotten has arrived as an event, by unit, and until when they are forgotten."""
    sql, after = (FOLDER / "wishes.sql").read_text(), settings.archive.after_erasure
    parameters = {"application": settings.application}
    found = query(lake, sql, {"erasures": version}, parameters, after_erasure=after).to_pylist()
    return {wish["unit"]: wish["until"] for wish in found}


def rows_of(units: Mapping[str, datetime], events: Collection[str] = (), application: str = "") -> pc.Expression:
    """Which rows were made from what some people said until an instant each, or from some interactions."""
    which = pc.field("interaction_id").isin(pa.array(sorted(events), pa.string()))
    for unit, until in sorted(units.items()):
        which = which | ((pc.field("unit") == unit) & (pc.field("asked_at") <= pa.scalar(until, TIME)))
    return which & (pc.field("application") == application) if application else which


def forget(lake: Lake, which: pc.Expression) -> int:
    """Remove items in all their versions; how many rows went. Every row of an item says what it was made from."""
    affected = holding(lake, "golden", which)
    if affected:
        delete_rows(lake, "golden", which, affected)
    return sum(affected.values())


def _order(act: GoldenAct) -> tuple[datetime, str]:
    return act.time, act.act_id


def _says(one: GoldenAct, said: Mapping[str, Any]) -> bool:
    return all(getattr(one, name) == said[name] for name in SAID)


def _forgotten(one: GoldenAct, gone: Mapping[str, datetime]) -> bool:
    until = gone.get(one.unit or "")
    return until is not None and one.asked_at is not None and one.asked_at <= until


def _example(one: GoldenAct, salt: str) -> Example:
    return Example(
        interaction_id=one.interaction_id or "",
        unit=pseudonym(one.unit, salt) if one.unit else "",
        prompt=one.messages,
        answer=to_json([{"role": "assistant", "content": one.reference}]),
        text=text_of(parse(one.messages), "user"),
        origin=GOLDEN,
        feedback_id=one.name,
        cluster_id=one.slice or "",
        time=one.asked_at,
        rubric=one.rubric,
        reviewed=True,
    )


def _chat(asked: str) -> Chat:
    """What was typed as messages: a JSON list of them, else a text of the user's. Raises UsageError."""
    decoded: Any = asked
    if asked.startswith("["):
        try:
            check_depth(asked.encode())
            decoded = msgspec.json.decode(asked)
        except EventError:
            raise UsageError("what is asked is nested too deep") from None
        except (msgspec.DecodeError, RecursionError):  # a text that begins with a bracket
            decoded = asked
    listed = isinstance(decoded, list) and decoded and all(isinstance(m, dict) and "role" in m for m in decoded)
    found = read_messages(decoded if listed else [{"role": "user", "content": asked}])
    if found.left_out:
        raise UsageError(f"what is asked holds what no chat can ask ({', '.join(sorted(found.left_out))})")
    if not text_of(found.chat, "user").strip():
        raise UsageError("what is asked needs a message of the user with words in it")
    return found.chat
