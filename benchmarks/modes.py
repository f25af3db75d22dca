"""How well modes are told apart: `python benchmarks/modes.py [--traces FILE.json]`.

Planted: one topic, and of each failure one mode out of sixteen, with answers and corrections put together from
sentences of this file, four in ten corrections with a slip beside (a word dropped or added, another case, a blank
line); told by the same functions as a run's, from events alone. `--traces` takes agent conversations with a reward
(`[{"traj": [messages], "reward": 0 or 1}, …]`, as tau-bench writes them): the rules over calls against the rewards.
The last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

from flows.cluster.modes.calls import agent_mode
from flows.cluster.modes.edits import edit_of
from flows.cluster.modes.modes import mode_of, own_mode
from flows.cluster.outcomes.rules import Asked, findings
from schemas.messages import read_messages, to_chat

ASKED = ("I want a refund for my order", "refund my money please", "when is my refund paid", "where is my refund now")
SENTENCES = (
    "Your refund was started by our team this morning.",
    "The money goes back to the card that you paid with.",
    "You will get a note by mail once it has left us.",
    "Banks take a while until the amount is shown.",
    "We are sorry for the trouble that this caused.",
    "Nothing else needs to be done on your side.",
    "If the card is closed by now, the bank sends a cheque.",
    "Part of the postage is paid back as well.",
)
OTHERS = (
    "Please open the account page and choose the older invoice there.",
    "Vouchers cannot be exchanged, only used for another purchase.",
    "A courier collects the parcel between nine and noon.",
)
NAMES = ("Anna", "Bela", "Carla", "Dorian", "Emil", "Freya", "Goran", "Hilda")
MONTHS = ("January", "March", "April", "June", "August", "October")
REFUSALS = ("I'm sorry, but I can't help with that.", "I cannot assist with refunds.", "Sorry, I am unable to do that.")
SLIPS = 0.4
EXACT = frozenset({"edit:format", "edit:arguments"})
"""What has no slip: another form of the same words is nothing else, and a call is JSON."""
Row = dict[str, Any]


def main() -> None:
    """Plant modes and find them; then the traces, where a file is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=Path, help="agent conversations with rewards")
    parser.add_argument("--failures", type=int, default=6_000)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    result = planted(args.failures, args.seed)
    if args.traces:
        result |= traces(args.traces)
    print(json.dumps(result))


def planted(count: int, seed: int) -> Row:
    """Failures of one topic with a known mode each; how many are told rightly, by mode."""
    rng = random.Random(seed)
    right, all_, wrong = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    for _ in range(count):
        wanted = rng.choice(sorted(PLANTS))
        plant = PLANTS[wanted](rng)
        if "correction" in plant and wanted not in EXACT and rng.random() < SLIPS:
            plant["correction"] = slipped(plant["correction"], rng)
        found = told(**plant)
        all_[wanted] += 1
        right[wanted] += found == wanted
        wrong[wanted, found] += found != wanted
    print(f"{'planted mode':>24}{'failures':>10}{'told':>8}")
    for mode in sorted(all_):
        print(f"{mode:>24}{all_[mode]:>10}{right[mode] / all_[mode]:>8.3f}")
    for (wanted, found), number in wrong.most_common(5):
        if number:
            print(f"  {wanted} told as {found}: {number}")
    return {
        "modes": len(all_),
        "failures": count,
        "told_apart": round(right.total() / all_.total(), 4),
        "told_apart_worst": round(min(right[mode] / all_[mode] for mode in all_), 4),
    }


def told(answer: Any, correction: str = "", asked: Any = None, reasons: tuple[str, ...] = (), **fields: Any) -> str:
    """The mode that a run gives a failure."""
    request, reply = to_chat(asked or [{"role": "user", "content": ASKED[0]}]), read_messages(answer)
    given: Row = dict.fromkeys(Asked.__struct_fields__) | {"id": "1"} | fields
    calls = next((message["tool_calls"] for message in reply.chat if message.get("tool_calls")), None)
    text = "\n".join(message["content"] or "" for message in reply.chat)
    edit = edit_of(text, calls, correction) if correction else None
    return mode_of(findings(Asked(**given), reply), own_mode(request, reply.chat), reasons, edit)


def traces(path: Path) -> Row:
    """Conversations in which a rule over the calls finds something, against those that failed by their reward."""
    rows = json.loads(path.read_text())
    failed = [row["reward"] < 1 for row in rows]
    found = [(agent_mode(to_chat(row["traj"])) or "").partition(":")[0] for row in rows]
    print(f"\n{'rule over the calls':>24}{'found':>8}{'precision':>11}{'recall':>8}")
    print(f"{'':>24}failed: {sum(failed)} of {len(rows)}")
    result: Row = {"traces": len(rows), "traces_failed": sum(failed)}
    for name in ("tool_error", "gave_up", "loop", ""):
        hit = [bool(each) if not name else each == name for each in found]
        both = sum(one and other for one, other in zip(hit, failed, strict=True))
        precision, recall = both / max(sum(hit), 1), both / max(sum(failed), 1)
        print(f"{name or 'any of them':>24}{sum(hit):>8}{precision:>11.3f}{recall:>8.3f}")
        result |= {f"{name or 'agent'}_precision": round(precision, 3), f"{name or 'agent'}_recall": round(recall, 3)}
    return result


