"""All scorers by name: what the setting `evaluate.scorer` may say.

One of your own is a `module:name` (docs/extending.md), or a function or class that gives a `Scorer` and a line here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from flows import embed
from flows.evaluate.scorers import judge, structured, text
from flows.evaluate.scorers.auto import AUTO, FREE_TEXT, free_text
from flows.evaluate.scorers.own import own_scorer
from flows.evaluate.scorers.protocol import Scorer
from flows.extend import fingerprint, is_reference
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
    FREE_TEXT: free_text,
}
"""Made from `evaluate.scorer_options`, which are the arguments of the function."""
JUDGES: dict[str, Callable[[EvaluateSettings], Scorer]] = {
    "judge": judge.Judge,
    "pairwise_judge": judge.PairwiseJudge,
}
"""Made from all settings of the section."""


def extensions(settings: EvaluateSettings) -> str:
    """The fingerprint of the scorer's code, or of an embedder's that it is given, where it is a person's own."""
    embedder = settings.scorer_options.get("embedder") if settings.scorer == "embedding_similarity" else None
    return fingerprint(settings.scorer) + (embed.code_of(embedder) if isinstance(embedder, str) else "")


def scorer_of(settings: EvaluateSettings) -> Scorer:
    """The scorer that the settings name, `auto` resolved. Raises SettingsError for an unknown name or option."""
    if is_reference(settings.scorer):
        return own_scorer(settings)
    if settings.scorer in JUDGES:
        return JUDGES[settings.scorer](settings)
    if settings.scorer not in PLAIN:
        known = ", ".join([AUTO, *PLAIN, *JUDGES])
        raise SettingsError(f"evaluate.scorer {settings.scorer!r} is unknown; known are {known}, or `module:name`")
    make = PLAIN[settings.scorer]
    try:
        inspect.signature(make).bind(**settings.scorer_options)
    except TypeError as error:
        raise SettingsError(f"evaluate.scorer_options of {settings.scorer}: {error}") from error
    return make(**settings.scorer_options)
