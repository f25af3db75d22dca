"""Children are started in order, restarted when they crash, and never left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from schemas.errors import AlreadyRunning, BrokerDied, ChildDied
from streams.processes.orphans import Claim, Record, note, sweep
from streams.processes.supervise import Child, Keeper, Supervisor, backoff, bound, tail

ROOT = Path(__file__).resolve().parents[2]
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a child to its parent")

WAIT = "import time\nwhile True: time.sleep(0.05)\n"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
DIARY = """
import pathlib, signal, sys, time
def say(what):
    with open("diary", "a") as diary: diary.write(what + " " + sys.argv[1] + chr(10))
def leave(*_):
    say("stop"); sys.exit()
signal.signal(signal.SIGTERM, leave)
say("start")
pathlib.Path(sys.argv[1] + ".ready").touch()
while True: time.sleep(0.05)
"""


def eventually(holds: Callable[[], Any], seconds: float = 30) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + seconds
    while not (answer := holds()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
    return answer


def child(folder: Path, code: str, *arguments: str, name: str = "child", **fields: Any) -> Child:
    """A child that runs Python code in its folder."""
    script = f"import os; os.chdir({str(folder)!r})\n{code}"
    return Child(name=name, argv=(sys.executable, "-c", script, *arguments), folder=folder, **fields)


def diarist(folder: Path, name: str, **fields: Any) -> Child:
    """A child that writes its start and its stop into the folder's diary."""
    return child(folder, DIARY, name, name=name, ready=(folder / f"{name}.ready").exists, **fields)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended may stay on as a zombie until its new parent buries it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def diary(folder: Path) -> list[str]:
    return (folder / "diary").read_text().splitlines()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Whatever a test does, no child of this process is left, neither running nor as a zombie."""
    before = set(psutil.Process().children())
    yield
    assert set(psutil.Process().children()) <= before


def test_children_start_in_order_and_stop_in_reverse(tmp_path: Path) -> None:
    """Who comes first is what the others stand on, and goes last."""
    with Supervisor([diarist(tmp_path, "a"), diarist(tmp_path, "b"), diarist(tmp_path, "c")]) as supervisor:
        assert [s.state for s in supervisor.status()] == ["running"] * 3

    assert diary(tmp_path) == ["start a", "start b", "start c", "stop c", "stop b", "stop a"]
    assert [s.state for s in supervisor.status()] == ["stopped"] * 3


def test_a_crashed_child_is_started_again(tmp_path: Path) -> None:
    """A child that is killed comes back under another process id; the supervisor counts it."""
    with Supervisor([diarist(tmp_path, "a")]) as supervisor:
        first = supervisor.status()[0].pid
        assert first
        psutil.Process(first).kill()
        eventually(lambda: len(diary(tmp_path)) == 2)
        second = eventually(lambda: supervisor.status()[0].pid)

        assert second != first
        assert supervisor.status()[0].restarts == 1
        supervisor.check()


def test_a_child_that_crashes_too_often_is_given_up(tmp_path: Path) -> None:
    """After the restarts that are borne, the error tells the exit code and the child's last words."""
    crashing = child(tmp_path, "print('boom'); raise SystemExit(3)", max_restarts=1)
    with Supervisor([crashing]) as supervisor:
        eventually(lambda: supervisor.status()[0].state == "given up")

        with pytest.raises(ChildDied, match=r"(?s)child ended with code 3, 2 times in a row.*boom"):
            supervisor.check()


def test_the_waits_between_restarts_grow_to_a_limit() -> None:
    """A child that cannot live is not started in a tight loop, and one that can is not forgotten."""
    assert [backoff(n) for n in (1, 2, 3, 6, 7, 100)] == [0.5, 1, 2, 16, 30, 30]


