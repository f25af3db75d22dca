"""A training as a task of Prefect: what `stage.py` does, its command's lines in the run's log."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.context import lake_of, settings_from_environment
from flows.trainer.stage import Outcome, train

__all__ = ["train", "train_task"]


@task(name="train", persist_result=False, cache_policy=NO_CACHE)
def train_task(application: str | None = None) -> Outcome:
    """Train on the newest dataset; what came of it."""
    settings = settings_from_environment(application=application)
    return train(lake_of(settings), settings)
