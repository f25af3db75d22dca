"""A peer of `benchmarks/ingest.py`: Kafka to Parquet by quixstreams' own file sink. Prints its figures as JSON.

Runs in an environment of its own (quixstreams pins confluent-kafka). Arguments: servers, topic, events, folder.
"""

from __future__ import annotations

import json
import resource
import sys
import time

from quixstreams import Application
from quixstreams.sinks.community.file.formats import ParquetFormat
from quixstreams.sinks.community.file.local import LocalFileSink


def cpu() -> float:
    """CPU seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Sink so many events, then say what it cost from the first event on."""
    servers, topic, events, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    application = Application(
        broker_address=servers, consumer_group=f"quix-{time.time_ns()}", auto_offset_reset="earliest",
        commit_every=20_000, commit_interval=3600, loglevel="WARNING",
    )  # fmt: skip
    first: list[tuple[float, float]] = []

    def begun(value: object) -> object:
        if not first:
            first.append((time.monotonic(), cpu()))
        return value

    frame = application.dataframe(application.topic(topic, value_deserializer="json"))
    frame = frame.apply(begun)
    frame.sink(LocalFileSink(directory=folder, format=ParquetFormat(compression="snappy")))
    application.run(count=events, timeout=60, collect=False)
    wall, used = time.monotonic() - first[0][0], cpu() - first[0][1]
    print(json.dumps({"events": events, "wall": wall, "cpu": used}))


if __name__ == "__main__":
    main()
