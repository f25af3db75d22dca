"""Live failure rates, as arithmetic: feedback joined to its interaction, counted in windows, watched by an alarm.

    event ──observe──▶ Seen (one interaction) ──▶ Change ──count──▶ Counts (one window of one group) ──▶ Alarm

Everything here is a pure function over small values that `streams/triage/app.py` keeps in Faust tables. A live
estimate: the outcome that counts is the lake's, which weighs each kind of feedback and sees every event once.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Literal

import msgspec
from msgspec import Struct

from schemas.events import Alert, Feedback, Interaction
from schemas.kinds import says
from schemas.settings import TriageSettings
from schemas.unit import unit_of

MAX_SIGNALS = 100
"""Feedback events that one interaction can gather: the state of a flooded one stays small."""
_NAMESPACE = uuid.UUID("6f8b6d0e-3c0f-5d4e-9a43-0d1a5b7f2c11")


class Group(Struct, frozen=True, order=True):
    """What a rate is about."""

    application: str
    model: str
    prompt_version: str = ""
    variant: str = ""

    def label(self) -> str:
        """For people: the model, with prompt version and variant where there are any."""
        parts = [self.model, self.prompt_version and f"prompt {self.prompt_version}", self.variant]
        return ", ".join(part for part in parts if part)


class Signal(Struct, frozen=True, omit_defaults=True):
    """What one feedback event says, and who says it."""

    good: bool | None
    """None: it says neither (`schemas.kinds.says`), or is a retraction."""
    application: str = ""
    speaker: str = ""
    """Short hash of `Feedback.speaker`: who may take it back."""
    takes_back: tuple[str, ...] = ()
    """The feedback events that it supersedes or retracts, where the same speaker said them."""


class Seen(Struct, frozen=True, omit_defaults=True):
    """All that is known of one interaction, whichever of its events came first."""

    partition: int
    """Where its events are: state must be changed in the partition that it was written in."""
    group: Group | None = None
    """None until the interaction itself has come."""
    time: float = 0.0
    """When the request began, seconds since the epoch."""
    unit: str = msgspec.field(default="", name="user")
    """Keyed hash of the user where known, else of the conversation: changelogs name nobody."""
    error: bool = False
    signals: dict[str, Signal] = {}

    def standing(self) -> dict[str, Signal]:
        """The signals that stand: as `streams/lake/standing_feedback.sql` has it, of this interaction's application."""
        own = {
            name: signal
            for name, signal in self.signals.items()
            if self.group is None or signal.application == self.group.application
        }
        taken_back = {
            (name, signal.application, signal.speaker) for signal in own.values() for name in signal.takes_back
        }
        return {
            name: signal for name, signal in own.items() if (name, signal.application, signal.speaker) not in taken_back
        }

    def outcome(self) -> Literal["ok", "failed", "unknown"]:
        """One word on the interaction: any bad signal that stands makes it failed."""
        said = {signal.good for signal in self.standing().values()}
        if self.error or False in said:
            return "failed"
        return "ok" if True in said else "unknown"


class Change(Struct, frozen=True, tag=True):
    """How one event moves the counts of one window."""

    group: Group
    time: float
    interaction_id: str
    unit: str = msgspec.field(name="user")
    interactions: int
    judged: int
    failed: int


class Counts(Struct, frozen=True):
    """One window of one group."""

    interactions: int = 0
    judged: int = 0
    """Interactions that are ok or failed: the rest has had no feedback yet."""
    failed: int = 0
    offset: int = -1
    """Of the newest change that is in here: a change that is read again after a crash is not counted again."""

    def plus(self, other: Counts | Change, offset: int = -1) -> Counts:
        """The sum of both, up to an offset."""
        return Counts(
            self.interactions + other.interactions, self.judged + other.judged, self.failed + other.failed, offset
        )

    @property
    def rate(self) -> float | None:
        """Failed per judged; None where nothing was judged."""
        return self.failed / self.judged if self.judged else None


class Alarm(Struct, frozen=True):
    """Whether a group's failure rate is high, and the newest window that said so."""

    raised: bool = False
    window: int = -(2**62)


def signal_of(feedback: Feedback, failing_labels: Collection[str] = (), key: bytes = b"") -> Signal:
    """What a feedback event says: the same as it says in the lake."""
    good = None
    if feedback.retracts is None:
        good = says(feedback.kind, feedback.value, feedback.label, failing_labels)
    return Signal(
        good,
        feedback.application,
        hidden("\0".join(feedback.speaker), key),
        tuple(name for name in (feedback.supersedes, feedback.retracts) if name),
    )


