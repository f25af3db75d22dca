"""What DuckDB cannot hold in memory lies in a private folder, which goes with the process; where work is done."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from streams.lake import Lake
from streams.lake.query import FEW, worked
from streams.lake.rows import BATCH
from streams.lake.spilled import sweep

SPILLS = """
import json, os, stat, sys
from pathlib import Path
import pyarrow as pa
from streams.lake import engine
engine.MEMORY = "120MB"
with engine.duck() as duck:
    duck.put("numbers", pa.table({"n": range(2_000_000)}))
    rows = duck.ask("SELECT n, repeat(CAST(n AS VARCHAR), 20) AS text FROM numbers ORDER BY hash(n)", {})
    batches = iter(rows.batches())
    next(batches)
    found = [path for path in Path(os.environ["TMPDIR"]).rglob("*") if path.is_file() and path.stat().st_size]
    modes = [stat.S_IMODE(path.stat().st_mode) for path in Path(os.environ["TMPDIR"]).iterdir()]
print(json.dumps({"files": len(found), "modes": modes, "here": os.listdir(".")}))
"""


def test_what_spills_is_private_and_gone_with_the_process(tmp_path: Path) -> None:
    """Below TMPDIR, for its owner alone; nothing in the folder that the command was called in."""
    spilled, called_in = tmp_path / "spilled", tmp_path / "called in"
    spilled.mkdir()
    called_in.mkdir()
    root = str(Path(__file__).resolve().parents[3])
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(spilled), "PYTHONPATH": root}
    command = [sys.executable, "-c", SPILLS]
    done = subprocess.run(command, cwd=called_in, env=environment, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)

    assert told["files"] > 0  # it is a question that spills
    assert told["modes"] == [0o700]
    assert told["here"] == []
    assert list(spilled.iterdir()) == []


def test_what_killed_processes_left_is_swept(tmp_path: Path) -> None:
    """Their folders go, with all that is in them; others stay."""
    for name in ("llm-flywheel-one", "llm-flywheel-two", "prefect"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rows").write_text("said in confidence")
    sweep(tmp_path)
    sweep(tmp_path / "nowhere")

    assert [path.name for path in tmp_path.iterdir()] == ["prefect"]


@dataclass(frozen=True)
class Doubled:
    """A work: each number twice as large."""

    schema: ClassVar[pa.Schema] = pa.schema([("n", pa.int64())])

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Row by row."""
        for batch in batches:
            yield pa.RecordBatch.from_arrays([pc.multiply(batch["n"], 2)], schema=self.schema)


@pytest.mark.parametrize(("engine", "count"), [("", 25_000), ("sc://nowhere", FEW - 1), ("sc://nowhere", 0)])
def test_work_is_done_here_where_it_is_little_or_nobody_else_is_asked(tmp_path: Path, engine: str, count: int) -> None:
    """In batches, in order; no Spark is asked for a few rows."""
    with worked(Lake(tmp_path, engine=engine), pa.table({"n": pa.array(range(count), pa.int64())}), Doubled()) as rows:
        batches = list(rows.batches())

    assert [n for batch in batches for n in batch["n"].to_pylist()] == [2 * n for n in range(count)]
    assert max(map(len, batches), default=0) <= BATCH
