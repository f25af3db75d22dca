"""Kafka over SASL_SSL: one setting reaches the producer, the admin client and the archiver."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from flows.testing.events import interaction
from schemas.errors import BrokerError
from schemas.secrets import Secret
from schemas.settings import KafkaSettings
from streams.admin import Admin
from streams.broker.broker import free_port
from streams.broker.java import find_java
from streams.producer import EventProducer
from tests.support.kafka import Ingest
from tests.support.secured import running
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=SASL_SSL://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=SASL_SSL
listener.security.protocol.map=CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL
log.dirs={home}/data
offsets.topic.replication.factor=1
group.initial.rebalance.delay.ms=0
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
username="flywheel" password="pw" user_flywheel="pw";
ssl.keystore.location={home}/keys.p12
ssl.keystore.password=secret
ssl.keystore.type=PKCS12
ssl.truststore.location={home}/keys.p12
ssl.truststore.password=secret
ssl.truststore.type=PKCS12
"""


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaSettings]:
    """A Kafka that speaks SASL_SSL only, with a certificate made for it."""
    java = find_java()
    keytool = java.with_name("keytool")
    if not keytool.exists():
        keytool = java.resolve().with_name("keytool")
    if not keytool.exists():
        pytest.skip("this Java brings no keytool to make a certificate with")
    home = tmp_path_factory.mktemp("secured")
    store = ["-keystore", f"{home}/keys.p12", "-storetype", "PKCS12", "-storepass", "secret", "-alias", "broker"]
    name = ["-dname", "CN=localhost", "-ext", "SAN=dns:localhost,ip:127.0.0.1"]
    subprocess.run([keytool, "-genkeypair", "-keyalg", "RSA", *name, *store], check=True, capture_output=True)
    exported = subprocess.run([keytool, "-exportcert", "-rfc", *store], check=True, capture_output=True)
    (home / "ca.pem").write_bytes(exported.stdout)
    port = free_port()
    with running(home, PROPERTIES.format(home=home, port=port, controller=free_port(0, port))):
        yield KafkaSettings(
            bootstrap_servers=f"127.0.0.1:{port}",
            client={
                "security.protocol": Secret("SASL_SSL"),
                "sasl.mechanisms": Secret("PLAIN"),
                "sasl.username": Secret("flywheel"),
                "sasl.password": Secret("pw"),
                "ssl.ca.location": Secret(str(home / "ca.pem")),
            },
        )


def test_events_come_through_a_secured_kafka(secured: KafkaSettings, tmp_path: Path) -> None:
    """Producer, topics and archiver all use the same options; without them nobody gets in."""
    ingest = Ingest(secured.bootstrap_servers, tmp_path)
    ingest.settings = msgspec.structs.replace(ingest.settings, kafka=secured)
    eventually(lambda: _ready(secured))
    with EventProducer(secured) as producer:
        for n in range(20):
            producer.send(interaction(n))

    ingest.archive(idle_s=8.0)

    assert len(ingest.stored("interactions")) == 20
    with pytest.raises(BrokerError):
        EventProducer(KafkaSettings(bootstrap_servers=secured.bootstrap_servers), timeout_s=3.0)


def _ready(kafka: KafkaSettings) -> bool:
    try:
        Admin(kafka).ensure_topics()
    except BrokerError:
        return False
    return True