def test_a_child_that_dies_on_start_stops_the_whole_start(tmp_path: Path) -> None:
    """What cannot start once is not tried again: its last words are the error, and those before it are stopped."""
    dead = child(tmp_path, "print('no port'); raise SystemExit(1)", name="b", ready=lambda: False, error=BrokerDied)
    with pytest.raises(BrokerDied, match=r"(?s)b ended with code 1.*no port"):
        Supervisor([diarist(tmp_path, "a"), dead, diarist(tmp_path, "c")]).start()

    assert diary(tmp_path) == ["start a", "stop a"]


def test_a_child_that_never_answers_is_stopped(tmp_path: Path) -> None:
    """Waiting for readiness has an end."""
    silent = child(tmp_path, WAIT, ready=lambda: False, ready_timeout_s=0.5)
    with pytest.raises(ChildDied, match=r"did not answer within 0.5 s"):
        Keeper(silent).start()


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The error says which program could not be run, and why."""
    missing = Child(name="x", argv=("/no/such/program",), folder=tmp_path, ready=lambda: False)
    with pytest.raises(ChildDied, match=r"cannot run /no/such/program: No such file"):
        Keeper(missing).start()


def test_a_child_that_ignores_the_request_to_stop_is_killed(tmp_path: Path) -> None:
    """SIGTERM first; SIGKILL when the child has had its time."""
    deaf = child(
        tmp_path, f"{STUBBORN}open('ready', 'w')\n{WAIT}", ready=(tmp_path / "ready").exists, stop_timeout_s=0.3
    )
    keeper = Keeper(deaf)
    keeper.start()
    pid = keeper.status.pid
    keeper.stop()

    assert pid
    assert not alive(pid)


def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    """A grandchild in a session of its own is found by the mark that it inherited."""
    code = f"""
import subprocess, sys
other = subprocess.Popen([sys.executable, "-c", {STUBBORN + WAIT!r}], start_new_session=True)
open("grandchild.new", "w").write(str(other.pid)); os.rename("grandchild.new", "grandchild")
{WAIT}"""
    keeper = Keeper(child(tmp_path, code, ready=(tmp_path / "grandchild").exists, stop_timeout_s=0.3))
    keeper.start()
    grandchild = int((tmp_path / "grandchild").read_text())
    keeper.stop()

    assert not alive(grandchild)


def test_a_child_outlives_the_thread_that_asked_for_it(tmp_path: Path) -> None:
    """Linux ties a child to a thread; ours is tied to one that lasts."""
    keeper = Keeper(diarist(tmp_path, "a"))
    caller = threading.Thread(target=keeper.start)
    caller.start()
    caller.join()
    time.sleep(0.3)

    assert diary(tmp_path) == ["start a"]
    keeper.stop()


PARENT = """
import contextlib, sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from streams.processes.supervise import Child, Supervisor, sigterm_interrupts
folder = Path({folder!r})
children = [
    Child(name=name, argv=(sys.executable, "-c", {code!r}, name), folder=folder, stop_timeout_s=3,
          ready=(folder / (name + ".ready")).exists)
    for name in ("a", "b")
]
with sigterm_interrupts(), contextlib.suppress(KeyboardInterrupt), Supervisor(children):
    time.sleep(600)
"""


def parent(folder: Path, code: str = DIARY) -> subprocess.Popen[bytes]:
    """Another process that runs two children; returns when both are ready."""
    script = PARENT.format(root=str(ROOT), folder=str(folder), code=f"import os; os.chdir({str(folder)!r})\n{code}")
    process = subprocess.Popen([sys.executable, "-c", script])
    eventually((folder / "b.ready").exists)
    eventually((folder / "b.pid").exists)
    return process


def pids(folder: Path) -> list[int]:
    return [json.loads((folder / f"{name}.pid").read_text())["pid"] for name in ("a", "b")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_in_reverse_order(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and a service manager's SIGTERM are the ordinary end; an impatient second one changes nothing."""
    process = parent(tmp_path)
    process.send_signal(number)
    with suppress(ProcessLookupError):
        process.send_signal(number)

    assert process.wait(30) == 0
    assert diary(tmp_path)[-2:] == ["stop b", "stop a"]
    assert not list(tmp_path.glob("*.pid"))


