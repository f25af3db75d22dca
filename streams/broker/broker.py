"""The embedded broker: real Apache Kafka, one node, as a child process that leaves nothing behind.

    with Broker(Path(".flywheel/kafka")) as broker:
        produce_to(broker.bootstrap_servers)

From here: `streams/broker/java.py` and `streams/broker/jars.py` find what it runs, `streams/processes/supervise.py`
keeps it running.
"""

from __future__ import annotations

import random
import socket
import struct
import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from schemas.errors import AlreadyRunning, BrokerDied, BrokerError, HomeInUse, PortTaken
from streams.broker.jars import kafka_jars
from streams.broker.java import find_java
from streams.processes.orphans import Claim, sweep
from streams.processes.supervise import Child, Keeper

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOPBACK = "127.0.0.1"
LOG4J = Path(__file__).with_name("kafka_log4j2.xml")
PORTS = range(20_000, 30_000)
"""Where a port is picked: below the ports that Linux (32768) and macOS (49152) hand to outgoing connections. A client
that knocks at a dead broker's port from that range can meet itself, and then holds the port."""
STOP_TIMEOUT_S = 20.0
"""A clean stop takes 0.3 s idle; Kafka writes out what it holds."""

SETTINGS: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    # One node: nothing to replicate to, and one partition of each book of its own is enough.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    # The first consumer of a group need not wait for others.
    "group.initial.rebalance.delay.ms": "0",
    # A killed broker may come back only when its old session is over: after 3 s instead of 9.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "700",
    # A topic comes from schemas/topics.py; a misspelt name must not make one.
    "auto.create.topics.enable": "false",
    # 8 MiB: an event of 5 MB must reach the archiver, which refuses it with a name.
    "message.max.bytes": str(8 * 2**20),
    "replica.fetch.max.bytes": str(8 * 2**20),
    # A week for the archiver to come back; 4 GiB a partition, some 4 million events of 2 kB in lz4.
    "log.retention.hours": "168",
    "log.retention.bytes": str(4 * 2**30),
    # Retention drops whole segments: 128 MiB is 3 % of the limit.
    "log.segment.bytes": str(128 * 2**20),
    # What `flywheel erase --purge-kafka` deletes is unreadable at once; its bytes go with their segment: half a minute
    # after a newer one was begun, which the first event after six hours does.
    "log.roll.ms": str(6 * 3_600_000),
    "log.retention.check.interval.ms": "30000",
    "log.segment.delete.delay.ms": "1000",
    # The cleaner's default of 128 MiB would be a quarter of the heap; 16 MiB index 500,000 keys at a time.
    "log.cleaner.dedupe.buffer.size": str(16 * 2**20),
}


class Ports(msgspec.Struct, frozen=True):
    """The content of `ports.json`: where the broker was found last, so that its clients find it again."""

    client: int
    controller: int


