"""What our evaluation runner costs beside a bare aiohttp loop and the official client.

    python benchmarks/runner.py [--items 10000] [--rounds 3] [--inspect]
    python benchmarks/runner.py --kill [--items 10000]

A server of its own process answers `/v1/chat/completions` after 50 ms. Each contender is a process of its own too, and
counts its own CPU time from the first request to the last score: the bare loop only posts and decodes, by the same
msgspec as ours; ours builds the requests for two models, keeps a journal on disk, scores, and makes the rows. The
official client, and Inspect AI where asked for, are installed into throw-away environments; they run in every round
like all others, with a tenth of the calls, and are compared by the call. With `--kill` ours
is killed at half of its calls and started again, against a server that honours `Idempotency-Key`.
"""

# ruff: noqa: PLC0415  each contender imports its own libraries, in a process of its own, some in another environment
from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

LATENCY_S = 0.05
CONNECTIONS = 64
OTHERS = {"openai": ["openai"], "inspect": ["inspect-ai", "openai"]}
"""Contenders of other people, and what has to be installed for them."""


def response(text: str) -> bytes:
    """A whole HTTP response with a completion."""
    body = json.dumps({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 6, "total_tokens": 26},
    })  # fmt: skip
    return f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


RIGHT, WRONG = response("The answer is 42."), response("I do not know.")


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
            asyncio.get_running_loop().call_later(LATENCY_S, self.answer, self.reply(head))

    def reply(self, _head: bytes) -> bytes:
        """What to answer to a request."""
        return RIGHT

    def answer(self, reply: bytes) -> None:
        """Send it, if the client is still there."""
        if not self.transport.is_closing():
            self.transport.write(reply)


class Counting(Server):
    """Keeps account of what is asked: of each `Idempotency-Key`, which decides the answer, how often it came."""

    asked: ClassVar[Counter[str]] = Counter()

    def reply(self, head: bytes) -> bytes:
        """Right for every other key."""
        key = head.split(b"idempotency-key: ")[1].split(b"\r\n")[0].decode()
        self.asked[key] += 1
        return RIGHT if int(key[-1], 16) % 2 else WRONG


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
    import msgspec

    encode, decode = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode
    kind = {"content-type": "application/json"}

    async def main() -> int:
        waiting = iter([(model, n) for n in range(items) for model in ("a", "b")])
        texts: list[str] = []
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:

            async def work() -> None:
                for model, n in waiting:
                    request = encode({"model": model, "messages": question(n)})
                    async with session.post(f"{url}/chat/completions", data=request, headers=kind) as response:
                        body = decode(await response.read())
                        texts.append(body["choices"][0]["message"]["content"])

            await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
        return len(texts)

    return asyncio.run(main())


def ours(url: str, items: int) -> int:
    """The runner as `flywheel evaluate` calls it."""
    with tempfile.TemporaryDirectory() as folder:
        scores = scored(url, items, Path(folder) / "journal.jsonl")
    assert all(score.score == 1.0 for score in scores)
    return len(scores)


def scored(url: str, items: int, path: Path) -> list[Any]:
    """The scores of two models on some items, by way of a journal."""
    from flows.evaluate.journal import Journal
    from flows.evaluate.runner import run
    from flows.evaluate.scorers.registry import scorer_of
    from schemas.records import Item, make_candidate
    from schemas.settings import EvaluateSettings

    settings = EvaluateSettings(connections=CONNECTIONS, scorer="normalised_match")
    rows = [Item(f"item-{n}", tuple(question(n)), "the answer is 42", unit=f"user-{n}") for n in range(items)]
    models = {"candidate": make_candidate("a", url), "champion": make_candidate("b", url)}
    with Journal(path) as journal:
        return run(rows, models, settings, scorer_of(settings), journal)


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


def table(url: str, items: int, journal: str) -> None:
    """Print a hash of all scores, without the time that each answer took."""
    import hashlib

    import msgspec

    rows = [msgspec.structs.replace(score, duration_ms=None) for score in scored(url, items, Path(journal))]
    print(hashlib.sha256(msgspec.json.encode(rows)).hexdigest())


def kill(items: int) -> None:
    """[run, KILL -9 at half, run] against [run in peace]: what was asked twice, what paid twice, which table."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    served = asyncio.run_coroutine_threadsafe(loop.create_server(Counting, "127.0.0.1", 0, backlog=1024), loop).result()
    url = f"http://127.0.0.1:{served.sockets[0].getsockname()[1]}/v1"
    with tempfile.TemporaryDirectory() as folder:

        def start(journal: Path) -> subprocess.Popen[str]:
            command = [sys.executable, __file__, "--table", str(journal), "--url", url, "--items", str(items)]
            return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])

        broken, peace = Path(folder) / "broken.jsonl", Path(folder) / "peace.jsonl"
        child = start(broken)
        while Counting.asked.total() < items:  # two models: half of the calls
            time.sleep(0.001)
        child.kill()
        child.wait()
        time.sleep(2 * LATENCY_S)
        kept, before = broken.read_bytes().count(b"\n"), Counting.asked.copy()
        resumed, _ = start(broken).communicate()
        every, paid = Counting.asked.copy(), len(Counting.asked)
        whole, _ = start(peace).communicate()
    print(json.dumps({
        "calls_before_the_kill": before.total(), "kept": kept, "calls_after": every.total() - before.total(),
        "answered_calls_repeated": every.total() - before.total() - (2 * items - kept),
        "in_flight_calls_repeated": every.total() - paid, "paid_twice": paid - 2 * items,
        "same_table": resumed == whole != "",
    }))  # fmt: skip


def main() -> None:
    """Measure, print the table, and the ratios as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--inspect", action="store_true", help="compare with Inspect AI too")
    parser.add_argument("--kill", action="store_true", help="kill our runner at half and resume it, instead")
    parser.add_argument("--table", help=argparse.SUPPRESS)
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
    elif options.table:
        table(options.url, options.items, options.table)
    elif options.kill:
        kill(options.items)
    elif options.contender:
        measure(options.contender, options.url, options.items)
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """All contenders in turn, several rounds: what else the machine does then hits all alike."""
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    found: dict[str, list[dict[str, Any]]] = {}
    fewer = max(CONNECTIONS, options.items // 10)
    with contextlib.ExitStack() as stack:
        stack.callback(server.kill)
        assert server.stdout
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        contenders = [("bare", sys.executable, options.items), ("ours", sys.executable, options.items)]
        for name, packages in OTHERS.items() if options.inspect else [("openai", OTHERS["openai"])]:
            if python := environment(stack.enter_context(tempfile.TemporaryDirectory()), packages):
                contenders.append((name, python, fewer))
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}, {options.items} items, two models, "
                  f"{CONNECTIONS} connections, {1000 * LATENCY_S:.0f} ms", flush=True)  # fmt: skip
            for name, python, items in contenders:
                found.setdefault(name, []).append(contend(name, url, items, python))
    print(json.dumps(ratios(found)))


def ratios(found: dict[str, list[dict[str, Any]]]) -> dict[str, float | None]:
    """Medians over the rounds, each of ours against the bare loop beside it."""

    def ratio(figure: str, other: str, turned: bool = False) -> float | None:
        if other not in found:
            return None
        pairs = zip(found["ours"], found[other], strict=True)
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
