"""What our evaluation runner costs beside a bare aiohttp loop and the official client.

    python benchmarks/runner.py [--items 10000] [--rounds 3] [--inspect]

A server of its own process answers `/v1/chat/completions` after 50 ms. Each contender is a process of its own too, and
counts its own CPU time from the first request to the last score: the bare loop only posts and decodes; ours builds the
requests for two models, keeps a journal on disk, scores, and makes the rows. The official client, and Inspect AI where
asked for, are installed into a throw-away environment, given fewer calls, and compared by the call.
"""

# ruff: noqa: PLC0415  each contender imports its own libraries, in a process of its own, some in another environment
from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LATENCY_S = 0.05
CONNECTIONS = 64
BODY = json.dumps({
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "The answer is 42."}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 20, "completion_tokens": 6, "total_tokens": 26},
}).encode()  # fmt: skip
RESPONSE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " + str(len(BODY)).encode() + b"\r\n\r\n"
) + BODY


class Server(asyncio.Protocol):
    """HTTP with as little work as possible, so that the clients are what is measured."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection's transport."""
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer each whole request after the latency."""
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0]) if b"content-length:" in head else 0
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            asyncio.get_running_loop().call_later(LATENCY_S, self.answer)

    def answer(self) -> None:
        """Send the one answer, if the client is still there."""
        if not self.transport.is_closing():
            self.transport.write(RESPONSE)


async def serve() -> None:
    """Serve until killed; print the port first."""
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def question(n: int) -> list[dict[str, str]]:
    """The messages of an item: as long as a customer's request is."""
    return [
        {"role": "system", "content": "You are the support assistant of a shop. Answer shortly and kindly."},
        {"role": "user", "content": f"Request {n}: " + "my parcel has not arrived and I would like to know why. " * 4},
    ]


def bare(url: str, items: int) -> int:
    """Post and decode, nothing else."""
    import aiohttp

    async def main() -> int:
        waiting = iter([(model, n) for n in range(items) for model in ("a", "b")])
        texts: list[str] = []
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:

            async def work() -> None:
                for model, n in waiting:
                    async with session.post(
                        f"{url}/chat/completions", json={"model": model, "messages": question(n)}
                    ) as response:
                        body = await response.json()
                        texts.append(body["choices"][0]["message"]["content"])

            await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
        return len(texts)

    return asyncio.run(main())


def ours(url: str, items: int) -> int:
    """The runner as `flywheel evaluate` calls it."""
    from flows.evaluate.catalogue import scorer_of
    from flows.evaluate.journal import Journal
    from flows.evaluate.runner import run
    from schemas.records import Item, make_candidate
    from schemas.settings import EvaluateSettings

    settings = EvaluateSettings(connections=CONNECTIONS)
    rows = [Item(f"item-{n}", tuple(question(n)), "the answer is 42", unit=f"user-{n}") for n in range(items)]
    models = {"candidate": make_candidate("a", url), "champion": make_candidate("b", url)}
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "journal.jsonl") as journal:
        scores = run(rows, models, settings, scorer_of(settings), journal)
        assert len(journal) == 2 * items
    assert all(score.score == 1.0 for score in scores)
    return len(scores)


def openai(url: str, items: int) -> int:
    """The official client, asynchronous."""
    from openai import AsyncOpenAI

    async def main() -> int:
        waiting = iter([(model, n) for n in range(items) for model in ("a", "b")])
        texts: list[str | None] = []
        async with AsyncOpenAI(base_url=url, api_key="none") as client:

            async def work() -> None:
                for model, n in waiting:
                    answer = await client.chat.completions.create(model=model, messages=question(n))
                    texts.append(answer.choices[0].message.content)

            await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
        return len(texts)

    return asyncio.run(main())


