"""A lake that is ready for an evaluation: an eval set, a champion and a candidate, as the other stages leave them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from flows import ledger
from flows.run import begin, finish
from flows.seal import seal_of
from flows.testing.endpoint import Endpoint
from schemas.events import Candidate
from schemas.settings import EvaluateSettings, Settings
from streams.lake import Lake
from streams.lake.append import publish, to_rows

TEXTS = ("item_id", "reference", "slice", "unit", "rubric")
EVAL_SET = pa.schema([
    ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
    ("tools", pa.list_(pa.string())),
    *((name, pa.string()) for name in TEXTS),
])  # fmt: skip


class Bench:
    """A lake with an application in it: an eval set, a champion and a candidate, as the other stages leave them."""

    application = "support-bot"
    as_of = datetime(2026, 1, 6, tzinfo=UTC)

    def __init__(self, lake: Lake, home: Path, how: EvaluateSettings, endpoint: Endpoint) -> None:
        self.lake, self.endpoint = lake, endpoint
        how = msgspec.structs.replace(how, eval_set="all")
        self.settings = Settings(home=str(home), lake=lake.root, evaluate=how)

    def freeze(self, count: int, version: str = "v1", **fields: Any) -> Path:
        """An eval set of `count` questions on disk and in the lake; `fields` are columns of its row."""
        return self.put(pa.Table.from_pylist([self._row(n) for n in range(count)], EVAL_SET), "eval", version, **fields)

    def put(self, rows: pa.Table, kind: str, version: str, /, **fields: Any) -> Path:
        """A version of the dataset `all` that holds these rows, on disk and in the lake; `fields` as of `freeze`."""
        file = self.settings.datasets_path / "app" / version / "data" / f"{kind}-test-00000-of-00001.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, file)
        run = begin(self.lake, "curate", self.application, self.as_of, (), None, version=version, row=str(fields))
        manifest = {"files": {f"data/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest()}}
        row = {
            "run_id": run.run_id, "application": self.application, "dataset": "all", "version": version, "kind": kind,
            "path": f"app/{version}", "sha256": "", "created": self.as_of, "manifest": json.dumps(manifest),
            "status": "current", **fields,
        }  # fmt: skip
        publish(self.lake, "dataset_versions", to_rows("dataset_versions", [row]), run.run_id)
        finish(self.lake, run, {})
        return file

    def enlist(self) -> tuple[Candidate, Candidate]:
        """A champion and a candidate in the ledger, both behind the endpoint."""
        old, new = self.endpoint.candidate("old"), self.endpoint.candidate("new")
        ledger.bootstrap(self.lake, self.application, old, "the first", time=self.as_of, seal=seal_of(self.settings))
        ledger.register(self.lake, self.application, new, time=self.as_of, seal=seal_of(self.settings))
        return old, new

    @staticmethod
    def answer(body: dict[str, Any]) -> str:
        """The new model knows every answer, the old one every other."""
        number = int(body["messages"][-1]["content"].removeprefix("question "))
        return f"Answer {number}!" if body["model"] == "new" or number % 2 else "no idea"

    @staticmethod
    def _row(n: int) -> dict[str, Any]:
        texts = {"item_id": f"item-{n}", "reference": f"answer {n}", "slice": f"cluster-{n % 2}", "unit": f"user-{n}"}
        return {**texts, "messages": [{"role": "user", "content": f"question {n}"}], "tools": []}
