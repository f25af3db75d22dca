"""The settings section `[train]`: a model is trained on each new dataset, by a command of one's own.

A section of `settings.py`.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

Positive = Annotated[float, Meta(gt=0)]
PositiveInt = Annotated[int, Meta(ge=1)]


class TrainSettings(Struct, frozen=True, kw_only=True):
    """A model from each new dataset."""

    command: str = ""
    """Command line that trains, read by no shell: it is told in variables what to train on and where to put the model
    (docs/operations.md). Empty: nobody trains."""
    recipe: str = "all"
    """The dataset whose newest training version is trained on."""
    config: str = "completion"
    """Which rows of it the command is told to take; they are counted."""
    min_rows: PositiveInt = 50
    """Fewer rows wait for more."""
    seed: int = 1
    """Told to the command."""
    hours: Positive = 6.0
    """The longest that one training may take, over all its starts."""
    usd_per_hour: Annotated[float, Meta(ge=0)] = 0.0
    """What an hour of it costs, for `max_cost_usd`."""
    max_cost_usd: Annotated[float, Meta(ge=0)] = 0.0
    """What one training may cost at that price; 0: no cap but the hours."""
    max_bytes: PositiveInt = 20 * 2**30
    """Model and checkpoints together: a command that writes more is ended."""
    keep: PositiveInt = 3
    """The newest trainings, failed ones too, that the maintain flow leaves on the disk, beside models that serve,
    served or wait."""
    model: str = "trained"
    """The candidate is called so, with the training's number behind it."""
    endpoint: str = ""
    """Base URL where the model will answer, up to and with `/v1`; `{port}` is a port of its own. Empty: the model is
    registered by hand."""
    port: Annotated[int, Meta(ge=1, le=65535)] = 8100
    """The first of those ports."""
    serve: str = ""
    """Command line that serves it for the evaluation; `{model_dir}`, `{model}` and `{port}` in it are filled in. Empty:
    whatever answers at `endpoint` serves all of them."""
    parameters: dict[str, Any] = {}
    """Request parameters of the candidate."""
    prompt_version: str = ""
    """Prompt version of the candidate."""

    def __post_init__(self) -> None:
        """Refuse a cap on costs that nothing could reach."""
        if self.max_cost_usd and not self.usd_per_hour:
            raise ValueError("max_cost_usd needs usd_per_hour: without a price no training ever reaches it")
