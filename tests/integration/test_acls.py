"""Kafka with SASL and an authorizer: after `flywheel topics --acl` each principal does its work, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Consumer
from typer.testing import CliRunner

from flows.cli import app
from flows.testing.events import START, event_id, feedback, interaction
from schemas.errors import BrokerError
from schemas.events import Decision, Erasure, Event
from schemas.records import make_candidate
from schemas.secrets import Secret
from schemas.settings import KafkaSettings
from schemas.topics import DECISIONS
from streams.access import ROLES
from streams.admin import Admin, client_options
from streams.broker.broker import free_port
from streams.producer import EventProducer
from tests.support.kafka import Ingest
from tests.support.secured import running
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration
BOT = make_candidate("bot-1", "http://127.0.0.1:9/v1")
PEOPLE = {"admin": "pw-admin", **{f"flywheel-{role}": f"pw-{role}" for role in ROLES}}
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=SASL_PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=SASL_PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
log.dirs={home}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:ANONYMOUS
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
username="admin" password="pw-admin" {people};
"""


class Guarded:
    """A Kafka that knows its principals, and the settings of each."""

    def __init__(self, port: int) -> None:
        self.servers = f"127.0.0.1:{port}"

    def kafka(self, name: str) -> KafkaSettings:
        """How a principal connects."""
        client = {
            "security.protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "PLAIN", "sasl.username": name,
            "sasl.password": PEOPLE[name],
        }  # fmt: skip
        return KafkaSettings(
            bootstrap_servers=self.servers, partitions=2, client={key: Secret(value) for key, value in client.items()}
        )

    def flywheel(self, name: str, *words: str) -> str:
        """A command, as a principal."""
        client = {key: value.reveal() for key, value in self.kafka(name).client.items()}
        environment = {"KAFKA_BOOTSTRAP_SERVERS": self.servers, "FLYWHEEL_KAFKA_CLIENT": json.dumps(client)}
        result = CliRunner().invoke(app, list(words), env=environment)
        assert result.exit_code == 0, result.output
        return result.output


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """The broker, its topics and permissions made by the command itself."""
    home, port = tmp_path_factory.mktemp("guarded"), free_port()
    people = " ".join(f'user_{name}="{password}"' for name, password in PEOPLE.items())
    with running(home, PROPERTIES.format(home=home, port=port, controller=free_port(0, port), people=people)):
        found = Guarded(port)
        eventually(lambda: _answers(found.kafka("admin")))
        assert "5 topics made" in found.flywheel("admin", "topics", "--acl")
        assert "0 topics made" in found.flywheel("admin", "topics", "--acl")
        yield found


def _answers(kafka: KafkaSettings) -> bool:
    try:
        Admin(kafka).partitions(())
    except BrokerError:
        return False
    return True


def sends(kafka: KafkaSettings, event: Event) -> bool:
    """Whether a principal may send this; the brokers acknowledge or refuse it."""
    try:
        with EventProducer(kafka) as producer:
            producer.send(event)
            producer.flush(20)
    except BrokerError as error:
        if "authoriz" not in str(error).lower():
            raise
        return False
    return True


EVENTS: dict[str, Event] = {
    "interaction": interaction(1),
    "feedback": feedback(1, interaction(1)),
    "erasure": Erasure(id=event_id(2), time=START, subject="anna"),
    "decision": Decision(id=event_id(3), time=START, application="a", action="promoted", candidate=BOT, champion=BOT),
}
MAY = {
    "application": {"interaction", "feedback", "erasure"},
    "door": {"interaction", "feedback", "erasure"},
    "flows": {"feedback", "erasure", "decision"},
    "listener": set[str](),
    "archiver": set[str](),
    "triage": set[str](),
}


@pytest.mark.parametrize("role", MAY)
def test_each_principal_writes_what_is_its_own(guarded: Guarded, role: str) -> None:
    """An application decides nothing; whoever only listens or archives writes nothing."""
    kafka = guarded.kafka(f"flywheel-{role}")

    assert {name for name, event in EVENTS.items() if sends(kafka, event)} == MAY[role]


@pytest.mark.parametrize(("role", "reads"), [("listener", True), ("application", False)])
def test_only_listeners_hear_decisions(guarded: Guarded, role: str, reads: bool) -> None:
    """With the group that the SDK uses; an application without the second principal hears nothing."""
    sends(guarded.kafka("flywheel-flows"), EVENTS["decision"])
    options = client_options(guarded.kafka(f"flywheel-{role}"))
    consumer = Consumer({**options, "group.id": "llm-flywheel-sdk", "auto.offset.reset": "earliest"})
    consumer.subscribe([DECISIONS.name])
    found = next((record for _ in range(30) if (record := consumer.poll(1.0)) is not None), None)
    consumer.close()

    assert found is not None
    assert (found.error() is None) is reads


def test_the_archiver_archives_under_its_own_name(guarded: Guarded, tmp_path: Path) -> None:
    """Its permissions are enough for all that it does, the group's offsets included."""
    ingest = Ingest(guarded.servers, tmp_path, group_id="flywheel-archive")
    ingest.settings = msgspec.structs.replace(ingest.settings, kafka=guarded.kafka("flywheel-archiver"))
    sends(guarded.kafka("flywheel-application"), interaction(7))

    ingest.archive(idle_s=8.0)

    assert event_id(7) in {row["id"] for row in ingest.stored("interactions")}
