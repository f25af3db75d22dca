"""A model's server as a process of its own, to be started by a command: OpenAI chat completions, the standard library.

    python tests/support/served.py PORT [--loads SECONDS] [--dies-after N] [--stubborn] [--tells FILE]

It answers what the better model of `flows/testing/bench.py` answers. `--loads`: it says 503 for so long.
`--dies-after`: the request after N ends the process with code 7. `--stubborn`: it ignores SIGTERM. `--tells`: its
process number and environment are written there.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--loads", type=float, default=0.0)
    parser.add_argument("--dies-after", type=int, default=10**9)
    parser.add_argument("--stubborn", action="store_true")
    parser.add_argument("--tells", default="")
    said = parser.parse_args()
    if said.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if said.tells:
        Path(said.tells).write_text(json.dumps({"pid": os.getpid(), "env": dict(os.environ)}))
    begun, lock, answered = time.monotonic(), threading.Lock(), [0]

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._send(503 if time.monotonic() < begun + said.loads else 200, {"object": "list", "data": []})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                answered[0] += 1
                if answered[0] > said.dies_after:
                    sys.stderr.write("out of memory, said the server\n")
                    sys.stderr.flush()
                    os._exit(7)
            number = body["messages"][-1]["content"].removeprefix("question ")
            message = {"role": "assistant", "content": f"Answer {number}!"}
            usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            self._send(200, {"object": "chat.completion", "choices": choices, "usage": usage})

        def _send(self, status: int, value: object) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    ThreadingHTTPServer(("127.0.0.1", said.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
