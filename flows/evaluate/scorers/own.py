"""Scorers of your own: loaded from `evaluate.scorer`, and held to the protocol in `protocol.py`.

A mark that is no mark would be averaged like any other, so each is looked at. Go on to `registry.py`.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Sequence

from flows.evaluate.scorers.protocol import Ask, Case, Mark, Scorer
from flows.extend import calling, checked, maker
from schemas.errors import ExtensionError, SettingsError
from schemas.settings import EvaluateSettings

_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
"""Of a scorer, and of a reason why there is no score: people count by them."""


def own_scorer(settings: EvaluateSettings) -> Scorer:
    """The scorer that `evaluate.scorer`, a `module:name`, makes of `evaluate.scorer_options`.

    Raises SettingsError where it cannot be loaded or does not take the options, ExtensionError where it fails or what
    it makes is no scorer.
    """
    make = maker("evaluate.scorer", settings.scorer, "scorer")
    signature = inspect.signature(make)
    options = dict(settings.scorer_options)
    if "settings" in signature.parameters:
        options["settings"] = settings
    try:
        signature.bind(**options)
    except TypeError as error:
        raise SettingsError(f"evaluate.scorer_options of {settings.scorer}: {error}") from error
    with calling(settings.scorer):
        made = make(**options)
    return OwnScorer(settings.scorer, checked(settings.scorer, made, "name", "asks", "score"))


class OwnScorer:
    """A scorer whose marks are looked at, one by one."""

    def __init__(self, reference: str, scorer: Scorer) -> None:
        self._reference, self._scorer = reference, scorer
        if not isinstance(scorer.name, str) or not _NAME.fullmatch(scorer.name):
            raise ExtensionError(f"{reference} is named {scorer.name!r}: a scorer's name is short and in small letters")
        self.asks = bool(scorer.asks)
        self.name = f"judge:{scorer.name}" if self.asks else scorer.name
        """What another model says is an opinion, and its name says so: people's reviews decide."""

    async def score(self, cases: Sequence[Case], ask: Ask) -> list[Mark]:
        """One mark for each case. Raises ExtensionError where there are more or fewer, or one is none."""
        with calling(self._reference):
            marks = list(await self._scorer.score(cases, ask))
        if len(marks) != len(cases):
            raise ExtensionError(f"{self._reference} gives {len(marks)} marks for {len(cases)} cases")
        for case, mark in zip(cases, marks, strict=True):
            if wrong := _wrong(mark):
                raise ExtensionError(f"{self._reference} gives item {case.item.item_id} {wrong}")
        return marks


def _wrong(mark: object) -> str | None:
    """Why it is no mark, to go on with `gives item …`; None where it is one."""
    if not isinstance(mark, Mark):
        return f"a {type(mark).__name__} for a mark"
    if mark.score is None:
        named = isinstance(mark.unscored, str) and _NAME.fullmatch(mark.unscored)
        return None if named else f"no score for {mark.unscored!r}: the reason is a short name in small letters"
    if mark.unscored is not None:
        return f"a score and a reason why there is none ({mark.unscored!r})"
    number = isinstance(mark.score, int | float) and math.isfinite(mark.score) and 0 <= mark.score <= 1
    return None if number else f"the score {mark.score!r}: scores go from 0 to 1"
