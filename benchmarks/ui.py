"""The web app over a lake of a million interactions: pages, index, labels; one JSON line of figures at the end.

    python benchmarks/ui.py [--interactions 1000000] [--folder DIR]

The world: 30 ingest days, four models, three prompt versions, 300 ways to ask in each of 40 topics, a number in each
question; a quarter of the interactions have feedback, a tenth fails, in 40 clusters. The page of a word is `/healthz`
in the same run: on a machine that others use, read the others as ratios to it.

Pages are asked of a process of its own, over one connection. The browser (Debian's `chromium`, driven by playwright)
opens some of them cold, and then a robot reviews: a key, wait for the next question, a key. An answer counts once the
app has said that it is on disk. Key to paint is from the key's own time to the frame after the next question stands
there.
"""

# ruff: noqa: E402
from __future__ import annotations

import sys

sys.path[:] = [place for place in sys.path if not place.endswith("benchmarks")]  # this file has the package's name

import argparse
import json
import os
import shutil
import socket
import sqlite3
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from flows.run import begin, finish
from flows.testing.events import event_id
from schemas.records import Cluster
from schemas.settings import Settings
from schemas.tables import TABLES
from streams.lake import Lake
from streams.lake.append import append, publish
from streams.lake.rows import to_table
from ui.app import make_app
from ui.outbox import FILE as OUTBOX

APP = "support-bot"
START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS, TOPICS, MODELS, PROMPTS = 30, 40, 4, 3
ANSWER = '[{"role":"assistant","content":"We look into it at once and write to you by tomorrow."}]'
ROUNDS = 20
"""Times that each page is asked for, after once to warm."""
PRESSED = 200
"""Keys of the robot: below the limit of writes of one person, if each went alone."""
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
COLD = ("/", "/failures", "/conversations", "/review/queue", "/usage")
"""Pages that are opened by a browser that has nothing yet."""
CLOCK = """
addEventListener("keydown", (event) => {
  const item = () => (document.querySelector("#question .ask") || {dataset: {}}).dataset.item;
  const before = item(), channel = new MessageChannel();
  channel.port1.onmessage = () => (window.painted = window.painted || []).push(performance.now() - event.timeStamp);
  const look = () => item() && item() !== before ? channel.port2.postMessage(0) : requestAnimationFrame(look);
  requestAnimationFrame(look);
}, true);
"""
NEXT = """(before) => new Promise((done) => {
  const look = () => {
    const one = document.querySelector("#question .ask");
    one && one.dataset.item !== before ? done(one.dataset.item) : requestAnimationFrame(look);
  };
  look();
})"""


def day_of(n: int, count: int) -> int:
    """The ingest day of the n-th."""
    return n * DAYS // count


def interactions(first: int, last: int, count: int, random: np.random.Generator) -> pa.Table:
    """Some interactions, as the archiver would have landed them."""
    numbers = range(first, last)
    topics = [n * 7919 % TOPICS for n in numbers]
    asks = [
        f"please help with topic {t} variant {n % 300} order {n % 9973}" for n, t in zip(numbers, topics, strict=True)
    ]
    times = [START + timedelta(seconds=n * DAYS * 86400 / count) for n in numbers]
    day = START.date() + timedelta(days=day_of(first, count))
    size = len(asks)
    columns: dict[str, Any] = {
        "id": [event_id(n) for n in numbers], "time": times, "application": [APP] * size,
        "conversation_id": [f"conversation-{n // 2}" for n in numbers],
        "user_id": [f"user-{n % 200_000}" for n in numbers],
        "request_model": [f"bot-{n * MODELS // count}" for n in numbers],
        "prompt_version": [f"p{n % PROMPTS}" for n in numbers],
        "input_messages": [f'[{{"role":"user","content":"{ask}"}}]' for ask in asks],
        "output_messages": [ANSWER] * size,
        "input_tokens": random.integers(10, 400, size).tolist(),
        "output_tokens": random.integers(10, 300, size).tolist(),
        "duration_ms": random.lognormal(6, 0.7, size).tolist(), "cost_usd": random.uniform(0, 0.01, size).tolist(),
        **_place(size, first, times, day),
    }  # fmt: skip
    return _table("interactions", columns, size)


