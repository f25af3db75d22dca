"""A queue is an address: which interactions it asks about, in which order, and which of them a person is given next.

There is no table of what is queued, so nothing can be queued twice. The newest that match are put in an order by a
keyed hash, which nobody who sends events can choose; a share of them, by the same hash, is asked of two people. Whoever
answered is known from the feedback itself, in the index or on its way. Go on to `questions.py`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from sqlite3 import Connection
from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from flows.evaluate.reviews import TWICE
from schemas.events import Feedback
from schemas.kinds import ADJUDICATED, CANNOT_TELL
from ui.answers import REVIEWER
from ui.forms import number_of
from ui.index.lists import newest
from ui.index.rows import id_of, milliseconds, text_of
from ui.index.scope import COUNTED, Asked, scope_of
from ui.index.search import ids_of, judged, matching
from ui.reservations import Reservations

DAY_MS = 86_400_000
KINDS = ("answers", "judged", "audit", "pairs")
ORDERS = ("random", "newest")
CHUNK = 500
"""Ids that one question of the index names."""
TEXTS = ("q", "outcome", "cluster", "model", "prompt")


class Filters(Struct, frozen=True, kw_only=True):
    """What an address asks for."""

    kind: str = "answers"
    """answers: any; judged: those of which a judge has spoken; audit: those that the newest cluster run drew; pairs:
    two answers, which an evaluation asks about."""
    q: str = ""
    outcome: str = ""
    cluster: str = ""
    model: str = ""
    prompt: str = ""
    days: int = 0
    """Only the last so many days of traffic; 0: all."""
    order: str = "random"
    """Only what is asked in random order counts for rates and agreement; `newest` is for mending."""
    overlap: float = 1 / TWICE
    """The share that two people are asked."""
    evaluation: str = ""
    item: str = ""
    """One interaction, by its id: somebody chose it."""

    @property
    def random(self) -> bool:
        """Whether chance, and nobody, chooses what is asked."""
        return self.order == "random" and not self.item

    @property
    def query(self) -> str:
        """Everything that is not as by default, as an address says it."""
        plain = Filters()
        told = {name: getattr(self, name) for name in self.__struct_fields__}
        return urlencode({name: value for name, value in told.items() if value != getattr(plain, name)})


class Next(Struct, frozen=True):
    """What a person is given."""

    items: list[dict[str, Any]]
    """Each with `id` and `arrived`, its ingest day as the index has it."""
    left: int
    """How many wait for this person, these among them; counted up to a cap."""
    done: int
    """How many of this queue the person has answered."""


def filters_of(given: Mapping[str, str]) -> Filters:
    """What an address says; what it says wrongly is as by default."""
    found: dict[str, Any] = {name: given.get(name, "")[:500] for name in (*TEXTS, "evaluation", "item")}
    for name, known in (("kind", KINDS), ("order", ORDERS)):
        if given.get(name) in known:
            found[name] = given[name]
    found["days"] = min(number_of(given.get("days")), 36_500)
    share = given.get("overlap", "")
    if share and len(share) < 8 and share.replace(".", "", 1).isdecimal():
        found["overlap"] = min(float(share), 1.0)
    return msgspec.convert(found, Filters)


@lru_cache(maxsize=4 * COUNTED)
def chance(key: str, item: bytes) -> tuple[int, float]:
    """An item's place in random order, and where it lies between 0 and 1 when it is decided who else is asked."""
    found = hashlib.blake2b(item, key=key.encode()[:64], digest_size=16).digest()
    return int.from_bytes(found[:8], "big"), int.from_bytes(found[8:], "big") / 2**64


def ticket(key: str, person: str, item: str) -> str:
    """What a question that chance chose for a person carries: whoever answers it shows that it was dealt to them."""
    return hmac.new(key.encode(), f"{item} {person}".encode(), hashlib.sha256).hexdigest()


def drawn(key: str, person: str, item: str, shown: str) -> bool:
    """Whether this item was dealt to this person by chance: a form's word alone says nothing."""
    return hmac.compare_digest(shown.encode(), ticket(key, person, item).encode())


