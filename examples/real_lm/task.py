"""What customers of a small bank ask for, and the one call that each request should become.

A request is a sentence of a customer; the right answer is a call with arguments out of its words, such as
`send(Marta, 50 GBP, friday)`. It is right when action and every argument are right, in a canonical form: amounts as
digits with an ISO currency, dates as a weekday or `3 mar`. Everything follows from a seed. The wording of the
`untouched` requests, and the people they name, never occur in traffic. Go on to `classifier.py` and `customers.py`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .wording import FORMS, HELD_OUT, NAMES, OTHER_NAMES

CURRENCIES = {
    "EUR": ("euros", "euro", "EUR", "€"),
    "GBP": ("pounds", "quid", "GBP", "£"),
    "USD": ("dollars", "bucks", "USD", "$"),
}
"""How each is said: two words, its code, its sign."""
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
LONG_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
POTS = ("checking", "savings", "holiday", "joint", "bills", "business", "house", "car")
"""A customer's accounts."""
ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS = ("_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
GREETINGS = ("hi", "hello", "hey there", "good morning", "hiya", "hi team", "excuse me", "quick one")
ENDINGS = ("thanks", "please", "pls", "thank you!", "asap", "cheers", "if possible", "thx", "many thanks")
TYPO, LOWER, GREETING, ENDING = 0.04, 0.4, 0.2, 0.25
"""Typos a word of the wording, requests without capitals, with a greeting, with a closing word."""
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Case:
    """One request whose right call is known."""

    text: str
    call: str


def cases(n: int, seed: object, *, held_out: bool = False) -> list[Case]:
    """So many different requests, all actions alike; `held_out`: in wordings, and of people, that traffic never has."""
    rng = random.Random(f"cases:{seed}:{held_out}")
    forms = HELD_OUT if held_out else FORMS
    found: dict[str, Case] = {}
    while len(found) < n:
        action = list(forms)[len(found) % len(forms)]
        case = _case(action, rng.choice(forms[action]), rng, OTHER_NAMES if held_out else NAMES)
        found.setdefault(case.text, case)
    made = list(found.values())
    rng.shuffle(made)
    return made


def same(answer: str, call: str) -> bool:
    """Whether an answer is the call, argument by argument; spaces around them mean nothing."""
    return parts(answer) == parts(call)


def parts(call: str) -> tuple[str, ...]:
    """Action and arguments of a call; whatever is none is one part."""
    found = re.fullmatch(r"\s*(\w+)\((.*)\)\s*", call)
    return (found[1], *(part.strip() for part in found[2].split(","))) if found else (call.strip(),)


def _case(action: str, form: str, rng: random.Random, names: tuple[str, ...]) -> Case:
    """One wording, filled: `{who}`, `{when}`, … are said in many ways; `{x_…}` distract and are no argument."""
    slots = dict(_slots(_SLOT.findall(form), rng, names))
    lower = rng.random() < LOWER
    words = [piece if piece in slots else _mistyped(piece, rng) for piece in re.split(r"(\{\w+\})", form) if piece]
    text = "".join(slots[word[1:-1]][1] if _SLOT.fullmatch(word) else word for word in words)
    if rng.random() < GREETING:
        text = f"{rng.choice(GREETINGS)}{rng.choice((', ', ' ', '! '))}{text[0].lower()}{text[1:]}"
    if rng.random() < ENDING:
        text = f"{text.rstrip('.?! ')} {rng.choice(ENDINGS)}"
    return Case(text.lower() if lower else text, f"{action}({', '.join(_arguments(action, slots))})")


def _arguments(action: str, slots: dict[str, tuple[str, str]]) -> Iterator[str]:
    for name in ARGUMENTS[action]:
        yield slots[name][0] if name in slots else "today"


ARGUMENTS = {
    "send": ("who", "sum", "when"),
    "move": ("source", "target", "sum"),
    "refund": ("order", "sum"),
    "shift": ("payment", "old", "when"),
    "limit": ("card", "sum"),
    "exchange": ("sum", "currency"),
    "split": ("sum", "who", "other"),
    "remind": ("who", "sum", "when"),
}
"""Of each action, in order."""


def _slots(names: list[str], rng: random.Random, people: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Of each slot its canonical value and how it is said; no two slots of a request have one value."""
    taken: set[str] = set()
    currency = rng.choice(list(CURRENCIES))
    for name in names:
        kind = name.removeprefix("x_")
        while True:
            value, said = KINDS[kind](rng, people, currency)
            if value not in taken:
                break
        taken.add(value)
        yield name, (value, said)


def _who(rng: random.Random, people: tuple[str, ...], _: str) -> tuple[str, str]:
    name = rng.choice(people)
    return name, name


def _sum(rng: random.Random, _: tuple[str, ...], currency: str) -> tuple[str, str]:
    """An amount: `49.90 EUR`, said with a sign, a word or a code, in digits or in words."""
    kind = rng.random()
    if kind < 0.3:
        cents = 100 * rng.randint(3, 180) + rng.choice((50, 90, 99, 25, 75, rng.randint(1, 99)))
        value = f"{cents // 100}.{cents % 100:02d}"
        digits = value
    elif kind < 0.42:
        thousands = rng.choice((1, 2, 3, 4, 5, 10, 1.5, 2.5))
        value = str(round(1000 * thousands))
        digits = rng.choice((f"{thousands:g}k", f"{round(1000 * thousands):,}", value))
    else:
        whole = rng.choice((rng.randint(5, 99), 10 * rng.randint(2, 95), 5 * rng.randint(4, 60)))
        value = str(whole)
        digits = in_words(whole) if rng.random() < 0.35 else value
    *words, code, sign = CURRENCIES[currency]
    if digits[0].isdigit() and rng.random() < 0.4:
        said = f"{sign}{digits}"
    elif digits[0].isdigit() and rng.random() < 0.25:
        said = f"{digits} {code}"
    else:
        said = f"{digits} {rng.choice(words)}"
    return f"{value} {currency}", said


def _when(rng: random.Random, *_: object) -> tuple[str, str]:
    """A date: a weekday, `tomorrow`, or `3 mar`."""
    kind = rng.random()
    if kind < 0.5:
        day = rng.choice(DAYS)
        return day, rng.choice((day.capitalize(), day.capitalize(), day[:3].capitalize(), f"next {day.capitalize()}"))
    if kind < 0.6:
        return "tomorrow", rng.choice(("tomorrow", "tmrw", "tomorrow morning"))
    month, day_number = rng.randrange(12), rng.randint(1, 28)
    teens = 10 < day_number < 20
    ordinal = f"{day_number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(day_number % 10, 'th')}"
    said = (
        f"{day_number} {LONG_MONTHS[month]}",
        f"{LONG_MONTHS[month]} {ordinal}",
        f"the {ordinal} of {LONG_MONTHS[month]}",
        f"{ordinal} {MONTHS[month].capitalize()}",
    )
    return f"{day_number} {MONTHS[month]}", rng.choice(said)


def _order(rng: random.Random, *_: object) -> tuple[str, str]:
    letter, number = rng.choice("ABCDEFGHKLMNPRSTVWX"), rng.randint(1000, 9999)
    value = f"{letter}{number}"
    return value, rng.choice((value, value, f"#{value}", f"no. {value}", f"{letter}-{number}"))


def _payment(rng: random.Random, *_: object) -> tuple[str, str]:
    value = str(rng.randint(1000, 9999))
    return value, rng.choice((value, f"#{value}", f"no. {value}"))


def _card(rng: random.Random, *_: object) -> tuple[str, str]:
    value = str(rng.randint(1000, 9999))
    return value, rng.choice((value, f"ending {value}", f"ending in {value}", f"...{value}"))


def _pot(rng: random.Random, *_: object) -> tuple[str, str]:
    value = rng.choice(POTS)
    return value, value


def _currency(rng: random.Random, _: tuple[str, ...], taken: str) -> tuple[str, str]:
    code = rng.choice([one for one in CURRENCIES if one != taken])
    return code, rng.choice(CURRENCIES[code][:3])


KINDS: dict[str, Callable[[random.Random, tuple[str, ...], str], tuple[str, str]]] = {
    "who": _who, "other": _who, "sum": _sum, "sum2": _sum, "when": _when, "old": _when, "order": _order,
    "payment": _payment, "card": _card, "source": _pot, "target": _pot, "currency": _currency,
}  # fmt: skip


def in_words(number: int) -> str:
    """Below a thousand: `two hundred and five`."""
    if number >= 100:
        rest = number % 100
        return f"{ONES[number // 100]} hundred{f' and {in_words(rest)}' if rest else ''}"
    if number < 20:
        return ONES[number]
    return TENS[number // 10] + (f"-{ONES[number % 10]}" if number % 10 else "")


def _mistyped(text: str, rng: random.Random) -> str:
    """The wording with a letter swapped, lost or doubled in some of its longer words."""

    def word(found: re.Match[str]) -> str:
        said = found[0]
        if rng.random() >= TYPO:
            return said
        place = rng.randrange(1, len(said) - 1)
        return rng.choice((
            said[:place] + said[place + 1] + said[place] + said[place + 2 :], said[:place] + said[place + 1 :],
            said[:place] + said[place] + said[place:],
        ))  # fmt: skip

    return text if _SLOT.fullmatch(text) else re.sub(r"[a-z]{4,}", word, text)
