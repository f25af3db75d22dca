"""What DuckDB cannot hold in memory lies in a private folder, which goes with the process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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
