"""What an operator sees of ingest: lag, metrics, and logs that tell no secrets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from flows.cli import app
from flows.testing.events import interaction
from schemas.errors import UsageError
from schemas.topics import INTERACTIONS
from streams.archive import metrics
from streams.broker.broker import free_port
from streams.producer import EventProducer
from tests.support.kafka import Ingest
from tests.support.waiting import eventually

pytestmark = pytest.mark.integration
SECRET = "mother's maiden name"


def send(ingest: Ingest, first: int, after: int) -> None:
    """Produce numbered events that hold a secret, and one bad one that does."""
    with EventProducer(ingest.settings.kafka) as producer:
        for n in range(first, after):
            producer.send(interaction(n, input_messages=[{"role": "user", "content": SECRET}]))
        producer.send_bytes(INTERACTIONS, SECRET, f'{{"id": "{SECRET}", "{SECRET}": 1'.encode(), [])


def test_metrics_count_what_was_archived_and_logs_tell_no_content(ingest: Ingest, tmp_path: Path) -> None:
    """Prometheus reads rows, bytes, dead letters by reason and the last commit; the log names counts and places."""
    port = free_port()
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": ingest.settings.kafka.bootstrap_servers,
        "FLYWHEEL_HOME": ingest.settings.home,
        "FLYWHEEL_ARCHIVE_METRICS_PORT": str(port),
    }
    log = tmp_path / "archiver.log"
    send(ingest, 0, 20)
    with log.open("wb") as stream:
        command = [sys.executable, "-m", "streams", "archive"]
        archiver = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
    try:
        eventually(lambda: len(ingest.stored("interactions")) == 20 and _metrics(port).get("LAST_COMMIT"))
        found = _metrics(port)
    finally:
        archiver.send_signal(signal.SIGTERM)
        assert archiver.wait(20) == 0

    assert (found["ROWS"], found["DEAD_LETTERS"]) == (20, 1)
    assert found["BYTES"] > 20 * 200
    assert b"landed" in log.read_bytes()
    assert SECRET.encode() not in log.read_bytes()


def _metrics(port: int) -> dict[str, float]:
    """What the archiver's page says of interactions, summed over reasons."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        families = list(text_string_to_metric_families(page.read().decode()))
    names = {"rows": "ROWS", "bytes": "BYTES", "dead_letters": "DEAD_LETTERS", "last_commit_seconds": "LAST_COMMIT"}
    return {
        name: sum(
            sample.value
            for family in families
            if family.name == f"flywheel_archive_{suffix}"
            for sample in family.samples
            if sample.labels.get("table") == "interactions" and not sample.name.endswith("_created")
        )
        for suffix, name in names.items()
    }


def test_a_metrics_port_that_is_taken_is_named() -> None:
    """The message names the port and the setting that moves it."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=rf"{port}.*archive\.metrics_port"):
            metrics.serve(port)


def test_status_tells_how_far_behind_each_partition_is(ingest: Ingest) -> None:
    """Lag is what Kafka holds beyond the table's committed offsets, whatever the consumer group says."""
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": ingest.settings.kafka.bootstrap_servers,
        "FLYWHEEL_HOME": ingest.settings.home,
        "COLUMNS": "200",
    }
    send(ingest, 0, 20)
    ingest.archive()
    send(ingest, 20, 50)

    found = json.loads(CliRunner(env=environment).invoke(app, ["status", "--json"]).stdout)
    page = CliRunner(env=environment).invoke(app, ["status"]).stdout

    mine = [at for at in found["partitions"] if at["topic"] == INTERACTIONS.name]
    assert sum(at["lag"] for at in mine) == 31
    assert sum(at["archived"] for at in mine) == 21
    assert sum(at["lost"] for at in mine) == 0
    assert [(row["reason"], row["offsets"]) for row in found["dead_letters"]] == [("invalid_json", 1)]
    assert {table["name"]: table["rows"] for table in found["tables"]}["interactions"] == 20
    assert "invalid_json" in page
