"""What the language model is held against: linear classifiers, which learn from the same rows and from nothing else.

One names the action (TF-IDF of words and letters, a linear SVM, as in `examples/support_bot`). Another says of each
word of a request for which word of the call it stands, by itself, its neighbours and the action. What it is worth there
is learned, too: the one value that always came with it (`quid`: `GBP`), else its own letters and digits. A number in
words is beyond it: each is another. Go on to `rules.py`, for which somebody has written down how things are said.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline, make_union
from sklearn.svm import LinearSVC

from .task import Case, parts, same

Place = tuple[int, int]
"""An argument of a call, and which of its words: `GBP` is (1, 1) in `send(Marta, 205 GBP, friday)`."""
NOWHERE = "-"
"""What a word stands for that is no part of the call."""
OFTEN, SURE = 2, 0.9
"""A word has a value of its own that came with it so often at least, and in such a share of its requests."""
_WORD = re.compile(r"[€£$]|[A-Za-z]-?\d+|\d[\d.,]*k?|[A-Za-z]+|[^\w\s]")


class Classifier:
    """Fitted on rows; answers with a call."""

    def __init__(self, rows: Iterable[tuple[str, str]]) -> None:
        texts, calls = zip(*rows, strict=True)
        asked = [_WORD.findall(text) for text in texts]
        told = [(parts(call)[0], dict(_values(call))) for call in calls]
        self._actions = action_classifier()
        self._actions.fit(texts, [action for action, _ in told])
        self._worth = dict(_worth(asked, [values.values() for _, values in told]))
        self._styles: defaultdict[tuple[str, Place], Counter[str]] = defaultdict(Counter)
        for action, values in told:
            for place, value in values.items():
                self._styles[action, place][_style(value)] += 1
        self._places = make_pipeline(CountVectorizer(analyzer=tuple, binary=True), LinearSVC(random_state=0))
        seen = [
            (_seen(words, at, action), self._stands_for(words[at], action, values))
            for words, (action, values) in zip(asked, told, strict=True)
            for at in range(len(words))
        ]
        self._places.fit([features for features, _ in seen], [place for _, place in seen])

    def answer(self, texts: Sequence[str]) -> list[str]:
        """The call of each text."""
        return [self._call(str(action), text) for action, text in zip(self._actions.predict(texts), texts, strict=True)]

    def _call(self, action: str, text: str) -> str:
        words = _WORD.findall(text)
        values: defaultdict[int, list[str]] = defaultdict(list)
        if words:
            margins = self._places.decision_function([_seen(words, at, action) for at in range(len(words))])
            column = {name: n for n, name in enumerate(self._places.classes_)}
            for place in sorted(place for of, place in self._styles if of == action):
                n = column.get(str(place))
                if n is None:
                    continue
                best = int(margins[:, n].argmax())
                if not place[1] or margins[best, n] > margins[best, column[NOWHERE]]:
                    values[place[0]].append(self._value(words[best], action, place))
        return f"{action}({', '.join(' '.join(words) for _, words in sorted(values.items()))})"

    def _stands_for(self, word: str, action: str, values: dict[Place, str]) -> str:
        """For which word of the call one of the request stands."""
        return next((str(p) for p, value in values.items() if self._value(word, action, p) == value), NOWHERE)

    def _value(self, word: str, action: str, place: Place) -> str:
        """What a word is worth at a place: what was learned, else itself, written as values are written there."""
        if (known := self._worth.get(word.lower())) is not None:
            return known
        (style, _), *_ = self._styles[action, place].most_common(1) or [("", 0)]
        plain = re.sub(r"[^\w.]", "", word)
        return {"title": plain.capitalize(), "upper": plain.upper(), "lower": plain.lower()}.get(style, plain)


def action_classifier() -> Pipeline:
    """A linear SVM over TF-IDF of words and letters."""
    words: FeatureUnion = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True),
    )
    return Pipeline([("words", words), ("svm", LinearSVC(random_state=0))])


def share_right(answers: Sequence[str], asked: Sequence[Case]) -> float:
    """Share of calls that are right, arguments and all."""
    return sum(same(answer, case.call) for answer, case in zip(answers, asked, strict=True)) / len(asked)


def _values(call: str) -> Iterator[tuple[Place, str]]:
    """The words of a call's arguments by their places."""
    for n, argument in enumerate(parts(call)[1:]):
        for k, word in enumerate(argument.split()):
            yield (n, k), word


def _worth(asked: Sequence[Sequence[str]], told: Sequence[Iterable[str]]) -> Iterator[tuple[str, str]]:
    """Words that stand for one value, always the same: it is in the call nearly whenever they are in the request."""
    counts: Counter[str] = Counter()
    together: defaultdict[str, Counter[str]] = defaultdict(Counter)
    every: Counter[str] = Counter()
    for words, values in zip(asked, map(set, told), strict=True):
        every.update(values)
        for word in {word.lower() for word in words}:
            counts[word] += 1
            together[word].update(values)
    for word, count in counts.items():
        value, times = max(together[word].items(), key=lambda each: (each[1], -every[each[0]]), default=("", 0))
        if count >= OFTEN and times >= SURE * count:
            yield word, value


def _style(value: str) -> str:
    return next((name for name in ("title", "upper", "lower") if getattr(value, f"is{name}")()), "")


def _seen(words: Sequence[str], at: int, action: str) -> list[str]:
    """What is known of a word: itself and its shape, two neighbours on each side, all of these beside the action."""
    near = {n: words[at + n].lower() if 0 <= at + n < len(words) else "" for n in range(-2, 3)}
    shape = re.sub(r"[a-z]+", "a", re.sub(r"[A-Z]+", "A", re.sub(r"\d", "9", words[at])))
    seen = [f"{n}:{word}" for n, word in near.items()] + [f"shape:{shape}", f"-1:{near[-1]} shape:{shape}"]
    return [*seen, *(f"{action} {each}" for each in seen)]