@linux
def test_kill_9_of_the_parent_takes_the_children_along(tmp_path: Path) -> None:
    """The kernel tells them; nobody else could."""
    process = parent(tmp_path)
    children = pids(tmp_path)
    process.kill()
    process.wait()

    eventually(lambda: not any(map(alive, children)))
    assert sorted(diary(tmp_path)[-2:]) == ["stop a", "stop b"]


def test_the_next_start_ends_what_a_killed_parent_left(tmp_path: Path) -> None:
    """A child that the kernel could not end either (deaf, or not on Linux) does not meet its successor."""
    process = parent(tmp_path, f"{DIARY.replace('signal.signal(signal.SIGTERM, leave)', STUBBORN)}")
    left = pids(tmp_path)
    process.kill()
    process.wait()
    assert all(map(alive, left))

    with Supervisor([diarist(tmp_path, "a", stop_timeout_s=0.3), diarist(tmp_path, "b", stop_timeout_s=0.3)]):
        assert not any(map(alive, left))


@pytest.mark.parametrize("lie", ["another command", "another start", "none"])
def test_a_stranger_with_the_same_process_id_is_left_alone(tmp_path: Path, lie: str) -> None:
    """Numbers are used again: start time and command line must agree too before a process is ended."""
    argv = (sys.executable, "-c", WAIT)
    stranger = subprocess.Popen(argv)
    note(tmp_path / "x.pid", stranger.pid, argv)
    record = json.loads((tmp_path / "x.pid").read_text())
    record |= {"another command": {"argv": ["java", "Kafka"]}, "another start": {"created": 1.0e9}, "none": {}}[lie]
    (tmp_path / "x.pid").write_text(json.dumps(record))
    eventually(lambda: psutil.Process(stranger.pid).cmdline() == list(argv))

    ended = sweep(tmp_path / "x.pid", 1)

    assert ended == ([stranger.pid] if lie == "none" else [])
    stranger.kill()
    stranger.wait()


def test_an_unreadable_pid_file_ends_nobody(tmp_path: Path) -> None:
    """A torn note is no reason to end anything, and no reason to fail."""
    (tmp_path / "x.pid").write_text('{"pid": 1')

    assert sweep(tmp_path / "x.pid", 1) == []


def test_one_supervisor_at_a_time(tmp_path: Path) -> None:
    """The second is told which process is the first, and harms none of its children."""
    with Supervisor([diarist(tmp_path, "a")]), pytest.raises(AlreadyRunning, match=f"process {os.getpid()}"):
        Supervisor([diarist(tmp_path, "a")]).start()

    assert diary(tmp_path) == ["start a", "stop a"]
    Claim(tmp_path).release()


def test_a_log_stays_bounded(tmp_path: Path) -> None:
    """A log over its limit is moved aside in place, so that the child goes on writing to the same file."""
    log = tmp_path / "x.log"
    with log.open("a") as writer:
        for line in ("old\n" * 10, "new\n"):
            writer.write(line)
            writer.flush()
            bound(log, limit=20)

    assert log.read_text() == "new\n"
    assert (tmp_path / "x.log.1").read_text() == "old\n" * 10


def test_the_tail_of_a_log_is_of_this_start(tmp_path: Path) -> None:
    """The last words quoted in an error are not those of an earlier run."""
    log = tmp_path / "x.log"
    log.write_text("earlier\n" + "".join(f"{n}\n" for n in range(30)))

    assert tail(log).split() == [str(n) for n in range(10, 30)]
    assert tail(log, start=len("earlier\n"), lines=99).split()[0] == "0"
    assert tail(log, start=10**6, lines=1) == "29"
    assert tail(tmp_path / "none.log") == ""


def test_a_pid_file_says_who_runs(tmp_path: Path) -> None:
    """Process id, start time and command line: what the next start must know."""
    with Supervisor([diarist(tmp_path, "a")]) as supervisor:
        record = json.loads((tmp_path / "a.pid").read_text())

        assert set(record) == set(Record.__struct_fields__)
        assert record["pid"] == supervisor.status()[0].pid
