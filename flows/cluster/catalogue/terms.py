"""The words that tell a cluster from the others: what most of its people say and few people elsewhere do.

Class-based TF-IDF (M. Grootendorst, "BERTopic", arXiv:2203.05794, section 3.3) over the share of a cluster's *people*
who use a term, in place of how often it stands there: a person counts once, however much they write, so that a few long
texts or one loud account name nothing. What a signature holds, and what `redact` takes out, is not read.

Terms are one or two words, without the function words of the language that the text is in; in scripts without blanks,
runs of two to six characters. Go on to `naming.py`.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import stop_words

from flows.redact.redact import Redactor
from flows.redact.signature import unsigned
from schemas.normalise import has_blanks, words

TERMS = 5
MAX_TEXTS = 200
"""Texts per cluster that are read for its name, spread over all of them: its words are plain by then."""
MAX_CHARS = 2_000
CUT = 256
"""Characters beyond that are read for redaction: nothing personal may begin within and end beyond."""
STEM = 5
"""Letters by which forms of a word are one: `verify`, `verified` and `verification` say one thing of a cluster."""
LONGEST = 6
"""Characters of a term in a script without blanks."""
AS_COMMON = 0.9
"""A longer run of characters stands for a shorter one that hardly anybody says without it."""
_PLACEHOLDER = re.compile(r"<[A-Z_]+_\d+>")


@dataclass(frozen=True)
class Said:
    """A text, and who wrote it."""

    person: str
    text: str


def terms(
    groups: Sequence[Sequence[Said]], redactor: Redactor, people: int, count: int = TERMS
) -> list[tuple[str, ...]]:
    """The most distinctive terms of each group, best first, each said by `people` or more; none where there is none."""
    shares = [_shares(_spread(group), redactor, people) for group in groups]
    everywhere: Counter[str] = Counter()
    for share in shares:
        everywhere.update(share)
    average = sum(everywhere.values()) / max(len(shares), 1)
    return [_best(share, everywhere, average, count) for share in shares]


def readable(text: str, redactor: Redactor) -> str:
    """The beginning of a text as everybody may see it: without its signature, and without personal data."""
    head = redactor.texts([unsigned(text)[: MAX_CHARS + CUT]])[0]
    return head[:MAX_CHARS]


def _spread(group: Sequence[Said]) -> list[Said]:
    step = max(1, -(-len(group) // MAX_TEXTS))
    return list(group[::step])


def _shares(group: Sequence[Said], redactor: Redactor, least: int) -> dict[str, float]:
    """Term → share of the group's people who use it; without terms of too few."""
    said: dict[str, set[str]] = {}
    for one in group:
        tokens = words(_PLACEHOLDER.sub(" , ", readable(one.text, redactor)))
        said.setdefault(one.person, set()).update(_terms_of(tokens))
    people = Counter(term for found in said.values() for term in found)
    return {term: number / len(said) for term, number in sorted(people.items()) if number >= least}


def _terms_of(tokens: Sequence[str]) -> Iterator[str]:
    """Words, pairs of neighbours, and runs of characters in scripts without blanks."""
    empty = _function_words(tokens)
    for run in _runs(tokens):
        if has_blanks(run[0]):
            plain = [word for word in run if word not in empty and _names(word)]
            yield from plain
            yield from (f"{a} {b}" for a, b in itertools.pairwise(plain))
        else:
            for size in range(2, LONGEST + 1):
                yield from ("".join(run[i : i + size]) for i in range(len(run) - size + 1))


def _runs(tokens: Sequence[str]) -> Iterator[list[str]]:
    """Neighbours written alike: with blanks or without. Hiragana, the script of Japanese particles, parts them."""
    run: list[str] = []
    for token in tokens:
        if "\u3041" <= token[0] <= "\u309f":
            yield from [run] if run else []
            run = []
        elif run and has_blanks(run[-1]) != has_blanks(token):
            yield run
            run = [token]
        else:
            run.append(token)
    yield from [run] if run else []


def _names(word: str) -> bool:
    """Whether a word can stand for something: two characters or more, the first a letter. Numbers name nothing."""
    return len(word) > 1 and unicodedata.category(word[0])[0] == "L"


def _function_words(tokens: Sequence[str]) -> frozenset[str]:
    """Those of the language that most of the tokens' function words are of; English where none is."""
    heard = set(tokens)
    return max(_languages().values(), key=lambda language: len(heard & language))


@functools.cache
def _languages() -> dict[str, frozenset[str]]:
    """Language → its function words as `words` gives them, English first: the first of equals is taken."""
    names = sorted(stop_words.AVAILABLE_LANGUAGES, key=lambda name: (name != "english", name))
    return {name: frozenset(part for word in stop_words.get_stop_words(name) for part in words(word)) for name in names}


def _best(share: dict[str, float], everywhere: Counter[str], average: float, count: int) -> tuple[str, ...]:
    """Highest weight first; a term is left out where a chosen one says it, in whole or in part, in another form."""
    weight = {term: part * math.log1p(average / everywhere[term]) for term, part in share.items()}
    chosen: list[str] = []
    for term in sorted(weight, key=lambda term: (-weight[term], -len(term), term)):
        if not any(_overlap(term, other) for other in chosen):
            chosen.append(_longest(term, share))
        if len(chosen) == count:
            break
    return tuple(chosen)


def _longest(term: str, share: dict[str, float]) -> str:
    """The longest run of characters around a term that is nearly as common."""
    if has_blanks(term):
        return term
    around = [other for other in share if term in other and share[other] >= AS_COMMON * share[term]]
    return max(around, key=lambda other: (len(other), share[other], other))


def _overlap(term: str, other: str) -> bool:
    if has_blanks(term) and has_blanks(other):
        return bool({word[:STEM] for word in term.split()} & {word[:STEM] for word in other.split()})
    pairs = {term[i : i + 2] for i in range(len(term) - 1)}
    return any(other[i : i + 2] in pairs for i in range(len(other) - 1))
