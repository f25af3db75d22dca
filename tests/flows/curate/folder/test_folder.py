"""The folder on disk: whole or absent, the same bytes in every process, open in other people's tools."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import Features, get_dataset_config_names, load_dataset

from flows.curate.folder.disk import application_folder, check
from flows.curate.folder.folder import write
from schemas.records import Example
from tests.support.examples import FACTS, example, pair, parts, verdict

WRITER = """
import json, sys
from pathlib import Path
import pyarrow as pa
from flows.curate.folder.folder import write
from schemas.records import Example
pa.set_cpu_count(int(sys.argv[2])); pa.set_io_thread_count(int(sys.argv[2]))
def row(n):
    chat = [{"role": "user", "content": f"question {n} " * 20}]
    return Example(f"i-{n:06d}", f"u-{n}", json.dumps(chat), json.dumps(chat), chat[0]["content"], "accepted")
rows = [row(n) for n in range(int(sys.argv[3]))]
print(write(Path(sys.argv[1]), "all-training", {("sft", "train"): rows}, json.loads(sys.argv[4])).sha256, flush=True)
"""


def test_every_config_opens_as_it_is(tmp_path: Path) -> None:
    """Names and features of all configs, without a loading script and without a network; none without rows."""
    folder = write(
        tmp_path, "all-training", {**parts([pair(n) for n in range(3)]), ("guardrail", "train"): [verdict(9)]}, FACTS
    )
    empty = write(tmp_path, "all-training", parts([]), FACTS)

    assert get_dataset_config_names(str(empty.path)) == ["sft"]
    assert get_dataset_config_names(str(folder.path)) == ["sft", "preference", "kto", "guardrail"]
    features: dict[str, Features] = {}
    for config, count in (("sft", 3), ("preference", 3), ("kto", 6), ("guardrail", 1)):
        data = load_dataset(str(folder.path), config, split="train", cache_dir=str(tmp_path / "cache"))
        assert len(data) == count
        features[config] = data.features
    assert set(features["preference"]) >= {"prompt", "chosen", "rejected", "row_id", "interaction_id"}
    assert features["kto"]["label"].dtype == features["guardrail"]["right"].dtype == "bool"


def calling(n: int) -> Example:
    """A correction of an answer that called a tool."""
    call = {"id": "1", "function": {"name": "refund", "arguments": {"order": n}}}
    rejected = json.dumps([{"role": "assistant", "content": None, "tool_calls": [call]}])
    tools = json.dumps([{"type": "function", "function": {"name": "refund"}}])
    return example(n, f"q {n}", rejected=rejected, origin="correction", tools=tools)


WANTED = {
    ("sft", "train"): {"messages"},
    ("completion", "train"): {"prompt", "completion"},
    ("preference", "train"): {"prompt", "chosen", "rejected"},
    ("kto", "train"): {"prompt", "completion", "label"},
    ("guardrail", "train"): {"messages"},
    ("eval", "test"): {"messages"},
}


@pytest.mark.parametrize("part", WANTED, ids="/".join)
@pytest.mark.parametrize("make", [pair, calling])
def test_trl_takes_every_config(tmp_path: Path, part: tuple[str, str], make: Callable[[int], Example]) -> None:
    """TRL's own functions: each config is conversational and of its trainer's type, with tools and without."""
    utilities = pytest.importorskip("trl.data_utils", reason="needs the extra `trl` (it brings in torch)")
    row = verdict if part[0] == "guardrail" else make
    folder = write(tmp_path, "all", {part: [row(1), row(2)]}, FACTS)
    data = load_dataset(str(folder.path), part[0], split=part[1], cache_dir=str(tmp_path / "cache"))

    assert WANTED[part] <= set(data.column_names)
    assert all(map(utilities.is_conversational, data))
    if part[0] == "preference":
        assert data.map(utilities.maybe_extract_prompt)["prompt"] == data["prompt"], "the prompt is explicit"
        unpaired = utilities.unpair_preference_dataset(data.select_columns(["prompt", "chosen", "rejected"]))
        assert {"prompt", "completion", "label"} <= set(unpaired.column_names)
        assert len(unpaired) == 2 * len(data)


def test_the_same_rows_are_the_same_bytes_whatever_the_workers(tmp_path: Path) -> None:
    """Fresh processes, other hash seeds, 1 and 8 threads: one SHA-256 over rows, equal files."""
    found, files = set(), []
    for workers in ("1", "8"):
        home = tmp_path / workers
        command = [sys.executable, "-c", WRITER, str(home), workers, "3000", json.dumps(FACTS)]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": workers}
        )
        found.add(done.stdout.strip())
        (version,) = home.glob("[!.]*")
        files.append({path.relative_to(version): path.read_bytes() for path in version.rglob("*") if path.is_file()})

    assert len(found) == 1
    assert files[0] == files[1]


def test_kill_at_any_moment_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    """SIGKILL while it writes: whatever a reader can see is whole, and the next build succeeds."""
    old = write(tmp_path, "all-training", {("sft", "train"): [example(1, "old")]}, FACTS)
    command = [sys.executable, "-c", WRITER, str(tmp_path), "2", "60000", json.dumps(FACTS)]
    for delay in (0.0, 0.3, 1.0):
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".building-*")) and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(delay)
        assert child.poll() is None, "it must be killed in the middle, not end by itself"
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.communicate()
        for visible in (path for path in tmp_path.iterdir() if not path.name.startswith(".")):
            assert check(visible)["version"] == visible.name
    assert check(old.path)

    new = write(tmp_path, "all-training", {("sft", "train"): [example(2, "new")]}, FACTS)

    assert check(new.path)["rows"] == {"sft/train": 1}


def test_another_cluster_or_score_does_not_rename_a_row(tmp_path: Path) -> None:
    """`row_id` and `item_id` say what is asked and answered; what is found out later about it does not change them."""
    ids = []
    for fields in ({}, {"cluster_id": "c", "score": 0.5}):
        folder = write(tmp_path, "all-eval", {("eval", "test"): [example(1, "q", **fields)]}, FACTS)
        (row,) = load_dataset(str(folder.path), "eval", split="test", cache_dir=str(tmp_path / "cache"))
        ids.append(row["item_id"])

    assert ids[0] == ids[1]


def test_an_applications_name_is_never_a_path(tmp_path: Path) -> None:
    """Whatever it is called."""
    assert application_folder(tmp_path, "../../etc").parent == tmp_path
