"""Who is at work on a lake, wherever they run: many beside one another, or one alone.

No store has locks, but all show at once what was written (object stores too). So each writes its lease first and looks
at the others' then: of two that come at one moment at least one sees the other, and gives way.

    many    write, look: where somebody is alone, or wants to be, take it back and wait
    alone   write, look: where another wants to be alone too, take it back and wait; else wait until the many are gone

A lease ends by itself where its holder does not renew it, at once where the holder was a process of this machine that
is no more. Stages hold it while they run.
"""

from __future__ import annotations

import functools
import logging
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Literal

import msgspec

from streams.lake import notes
from streams.lake.layout import Lake

_log = logging.getLogger(__name__)
FOLDER = "leases"
LEASE_S = 600.0
"""After so long without a word a holder counts as gone: far longer than clocks differ or a store is away."""
RENEW_S = 60.0
LOOK_S = (0.05, 1.0)
"""Between two looks at the others, first and later; a random share of it, so that two do not step on one another."""
Kind = Literal["many", "alone"]


class Lease(msgspec.Struct, frozen=True):
    """One holder's word."""

    kind: Kind
    host: str
    process: int
    until: float


@contextmanager
def held(lake: Lake, kind: Kind) -> Iterator[None]:
    """Hold the lake as one of many, or alone; waits until it may."""
    name = f"{FOLDER}/{uuid.uuid4().hex}"
    try:
        _enter(lake, name, kind)
        stop = threading.Event()
        renewing = threading.Thread(target=copy_context().run, args=(_renew, lake, name, kind, stop), daemon=True)
        renewing.start()
        try:
            yield
        finally:
            stop.set()
            renewing.join()
    finally:
        notes.remove(lake, name)


def _enter(lake: Lake, name: str, kind: Kind) -> None:
    pause, told = LOOK_S[0], False
    while True:
        _write(lake, name, kind)
        others = _others(lake, name)
        in_the_way = others if kind == "alone" else [one for one in others if one.kind == "alone"]
        if not in_the_way:
            return
        if kind == "many" or any(one.kind == "alone" for one in others):
            notes.remove(lake, name)
        if not told:
            _log.warning("waiting until %s is over", "every run under way" if kind == "alone" else "an erasure")
            told = True
        time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 nothing secret
        pause = min(2 * pause, LOOK_S[1])


def _write(lake: Lake, name: str, kind: Kind) -> None:
    lease = Lease(kind, host_name(), os.getpid(), time.time() + LEASE_S)
    notes.write(lake, name, msgspec.json.encode(lease))


def _renew(lake: Lake, name: str, kind: Kind, stop: threading.Event) -> None:
    while not stop.wait(RENEW_S):
        try:
            _write(lake, name, kind)
        except OSError as error:  # the next try is soon enough: a lease lasts for ten of them
            _log.warning("the lease %s could not be renewed: %s", name, error)


def _others(lake: Lake, name: str) -> list[Lease]:
    """The leases of others that still hold; what is left of those that do not is removed."""
    found = []
    for other in notes.names(lake, FOLDER):
        content = None if other == name else notes.read(lake, other)
        if content is None:
            continue
        lease = _lease_of(content)
        if lease is None or _is_over(lease):
            notes.remove(lake, other)
        else:
            found.append(lease)
    return found


def _lease_of(content: bytes) -> Lease | None:
    """A lease; None for what a power cut left of one, whose holder is gone too."""
    try:
        return msgspec.json.decode(content, type=Lease)
    except (msgspec.DecodeError, UnicodeError):
        return None


def _is_over(lease: Lease) -> bool:
    if lease.until < time.time():
        return True
    return lease.host == host_name() and not is_alive(lease.process)


def is_alive(process: int) -> bool:
    """Whether this machine has a process of that number."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


@functools.cache
def host_name() -> str:
    """The machine, and which of its worlds of process numbers: two containers of one pod share a name."""
    try:
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # no Linux: no such worlds
        return socket.gethostname()
