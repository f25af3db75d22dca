"""What the SDK costs an application, and what it loses: the broker answers, is not there, or is frozen.

    python benchmarks/sdk.py [--events 20000] [--rate 500]

For each state a process of its own captures events of 2 kB at a fixed rate, each call timed alone: a conversation, the
interaction, its answer. The Kafka is real; frozen means SIGSTOP to its process in the midst of the run. After a
broker is back, every event must have arrived: what is missing is `lost`. Memory is the process's resident set against a
frozen broker: its growth over the second half of the run, when the bounded queues are full.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from schemas.settings import KafkaSettings
from schemas.topics import INTERACTIONS
from streams.admin import Admin
from streams.broker.broker import Broker, free_port

STATES = ("up", "refused", "frozen")


def application(url: str, state: str, events: int, rate: float) -> None:
    """One application: capture at the rate, and print what each call cost."""
    import llm_flywheel as fly  # noqa: PLC0415 - only this process needs it

    assert fly.init("bench", url, state_dir=state, journal_bytes=2**30)
    question, answer = os.urandom(750).hex(), os.urandom(250).hex()
    fly.new_id()
    costs, sizes = [], []
    began, cpu = time.perf_counter(), time.process_time()
    for n in range(events):
        if n == 100:
            print("under way", flush=True)
        at = time.perf_counter()
        with fly.conversation(f"c-{n % 50}"), fly.interaction(model="m", messages=question) as turn:
            turn.output(answer)
        costs.append(time.perf_counter() - at)
        if n % 500 == 0:
            sizes.append(resident_mib())
        if (wait := began + (n + 1) / rate - time.perf_counter()) > 0:
            time.sleep(wait)
    used = (time.process_time() - cpu) / events
    print(json.dumps({"costs": costs, "sizes": sizes, "cpu_us": used * 1e6, "stats": fly.stats()}), flush=True)


def resident_mib() -> float:
    """Resident memory of the process that asks."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmRSS:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # its highest so far: macOS tells no other


def arrived(servers: str) -> int:
    """How many events are on the topic, each counted once."""
    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": "bench", "enable.auto.commit": False, "log_level": 2}
    )
    numbers = consumer.list_topics(INTERACTIONS.name, timeout=30).topics[INTERACTIONS.name].partitions
    ends = {n: consumer.get_watermark_offsets(TopicPartition(INTERACTIONS.name, n))[1] for n in numbers}
    consumer.assign([TopicPartition(INTERACTIONS.name, n, OFFSET_BEGINNING) for n in numbers])
    ids, left = set(), sum(ends.values())
    while left:
        for record in consumer.consume(1000, timeout=5):
            left -= 1
            ids.add(dict(record.headers())["ce_id"])
    consumer.close()
    return len(ids)


def run(state: str, home: Path, events: int, rate: float) -> dict[str, Any]:
    """One state, to the arrival of its last event."""
    port = free_port()
    broker = Broker(home / "kafka", port)
    if state != "refused":
        start(broker)
    url = f"kafka://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, __file__, "--application", url, str(home / "state"), str(events), str(rate)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    if state == "frozen" and broker.pid:
        os.kill(broker.pid, signal.SIGSTOP)
    result: dict[str, Any] = json.loads(process.stdout.readline())
    process.wait(60)
    if state == "frozen" and broker.pid:
        os.kill(broker.pid, signal.SIGCONT)
    if state == "refused":
        start(broker)
    code = """
import sys, time, llm_flywheel as fly
fly.init("bench", sys.argv[1], state_dir=sys.argv[2])
print(fly.flush(300))
"""
    subprocess.run([sys.executable, "-c", code, url, str(home / "state")], check=True, timeout=320)
    result["lost"] = events - arrived(broker.bootstrap_servers)
    broker.stop()
    return result


def start(broker: Broker) -> None:
    """Start it, with topics."""
    broker.start()
    Admin(KafkaSettings(bootstrap_servers=broker.bootstrap_servers)).ensure_topics()


def share(costs: list[float], part: float) -> float:
    """A quantile, in µs."""
    return round(sorted(costs)[min(int(part * len(costs)), len(costs) - 1)] * 1e6, 1)


def main() -> None:
    """All states, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--application", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.application:
        url, state, events, rate = given.application
        application(url, state, int(events), float(rate))
        return
    results = {}
    print(f"{'broker':8} {'p50 µs':>8} {'p99 µs':>8} {'p99.9 µs':>9} {'max ms':>7} {'CPU µs':>7} {'lost':>5}  MiB")
    for state in STATES:
        with tempfile.TemporaryDirectory() as home:
            result = results[state] = run(state, Path(home), given.events, given.rate)
        costs, sizes = result["costs"], result["sizes"]
        memory = " → ".join(f"{sizes[at]:.1f}" for at in (0, len(sizes) // 2, -1))
        print(
            f"{state:8} {share(costs, 0.5):8} {share(costs, 0.99):8} {share(costs, 0.999):9} {max(costs) * 1e3:7.2f} "
            f"{result['cpu_us']:7.0f} {result['lost']:5}  {memory}  {result['stats']}"
        )
    frozen = results["frozen"]["sizes"]
    print(f"import: {import_ms():.0f} ms (the best of five)")
    print(json.dumps({
        "p50_us": share(results["up"]["costs"], 0.5),
        "p99_us": share(results["up"]["costs"], 0.99),
        "p99_us_refused": share(results["refused"]["costs"], 0.99),
        "p99_us_frozen": share(results["frozen"]["costs"], 0.99),
        "lost": sum(result["lost"] for result in results.values()),
        "rss_growth_mib": round(frozen[-1] - frozen[len(frozen) // 2], 1),
    }))  # fmt: skip


def import_ms() -> float:
    """What `import llm_flywheel` takes in a fresh interpreter."""
    code = "import time; t = time.perf_counter(); import llm_flywheel; print((time.perf_counter() - t) * 1000)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(5)]
    return min(float(each.stdout) for each in runs)


if __name__ == "__main__":
    main()