def inspect(url: str, items: int) -> int:
    """Inspect AI with its real-time log off, its cheapest form: two evaluations of one model each."""
    import os

    from inspect_ai import Task
    from inspect_ai import eval as evaluate
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.scorer import includes

    os.environ |= {"LOCAL_API_KEY": "none", "LOCAL_BASE_URL": url}
    samples = [Sample(input=question(n)[1]["content"], target="42") for n in range(items)]
    for model in ("a", "b"):
        evaluate(
            Task(dataset=MemoryDataset(samples), scorer=includes()), model=f"openai-api/local/{model}",
            max_connections=CONNECTIONS, max_samples=CONNECTIONS, log_realtime=False, display="none",
        )  # fmt: skip
    return 2 * items


CONTENDERS: dict[str, Callable[[str, int], int]] = {"bare": bare, "ours": ours, "openai": openai, "inspect": inspect}


def measure(name: str, url: str, items: int) -> None:
    """Run one contender in this process, and print what a call cost."""
    CONTENDERS[name](url, CONNECTIONS)  # imports, connections and caches are not what is compared
    before, begin = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    calls = CONTENDERS[name](url, items)
    after, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter() - begin
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"calls": calls, "cpu_ms": 1000 * cpu / calls, "wall_ms": 1000 * wall / calls,
                      "rss_mb": after.ru_maxrss / 1024}))  # fmt: skip


def contend(name: str, url: str, items: int, python: str = sys.executable) -> dict[str, Any]:
    """One contender in a process of its own."""
    command = [python, __file__, "--contender", name, "--url", url, "--items", str(items)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    figures["name"] = name
    print(f"  {name:8} {figures['calls']:6} calls   {figures['cpu_ms']:7.3f} ms CPU/call   "
          f"{figures['wall_ms']:7.3f} ms wall/call   {figures['rss_mb']:5.0f} MB", flush=True)  # fmt: skip
    return figures


def environment(folder: str, packages: list[str]) -> str | None:
    """The Python of a throw-away environment that holds some packages; None where they cannot be installed."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [f"{folder}/bin/pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    if subprocess.run(pip, check=False).returncode:
        print(f"  {packages[0]} cannot be installed here: not compared")
        return None
    return f"{folder}/bin/python"


def main() -> None:
    """Measure, print the table, and the ratios as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--inspect", action="store_true", help="compare with Inspect AI too")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
    elif options.contender:
        measure(options.contender, options.url, options.items)
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """All contenders in turn, several rounds: what else the machine does then hits all alike."""
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    found: dict[str, list[dict[str, Any]]] = {}
    try:
        assert server.stdout
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}, {options.items} items, two models, "
                  f"{CONNECTIONS} connections, {1000 * LATENCY_S:.0f} ms", flush=True)  # fmt: skip
            for name in ("bare", "ours"):
                found.setdefault(name, []).append(contend(name, url, options.items))
        others = {"openai": ["openai"]} | ({"inspect": ["inspect-ai", "openai"]} if options.inspect else {})
        for name, packages in others.items():
            with tempfile.TemporaryDirectory() as folder:
                if python := environment(folder, packages):
                    found[name] = [contend(name, url, max(CONNECTIONS, options.items // 10), python)]
    finally:
        server.kill()
    print(json.dumps(ratios(found)))


def ratios(found: dict[str, list[dict[str, Any]]]) -> dict[str, float | None]:
    """Medians over the rounds, each of ours against the bare loop beside it."""

    def ratio(figure: str, other: str, turned: bool = False) -> float | None:
        if other not in found:
            return None
        pairs = zip(found["ours"], found[other], strict=False)
        values = [b[figure] / a[figure] if turned else a[figure] / b[figure] for a, b in pairs]
        return round(statistics.median(values), 3)

    return {
        "cpu_vs_bare": ratio("cpu_ms", "bare"),
        "wall_vs_bare": ratio("wall_ms", "bare"),
        "cpu_vs_openai": ratio("cpu_ms", "openai"),
        "cpu_vs_inspect": ratio("cpu_ms", "inspect"),
    }


if __name__ == "__main__":
    main()
