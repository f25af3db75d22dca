"""Mutation testing: breaks the critical modules by hand and runs each one's own unit tests.

    python benchmarks/mutants.py            every module
    python benchmarks/mutants.py gate codec     some of them

`benchmarks/mutants/NAME.toml` names a module, the tests that must notice, and its mutants: a piece of the source, what
takes its place, and what a user would suffer. Each is tried in a scratch copy of the tree, two at a time, within a time
limit (a mutant that hangs the tests is noticed). Of property tests the examples are the same in every run. A piece that
is no longer found once in the source is an error, so that the lists stay true; so are tests that fail unbroken.

Prints a table for people and, last, one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Literal

import msgspec
from msgspec import Struct

ROOT = Path(__file__).resolve().parents[1]
LISTS = Path(__file__).with_suffix("")
AT_ONCE = 2
FLOOR_S, TIMES = 60.0, 5
"""Of the time that the tests take unbroken, a mutant gets `TIMES` as much, and at least `FLOOR_S`."""
PLUGIN = "the_same_examples"
PROFILE = """
from hypothesis import Phase, settings
settings.register_profile("mutants", derandomize=True, database=None, phases=[Phase.explicit, Phase.generate])
settings.load_profile("mutants")
"""
"""A plugin of pytest: the first failing example will do, nobody reads the smallest."""
Fate = Literal["killed", "timed out", "SURVIVED"]


class Mutant(Struct, frozen=True, forbid_unknown_fields=True):
    """One way to break a module."""

    why: str
    """What would go wrong for a user, in one line."""
    old: str
    """Stands exactly once in the file."""
    new: str
    file: str = ""
    """Where it stands, if not in the list's own module."""


class Mutants(Struct, frozen=True, forbid_unknown_fields=True):
    """The mutants of one module."""

    module: str
    tests: tuple[str, ...]
    """Arguments of pytest: the module's own unit tests."""
    mutant: tuple[Mutant, ...]

    def path(self, mutant: Mutant) -> str:
        """The file that a mutant breaks."""
        return mutant.file or self.module


class Unfit(Exception):
    """The list does not fit the tree, or the tests do not pass unbroken."""


def main() -> int:
    """Try the mutants that are asked for; 1 where one survives."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = sorted(path.stem for path in LISTS.glob("*.toml"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    names = parser.parse_args().names or known
    if unknown := set(names) - set(known):
        parser.error(f"no list {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    try:
        lists = {name: read(LISTS / f"{name}.toml") for name in names}
        fates = run(lists)
    except Unfit as error:
        sys.exit(f"mutants: {error}")
    survivors = sum(fate == "SURVIVED" for fate in fates)
    print(json.dumps({"mutants": len(fates), "killed": len(fates) - survivors, "survivors": survivors}))
    return int(survivors > 0)


def read(path: Path, root: Path = ROOT) -> Mutants:
    """A list. Raises Unfit where a mutant's old text does not stand once in its file, or what it makes is no Python."""
    found = msgspec.convert(tomllib.loads(path.read_text()), Mutants)
    for number, mutant in enumerate(found.mutant, 1):
        place = f"{path.stem} {number} ({mutant.why})"
        source = (root / found.path(mutant)).read_text()
        if (times := source.count(mutant.old)) != 1:
            raise Unfit(
                f"{place}: its old text stands {times} times in {found.path(mutant)}; bring the list up to date"
            )
        try:
            compile(source.replace(mutant.old, mutant.new), found.path(mutant), "exec")
        except SyntaxError as error:
            raise Unfit(f"{place}: it makes no Python: {error}") from error
    return found


class Trees:
    """Scratch copies of the tree, each lent to one at a time."""

    def __init__(self, folder: Path) -> None:
        self._free: SimpleQueue[Path] = SimpleQueue()
        for number in range(AT_ONCE):
            self._free.put(copy(folder / str(number)))

    @contextmanager
    def lent(self) -> Iterator[Path]:
        """A tree that nobody else touches meanwhile."""
        tree = self._free.get()
        try:
            yield tree
        finally:
            self._free.put(tree)


def run(lists: dict[str, Mutants]) -> list[Fate]:
    """The fate of every mutant, in order; prints them as they come."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        trees = Trees(Path(folder))
        try:
            limits = list(pool.map(partial(limit_of, trees), lists.values()))
            jobs = [
                (name, number, found, limit)
                for (name, found), limit in zip(lists.items(), limits, strict=True)
                for number in range(len(found.mutant))
            ]
            return list(pool.map(partial(tried, trees), jobs))
        except Unfit:
            pool.shutdown(cancel_futures=True)
            raise


def limit_of(trees: Trees, found: Mutants) -> float:
    """Seconds that a mutant of a module gets. Raises Unfit where the module's tests do not pass unbroken."""
    with trees.lent() as tree:
        began = time.monotonic()
        code, output = tested(tree, found.tests, 10 * FLOOR_S)
    if code != 0:
        raise Unfit(f"{found.module}: its tests do not pass unbroken:\n{output[-2000:]}")
    return max(FLOOR_S, TIMES * (time.monotonic() - began))


def tried(trees: Trees, job: tuple[str, int, Mutants, float]) -> Fate:
    """One mutant's fate, printed as a line of the table."""
    name, number, found, limit = job
    mutant = found.mutant[number]
    with trees.lent() as tree:
        began = time.monotonic()
        fate = fate_of(tree, found, mutant, limit)
    print(f"{name:12}{number + 1:3}  {fate:9}  {time.monotonic() - began:5.1f} s  {mutant.why}", flush=True)
    return fate


def copy(tree: Path) -> Path:
    """The tree as it is now, without what git ignores."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    (tree / f"{PLUGIN}.py").write_text(PROFILE)
    return tree


def fate_of(tree: Path, found: Mutants, mutant: Mutant, limit: float) -> Fate:
    """Break the tree, run the tests, mend it again. Raises Unfit where no test could run at all."""
    path = tree / found.path(mutant)
    source = path.read_text()
    path.write_text(source.replace(mutant.old, mutant.new))
    try:
        code, output = tested(tree, found.tests, limit)
    finally:
        path.write_text(source)
    if code not in {0, 1, None}:
        raise Unfit(f"{found.module}: {mutant.why}: no test could run:\n{output[-2000:]}")
    return "timed out" if code is None else "killed" if code else "SURVIVED"


def tested(tree: Path, tests: Sequence[str], limit: float) -> tuple[int | None, str]:
    """Exit code (None: out of time) and output of pytest in a tree; nothing that it started is left running."""
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", PLUGIN]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", *options, *tests]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=tree, env=environment, start_new_session=True, **pipes) as child:
        try:
            output, _ = child.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            return None, ""
        else:
            return child.returncode, output
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
