"""Processes that are killed, forked, or end in the midst: what reached the journal arrives, each event once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.door import Door, serving
from tests.support.waiting import eventually

BEGIN = """
import os, signal, sys, time
import llm_flywheel as fly
fly.init("app", sys.argv[1], state_dir=sys.argv[2])
def rest():  # until what was said is on the disk
    while fly.stats()["waiting"]: time.sleep(.01)
def say(name, n):
    for i in range(n):
        with fly.interaction(model="m", messages=f"{name} {i}") as turn:
            turn.output("x")
"""


def run(code: str, url: str, state: Path, **options: str) -> subprocess.CompletedProcess[str]:
    """A program of its own, to its end."""
    return subprocess.run(
        [sys.executable, "-c", BEGIN + code, url, str(state)],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **options},
    )  # fmt: skip


def texts(door: Door) -> Counter[str]:
    """How often each thing that was said has arrived."""
    return Counter(event["input_messages"][0]["content"] for event in door.events)


def said(*names: str, n: int) -> Counter[str]:
    """Each of them once."""
    return Counter({f"{name} {i}": 1 for name in names for i in range(n)})


def test_the_end_of_the_process_delivers_everything(door: Door, tmp_path: Path) -> None:
    """No `flush` is needed where a process ends by itself."""
    done = run("say('one', 300)", door.url, tmp_path)

    assert done.stderr == ""
    assert texts(door) == said("one", n=300)


def test_the_end_is_not_held_up_by_a_frozen_door(tmp_path: Path) -> None:
    """Two seconds at most; what is not delivered lies in the journal, and the next process sends it."""
    with serving() as door:
        door.open.clear()
        began = time.monotonic()
        done = run("began = time.monotonic(); say('one', 100); print(time.monotonic() - began)", door.url, tmp_path)
        assert done.returncode == 0
        assert float(done.stdout) < 5
        assert time.monotonic() - began < 20
        door.open.set()
        run("say('two', 1); fly.flush()", door.url, tmp_path)

        assert set(texts(door)) == set(said("one", n=100) + said("two", n=1))


def test_kill_9_loses_only_what_was_in_memory(tmp_path: Path) -> None:
    """Broker away, process killed, started again while it is still away, killed again: all arrives once it is back."""
    with serving() as door:
        url = door.url  # nobody listens here until the end
    for name in ("one", "two"):
        code = f"say({name!r}, 200); rest(); os.kill(os.getpid(), signal.SIGKILL)"
        assert run(code, url, tmp_path).returncode == -signal.SIGKILL
    with serving(port=int(url.rpartition(":")[2])) as door:
        run("say('three', 1); print(fly.flush())", url, tmp_path)

        assert texts(door) == said("one", "two", n=200) + said("three", n=1)
    assert [path for path in tmp_path.rglob("*.seg") if path.stat().st_size > 4] == []


def test_kill_9_while_the_door_answers(door: Door, tmp_path: Path) -> None:
    """Killed in full flight: nothing that was on disk is missing, and an id that came twice is the same event."""
    code = """
import threading
threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGKILL)).start()
for i in range(100_000):
    say(f"n{i}", 1); time.sleep(.001)
    if i % 100 == 0: print(i, flush=True)
"""
    done = run(code, door.url, tmp_path)
    reached = int(done.stdout.split()[-1])
    run("say('last', 1); fly.flush()", door.url, tmp_path)

    arrived = {int(name.split()[0][1:]) for name in texts(door) if name.startswith("n")}
    assert done.returncode == -signal.SIGKILL
    assert set(range(max(0, reached - 100))) <= arrived
    assert arrived == set(range(len(arrived)))


def test_forked_children_speak_for_themselves(door: Door, tmp_path: Path) -> None:
    """The parent's threads, connection and journal are its own: three children, one killed, and all is there."""
    code = """
say("parent", 20); fly.flush()
children = []
for n in range(3):
    if (pid := os.fork()) == 0:
        assert fly.stats().get("sent", 0) == 0
        say(f"child-{n}", 50)
        if n == 0:
            rest(); os.kill(os.getpid(), signal.SIGKILL)
        if n == 1:
            fly.flush(); os._exit(0)
        sys.exit(0)
    children.append(pid)
say("parent-after", 20)
for pid in children: os.waitpid(pid, 0)
say("parent-last", 1)
assert fly.flush(), fly.stats()
print(fly.stats())
"""
    done = run(code, door.url, tmp_path)

    assert done.returncode == 0, done.stderr
    expected = (
        said("child-0", "child-1", "child-2", n=50) + said("parent", "parent-after", n=20) + said("parent-last", n=1)
    )
    assert set(texts(door)) == set(expected)
    assert len(set(door.ids())) == sum(expected.values())


