"""A queue is an address: what it says, whom it asks what, in which order, and what is asked of two."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from sqlite3 import Connection
from typing import Any

import pytest

from flows.evaluate.reviews import About
from flows.testing.events import event_id
from schemas.events import Feedback
from tests.support.clusters import World
from ui.answers import Answer, events_of, retractions
from ui.app import make_app
from ui.index.rows import id_of
from ui.index.scope import COUNTED
from ui.questions import fresh_id
from ui.queue import Filters, chance, deal, filters_of
from ui.reservations import Reservations

NOW = datetime(2026, 1, 7, tzinfo=UTC)
KEY = "a key of the home"


@pytest.fixture
def sql(world: World) -> Iterator[Connection]:
    app: Any = make_app(world.lake, world.settings, keep=False)
    app.flywheel.refresh()
    with app.flywheel.reading() as found:
        yield found


def answer(n: int, by: str, verdict: str = "good", id_: str = "", **fields: Any) -> list[Feedback]:
    about = About(event_id(n), "support-bot", f"conversation-{n}")
    return events_of(Answer(id=id_ or fresh_id(), verdict=verdict, **fields), about, by, NOW)


def items(sql: Connection, person: str = "ana", told: Any = (), count: int = COUNTED, **fields: Any) -> list[str]:
    """What a person is given who is alone."""
    found = deal(sql, told, Reservations(), Filters(**fields), person, KEY, count)
    return [each["id"] for each in found.items]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, Filters()),
        ({"kind": "judged", "days": "7", "order": "newest"}, Filters(kind="judged", days=7, order="newest")),
        ({"kind": "x", "days": "-1", "order": "worst", "overlap": "nan"}, Filters()),
        ({"overlap": "7", "days": "9" * 400}, Filters(overlap=1.0, days=36_500)),
        ({"overlap": "1.2.3", "q": "x" * 900}, Filters(q="x" * 500)),
        ({"overlap": "²", "days": "²"}, Filters()),
    ],
)
def test_an_address_says_what_is_asked(given: dict[str, str], found: Filters) -> None:
    """What it says wrongly is as by default; and it says the same again."""
    assert filters_of(given) == found
    assert filters_of(dict(part.split("=") for part in found.query.split("&") if part)) == found


def test_the_order_is_nobodys_choice(sql: Connection) -> None:
    """By a key of the home: another key gives another order of the same; `newest` is as it says."""
    mine = items(sql)
    other = [each["id"] for each in deal(sql, [], Reservations(), Filters(), "ana", "another", COUNTED).items]

    assert len(mine) == 160
    assert mine != sorted(mine)
    assert mine != other
    assert sorted(mine) == sorted(other)
    assert items(sql, order="newest") == sorted(mine, reverse=True)


def test_filters_narrow(sql: Connection, world: World) -> None:
    """Cluster, outcome, model, words, days of traffic, what a judge judged, one item: each asks about its part."""
    cluster = world.clusters()[0].cluster_id

    assert 0 < len(items(sql, cluster=cluster)) < 80
    assert len(items(sql, outcome="failed")) == 80
    assert len(items(sql, model="new")) == 40
    assert len(items(sql, q="refund")) == 40
    assert 0 < len(items(sql, days=1)) <= 160
    assert items(sql, kind="judged") == []
    assert items(sql, item=event_id(3)) == [event_id(3)]
    assert items(sql, item="'; DROP TABLE interaction --") == []
    assert items(sql, model="'; DROP TABLE interaction --") == []


def test_one_person_is_asked_once_and_another_where_chance_says(sql: Connection) -> None:
    """[ana answers all]: nothing for her; for ben the share that is asked of two; then nothing for chi."""
    every = items(sql)
    told = [event for n in range(160) for event in answer(n, "ana", "bad" if n % 2 else "cannot_tell")]
    second = items(sql, "ben", told, overlap=0.2)
    chosen = {item for item in every if chance(KEY, id_of(item) or b"")[1] < 0.2}
    bens = [event for n in range(160) if event_id(n) in second for event in answer(n, "ben")]

    assert items(sql, "ana", told) == []
    assert set(second) == chosen
    assert 16 <= len(second) <= 48
    assert items(sql, "chi", told + bens, overlap=0.2) == []
    assert items(sql, "ben", told, overlap=0.0) == []


def test_what_is_taken_back_or_adjudicated_is_no_answer(sql: Connection) -> None:
    """Taken back it is asked again; a decision about others' answers is none of one's own."""
    said = answer(5, "ana", id_=event_id(900))
    about = About(event_id(5), "support-bot", "conversation-5")
    back = retractions([(event.id, event.kind) for event in said], about, "ana", NOW)

    assert event_id(5) not in items(sql, told=said)
    assert event_id(5) in items(sql, told=said + back)
    assert event_id(5) in items(sql, told=answer(5, "ana", reason="ana and ben differ"))


def test_people_at_once_are_not_asked_the_same(sql: Connection) -> None:
    """Ten people, ten items each: a hundred items, but for those that are asked of two."""
    held = Reservations()
    found = [
        [each["id"] for each in deal(sql, [], held, Filters(overlap=0.0), f"p{n}", KEY, 10).items] for n in range(10)
    ]
    twice = deal(sql, [], held, Filters(overlap=1.0), "late", KEY, 200).items

    assert len({item for part in found for item in part}) == 100
    assert len(twice) == 160
    assert deal(sql, [], held, Filters(overlap=1.0), "later", KEY, 200).left == 160


def test_the_audit_is_asked_in_its_own_order_whoever_judged(sql: Connection) -> None:
    """What a run drew and nobody has answered is dealt as drawn; what is gone is left out."""
    first, second = [id_ for id_ in items(sql) if id_ not in {event_id(5), event_id(7)}][:2]
    drawn = [second, event_id(7), first, event_id(99_999), event_id(5)]
    found = deal(sql, answer(7, "ben"), Reservations(), Filters(kind="audit", overlap=0), "ana", KEY, 9, (), drawn)

    assert [each["id"] for each in found.items] == [second, first, event_id(5)]
    assert Filters(kind="audit").random
    assert items(sql, kind="audit") == []