def observe(
    seen: Seen, event: Interaction | Feedback, failing_labels: Collection[str] = (), key: bytes = b""
) -> tuple[Seen, Change | None]:
    """What is known after an event of this interaction, and how that changes the counts.

    `failing_labels` is the setting `cluster.failing_labels`; `key` hides whose it is. The order of events does not
    matter, and an event that comes twice changes nothing.
    """
    if isinstance(event, Feedback):
        if len(seen.signals) >= MAX_SIGNALS or event.id in seen.signals:
            return seen, None
        after = msgspec.structs.replace(seen, signals={**seen.signals, event.id: signal_of(event, failing_labels, key)})
    elif seen.group is None:
        after = _with_interaction(seen, event, key)
    else:
        return seen, None
    return after, _change(seen, after, event.id if isinstance(event, Interaction) else event.interaction_id)


def window_start(time: float, width: float) -> int:
    """Start of the window that a moment falls in, seconds since the epoch."""
    return int(time // width * width)


def watch(alarm: Alarm, window: int, counts: Counts, settings: TriageSettings) -> Alarm:
    """The alarm after a look at a window: raised at `alert_rate`, lowered only below `alert_clear_rate`.

    A window that is older than the one that last spoke is not looked at, nor is one with fewer than `alert_min` judged
    interactions. Between the two rates the alarm stays as it is, so that a rate that hovers does not chatter; and a
    window that has raised it once does not do so again.
    """
    rate = counts.rate
    if rate is None or counts.judged < settings.alert_min or window < alarm.window:
        return alarm
    if not alarm.raised and rate >= settings.alert_rate and window > alarm.window:
        return Alarm(raised=True, window=window)
    if alarm.raised and rate < settings.alert_clear_rate:
        return Alarm(raised=False, window=window)
    return alarm


def alert_of(group: Group, alarm: Alarm, counts: Counts, settings: TriageSettings) -> Alert:
    """The event that tells of an alarm that has just been raised or lowered.

    The same alarm of the same window is the same event, however often it is worked out.
    """
    rate = counts.rate or 0.0
    state = "raised" if alarm.raised else "cleared"
    limit = settings.alert_rate if alarm.raised else settings.alert_clear_rate
    name = "\0".join([*msgspec.structs.astuple(group), str(alarm.window), state])
    return Alert(
        id=str(uuid.uuid5(_NAMESPACE, name)),
        time=datetime.fromtimestamp(alarm.window, UTC),
        application=group.application,
        rule="failure_rate",
        severity="warning" if alarm.raised else "info",
        message=(
            f"{group.label()}: {counts.failed} of {counts.judged} judged interactions failed ({rate:.0%}), "
            f"{'at or above' if alarm.raised else 'back below'} {limit:.0%}"
        ),
        model=group.model,
        prompt_version=group.prompt_version or None,
        variant=group.variant or None,
        values={
            "rate": rate, "limit": limit, "judged": counts.judged, "failed": counts.failed,
            "interactions": counts.interactions, "window_s": settings.window_s,
        },
    )  # fmt: skip


def _with_interaction(seen: Seen, event: Interaction, key: bytes) -> Seen:
    return msgspec.structs.replace(
        seen,
        group=Group(event.application, event.request_model, event.prompt_version or "", event.variant or ""),
        time=event.time.timestamp(),
        unit=hidden(unit_of(event.user_id, event.conversation_id), key),
        error=event.error_type is not None,
    )


def hidden(name: str, key: bytes = b"") -> str:
    """A name as changelogs have it: whoever has no key cannot try names."""
    return hashlib.blake2b(name.encode(), digest_size=8, key=key).hexdigest()


def _change(before: Seen, after: Seen, interaction_id: str) -> Change | None:
    """The difference of two states; None where the counts stay."""
    if after.group is None:
        return None
    was = before.outcome() if before.group else None
    now = after.outcome()
    moved = (
        int(was is None),
        int(now != "unknown") - int(was in {"ok", "failed"}),
        int(now == "failed") - int(was == "failed"),
    )
    return Change(after.group, after.time, interaction_id, after.unit, *moved) if any(moved) else None