class Broker:
    """One Kafka broker on the loopback interface, with its log in `home`.

    `port` is taken as it is or refused; without one (None or 0), the port of the last start is used where it is free.
    `heap` is Java's -Xmx. `java_home` and `cache` are what JAVA_HOME and XDG_CACHE_HOME say, if they say anything.
    """

    def __init__(
        self,
        home: Path,
        port: int | None = None,
        heap: str = "512m",
        *,
        java_home: Path | None = None,
        cache: Path | None = None,
    ) -> None:
        self.home = home.resolve()
        self._wanted_port = port
        self._heap = heap
        self._java_home = java_home
        self._cache = cache
        self._ports: Ports | None = None
        self._claim: Claim | None = None
        self._child: Child | None = None
        self._keeper: Keeper | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect; known once the broker is prepared, and the same until it is stopped."""
        return f"{LOOPBACK}:{self._known_ports.client}"

    @property
    def pid(self) -> int | None:
        """The Java process, if `start` has started one that runs now."""
        return self._keeper.status.pid if self._keeper else None

    def prepare(self) -> Child:
        """Do everything but run: take the home, find Java, jars and ports, format the log once. Twice does no harm.

        The child is for a Supervisor; call `stop` after it. Raises HomeInUse, JavaMissing, DownloadFailed, JarMismatch,
        PortTaken, or BrokerError where the log cannot be formatted.
        """
        if self._child is None:
            self._take_home()
            try:
                self._child = self._prepared()
            except BaseException:
                self.stop()
                raise
        return self._child

    def start(self) -> None:
        """Prepare, run, and return when the broker answers. Raises as `prepare`, or BrokerDied with its last words."""
        child = self.prepare()
        self._keeper = Keeper(child)
        try:
            self._keeper.start()
        except BaseException:
            self.stop()
            raise

    def check(self) -> None:
        """Raise BrokerDied if it crashed too often and was given up."""
        if self._keeper:
            self._keeper.check()

    def stop(self) -> None:
        """Stop what `start` started and let go of the home. Twice does no harm."""
        if self._keeper:
            self._keeper.stop()
        if self._claim:
            self._claim.release()
        self._keeper = self._claim = self._child = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _known_ports(self) -> Ports:
        if self._ports is None:
            raise BrokerError("the broker has no address yet: prepare or start it first")
        return self._ports

    def _take_home(self) -> None:
        if "," in str(self.home):
            raise BrokerError(f"Kafka cannot keep its log in {self.home}: choose a path without a comma.")
        try:
            self._claim = Claim(self.home)
        except AlreadyRunning as error:
            raise HomeInUse(f"another broker runs on this data folder: {error}") from error

    def _prepared(self) -> Child:
        run = self.home / "run"
        sweep(run / "broker.pid", STOP_TIMEOUT_S)
        self._ports = self._choose_ports()
        java = find_java(self._java_home)
        jars = kafka_jars(self._cache)
        properties = self._write_properties(self._ports)
        self._format(java, jars, properties)
        return Child(
            name="broker",
            argv=(
                str(java), f"-Xmx{self._heap}", "-XX:+ExitOnOutOfMemoryError", f"-Dlog4j2.configurationFile={LOG4J}",
                "-cp", f"{jars}/*", "kafka.Kafka", str(properties),
            ),
            folder=run, ready=self.answers, stop_timeout_s=STOP_TIMEOUT_S, error=BrokerDied,
        )  # fmt: skip

    def _choose_ports(self) -> Ports:
        """The wanted port or the remembered ones where they are free, else free ones; remembered for the next start."""
        notes = self.home / "ports.json"
        try:
            last = msgspec.json.decode(notes.read_bytes(), type=Ports)
        except (FileNotFoundError, msgspec.DecodeError):
            last = Ports(0, 0)
        if self._wanted_port and not is_free(self._wanted_port):
            raise PortTaken(
                f"port {self._wanted_port} is in use by another program: stop that, "
                "choose another port, or choose none and a free one is taken."
            )
        client = self._wanted_port or free_port(last.client)
        ports = Ports(client, free_port(last.controller, client))
        fresh = notes.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(ports))
        fresh.replace(notes)
        return ports

    def _write_properties(self, ports: Ports) -> Path:
        client, controller = f"{LOOPBACK}:{ports.client}", f"{LOOPBACK}:{ports.controller}"
        settings = {
            **SETTINGS,
            "log.dirs": str(self.home / "data"),
            "listeners": f"PLAINTEXT://{client},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{client}",
            "controller.quorum.bootstrap.servers": controller,
        }
        path = self.home / "server.properties"
        path.write_text("".join(f"{key}={_escaped(value)}\n" for key, value in settings.items()))
        return path

    def _format(self, java: Path, jars: Path, properties: Path) -> None:
        """Give the log its ids, once. Kafka writes meta.properties last, so half a format is made anew."""
        data = self.home / "data"
        if (data / "meta.properties").exists():
            return
        if (data / "__cluster_metadata-0" / "quorum-state").exists():
            raise BrokerError(
                f"{data} holds a log but has lost its meta.properties: restore it, or move the folder away."
            )
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        done = subprocess.run(  # noqa: S603 - our own arguments, no shell
            [java, "-cp", f"{jars}/*", f"-Dlog4j2.configurationFile={LOG4J}", "kafka.tools.StorageTool", "format",
             "--standalone", "--ignore-formatted", f"--cluster-id={cluster}", "--config", properties],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        if done.returncode:
            last = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
            raise BrokerError(f"Kafka could not format {data}:\n{last}")

    def answers(self) -> bool:
        """Whether the broker takes requests now: it must name itself as a live member of its cluster."""
        port = self._known_ports.client
        try:
            return port in live_brokers(port)
        except (OSError, struct.error):
            return False


def _escaped(value: str) -> str:
    """A value as a Java properties file wants it: ASCII, with every other UTF-16 unit by number."""
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2)]
    return "".join(chr(code) if code < 128 else f"\\u{code:04x}" for code in codes)


def is_free(port: int) -> bool:
    """Whether Kafka could listen on this loopback port now. Like Kafka it reuses the addresses of closing sockets."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port(last: int = 0, *others: int) -> int:
    """`last` where it is free, else a free port; never one of the others."""
    tries = (last, *random.sample(PORTS, 100))
    for port in tries:
        if port and port not in others and is_free(port):
            return port
    raise PortTaken(f"a hundred ports between {PORTS.start} and {PORTS.stop - 1} were tried, and all are in use")


METADATA_REQUEST = struct.pack(">hhihi", 3, 1, 1, -1, 0)
"""Kafka protocol: api 3 (Metadata), version 1, correlation id 1, no client id, an empty list of topics."""


def live_brokers(port: int) -> list[int]:
    """The client ports of the brokers that the broker at this port knows to be live.

    Speaks the protocol itself (KIP-4, Metadata v1: correlation id, then [node id, host, port, rack]…), because a
    client library would retry, log and keep threads for a question asked ten times a second. Raises OSError, or
    struct.error where the answer is not Kafka's.
    """
    with socket.create_connection((LOOPBACK, port), timeout=2) as connection:
        connection.sendall(struct.pack(">i", len(METADATA_REQUEST)) + METADATA_REQUEST)
        with connection.makefile("rb") as answer:
            (size,) = struct.unpack(">i", answer.read(4))
            body = answer.read(min(size, 64 * 1024))
    _, count = struct.unpack_from(">ii", body)
    ports, at = [], 8
    for _ in range(count):
        (host,) = struct.unpack_from(">h", body, at + 4)
        at += 6 + host
        found, rack = struct.unpack_from(">ih", body, at)
        ports.append(found)
        at += 6 + max(rack, 0)
    return ports
