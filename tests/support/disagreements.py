"""A sample of requests that champion and candidate answer differently, and nobody has said what is right."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pyarrow as pa

from flows.testing.bench import Bench
from flows.testing.events import happened, interaction

COUNT = 300
SAMPLE = pa.schema([
    ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
    *((name, pa.string()) for name in (
        "item_id", "reference", "source", "slice", "unit", "interaction_id", "model",
    )),
    ("time", pa.timestamp("us", tz="UTC")),
    ("kept_out", pa.bool_()),
])  # fmt: skip


def sampled(bench: Bench) -> Bench:
    """A bench whose sample is COUNT requests that the champion answered."""
    asked = [interaction(n, request_model="old", output_messages=[
        {"role": "assistant", "content": bench.answer({"model": "old", "messages": [{"content": f"question {n}"}]})}
    ]) for n in range(COUNT)]  # fmt: skip
    happened(bench.lake, *asked)
    rows = [
        {
            "item_id": f"item-{n}", "messages": [{"role": "user", "content": f"question {n}"}], "reference": None,
            "source": "none", "slice": f"cluster-{n % 2}", "unit": f"user-{n}", "interaction_id": event.id,
            "model": "old", "time": bench.as_of + timedelta(hours=1), "kept_out": False,
        }
        for n, event in enumerate(asked)
    ]  # fmt: skip
    bench.put(pa.Table.from_pylist(rows, SAMPLE), "sample", "s1", dataset="sample")
    how = msgspec.structs.replace(bench.settings.evaluate, eval_set="sample")
    bench.settings = msgspec.structs.replace(bench.settings, evaluate=how)
    bench.enlist()
    return bench
