"""A peer of `benchmarks/ingest.py`: a Faust agent that takes batches and appends them as Parquet files.

Nested values are kept as JSON text and the interpreter is tuned, as in ours (`streams/archive/run.py`).
Arguments: servers, topic, events, folder. Prints its figures as JSON.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from pathlib import Path

import faust
import pyarrow as pa
import pyarrow.parquet as pq

SERVERS, TOPIC, EVENTS, FOLDER = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])


gc.set_threshold(200_000, 20, 100)
pa.set_memory_pool(pa.system_memory_pool())


def flat(event: dict[str, object]) -> dict[str, object]:
    """The event with its nested values as JSON text."""
    return {name: json.dumps(value) if isinstance(value, dict | list) else value for name, value in event.items()}


def cpu() -> float:
    """CPU seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


app = faust.App(
    f"faust-{time.time_ns()}", broker=f"kafka://{SERVERS}", value_serializer="json", web_enabled=False,
    consumer_auto_offset_reset="earliest", datadir=str(FOLDER / "faust"), topic_disable_leader=True,
    stream_wait_empty=False, broker_max_poll_records=5000,
)  # fmt: skip


@app.agent(app.topic(TOPIC))
async def to_parquet(stream: faust.StreamT) -> None:
    """Write each batch as one file."""
    done, first = 0, None
    async for batch in stream.take(5000, within=1):
        first = first or (time.monotonic(), cpu())
        pq.write_table(
            pa.Table.from_pylist([flat(event) for event in batch]), FOLDER / f"{done}.parquet", compression="snappy"
        )
        done += len(batch)
        if done >= EVENTS:
            # The first batch came before the clock was started: its events are not counted either.
            counted = done - min(5000, done)
            figures = {"events": counted, "wall": time.monotonic() - first[0], "cpu": cpu() - first[1]}
            os.write(1, f"\n{json.dumps(figures)}\n".encode())  # Faust sends what is printed to its log
            os._exit(0)


if __name__ == "__main__":
    sys.argv = ["faust", "worker", "-l", "error", "--without-web"]
    app.main()
