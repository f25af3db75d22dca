"""What a turn costs as history grows and as more is new: CPU seconds, memory, rows written, and the exponents of both.

    python benchmarks/scale.py [--history 100000] [--new 5000] [--thumbs 0.25] [--whole] [--steps]
    python benchmarks/scale.py --history 300000 --equal 20

A lake of so many interactions is made through the product's own append (28 in 100 judged, 4 in 100 failed, twelve a
user); what is new is a day's traffic, and so was each day of the history. All of that is judged once, and then a turn
takes what is new; each turn is a process of its own. The same with a quarter of the history and with a quarter of what
is new gives the exponents: 0 is no growth at all, 1 is growth in step. Then 24 turns with nothing new. `--whole` plays
datasets too, not only the cluster run. `--steps` tells of each turn what its steps cost, and how high memory stood.
`--thumbs` is the share of interactions that a user says something of: of .65 one in ten is a failure.

`--equal` lets the history come in so many turns, to two lakes in other commits, and says whether the outcomes are those
of one look at everything, and the clusters and the dataset of one lake those of the other.
"""

# ruff: noqa: E402
from __future__ import annotations

import sys

sys.path[:] = [place for place in sys.path if not place.endswith("benchmarks")]  # `datasets` would be a file of it

import argparse
import json
import math
import resource
import subprocess
import tempfile
import threading
import time
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from flows.cluster.stage import cluster, judged_of
from flows.context import lake_of
from flows.turn import turn
from schemas.secrets import Secret
from schemas.settings import CurateSettings, Settings
from schemas.tables import TABLES
from streams.lake import Lake
from streams.lake.append import append
from streams.lake.query import query, read

UTTERANCES = Path(__file__).resolve().parent.parent / "examples" / "support_bot" / "utterances.jsonl"
START = datetime(2026, 1, 5, tzinfo=UTC)
BATCH = 50_000
"""Rows of a commit, as an archiver lands them."""
FILLERS = ("please", "hi", "thanks", "now", "really", "today", "again", "help", "asap", "yesterday", "card", "app")
EMPTY_TURNS = 24
THUMBS = 0.25
"""Share of interactions that a user says something of."""