def test_a_killed_childs_events_are_sent_by_its_parent(tmp_path: Path) -> None:
    """The journal is shared by all processes of the application: who lives sends what the dead left."""
    with serving() as door:
        door.status = 503
        code = """
if (pid := os.fork()) == 0:
    say("child", 50); rest(); os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(pid, 0)
say("parent", 1)
print("ready", flush=True)
sys.stdin.read()
print(fly.flush(20))
"""
        process = subprocess.Popen(
            [sys.executable, "-c", BEGIN + code, door.url, str(tmp_path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        door.status = 200
        assert process.communicate(timeout=40)[0] == "True\n"

        assert texts(door) == said("child", n=50) + said("parent", n=1)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_children_end_with_everything_sent(door: Door, tmp_path: Path, method: str) -> None:
    """Such a child ends by `os._exit`, past atexit: what it said is delivered or kept all the same."""
    script = tmp_path / "work.py"
    script.write_text(
        BEGIN
        + f"""
import multiprocessing
def work(n):
    say(f"child-{{n}}", 20)
if __name__ == "__main__":
    say("parent", 1)
    context = multiprocessing.get_context({method!r})
    children = [context.Process(target=work, args=(n,)) for n in range(2)]
    for each in children: each.start()
    for each in children: each.join()
"""
    )
    done = subprocess.run(
        [sys.executable, str(script), door.url, str(tmp_path / "s")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    run("say('after', 1); fly.flush(60)", door.url, tmp_path / "s")  # what a busy machine did not deliver was kept
    assert set(texts(door)) == set(said("child-0", "child-1", n=20) + said("parent", "after", n=1))


def test_a_thread_that_never_was_is_no_loss(door: Door, tmp_path: Path) -> None:
    """What is captured while the interpreter ends is written by the exit itself."""
    done = run("import atexit; atexit.register(say, 'late', 5); say('one', 1)", door.url, tmp_path)

    assert done.returncode == 0
    run("say('two', 1); fly.flush()", door.url, tmp_path)
    assert set(said("one", n=1)) <= set(texts(door))


def test_a_finalizer_may_capture_in_the_midst_of_a_capture(door: Door, tmp_path: Path) -> None:
    """The garbage collector runs anywhere, under our locks too: an abandoned stream must not stop the process."""
    code = """
import gc, threading
class Trap:
    def __init__(self): self.me = self
    def __del__(self): say("trap", 1)
gc.set_threshold(5, 2, 2)
def work():
    for i in range(300):
        Trap(); say("w", 1)
threads = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
gc.set_threshold(700)
gc.collect()
assert fly.flush(20), fly.stats()
"""
    done = run(code, door.url, tmp_path)

    assert done.returncode == 0, done.stderr
    assert len(door.events) >= 1200 + 1100


def test_a_state_folder_that_is_none_breaks_nothing(door: Door, tmp_path: Path) -> None:
    """Nothing of ours raises: not with a state folder that cannot be written, not with a door that is none."""
    blocked = tmp_path / "file"
    blocked.write_text("x")
    done = run("say('one', 5); print(fly.flush(2), fly.stats())", "http://127.0.0.1:9", blocked)

    assert done.returncode == 0
    assert "dropped_disk_full" in done.stdout
    assert json.loads(json.dumps(done.stderr)).count("Traceback") == 0


def test_without_a_disk_events_still_arrive(door: Door, tmp_path: Path) -> None:
    """The journal is a safety, not a condition."""
    blocked = tmp_path / "file"
    blocked.write_text("x")
    done = run("say('one', 5); print(fly.flush(5))", door.url, blocked)

    assert done.stdout == "True\n"
    assert texts(door) == said("one", n=5)


def test_stats_tell_what_became_of_everything(door: Door, tmp_path: Path) -> None:
    """Sent, kept and dropped add up to what was captured."""
    done = run("say('one', 50); fly.flush(); print(fly.stats()['sent'])", door.url, tmp_path)

    assert done.stdout == "50\n"
    assert eventually(lambda: len(door.events) == 50)


def test_memory_stays_flat_while_nobody_answers(door: Door, tmp_path: Path) -> None:
    """A frozen door and 80 MB of events: they are on disk, and the process holds its bounded queues."""
    door.open.clear()
    code = """
from pathlib import Path
def resident(): return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) // 1024
text = "x" * 2000
sizes = []
for i in range(40_000):
    with fly.interaction(model="m", messages=text) as turn: turn.output(text[:20])
    while i % 50 == 0 and fly.stats()["waiting"] > 2000: time.sleep(.005)
    if i in (10_000, 39_999): sizes.append(resident())
print(sizes[1] - sizes[0], fly.stats())
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux tells a process's memory in a file")
    done = run(code, door.url, tmp_path)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) < 24
    assert "dropped" not in done.stdout
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.seg")) > 60_000_000
