"""What a page sends ▶ events in the outbox, and reviews that the gate reads. The same act twice is one act.

1. What an act says becomes events, whose ids are made of its own; what it changes is taken back by events too.
2. They are on disk (`outbox.py`) before the page is told that they are saved.

Go on to `pages/review.py`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from flows.evaluate.reviewing import questions, record_reviews, take_back_reviews
from flows.evaluate.reviews import SKIP, VERDICTS, About, Question, filled
from flows.evaluations import evaluation_of
from flows.prefect_api import request_evaluation
from schemas.errors import FlywheelError, UsageError
from schemas.events import Feedback
from schemas.kinds import ADJUDICATED, Kind
from ui import answers
from ui.agreeing import words_of
from ui.answers import LABELS, REVIEWER, Answer, events_of, ids_of, retractions
from ui.index.lists import voices_of
from ui.index.rows import id_of, text_of
from ui.questions import conversation_of
from ui.queue import drawn
from ui.state import State

MOST = 50
"""Acts in one request."""
ACTS = ("answer", "take_back", "later")
_log = logging.getLogger(__name__)


class Act(Struct, frozen=True, kw_only=True):
    """One thing that a person did: an answer, its taking back, or putting it off."""

    act: str
    kind: str
    item: str
    id: str
    verdict: str = ""
    labels: tuple[str, ...] = ()
    correction: str = ""
    exclude: bool = False
    ticket: str = ""
    """What the question carried, where chance chose it."""
    evaluation: str = ""
    again: int = 0


class Saved(Struct, frozen=True):
    """What came of an act."""

    id: str
    item: str
    error: str = ""
    said: str = ""
    """What others had said of it, now that this person has."""


def act_of(form: Mapping[str, Any]) -> Act:
    """The fields of a form of ours, or of one that a script sends."""
    told = {name: value for name, value in form.items() if isinstance(value, str)}
    again = told.get("again", "")
    act = told.get("act") or "answer"
    return Act(
        act=act, kind=told.get("kind", ""), item=told.get("item", ""), id=told.get("id", ""),
        verdict=told.get("verdict", ""), labels=tuple(label for label, _, _ in LABELS if told.get(f"label_{label}")),
        correction=told.get("correction", ""), exclude=bool(told.get("exclude")),
        ticket=told.get("ticket", "")[:100], evaluation=told.get("evaluation", ""),
        again=int(again[:4]) if again.isdecimal() else 0,
    )  # fmt: skip


def fields_of(act: Act) -> dict[str, str]:
    """The same as the fields of a form."""
    labels = {f"label_{label}": "on" for label in act.labels}
    return {
        "kind": act.kind, "item": act.item, "id": act.id, "verdict": act.verdict, "correction": act.correction,
        "ticket": act.ticket, "evaluation": act.evaluation, "again": str(act.again), **labels,
        **({"exclude": "on"} if act.exclude else {}),
    }  # fmt: skip


def save(state: State, acts: Sequence[Act], person: str, now: datetime) -> list[Saved]:
    """Keep what a person did, in its order; when this returns it survives a kill. What cannot be kept says why."""
    events: list[Feedback] = []
    saved: list[Saved] = []
    for place, act in enumerate(acts):
        at = now + timedelta(
            microseconds=place
        )  # what takes back comes after what it takes back, within one request too
        try:
            if act.act not in ACTS:
                raise UsageError("this is no answer of a review page: load it again")
            if act.kind == "pairs" and act.act != "later":
                _save_pair(state, act, person, at)
            elif act.act != "later":
                events += _events(state, act, person, at, events)
            saved.append(Saved(act.id, act.item))
        except (msgspec.ValidationError, FlywheelError) as error:
            _log.info("a review was refused: %s", error)
            saved.append(Saved(act.id, act.item, str(error)))
    state.outbox.put(events)
    for act, done in zip(acts, saved, strict=True):
        if not done.error:
            _settle(state, act, person)
    return saved


def adjudicate(state: State, item: str, answer_id: str, verdict: str, reason: str, person: str, now: datetime) -> None:
    """Keep a person's word on an answer that others judged differently: its text says why, and what they had said.

    Raises UsageError where the interaction is not there, msgspec.ValidationError where the id is none.
    """
    conversation = conversation_of(state, item)
    if conversation is None:
        raise UsageError("the interaction is not there any more: who had it may have asked to be forgotten")
    with state.reading() as sql:
        words = words_of(sql, id_of(item) or b"")
    said = ", ".join(f"{name}: {'good' if good else 'bad'}" for name, good in sorted(words.items()))
    answer = Answer(id=answer_id, verdict=verdict, reason=f"{reason} ({said})" if said else reason)
    state.outbox.put(events_of(answer, About(item, state.application, conversation), person, now))


def heard_of(state: State, item: str, person: str) -> str:
    """What all others said of an interaction, in words, for somebody who has answered."""
    with state.reading() as sql:
        found = voices_of(sql, id_of(item) or b"")
    gone = {event.retracts for event in state.outbox.feedback()}
    words = [
        f"{voice['source'].removeprefix(REVIEWER)}: {voice['said']}" if ":" in voice["source"] else voice["said"]
        for voice in found
        if voice["source"] != REVIEWER + person and text_of(voice["id"]) not in gone
    ]
    return " · ".join(dict.fromkeys(words[:12]))


def known_of(state: State, ids: Sequence[str], person: str, more: Sequence[Feedback] = ()) -> dict[str, Kind]:
    """Which of these events this person said, in the lake or on their way: id → kind."""
    marks = ", ".join("?" * len(ids))
    with state.reading() as sql:
        rows = sql.execute(
            f"SELECT id, kind FROM feedback WHERE id IN ({marks}) AND source = ?",  # noqa: S608 only marks
            (*map(id_of, ids), REVIEWER + person),
        ).fetchall()
    found = {text_of(row["id"]): row["kind"] for row in rows}
    on_way = [*state.outbox.feedback(), *more]
    return found | {event.id: event.kind for event in on_way if event.id in ids and event.source == REVIEWER + person}


def _events(state: State, act: Act, person: str, now: datetime, before: Sequence[Feedback]) -> list[Feedback]:
    """The events of an act, `before` being those of acts before it; none where it was kept already."""
    conversation = conversation_of(state, act.item)
    if conversation is None:
        raise UsageError("the interaction is not there any more: who had it may have asked to be forgotten")
    about = About(act.item, state.application, conversation)
    known = known_of(state, ids_of(act.id), person, before)
    if act.act == "take_back":
        return retractions(known.items(), about, person, now)
    if act.id in known:
        return []
    if act.verdict not in answers.VERDICTS:
        raise UsageError("an answer is good, bad or cannot_tell")
    answer = Answer(
        id=act.id, verdict=act.verdict, labels=act.labels, correction=act.correction, exclude=act.exclude,
        random=drawn(state.lots, person, act.item, act.ticket),
    )  # fmt: skip
    told = events_of(answer, about, person, now)
    earlier = _standing(state, act.item, person, before)
    return [*told, *retractions(earlier.items(), about, person, now)]


def _standing(state: State, item: str, person: str, more: Sequence[Feedback]) -> dict[str, Kind]:
    """What this person says of an interaction until now; what they decided for others is no answer of their own."""
    mine = REVIEWER + person
    with state.reading() as sql:
        rows = sql.execute(
            "SELECT id, kind FROM feedback "
            "WHERE interaction = ? AND stands AND +source = ? AND coalesce(label, '') <> ?",
            (id_of(item), mine, ADJUDICATED),
        ).fetchall()
    found = {text_of(row["id"]): row["kind"] for row in rows}
    for event in [*state.outbox.feedback(), *more]:
        if event.interaction_id != item or event.source != mine or event.label == ADJUDICATED:
            continue
        if event.retracts:
            found.pop(event.retracts, None)
        else:
            found[event.id] = event.kind
    return found


def _save_pair(state: State, act: Act, person: str, now: datetime) -> None:
    if act.verdict not in {*VERDICTS, SKIP}:
        raise UsageError("a pair is answered by 1, 2, b, n or s")
    found = questions(state.lake, state.settings, act.evaluation, [act.item])
    if not found or found[0].id != act.id:
        raise UsageError("the answers of this evaluation are others: load the page again")
    answer: Question = msgspec.structs.replace(
        filled(found[0], act.verdict), again=act.again, correction=act.correction.strip() or None
    )
    given = (state.lake, state.settings, act.evaluation, [answer], person, now, state.outbox.put)
    if act.act == "take_back":
        take_back_reviews(*given)
        return
    stood = record_reviews(*given).standing
    if stood.next_look is None or stood.reviewed == stood.look:
        why = f"reviews:{act.evaluation}:{stood.look}"
        threading.Thread(target=_evaluate_again, args=(state, act.evaluation, why), daemon=True).start()


def _evaluate_again(state: State, evaluation: str, why: str) -> None:
    """Have the gate look again, beside the answer: nobody who reviews waits for Prefect. The next turn looks anyway."""
    try:
        candidate = evaluation_of(state.lake, state.application, evaluation).candidate
        request_evaluation(state.settings, candidate.id, why)
    except Exception:  # whatever a neighbour's client raises: the review itself is kept
        _log.exception("no new evaluation could be asked for")


def _settle(state: State, act: Act, person: str) -> None:
    """End the lease, and remember what can be taken back."""
    state.reservations.let_go(person, act.item, later=act.act == "later")
    if act.act == "answer":
        state.reservations.last[person] = fields_of(act)
    elif act.act == "take_back":
        state.reservations.last.pop(person, None)
