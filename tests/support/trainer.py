"""A training that is real and small: counts which words go with which answer, a checkpoint a step. And its server.

python trainer.py train [--steps 5] [--step-s .1] [--does NAME]      told by TRAIN_* what to do
python trainer.py serve PORT MODEL_DIR MODEL                         OpenAI's protocol
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def train(options: argparse.Namespace) -> None:
    """All rows, a share of them a step; begun again it goes on behind the newest checkpoint."""
    dataset, output = Path(os.environ["TRAIN_DATASET"]), Path(os.environ["TRAIN_OUTPUT"])
    misbehave(options.does, output)
    import pyarrow.parquet as pq  # noqa: PLC0415 the server needs none

    checkpoint = Path(os.environ["TRAIN_CHECKPOINTS"]) / "counts.json"
    config = os.environ["TRAIN_CONFIG"]
    files = sorted(dataset.glob(f"data/{config}-train-*.parquet"))
    rows = [row for file in files for row in pq.read_table(file, columns=["prompt", "completion"]).to_pylist()]
    done: dict[str, Any] = {"step": 0, "counts": {}, "pids": []}
    if checkpoint.exists():
        done = json.loads(checkpoint.read_text())
    done["pids"].append(os.getpid())
    counts: dict[str, Counter[str]] = defaultdict(Counter, {w: Counter(c) for w, c in done["counts"].items()})
    for step in range(done["step"], options.steps):
        for row in rows[step :: options.steps]:
            for word in row["prompt"][-1]["content"].lower().split():
                counts[word][row["completion"][0]["content"]] += 1
        done |= {"step": step + 1, "counts": counts}
        fresh = checkpoint.with_suffix(".new")
        fresh.write_text(json.dumps(done))
        fresh.replace(checkpoint)
        say(f"step {step + 1} of {options.steps} by {os.getpid()}")
        time.sleep(options.step_s)
    (output / "model.json").write_text(json.dumps(counts))
    (output / "told.json").write_text(json.dumps({"pids": done["pids"], "env": sorted(os.environ)}))


def say(line: str) -> None:
    """A line for whoever watches."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def misbehave(does: str, output: Path) -> None:
    """What a command of a stranger may do."""
    if does == "exit":
        say("\x1b[2Jout of memory, said \x1b]0;OWNED\x07 the trainer")
        sys.exit(7)
    if does == "nothing":
        sys.exit(0)
    if does == "link":
        (output / "weights").symlink_to("/etc")
    if does == "swap":
        output.rmdir()
        output.symlink_to(os.environ["TRAIN_CHECKPOINTS"])
    if does == "fifo":
        os.mkfifo(output / "\x1b[2Jpipe")
    if does == "large":
        with (output / "weights").open("wb") as file:
            file.truncate(2**22)
    if does == "other":
        told = {"dataset": "all", "version": "other", "sha256": "0" * 64}
        (output / "flywheel.json").write_text(json.dumps(told))
    if does == "bomb":
        (output / "flywheel.json").write_text("[" * 30_000)
    if does == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Path(os.environ["TRAIN_CHECKPOINTS"], "pid").write_text(str(os.getpid()))
        time.sleep(600)
    if does == "child":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])


def serve(options: argparse.Namespace) -> None:
    """The answer that most words of the question went with."""
    counts = json.loads((Path(options.folder) / "model.json").read_text())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.say({"data": [{"id": options.model}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            votes: dict[str, float] = defaultdict(float)
            for word in body["messages"][-1]["content"].lower().split():
                for answer, count in counts.get(word, {}).items():
                    votes[answer] += count / sum(counts[word].values())
            said = max(votes, key=lambda answer: votes[answer]) if votes else "no idea"
            self.say({"choices": [{"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}]})

        def say(self, value: Any) -> None:
            raw = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None: ...

    ThreadingHTTPServer(("127.0.0.1", options.port), Handler).serve_forever()


def main() -> None:
    """What the command line says."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("train")
    one.add_argument("--steps", type=int, default=5)
    one.add_argument("--step-s", type=float, default=0.0)
    one.add_argument("--does", default="")
    one.set_defaults(run=train)
    other = commands.add_parser("serve")
    other.add_argument("port", type=int)
    other.add_argument("folder")
    other.add_argument("model")
    other.set_defaults(run=serve)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
