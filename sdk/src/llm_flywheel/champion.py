"""The champion: which model and prompt serve now, followed from the decisions on Kafka or from the HTTP door.

    champion = Champion("support", default="gpt-5-mini")
    client.chat.completions.create(model=champion.model, ...)

Go on to `decisions.py` for where the decisions come from.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from llm_flywheel.counts import log
from llm_flywheel.decisions import Decided, source_of
from llm_flywheel.prompts import request
from llm_flywheel.settings import private, read
from llm_flywheel.variants import variant

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0


class Champion:
    """Who serves now. `current`, `model` and the rest never block and never raise.

    Whoever may write to the topic could send all traffic elsewhere, so on Kafka only decisions that one of the
    `trusted_keys` signed are believed (`flywheel ledger key` prints the key; or FLYWHEEL_TRUSTED_KEYS). The door is
    believed as it is, unless there are keys: then its answers must be signed too.

    Before the first answer, and while nobody answers, it is the last one known, kept in a small file; where there is
    none, `default`. A thread follows, made anew in a forked child. `on_change` is called in it, with the new champion.
    """

    def __init__(
        self,
        application: str | None = None,
        default: str | Mapping[str, Any] | None = None,
        *,
        url: str | None = None,
        token: str | None = None,
        trusted_keys: str | Sequence[str] | None = None,
        on_change: Callable[[dict[str, Any]], None] | None = None,
        state_dir: str | os.PathLike[str] | None = None,
        poll_s: float = 15.0,
    ) -> None:
        first = {"model": default} if isinstance(default, str) else dict(default or {})
        self._serves: tuple[dict[str, Any], dict[str, Any]] = (first, {})
        """The champion and the former one: always of one decision."""
        self._on_change, self._poll_s = on_change, poll_s
        self.sequence = -1
        """Position of the decision in the ledger; -1: none was heard of yet."""
        self._heard = threading.Event()
        self._stop = threading.Event()
        self._pid = 0
        self._settings = None
        try:
            self._settings = read(
                os.environ, application=application, url=url, token=token, trusted_keys=trusted_keys,
                state_dir=state_dir,
            )  # fmt: skip
            name = hashlib.sha256(self._settings.application.encode()).hexdigest()[:16]
            self._file: Path = self._settings.state_dir / f"champion-{self._settings.place}-{name}.json"
            self._recall()
            self._follow()
        except Exception as error:
            log.error("llm_flywheel: nobody tells who is champion: %s", error)

    @property
    def current(self) -> dict[str, Any]:
        """The champion as its decision names it: `model, endpoint, prompt_version, prompt_messages, parameters, …`."""
        return self._now()[0]

    @property
    def former(self) -> dict[str, Any]:
        """Who served before the champion was promoted, as `current`; empty where there is nobody to compare with."""
        return self._now()[1]

    def serving(self, unit: object, former: float) -> dict[str, Any]:
        """Who serves a unit (a user where known, else a conversation): a share `former` of them the former champion.

        So users of a new champion are compared with others of the same hours, and one that is worse is taken back. A
        unit stays where it is until the next promotion, and which of the two it is, is recorded as `variant` does.
        Where there is no former champion the present one serves. Raises ValueError for a share beyond 0 and 1.
        """
        if not 0 <= former <= 1:
            raise ValueError(f"the share of the former champion must be between 0 and 1, got {former!r}")
        champion, before = self._now()
        kept = former if before else 0.0
        arm = variant(unit, {"former": kept, "champion": 1 - kept}, salt=str(champion.get("id") or ""))
        return before if arm == "former" else champion

    @property
    def model(self) -> str:
        """Its model; empty where nobody is known and no default was given."""
        return str(self.current.get("model") or "")

    @property
    def prompt_version(self) -> str | None:
        """Its prompt version."""
        version = self.current.get("prompt_version")
        return None if version is None else str(version)

    def request(self, messages: Iterable[Any]) -> dict[str, Any]:
        """What to ask the champion, as it was evaluated: its model and parameters, its prompt before the messages.

        `client.chat.completions.create(**champion.request(messages))`. For whom `serving` names: `fly.request`.
        """
        return request(self.current, messages)

    def wait(self, timeout_s: float) -> bool:
        """Wait for the first answer; False where none comes in time."""
        return self._heard.wait(timeout_s)

    def close(self) -> None:
        """Follow no longer."""
        self._stop.set()

    def _now(self) -> tuple[dict[str, Any], dict[str, Any]]:
        if self._pid != os.getpid():
            self._follow()
        return self._serves

    def _follow(self) -> None:
        if self._settings is None:
            return
        self._pid = os.getpid()
        thread = threading.Thread(target=self._run, name="llm-flywheel-champion", daemon=True)
        with suppress(RuntimeError):  # the interpreter is ending
            thread.start()

    def _run(self) -> None:
        wait, said = FIRST_WAIT_S, False
        while not self._stop.is_set():
            try:
                for decided in self._decisions():
                    wait, said = FIRST_WAIT_S, False
                    self._heard.set()
                    if decided is not None:
                        self._hear(decided)
                    if self._stop.is_set():
                        return
            except Exception as error:
                if not said:
                    log.warning("llm_flywheel: the champion of %s stays the last one known: %.300s", self._name, error)
                said = True
            self._stop.wait(wait)
            wait = min(wait * 2, LONGEST_WAIT_S)

    @property
    def _name(self) -> str:
        return self._settings.application if self._settings else "?"

    def _decisions(self) -> Iterator[Decided | None]:
        if self._settings is None:
            return iter(())
        return source_of(self._settings, self._stop, self._poll_s)

    def _hear(self, decided: Decided) -> None:
        """Highest sequence wins: compaction may leave older decisions, and a producer may repeat one."""
        if decided.sequence <= self.sequence:
            return
        self.sequence = decided.sequence
        changed = decided.champion != self._serves[0]
        self._keep(decided)  # first: whoever sees a champion finds it again at the next start
        self._serves = (decided.champion, decided.former)
        if changed and self._on_change is not None:
            try:
                self._on_change(decided.champion)
            except Exception as error:
                log.warning("llm_flywheel: on_change failed: %r", error)

    def _keep(self, decided: Decided) -> None:
        try:
            private(self._file.parent)
            fresh = self._file.with_name(f"{self._file.name}.{os.getpid()}")
            fresh.write_text(json.dumps({"champion": decided.champion, "former": decided.former}))
            fresh.replace(self._file)
        except OSError as error:
            log.warning("llm_flywheel: the champion cannot be kept for the next start: %s", error)

    def _recall(self) -> None:
        with suppress(OSError, ValueError):
            kept = json.loads(self._file.read_text())
            champion = (
                kept.get("champion", kept) if isinstance(kept, dict) else None
            )  # of old the file was the champion
            if isinstance(champion, dict):
                former = kept.get("former")
                self._serves = (champion, former if isinstance(former, dict) else {})
