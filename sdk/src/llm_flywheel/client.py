"""The client: `init`, `flush`, `stats`; one writer and one sender a process, made anew in a forked child.

Nothing here raises into the application or blocks it, except `flush` and the exit, which wait as long as they say.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from llm_flywheel.counts import Counts, log
from llm_flywheel.events import FEEDBACK
from llm_flywheel.journal import Journal
from llm_flywheel.sender import Sender
from llm_flywheel.settings import Event, Redact, Settings, read
from llm_flywheel.writer import Item, Writer

if TYPE_CHECKING:
    from llm_flywheel.transports import Transport

EXIT_S = 2.0
"""How long the end of the process may be held up; what is not delivered by then is in the journal."""
_clients: weakref.WeakSet[Client] = weakref.WeakSet()


class Client:
    """Everything between the application's threads and the transport."""

    def __init__(self, settings: Settings, transport: Transport) -> None:
        self.settings = settings
        self.counts = Counts()
        self._transport = transport
        self._journal = Journal(settings.state_dir / "journal" / settings.place, settings.journal_bytes, self.counts)
        self._sender = Sender(transport, self._journal, self.counts)
        self._writer = Writer(settings, self._journal, self._sender, self.counts)
        self._started = False
        if hasattr(transport, "on_connect"):
            transport.on_connect = self._last_word
        _clients.add(self)

    def emit(self, event_type: str, event: Event, weight: int = 0, finish: Any = None) -> bool:
        """Leave an event that nobody changes any more; False where it was dropped, or is not in the sample."""
        if event_type != FEEDBACK and not self.sampled(event.get("conversation_id")):
            self.counts.add("sampled_out")
            return False
        if not self._started:
            self._started = True
            self._last_word()
        return self._writer.put(Item(event_type, event, weight, finish))

    def sampled(self, conversation_id: Any) -> bool:
        """Whether a conversation is in the sample: the same answer for it everywhere and always."""
        share = self.settings.sample
        if share >= 1:
            return True
        digest = hashlib.sha256(f"{self.settings.application}\n{conversation_id}".encode("utf-8", "replace")).digest()
        return int.from_bytes(digest[:8], "big") < share * 2**64

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until all events are delivered, those that earlier processes left too; False if they are not in time."""
        end = time.monotonic() + timeout_s
        self._sender.hurry()
        while not (self._writer.idle and self._sender.idle):
            if time.monotonic() >= end:
                return False
            time.sleep(0.01)
        return True

    def close(self, timeout_s: float = EXIT_S) -> None:
        """Put everything into the journal, deliver what can be delivered in time, and stop."""
        end = time.monotonic() + timeout_s
        self._writer.stop(timeout_s)
        self._sender.stop(max(0.1, end - time.monotonic()))
        self._journal.close()
        atexit.unregister(self.close)
        _clients.discard(self)

    def stats(self) -> dict[str, int]:
        """Counters since the process began; `waiting` is what is in memory alone now."""
        return {**self.counts.all(), "waiting": self._writer.waiting}

    def forget(self) -> None:
        """In a forked child: start from nothing. What the parent had in its queue, the parent sends."""
        self.counts = Counts()
        self._journal.forget()
        self._journal._counts = self.counts  # noqa: SLF001 - the client's own parts
        self._sender._counts = self.counts  # noqa: SLF001
        self._sender.forget()
        self._writer = Writer(self.settings, self._journal, self._sender, self.counts)
        self._started = False

    def _last_word(self) -> None:
        """Be the first to be called at exit: before Kafka's producer closes itself, and in a multiprocessing child."""
        atexit.unregister(self.close)
        atexit.register(self.close)
        util = sys.modules.get("multiprocessing.util")
        if util is not None and getattr(sys.modules.get("multiprocessing.process"), "parent_process", bool)():
            util.Finalize(None, self.close, exitpriority=10)  # such a child ends without atexit


_client: Client | None = None
_disabled = "init() was not called"
_once = threading.Lock()


def init(
    application: str | None = None,
    url: str | None = None,
    *,
    token: str | None = None,
    sample: float | None = None,
    redact: Redact | None = None,
    state_dir: str | os.PathLike[str] | None = None,
    **limits: int,
) -> bool:
    """Begin to capture: `init("support", "kafka://host:9092")`; what is not given is read from FLYWHEEL_… variables.

    Never raises: where something is wrong, an error is logged, nothing is captured, and False returned. Connects to
    nothing and starts no thread before the first event. `limits` are the bounds of `Settings`: `capacity`,
    `memory_bytes`, `journal_bytes`, `max_event_bytes`.
    """
    global _client, _disabled
    with _once:
        try:
            settings = read(
                os.environ, application=application, url=url, token=token, sample=sample, redact=redact,
                state_dir=state_dir, **limits,
            )  # fmt: skip
            from llm_flywheel.transports import open_transport  # costs 5 ms; the import of the package need not

            client = Client(settings, open_transport(settings.url, settings.token))
        except Exception as error:
            log.error("llm_flywheel is off: %s", error)
            _client, _disabled = None, str(error)
            return False
        previous, _client = _client, client
    if previous is not None:
        previous.close()
    return True


def client() -> Client | None:
    """The process's client; None before `init`."""
    return _client


def application() -> str | None:
    """The application's name; None where nothing is captured."""
    return _client.settings.application if _client is not None else None


def flush(timeout_s: float = 10.0) -> bool:
    """Wait until everything is delivered; False where it is not within the time.

    For workers that end by `os._exit` (RQ), and for functions that are frozen between two calls (AWS Lambda).
    """
    try:
        return _client is not None and _client.flush(timeout_s)
    except Exception:
        return False


def stats() -> dict[str, Any]:
    """What became of the events: `sent`, `spilled`, `replayed`, `sampled_out`, `cut`, and every drop by its name."""
    return _client.stats() if _client is not None else {"off": _disabled}


def emit(event_type: str, event: Event, weight: int = 0, finish: Any = None) -> bool:
    """Leave an event with the process's client. Never raises."""
    try:
        return _client is not None and _client.emit(event_type, event, weight, finish)
    except Exception as error:
        failed(error)
        return False


def count(name: str, detail: object = "") -> None:
    """Count what was dropped before it became an event."""
    if _client is not None:
        _client.counts.add(name, detail=detail)


def failed(error: BaseException) -> None:
    """Count a fault of our own."""
    if _client is not None:
        _client.counts.add("errors", detail=f"{type(error).__name__}: {error}")


def _after_fork() -> None:
    for each in tuple(_clients):
        each.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