def feedback(first: int, last: int, count: int) -> pa.Table:
    """A thumb on every fourth."""
    about = range(first - first % 4, last, 4)
    times = [START + timedelta(seconds=n * DAYS * 86400 / count + 30) for n in about]
    size = len(times)
    columns: dict[str, Any] = {
        "id": [event_id(10_000_000 + n) for n in about], "time": times, "application": [APP] * size,
        "conversation_id": [f"conversation-{n // 2}" for n in about], "interaction_id": [event_id(n) for n in about],
        "kind": ["thumb"] * size, "source": ["user"] * size, "user_id": [f"user-{n % 200_000}" for n in about],
        "value": [float(n % 10 != 0) for n in about],
        **_place(size, first, times, START.date() + timedelta(days=day_of(first, count))),
    }  # fmt: skip
    return _table("feedback", columns, size)


def _place(size: int, first: int, times: list[datetime], day: date) -> dict[str, Any]:
    return {
        "event_version": [1] * size, "kafka_partition": [0] * size, "kafka_offset": list(range(first, first + size)),
        "kafka_time": times, "ingested_at": times, "ingest_date": [day] * size,
    }  # fmt: skip


def _table(name: str, columns: dict[str, Any], size: int) -> pa.Table:
    schema = TABLES[name].schema
    arrays = [pa.array(columns.get(field.name, [None] * size), field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def fill(lake: Lake, count: int) -> None:
    """The lake: raw rows in one commit a day and table, and a finished cluster run."""
    random = np.random.default_rng(7)
    step = count // DAYS
    for first in range(0, count, step):
        last = min(first + step, count)
        append(lake, "interactions", interactions(first, last, count, random), {})
        append(lake, "feedback", feedback(first, last, count), {})
    judged(lake, count)


def judged(lake: Lake, count: int) -> None:
    """A cluster run: a tenth failed, each in the cluster of its topic."""
    run = begin(lake, "cluster", APP, START + timedelta(days=DAYS), ("interactions", "feedback"), None)
    outcome = ["failed" if n % 10 == 0 else "ok" if n % 4 == 0 else "unknown" for n in range(count)]
    ids = [event_id(n) for n in range(count)]
    times = [START] * count
    columns = {
        "run_id": [run.run_id] * count, "application": [APP] * count, "interaction_id": ids, "time": times,
        "conversation_id": ["c"] * count, "request_model": ["bot-0"] * count, "outcome": outcome,
    }  # fmt: skip
    publish(lake, "outcomes", _table("outcomes", columns, count), run.run_id)
    failed = range(0, count, 10)
    members = {
        "run_id": [run.run_id] * len(failed), "application": [APP] * len(failed),
        "interaction_id": [ids[n] for n in failed], "cluster_id": [f"c{n * 7919 % TOPICS:011x}" for n in failed],
        "assigned_by": ["birth"] * len(failed), "text_hash": [f"{n % 12_000:064x}" for n in failed],
    }  # fmt: skip
    publish(lake, "cluster_members", _table("cluster_members", members, len(failed)), run.run_id)
    found = [
        Cluster(cluster_id=f"c{t:011x}", name=f"topic {t} / variant / order", medoid_text=f"topic {t}",
                size=count // 4000,
                size_total=count // 400, rate=0.0025, rate_low=0.002, rate_high=0.003, status="steady")
        for t in range(TOPICS)
    ]  # fmt: skip
    publish(lake, "clusters", to_table("clusters", found, run_id=run.run_id, application=APP), run.run_id)
    finish(lake, run, _summary(count))


def _summary(count: int) -> dict[str, Any]:
    coverage = {
        "judged": count // 4, "interactions": count, "raw": 0.1, "weighted": None, "low": 0.1, "high": 0.8,
        "effective": 0.0, "segments": {},
    }  # fmt: skip
    return {
        "interactions": count, "ok": 0, "failed": count // 10, "unknown": 0, "clusters": TOPICS, "born": 0,
        "unclustered": 0, "unclustered_share": 0.0, "statuses": {}, "feedback_over_cap": 0, "themes": {}, "events": {},
        "coverage": coverage, "reliabilities": [],
    }  # fmt: skip


def pages(count: int) -> Iterator[str]:
    """Addresses of every page, and of each question that it can ask."""
    cluster, words = f"c{7:011x}", "/conversations?q="
    yield from ("/", "/failures", f"/failures/{cluster}", "/failures?view=all&model=bot-3", "/failures?view=map")
    yield from ("/failures?view=all&prompt=p1", "/conversations", "/conversations?outcome=failed")
    yield from (
        f"{words}variant+order",
        f"{words}topic+17+order",
        f"{words}nothing+of+it",
        f"{words}help&outcome=failed",
    )
    yield from (f"{words}help&outcome=ok&model=bot-0", f"{words}topic&cluster={cluster}", f"{words}topic&user=user-77")
    yield from (f"/conversations?cluster={cluster}", "/conversations?model=bot-0&prompt=p1")
    yield from ("/conversations?user=user-77", "/conversations?conversation=conversation-99")
    yield from ("/conversations?outcome=failed&model=bot-0", "/conversations?outcome=unknown&prompt=p2")
    yield from (f"/conversations?before={count // 3}&outcome=ok", f"{words}variant&before={count // 3}")
    yield from (f"/conversations/{event_id(count // 2)}", f"/conversations/{event_id(count // 2)}/text")
    yield from ("/review", "/review/queue", "/review/queue?outcome=failed&days=7", f"/review/queue?cluster={cluster}")
    yield from ("/review/queue?q=topic+17", "/review/queue?kind=judged", "/review/queue?order=newest&model=bot-0")
    yield from ("/review/ahead?besides=", "/review/agreement", "/datasets", "/golden", "/evaluations", "/ledger")
    yield from ("/ledger/canary", "/usage", "/usage?days=90&model=bot-0", "/alerts", "/settings")


def timed(ask: Callable[[], object]) -> float:
    """Milliseconds that something takes."""
    began = time.perf_counter()
    ask()
    return (time.perf_counter() - began) * 1000


def main() -> None:
    """Make the lake, ask all, print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--interactions", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    home = options.folder or Path(tempfile.mkdtemp(prefix="flywheel-ui-"))
    settings = Settings(home=str(home))
    lake = Lake(settings.lake_root)
    if not lake.exists("runs"):
        began = time.perf_counter()
        fill(lake, options.interactions)
        print(f"lake of {options.interactions:,} interactions made in {time.perf_counter() - began:.0f} s")
    shutil.rmtree(home / "ui", ignore_errors=True)
    app: Any = make_app(lake, settings, keep=False)
    cpu, built = time.process_time(), timed(app.flywheel.refresh) / 1000
    mib = sum(path.stat().st_size for path in (home / "ui").glob("index*")) / 2**20
    print(f"index: {built:.1f} s ({time.process_time() - cpu:.1f} CPU-s), {mib:.0f} MiB")
    with serving(home) as address, closing(HTTPConnection(address.removeprefix("http://"))) as client:
        slowest = max(p95(client, path) for path in pages(options.interactions))
        word = statistics.median(timed(lambda: got(client, "/healthz")) for _ in range(ROUNDS))
    print(f"a page of one word: {word:.1f} ms")
    come(lake, app.flywheel.refresh, options.interactions)
    figures = {"pages_p95_ms": round(slowest, 1), "index_build_s": round(built, 1), "index_mib": round(mib, 1)}
    print(json.dumps(figures | in_browser(home)))
    if options.folder is None:
        shutil.rmtree(home)


def come(lake: Lake, refresh: Callable[[], None], count: int) -> None:
    """A thousand new interactions into the index, again and again, all of the last day, which is long full."""
    random, clock, cpu = np.random.default_rng(8), [], []
    for n in range(ROUNDS):
        first = count + n * 1000
        append(lake, "interactions", interactions(first, first + 1000, count + ROUNDS * 1000, random), {})
        began = time.process_time()
        clock.append(timed(refresh))
        cpu.append((time.process_time() - began) * 1000)
    last = round(0.95 * (ROUNDS - 1))
    (median, high), (cpu_median, cpu_high) = ((sorted(each)[ROUNDS // 2], sorted(each)[last]) for each in (clock, cpu))
    print(
        f"1,000 new interactions into the index: p50 {median:.0f} ms, p95 {high:.0f} ms "
        f"({cpu_median:.0f} and {cpu_high:.0f} CPU-ms)"
    )


def got(client: HTTPConnection, path: str) -> None:
    """Ask for a page, and read all of it."""
    client.request("GET", path)
    answer = client.getresponse()
    assert (len(answer.read()) > 0, answer.status) == (True, 200), path


def p95(client: HTTPConnection, path: str) -> float:
    """Milliseconds in which 95 of 100 times a page is there, after once to warm."""
    got(client, path)
    took = sorted(timed(lambda: got(client, path)) for _ in range(ROUNDS))
    found = took[round(0.95 * (ROUNDS - 1))]
    print(f"{path:60} p50 {took[ROUNDS // 2]:7.1f} ms   p95 {found:7.1f} ms")
    return found


def in_browser(home: Path) -> dict[str, float | None]:
    """What a person meets: a cold page, labels a second, key to paint; nothing where there is no browser."""
    if BROWSER is None:
        print("no browser (Debian package `chromium`): its figures are missing")
        return dict.fromkeys(("cold_page_kib", "requests", "labels_per_s", "key_to_paint_p95_ms"))
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 only where there is a browser

    with serving(home) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        cold = [opened_cold(browser, address + path) for path in COLD]
        figures = reviewed(browser, address, home)
        browser.close()
    for path, (kib, requests) in zip(COLD, cold, strict=True):
        print(f"{path:60} cold {kib:.0f} KiB in {requests} requests")
    return {"cold_page_kib": round(max(kib for kib, _ in cold)), "requests": max(n for _, n in cold), **figures}


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """The app as a process of its own, once its index is made; its address."""
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    named = {"FLYWHEEL_HOME": str(home), "FLYWHEEL_UI": json.dumps({"port": port}), "PREFECT_API_URL": ""}
    process = subprocess.Popen([sys.executable, "-m", "ui"], env={**os.environ, **named}, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        while not is_ready(address):
            assert process.poll() is None, "the web app ended"
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait()


def is_ready(address: str) -> bool:
    """Whether the app answers that its index is made."""
    try:
        with urllib.request.urlopen(f"{address}/healthz", timeout=5) as answer:
            return b"is ready" in answer.read()
    except OSError:
        return False


def opened_cold(browser: Any, url: str) -> tuple[float, int]:
    """KiB that come over the wire, heads and bodies, and in how many requests, for whoever has nothing yet."""
    context = browser.new_context()
    page, sizes = context.new_page(), []
    page.on("requestfinished", lambda request: sizes.append(request.sizes()))
    page.goto(url)
    page.wait_for_load_state("networkidle")
    context.close()
    return sum(one["responseBodySize"] + one["responseHeadersSize"] for one in sizes) / 1024, len(sizes)


def reviewed(browser: Any, address: str, home: Path) -> dict[str, float | None]:
    """A robot answers PRESSED questions by keys, each once the one before has gone; each must be an event, once."""
    page = browser.new_page()
    page.add_init_script(CLOCK)
    page.goto(f"{address}/review/queue?overlap=0")
    page.wait_for_function("() => ahead.length >= 8")
    item = page.locator("#question .ask").get_attribute("data-item")
    asked, began = {item}, time.perf_counter()
    for _ in range(PRESSED):
        page.keyboard.press("1")
        item = page.evaluate(NEXT, item)
        asked.add(item)
    page.wait_for_function("() => !unsent().length")
    took = time.perf_counter() - began
    painted = sorted(page.evaluate("() => window.painted"))
    with closing(sqlite3.connect(home / OUTBOX)) as sql:
        (events,) = sql.execute("SELECT count(*) FROM waiting").fetchone()
    assert (events, len(asked)) == (PRESSED, PRESSED + 1), f"{events} events, {len(asked)} questions"
    print(f"key to paint: p50 {painted[len(painted) // 2]:.0f} ms; {PRESSED} keys are {events} events")
    p95_ms = round(painted[round(0.95 * (len(painted) - 1))], 1)
    return {"labels_per_s": round(PRESSED / took, 1), "key_to_paint_p95_ms": p95_ms}


if __name__ == "__main__":
    main()
