"""A Kafka of a test's own with properties of its own, for what the embedded broker does not do: certificates, ACLs."""

from __future__ import annotations

import base64
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.broker.jars import kafka_jars
from streams.broker.java import find_java


@contextmanager
def running(home: Path, properties: str) -> Iterator[None]:
    """Format the log and start a broker, which may need some seconds until it answers."""
    file = home / "server.properties"
    file.write_text(properties)
    run = [str(find_java()), "-Xmx256m", "-cp", f"{kafka_jars()}/*"]
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    format_ = ["kafka.tools.StorageTool", "format", "--standalone", "-t", f"a{cluster[1:]}", "-c", str(file)]
    subprocess.run([*run, *format_], check=True, capture_output=True)
    broker = subprocess.Popen([*run, "kafka.Kafka", str(file)], stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        broker.kill()
        broker.wait(10)