def slipped(correction: str, rng: random.Random) -> str:
    """A correction as people write them: with something else changed on the way."""
    words = correction.split(" ")
    at = rng.randrange(len(words))
    return rng.choice((
        " ".join(words[:at] + words[at + 1 :]) if not any(c.isdigit() for c in words[at]) else correction,
        " ".join([*words[:at], "please", *words[at:]]),
        correction.lower(),
        correction + "\n\n",
        correction.removesuffix("."),
    ))  # fmt: skip


def text(rng: random.Random, least: int = 3, most: int = 5) -> list[str]:
    """Some sentences of an answer."""
    return rng.sample(SENTENCES, rng.randint(least, most))


def say(*sentences: str) -> list[Row]:
    """An answer of these sentences."""
    return [{"role": "assistant", "content": " ".join(sentences)}]


def _refusal(rng: random.Random) -> Row:
    return {"answer": say(rng.choice(REFUSALS), *text(rng, 0, 2))}


def _truncated(rng: random.Random) -> Row:
    return {"answer": say(*text(rng))[:1], "finish_reasons": ["length"]}


def _filtered(rng: random.Random) -> Row:
    return {"answer": say(*text(rng, 0, 1)), "finish_reasons": ["content_filter"]}


def _json(rng: random.Random) -> Row:
    broken = rng.choice(('{"refund": ', '{"refund": true,}', "The refund is on its way.", '```json\n{"a": 1}\n```'))
    return {"answer": say(broken), "request_parameters": '{"response_format": {"type": "json_object"}}'}


def _error(rng: random.Random) -> Row:
    return {"answer": say(), "error_type": "500", "finish_reasons": rng.choice(([], ["error"]))}


def _number(rng: random.Random) -> Row:
    one, other = rng.sample(range(10, 990), 2)
    rest = text(rng, 1, 4)
    return {
        "answer": say(f"You get {one} euros back.", *rest),
        "correction": f"You get {other} euros back. {' '.join(rest)}",
    }


def _date(rng: random.Random) -> Row:
    (one, other), month = rng.sample(range(1, 29), 2), rng.choice(MONTHS)
    rest = text(rng, 1, 4)
    form = rng.choice(("It is paid on {month} {day}.", "It is paid on 2026-03-{day:02}.", "It is paid at {day:02}:15."))
    before, after = (form.format(month=month, day=day % 24) for day in (one, other))
    if before == after:
        return _date(rng)
    return {"answer": say(before, *rest), "correction": f"{after} {' '.join(rest)}"}


def _name(rng: random.Random) -> Row:
    one, other = rng.sample(NAMES, 2)
    rest = text(rng, 1, 4)
    return {
        "answer": say(f"Please ask {one} about it.", *rest),
        "correction": f"Please ask {other} about it. {' '.join(rest)}",
    }


def _shortened(rng: random.Random) -> Row:
    every = text(rng, 4, 7)
    return {"answer": say(*every), "correction": " ".join(every[: len(every) // 2])}


def _extended(rng: random.Random) -> Row:
    every = text(rng, 4, 7)
    return {"answer": say(*every[: len(every) // 2]), "correction": " ".join(every)}


def _format(rng: random.Random) -> Row:
    every = text(rng)
    lines = "\n".join(f"- {each}" for each in every)
    return {"answer": say(lines), "correction": " ".join(every)}


def _rewritten(rng: random.Random) -> Row:
    return {"answer": say(*text(rng)), "correction": " ".join(rng.sample(OTHERS, 2))}


def _call(name: str, order: int, id_: str = "c1") -> Row:
    function = {"name": name, "arguments": json.dumps({"order": order, "speed": "slow"})}
    return {"role": "assistant", "content": None, "tool_calls": [{"id": id_, "type": "function", "function": function}]}


def _arguments(rng: random.Random) -> Row:
    one, other = rng.sample(range(1000, 9999), 2)
    right = json.dumps({"name": "refund", "arguments": {"order": other, "speed": "slow"}})
    return {"answer": [_call("refund", one)], "correction": right}


def _gave_up(rng: random.Random) -> Row:
    said = rng.choice(("Error: order is closed", '{"error": "not found"}', "Exception: timed out"))
    asked = [{"role": "user", "content": rng.choice(ASKED)}, _call("refund", 7)]
    return {"asked": [*asked, {"role": "tool", "tool_call_id": "c1", "content": said}], "answer": say(*text(rng))}


def _loop(rng: random.Random) -> Row:
    asked: list[Row] = [{"role": "user", "content": rng.choice(ASKED)}]
    for turn in range(rng.randint(2, 4)):
        asked += [_call("look_up", 7, f"c{turn}"), {"role": "tool", "tool_call_id": f"c{turn}", "content": "open"}]
    return {"asked": asked, "answer": say(*text(rng))}


def _guardrail(rng: random.Random) -> Row:
    return {"answer": say(*text(rng)), "reasons": ("guardrail:advice", "thumb_down")}


PLANTS = {
    "refusal": _refusal, "truncated": _truncated, "content_filter": _filtered, "invalid_json": _json,
    "error:500": _error, "edit:number": _number, "edit:date": _date, "edit:name": _name,
    "edit:shortened": _shortened, "edit:extended": _extended, "edit:format": _format, "edit:rewritten": _rewritten,
    "edit:arguments": _arguments, "gave_up:refund": _gave_up, "loop:look_up": _loop, "guardrail:advice": _guardrail,
}  # fmt: skip
"""Mode → what a failure of it is made of."""

if __name__ == "__main__":
    main()