class Traffic:
    """Interactions and the feedback on them, numbered from 0, the same for the same number of rows before."""

    def __init__(self, lake: Lake, history: int, other: Lake | None = None, thumbs: float = THUMBS) -> None:
        """`other`: a lake to which the same comes in thirds of each commit."""
        self.lakes = [(lake, 1)] + ([(other, 3)] if other else [])
        self.history, self.thumbs, self.made, self.said = history, thumbs, 0, 0
        lines = [json.loads(line) for line in UTTERANCES.read_text("utf-8").splitlines()]
        self.texts = [line["text"] for line in lines]
        names = sorted({line["label"] for line in lines})
        self.topic = np.array([names.index(line["label"]) for line in lines])
        self.rng = np.random.default_rng(7)

    def happen(self, count: int, first: datetime, last: datetime) -> None:
        """So many interactions between two times, in commits of `BATCH` rows."""
        for start in range(0, count, BATCH):
            some = min(BATCH, count - start)
            step = (last - first) / count
            self._land(some, [first + step * (start + i) for i in range(some)])

    def _land(self, count: int, times: list[datetime]) -> None:
        rng, numbers = self.rng, np.arange(self.made, self.made + count)
        which = rng.integers(len(self.texts), size=count)
        texts = [self._variant(int(i)) if rng.random() < 0.7 else self.texts[i] for i in which]
        users = rng.integers(max(2, self.history // 12), size=count)
        ids = [_id(time, int(n)) for time, n in zip(times, numbers, strict=True)]
        shared = {
            "application": ["support-bot"] * count,
            "conversation_id": [f"c-{user}-{n % 4}" for user, n in zip(users, numbers, strict=True)],
            "user_id": [f"user-{user}@example.org" for user in users],
        }
        asked = {
            **shared, "id": ids, "time": times, "request_model": ["bot-1"] * count, "prompt_version": ["p1"] * count,
            "input_messages": [json.dumps([{"role": "user", "content": text}]) for text in texts],
            "output_messages": [json.dumps([{"role": "assistant", "content": "See Settings. " * 8}])] * count,
            "duration_ms": rng.gamma(4, 200, count).tolist(),
        }  # fmt: skip
        bad = rng.random(count) < np.where(self.topic[which] % 7 == 0, 0.6, 0.05)
        thumbs = np.flatnonzero(rng.random(count) < self.thumbs)
        judges = np.flatnonzero(rng.random(count) < 0.05)
        about = np.concatenate([thumbs, judges])
        wrong = np.concatenate([rng.random(len(thumbs)) < 0.05, rng.random(len(judges)) < 0.15])
        kinds = ["thumb"] * len(thumbs) + ["judge"] * len(judges)
        later = [times[i] + timedelta(seconds=30) for i in about]
        told = {
            **{name: [values[i] for i in about] for name, values in shared.items()},
            "id": [_id(time, 2**40 + self.said + i) for i, time in enumerate(later)], "time": later,
            "interaction_id": [ids[i] for i in about], "kind": kinds,
            "source": ["judge:j1" if kind == "judge" else "user" for kind in kinds],
            "value": (1.0 - (bad[about] ^ wrong)).tolist(),
        }  # fmt: skip
        self._append("interactions", asked, self.made)
        self._append("feedback", told, self.said)
        self.made, self.said = self.made + count, self.said + len(about)

    def _variant(self, which: int) -> str:
        rng = self.rng
        words = [word for word in self.texts[which].split() if rng.random() > 0.15] or self.texts[which].split()
        words.insert(int(rng.integers(len(words) + 1)), FILLERS[int(rng.integers(len(FILLERS)))])
        return " ".join(words)

    def _append(self, name: str, columns: dict[str, Any], first: int) -> None:
        times, count = columns["time"], len(columns["time"])
        place = {
            "event_version": [1] * count, "kafka_partition": [0] * count, "kafka_topic_id": ["t"] * count,
            "kafka_offset": list(range(first, first + count)), "kafka_time": times, "ingested_at": times,
            "ingest_date": [time.date() for time in times],
        }  # fmt: skip
        columns |= place
        schema = TABLES[name].schema
        arrays = [
            pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(count, field.type)
            for field in schema
        ]
        rows = pa.Table.from_arrays(arrays, schema=schema)
        for lake, commits in self.lakes:
            each = -(-count // commits)
            for start in range(0, count, each):
                append(lake, name, rows.slice(start, each), {})


def main() -> None:
    """Make the lakes, play the turns, print what they cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--history", type=int, default=100_000)
    parser.add_argument("--new", type=int, default=5_000)
    parser.add_argument("--thumbs", type=float, default=THUMBS, help="share of interactions that a user speaks of")
    parser.add_argument("--whole", action="store_true", help="datasets too")
    parser.add_argument("--steps", action="store_true", help="what each step of a turn costs")
    parser.add_argument("--equal", type=int, metavar="TURNS", help="whether so many turns conclude what one look does")
    parser.add_argument("--play", nargs=2, metavar=("HOME", "AS_OF"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.play:
        with Steps() if arguments.steps else nullcontext():
            played(arguments.play[0], datetime.fromisoformat(arguments.play[1]), whole=arguments.whole)
        return
    if arguments.equal:
        print(json.dumps(equal(arguments.history, arguments.equal)))
        return
    how = [flag for flag in ("whole", "steps") if getattr(arguments, flag)]
    new, thumbs = arguments.new, arguments.thumbs
    few = world(arguments.history // 4, new, [new], how, thumbs)[0]
    less, more, empty = world(arguments.history, new, [new // 4, new], how, thumbs, EMPTY_TURNS)
    figures = {
        "history": arguments.history,
        "new": new,
        "new_failures": more["failed"] - less["failed"],
        "turn_cpu_s": more["cpu_s"],
        "turn_rss_mib": more["rss_mib"],
        "turn_rss_mib_quarter_history": few["rss_mib"],
        "exponent_history": round(math.log(more["cpu_s"] / few["cpu_s"]) / math.log(4), 3),
        "exponent_new": round(math.log(more["cpu_s"] / less["cpu_s"]) / math.log(4), 3),
        "outcome_rows_empty_turn": empty["rows"],
        "bytes_growth_24_turns": empty["growth"],
    }
    print(json.dumps(figures))


def world(
    history: int, a_day: int, turns: list[int], how: list[str], thumbs: float, empty_turns: int = 0
) -> list[dict[str, Any]]:
    """What the turns with so much new cost on such a history, and last what turns with nothing new write."""
    with tempfile.TemporaryDirectory() as home:
        lake = lake_of(Settings(home=home))
        traffic, now = Traffic(lake, history, thumbs=thumbs), START + timedelta(days=history / a_day)
        traffic.happen(history, START, now)
        first = play(home, now, how)
        print(f"{history:>9} at once: {first['cpu_s']:7.1f} CPU s, {first['rss_mib']:6.0f} MiB", flush=True)
        found = []
        for count in turns:
            before, now = now, now + timedelta(days=count / a_day)
            traffic.happen(count, before, now)
            figures = play(home, now, how)
            found.append(figures)
            print(
                f"{history:>9} + {count:>7}: {figures['cpu_s']:7.1f} CPU s, {figures['rss_mib']:6.0f} MiB", flush=True
            )
        if empty_turns:
            rows, size = read(lake, "outcomes").num_rows, _bytes(home)
            for hour in range(empty_turns):
                played(home, now + timedelta(hours=1 + hour), whole=False, quiet=True)
            growth = round(_bytes(home) / size - 1, 5)
            found.append({"rows": read(lake, "outcomes").num_rows - rows, "growth": growth})
        return found


def equal(history: int, turns: int) -> dict[str, Any]:
    """The history in so many turns, of a day each, on two lakes; what of them is the same."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        lake, second = (lake_of(settings_of(home)) for home in (one, other))
        traffic, now = Traffic(lake, history, second), START
        for number in range(turns):
            before, now = now, now + timedelta(days=1)
            traffic.happen(history // turns, before, now)
            for home in (one, other):
                figures = play(home, now, ["whole"])
            print(f"turn {number + 1:>3}: {figures}", flush=True)
        whole = judged_of(lake, settings_of(one)).rows.table().select(SAME).sort_by("interaction_id")
        found = [_outcomes(each) for each in (lake, second)]
        return {
            "interactions": traffic.made,
            "turns": turns,
            "outcomes_of_one_look": found[0].to_pylist() == whole.to_pylist(),
            "outcomes": found[0].equals(found[1]),
            "clusters": _said(lake, "cluster_members") == _said(second, "cluster_members"),
            "datasets": _said(lake, "dataset_versions", "sha256") == _said(second, "dataset_versions", "sha256"),
            "failures": len(read(lake, "cluster_members")),
            "versions": len(_said(lake, "dataset_versions", "sha256")),
        }


SAME = ["interaction_id", "outcome", "score", "reasons", "voices", "text"]
"""Columns that say what was concluded of an interaction."""


def _outcomes(lake: Lake) -> pa.Table:
    sql = f"SELECT {', '.join(SAME)} FROM outcomes ORDER BY interaction_id"
    return query(lake, sql, lake.versions(["outcomes"]))


def _said(lake: Lake, name: str, *columns: str) -> set[tuple[Any, ...]]:
    rows = read(lake, name).select(list(columns) or ["interaction_id", "cluster_id", "text_hash", "moves"])
    return set(zip(*(rows[column].to_pylist() for column in rows.column_names), strict=True))


def settings_of(home: str) -> Settings:
    """Settings with a salt that two homes share, so that they deal people alike."""
    return Settings(home=home, curate=CurateSettings(salt=Secret("of a benchmark")))


def play(home: str, as_of: datetime, how: list[str]) -> dict[str, float]:
    """One turn as a process of its own: its CPU seconds and the peak of its memory."""
    words = [sys.executable, __file__, "--play", home, as_of.isoformat(), *(f"--{flag}" for flag in how)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def played(home: str, as_of: datetime, *, whole: bool, quiet: bool = False) -> None:
    """The turn itself."""
    settings = settings_of(home)
    lake = lake_of(settings)
    summary = turn(lake, settings, as_of)["cluster"] if whole else msgspec.to_builtins(cluster(lake, settings, as_of))
    used = resource.getrusage(resource.RUSAGE_SELF)
    if not quiet:
        figures = {"cpu_s": round(used.ru_utime + used.ru_stime, 2), "rss_mib": round(used.ru_maxrss / 1024, 1)}
        print(json.dumps(figures | {name: summary[name] for name in ("interactions", "failed", "clusters")}))


class Steps:
    """What each step of a stage costs, by looking every few milliseconds at what a stage's file has called."""

    EVERY_S = 0.01

    def __init__(self) -> None:
        self._over, self._main = threading.Event(), threading.get_ident()
        self._found: dict[str, tuple[float, float]] = {}
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        for name, (cpu, high) in self._found.items():
            print(f"    {name:<40} {cpu:6.2f} CPU s, at most {high:6.0f} MiB", file=sys.stderr)

    def _look(self) -> None:
        used = time.process_time()
        while not self._over.wait(self.EVERY_S):
            before, used = used, time.process_time()
            resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
            cpu, high = self._found.get(name := self._step(), (0.0, 0.0))
            self._found[name] = cpu + used - before, max(high, resident)

    def _step(self) -> str:
        frame: FrameType | None = sys._current_frames()[self._main]  # noqa: SLF001 the only way to look
        below, step = "", "(outside)"
        while frame is not None:
            if Path(frame.f_code.co_filename).name == "stage.py" and below:
                step = f"{Path(frame.f_code.co_filename).parent.name}.{below}"
                if frame.f_code.co_name in {"_cluster", "_clustered", "_curate"}:
                    break
            below, frame = frame.f_code.co_name, frame.f_back
        return step


def _id(time: datetime, n: int) -> str:
    """A UUIDv7: its first 48 bits are milliseconds."""
    scattered = n * 0x9E37_79B9_7F4A_7C15 % 2**62
    value = int(time.timestamp() * 1000) << 80 | 7 << 76 | (n % 2**12) << 64 | 2 << 62 | scattered
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _bytes(home: str) -> int:
    return sum(path.stat().st_size for path in Path(home).rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
