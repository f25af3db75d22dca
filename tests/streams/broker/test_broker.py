"""What the broker decides before any Java runs: ports, settings, who may use a home."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schemas.errors import BrokerError, HomeInUse, PortTaken
from streams.broker.broker import PORTS, Broker, free_port, is_free, live_brokers
from streams.processes.orphans import Claim


@contextmanager
def listener(answer: bytes = b"") -> Iterator[int]:
    """A server on a free loopback port that gives one answer to whatever it is asked."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(answer)

        if answer:
            threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def test_a_taken_port_is_a_clear_error(tmp_path: Path) -> None:
    """Who asks for a port gets it or is told; the home is free again afterwards."""
    with listener() as port, pytest.raises(PortTaken, match=f"port {port} is in use by another program"):
        Broker(tmp_path, port=port).start()

    Claim(tmp_path).release()


def test_a_home_in_use_is_a_clear_error(tmp_path: Path) -> None:
    """Two brokers on one log would destroy it: the second is told which process is the first."""
    claim = Claim(tmp_path)

    with pytest.raises(HomeInUse, match=rf"another broker runs on this data folder: {tmp_path} is in use by process"):
        Broker(tmp_path).start()
    claim.release()


def test_a_path_that_kafka_would_split_is_refused(tmp_path: Path) -> None:
    """Kafka reads a comma as the end of a folder's name, and would write somewhere else."""
    with pytest.raises(BrokerError, match="without a comma"):
        Broker(tmp_path / "a,b").start()


def test_an_unprepared_broker_has_no_address(tmp_path: Path) -> None:
    """An address that may still change is not given out."""
    with pytest.raises(BrokerError, match="no address yet"):
        _ = Broker(tmp_path).bootstrap_servers


def test_the_last_port_is_kept_where_it_is_free() -> None:
    """Clients find a restarted broker where they left it."""
    last = free_port()

    assert last in PORTS
    assert free_port(last) == last
    assert free_port(last, last) != last
    with listener() as taken:
        assert not is_free(taken)
        assert free_port(taken) != taken


def test_readiness_is_what_kafka_says() -> None:
    """The answer lists the live brokers by port; racks may be named or not; topics do not matter."""
    brokers = [struct.pack(">ih9sih", n, 9, b"127.0.0.1", 9000 + n, -1) for n in (1, 2)]
    named = struct.pack(">ih4sih3s", 3, 4, b"host", 9003, 3, b"r-1")
    body = struct.pack(">ii", 1, 3) + b"".join(brokers) + named + struct.pack(">ii", 1, 0)

    with listener(struct.pack(">i", len(body)) + body) as port:
        assert live_brokers(port) == [9001, 9002, 9003]


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0", b"\0\0\0\x04ABCD"])
def test_another_program_on_the_port_is_not_a_broker(answer: bytes) -> None:
    """An answer in another protocol, or half an answer, is refused and not misread."""
    with listener(answer) as port, pytest.raises((OSError, struct.error)):
        live_brokers(port)
