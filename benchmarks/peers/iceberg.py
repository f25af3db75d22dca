"""Iceberg's sink on Kafka Connect, one standalone worker: the jars of `jars/iceberg/pom.xml`.

The table is made beforehand, with nested values as text: the sink writes them as JSON, as the archiver keeps them. It
has no Kafka places and no partition by day, which the archiver's table has.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.peers.counts import iceberg_snapshot
from benchmarks.peers.fetch import CACHE, classpath, compiled, lacking
from benchmarks.peers.peer import Count, Job, fields
from streams.broker.broker import free_port

COMMIT_MS, OFTEN_MS = 10_000, 2_000
"""Its default is five minutes, in which nothing could be read."""


class IcebergPeer:
    """The sink in two tasks; `tolerant` as Connect can be told to be: bad records go to a topic of dead letters."""

    def __init__(self, *, tolerant: bool = False) -> None:
        self.died = "Task is being killed and will not recover"
        self.name = "Iceberg 1.10.1 on Kafka Connect 4.1.1" + (", told to tolerate" if tolerant else "")
        self._tolerant = tolerant

    def missing(self) -> str | None:
        """Java with its compiler, and the jars."""
        return lacking("iceberg", "java", "javac", of=CACHE / "iceberg" / "classes")

    def prepare(self, job: Job) -> None:
        """The table, the sink's topics, and both files of settings."""
        compiled("iceberg")
        _lake_table("create", job, fields())
        topics = [NewTopic(name, 1, 1) for name in (_control(job), _dead(job))]
        client = AdminClient({"bootstrap.servers": job.servers})  # held on to: it answers no future once it is gone
        for made in client.create_topics(topics).values():
            made.result()
        _write(job.folder / "worker.properties", self.worker(job))
        _write(job.folder / "sink.properties", self.sink(job))

    def worker(self, job: Job) -> dict[str, str]:
        """What Connect is told."""
        return {
            "bootstrap.servers": job.servers,
            "listeners": f"http://127.0.0.1:{free_port()}",
            "key.converter": "org.apache.kafka.connect.storage.StringConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter.schemas.enable": "false",
            "offset.storage.file.filename": f"{job.folder}/offsets",
            # Its tasks answer a call to commit only when they are handed records or when offsets are due, by default
            # after a minute: at the end of a topic they would answer too late.
            "offset.flush.interval.ms": "5000",
        }

    def sink(self, job: Job) -> dict[str, str]:
        """What the sink is told."""
        tolerance = {
            "errors.tolerance": "all",
            "errors.deadletterqueue.topic.name": _dead(job),
            "errors.deadletterqueue.topic.replication.factor": "1",
        }
        return {
            "name": job.name,
            "connector.class": "org.apache.iceberg.connect.IcebergSinkConnector",
            "tasks.max": "2",
            "topics": job.topic,
            "iceberg.tables": "lake.interactions",
            "iceberg.catalog.type": "hadoop",
            "iceberg.catalog.warehouse": f"file://{job.folder}/warehouse",
            "iceberg.control.topic": _control(job),
            "iceberg.control.commit.interval-ms": str(OFTEN_MS if job.often else COMMIT_MS),
            "consumer.override.auto.offset.reset": "earliest",
            "consumer.override.max.poll.records": "5000",
            **(tolerance if self._tolerant else {}),
        }

    def command(self, job: Job) -> list[str]:
        """One worker, which stays until it is told to stop."""
        return [
            "java", "-Xmx2g", "-cp", classpath("iceberg"), "org.apache.kafka.connect.cli.ConnectStandalone",
            str(job.folder / "worker.properties"), str(job.folder / "sink.properties"),
        ]  # fmt: skip

    def group(self, job: Job) -> str | None:
        """As Connect names it."""
        return f"connect-{job.name}"

    def landed(self, job: Job) -> int:
        """By the summary of the newest snapshot."""
        return iceberg_snapshot(_place(job))["rows"]

    def size(self, job: Job) -> int:
        """By the summary of the newest snapshot."""
        return iceberg_snapshot(_place(job))["bytes"]

    def count(self, job: Job) -> Count:
        """Rows as Iceberg's own reader sees them, and the records in the topic of dead letters."""
        asked = Consumer({"bootstrap.servers": job.servers, "group.id": "count"})
        first, end = asked.get_watermark_offsets(TopicPartition(_dead(job), 0))
        asked.close()
        return Count(**json.loads(_lake_table("count", job).splitlines()[-1]), dead=end - first)


def _control(job: Job) -> str:
    return f"{job.name}-control"


def _dead(job: Job) -> str:
    return f"{job.name}-dead"


def _place(job: Job) -> Path:
    return job.folder / "warehouse" / "lake" / "interactions"


def _lake_table(what: str, job: Job, *more: str) -> str:
    call = ["java", "-cp", classpath("iceberg"), "LakeTable", what, f"file://{job.folder}/warehouse", *more]
    return subprocess.run(call, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def _write(file: Path, settings: dict[str, str]) -> None:
    file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
