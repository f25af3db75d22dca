"""All scorers by name: what the setting `evaluate.scorer` may say.

A new scorer is a function or class that gives a `Scorer`, and one line here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from flows.evaluate.scorers import judge, structured, text
from flows.evaluate.scorers.protocol import Scorer
from schemas.errors import SettingsError
from schemas.settings import EvaluateSettings

PLAIN: dict[str, Callable[..., Scorer]] = {
    "exact": text.exact,
    "normalised_match": text.normalised_match,
    "token_f1": text.token_f1,
    "rouge": text.rouge,
    "embedding_similarity": text.EmbeddingSimilarity,
    "pattern": structured.pattern,
    "json_schema": structured.json_schema,
    "numeric": structured.numeric,
    "tool_calls": structured.tool_calls,
}
"""Made from `evaluate.scorer_options`, which are the arguments of the function."""
JUDGES: dict[str, Callable[[EvaluateSettings], Scorer]] = {
    "judge": judge.Judge,
    "pairwise_judge": judge.PairwiseJudge,
}
"""Made from all settings of the section."""


def scorer_of(settings: EvaluateSettings) -> Scorer:
    """The scorer that the settings name. Raises SettingsError for an unknown name or option."""
    if settings.scorer in JUDGES:
        return JUDGES[settings.scorer](settings)
    if settings.scorer not in PLAIN:
        raise SettingsError(f"evaluate.scorer {settings.scorer!r} is unknown; known are {', '.join([*PLAIN, *JUDGES])}")
    make = PLAIN[settings.scorer]
    try:
        inspect.signature(make).bind(**settings.scorer_options)
    except TypeError as error:
        raise SettingsError(f"evaluate.scorer_options of {settings.scorer}: {error}") from error
    return make(**settings.scorer_options)