def deal(
    sql: Connection,
    waiting: Sequence[Feedback],
    reservations: Reservations,
    filters: Filters,
    person: str,
    key: str,
    count: int,
    besides: Collection[str] = (),
    audit: Sequence[str] = (),
) -> Next:
    """The next `count` items of a queue for a person, reserved for them; `besides` are on their screen already.

    `audit`: what waits of the audit, in its order.

    Asks the index for at most COUNTED interactions and what reviewers said of them, along its indexes.
    """
    every = _drawn(sql, audit) if filters.kind == "audit" else _population(sql, filters)
    if filters.random and filters.kind != "audit":
        every.sort(key=lambda row: chance(key, row[0]))
    told = answered(sql, waiting, [id_ for id_, _ in every])
    share = 0.0 if filters.item else filters.overlap

    def free(id_: bytes, others: Collection[str] = ()) -> bool:
        names = told.get(id_, set())
        wanted = 2 if chance(key, id_)[1] < share else 1
        return person not in names and (bool(filters.item) or len(names | set(others)) < wanted)

    texts = (text_of(id_) for id_, _ in every)
    mine = reservations.deal(person, texts, lambda item, others: free(id_of(item) or b"", others), count, besides)
    done = sum(person in names for names in told.values())
    busy = sum(not free(id_) for id_ in told)  # of whom nobody has said anything, everybody is asked
    arrived = dict(every)
    return Next([{"id": item, "arrived": arrived[id_of(item) or b""]} for item in mine], len(every) - busy, done)


def answered(sql: Connection, waiting: Iterable[Feedback], ids: Sequence[bytes]) -> dict[bytes, set[str]]:
    """Of interactions, who judged them, or said that they cannot; what is on its way to the lake counts."""
    found: dict[bytes, dict[str, str]] = {}
    wanted = set(ids)
    for about, id_, source in _said(sql, ids):
        if about in wanted:
            found.setdefault(about, {})[text_of(id_)] = source.removeprefix(REVIEWER)
    for event in waiting:
        at = id_of(event.interaction_id) or b""
        if event.retracts:
            found.get(at, {}).pop(event.retracts, None)
        elif _is_answer(event):
            found.setdefault(at, {})[event.id] = event.source.removeprefix(REVIEWER)
    return {id_: set(names.values()) for id_, names in found.items() if id_ in wanted and names}


def _said(sql: Connection, ids: Sequence[bytes]) -> Iterable[tuple[bytes, bytes, str]]:
    """(interaction, event, source) of what reviewers answered: all that they ever did where that is less than `ids`."""
    answer = (
        "SELECT interaction, id, source FROM feedback {} WHERE {} stands AND source LIKE 'reviewer:%' "
        "AND ((kind = 'reviewer' AND coalesce(label, '') <> ?) OR (kind = 'label' AND label = ?))"
    )
    every = "SELECT count(*) FROM (SELECT 1 FROM feedback INDEXED BY by_review WHERE source LIKE 'reviewer:%' LIMIT ?)"
    if sql.execute(every, (len(ids),)).fetchone()[0] < len(ids):
        yield from sql.execute(answer.format("INDEXED BY by_review", ""), (ADJUDICATED, CANNOT_TELL))
        return
    for first in range(0, len(ids), CHUNK):
        part = ids[first : first + CHUNK]
        mine = f"interaction IN ({', '.join('?' * len(part))}) AND"
        yield from sql.execute(answer.format("INDEXED BY by_interaction", mine), (*part, ADJUDICATED, CANNOT_TELL))


def _is_answer(event: Feedback) -> bool:
    if not event.source.startswith(REVIEWER):
        return False
    judged = event.kind == "reviewer" and event.label != ADJUDICATED
    return judged or (event.kind == "label" and event.label == CANNOT_TELL)


def _drawn(sql: Connection, audit: Sequence[str]) -> list[tuple[bytes, int]]:
    """What an audit asks about, as far as it is there still."""
    found = (
        sql.execute("SELECT id, arrived FROM interaction WHERE id = ?", (id_of(each),)).fetchone() for each in audit
    )
    return [(row["id"], row["arrived"]) for row in found if row is not None]


def _population(sql: Connection, filters: Filters) -> list[tuple[bytes, int]]:
    """(id, ingest day) of the newest interactions that match, at most COUNTED: all that the queue asks about."""
    if filters.item:
        found = sql.execute("SELECT id, arrived FROM interaction WHERE id = ?", (id_of(filters.item),)).fetchall()
        return [(row["id"], row["arrived"]) for row in found]
    last = newest(sql, milliseconds(datetime.now(UTC))) if filters.days else None
    since = last + 1 - filters.days * DAY_MS if last is not None else 0
    asked = Asked(**{name: getattr(filters, name) for name in TEXTS}, since=max(since, 0))
    scope = scope_of(sql, asked, COUNTED)
    if filters.kind == "judged":
        return ids_of(sql, judged(sql, asked, scope)[:COUNTED])
    return matching(sql, asked, scope, COUNTED)
