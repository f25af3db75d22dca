"""One more world with a person in every place: all processes at work, a real Kafka, a real Prefect; every byte is read.

`tests/flows/test_erase_everywhere.py` has ten without the processes.
"""

from __future__ import annotations

import contextlib
import json
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kafka import KafkaProducer

from flows.erase import carry_out
from flows.prefect_api import TURN, served
from flows.stack import Stack
from flows.testing.events import START
from schemas.serving import DoorSettings
from schemas.settings import ArchiveSettings, ClusterSettings, CurateSettings, KafkaSettings, Settings, TriageSettings
from schemas.topics import INTERACTIONS
from streams.lake.query import stored_rows
from streams.producer import EventProducer
from tests.support.kafka import begin_new_segments
from tests.support.planted import OTHERS, Person, found
from tests.support.prefect import call, ended
from tests.support.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]
THEIRS = 8
"""Interactions of the person."""


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All processes, in a home where clusters may be called by the words of one person."""
    settings = Settings(
        home=str(tmp_path_factory.mktemp("world")),
        prefect_port=0,
        kafka=KafkaSettings(partitions=1),
        archive=ArchiveSettings(batch_seconds=0.3),
        triage=TriageSettings(web_port=0),
        door=DoorSettings(port=0),
        cluster=ClusterSettings(min_size=4, least_people=1),
        curate=CurateSettings(paraphrase=1, eval_share=0.5),
    )
    with Stack(settings) as running, running.orchestrator.held(TURN):
        yield running


def send(stack: Stack, person: Person) -> None:
    """What they did, and what cannot be read of it, by Kafka: archived, and counted by triage."""
    with EventProducer(stack.settings.kafka) as producer:
        for event in person.events():
            producer.send(event)
    raw: Any = KafkaProducer(
        bootstrap_servers=stack.settings.kafka.bootstrap_servers, compression_type="lz4", linger_ms=50
    )
    broken = person.broken()
    for value in broken:
        raw.send(INTERACTIONS.name, key=person.name.encode(), value=value, headers=[("from", person.name.encode())])
    raw.close()

    def counted() -> int:
        with urllib.request.urlopen(f"{stack.addresses.triage}/rates.json", timeout=5) as answer:
            return sum(group["interactions"] for group in json.loads(answer.read())["groups"])

    eventually(lambda: len(stored_rows(stack.lake, "interactions")) == OTHERS + THEIRS, 120)
    eventually(lambda: len(stored_rows(stack.lake, "dead_letters")) == len(broken), 120)
    eventually(lambda: counted() == OTHERS + THEIRS, 120)


def run(stack: Stack, key: str, **parameters: str) -> str:
    """A turn under Prefect; the id of its run."""
    done = ended(stack, stack.orchestrator.start(served(TURN, stack.settings.application), parameters, key))
    assert done.state_type == "COMPLETED"
    return done.id


def tell_prefect(stack: Stack, person: Person, run_id: str) -> str:
    """Words in its log, in artifacts, and in what was deleted before; the id of a run that their name starts."""
    said = f"{person.name} said {person.words[0]}"
    now = datetime.now(UTC).isoformat()
    line = {"name": "flows", "level": 20, "message": said, "timestamp": now, "flow_run_id": run_id}
    call(stack, "POST", "/logs/", [line])
    for key in ("kept", "gone"):
        made = call(stack, "POST", "/artifacts/", {"key": key, "type": "markdown", "data": f"{said} {key} " * 900})
        if key == "gone":
            call(stack, "DELETE", f"/artifacts/{made['id']}")
    return run(stack, "by name", application=person.name, as_of=START.isoformat())


def tell_of(stack: Stack, person: Person) -> None:
    """Events that name them, which the server holds in memory for up to five seconds."""
    said = {"event": "test.said", "resource": {"prefect.resource.id": "test", "prefect.resource.name": person.name}}
    at = {"occurred": datetime.now(UTC).isoformat()}
    call(stack, "POST", "/events", [said | at | {"id": str(uuid.uuid4())} for _ in range(3)])


def artifacts(stack: Stack) -> Counter[str]:
    """How many there are of each key."""
    return Counter(one["key"] for one in call(stack, "POST", "/artifacts/filter", {}))


def test_nothing_of_a_person_is_left_in_a_house_at_work(stack: Stack) -> None:
    """Kafka's segments, triage's changelogs, Prefect's rows, free pages and log of changes, logs of processes, lake."""
    person, home = Person(0), stack.settings.home_path
    send(stack, person)
    first = run(stack, "first", as_of=(START + timedelta(days=2)).isoformat())
    named = tell_prefect(stack, person, first)
    everywhere = {"prefect", "kafka", "lake", "datasets", "run"}
    eventually(lambda: everywhere <= {path.split("/")[0] for path in found(person, home)}, 60)
    before = found(person, home)
    tell_of(stack, person)
    assert {word for hits in before.values() for word in hits} >= {word.encode() for word in person.words}

    receipt = carry_out(stack.lake, stack.settings, person.spelled(1), datetime.now(UTC), purge_kafka=True)

    assert receipt["copies"] > 0
    begin_new_segments(stack.settings)
    with contextlib.suppress(AssertionError):
        eventually(lambda: not found(person, home), 240)
    assert found(person, home) == {}
    assert stack.orchestrator.find(first)
    assert stack.orchestrator.find(named) is None
    left = artifacts(stack)
    run(stack, "again", as_of=(START + timedelta(days=3)).isoformat())
    assert "kept" not in left
    assert artifacts(stack)["clusters"] > left["clusters"], "the books go on"
    assert found(person, home) == {}
