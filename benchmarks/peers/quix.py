"""A peer of `benchmarks/ingest.py`: Kafka to Parquet by quixstreams' own file sink. Prints its figures as JSON.

Nested values are kept as JSON text and the interpreter is tuned, as in ours (`streams/archive/run.py`).
Runs in an environment of its own (quixstreams pins confluent-kafka). Arguments: servers, topic, events, folder and,
where it is to go on from where it was, a consumer group.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time

import pyarrow as pa
from quixstreams import Application
from quixstreams.sinks.community.file.formats import ParquetFormat
from quixstreams.sinks.community.file.local import LocalFileSink


def cpu() -> float:
    """CPU seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


gc.set_threshold(200_000, 20, 100)
pa.set_memory_pool(pa.system_memory_pool())


def flat(event: dict[str, object]) -> dict[str, object]:
    """The event with its nested values as JSON text."""
    return {name: json.dumps(value) if isinstance(value, dict | list) else value for name, value in event.items()}


def main() -> None:
    """Sink so many events, then say what it cost from the first event on."""
    servers, topic, events, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    application = Application(
        broker_address=servers, consumer_group=[*sys.argv, f"quix-{time.time_ns()}"][5], auto_offset_reset="earliest",
        commit_every=20_000, commit_interval=3600, loglevel="WARNING",
    )  # fmt: skip
    first: list[tuple[float, float]] = []

    def begun(value: object) -> object:
        if not first:
            first.append((time.monotonic(), cpu()))
        return value

    frame = application.dataframe(application.topic(topic, value_deserializer="json"))
    frame = frame.apply(begun).apply(flat)
    frame.sink(LocalFileSink(directory=folder, format=ParquetFormat(compression="snappy")))
    application.run(count=events, timeout=60, collect=False)
    wall, used = time.monotonic() - first[0][0], cpu() - first[0][1]
    print(json.dumps({"events": events, "wall": wall, "cpu": used}))


if __name__ == "__main__":
    main()
