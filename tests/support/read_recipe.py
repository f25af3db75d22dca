"""Reads a recipe as its tool does, by the tool's own parser, and says what it understood: run where the tool is.

    python read_recipe.py trl|axolotl|llama-factory|openai CONFIG=FILE …

Writes a line of JSON for each file. Whatever the tool does not know is an error. Nothing of ours is imported.
"""

from __future__ import annotations

import importlib
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml


def trl(config: str, file: Path) -> dict[str, Any]:
    """As `trl sft|dpo|kto --config` does."""
    import trl  # noqa: PLC0415 each tool only where it is
    from trl.scripts.utils import DatasetMixtureConfig  # noqa: PLC0415

    options = {"sft": trl.SFTConfig, "preference": trl.DPOConfig, "kto": trl.KTOConfig}[config]
    parser = trl.TrlParser((trl.ScriptArguments, options, trl.ModelConfig, DatasetMixtureConfig))
    _, how, model, mixture = parser.parse_args_and_config(["--config", str(file)])
    sets = [one.path for one in mixture.datasets]
    return {"model": model.model_name_or_path, "lora": model.lora_r, "length": how.max_length, "sets": sets}


def axolotl(_: str, file: Path) -> dict[str, Any]:
    """By its schema, which passes over what it does not know: so each key must be one of its fields."""
    from axolotl.utils.schemas.config import AxolotlInputConfig  # noqa: PLC0415

    told = yaml.safe_load(file.read_text())
    read = AxolotlInputConfig(**told)
    known(told, type(read))
    for one, understood in zip(told["datasets"], read.datasets, strict=True):
        known(one, type(understood))
    sets = [one.path for one in read.datasets]
    return {"model": read.base_model, "lora": read.lora_r, "length": read.sequence_len, "sets": sets}


def known(told: dict[str, Any], schema: Any) -> None:
    """Raise ValueError for a key that is no field."""
    fields = set(schema.model_fields) | {field.alias for field in schema.model_fields.values()}
    if strange := set(told) - fields:
        raise ValueError(f"{schema.__name__} has no {sorted(strange)}")


def llama_factory(_: str, file: Path) -> dict[str, Any]:
    """As `llamafactory-cli train` does; `dataset_info.json` is what the head of the file says."""
    from llamafactory.hparams import get_train_args  # noqa: PLC0415
    from llamafactory.hparams.parser import read_args  # noqa: PLC0415

    head = [line.removeprefix("# ") for line in file.read_text().splitlines() if line.startswith("# ")]
    (file.parent / "dataset_info.json").write_text("\n".join(head[1:]))
    sys.argv = ["llamafactory-cli", str(file)]
    model, data, _training, tuning, _generating = get_train_args(read_args())
    room = importlib.import_module("llamafactory")
    sys.modules["llamafactory.data"] = rest = types.ModuleType("llamafactory.data")  # which would load audio and video
    rest.__path__ = [str(Path(room.__path__[0]) / "data")]
    sets = importlib.import_module("llamafactory.data.parser").get_dataset_list(data.dataset, str(file.parent))
    return {
        "model": model.model_name_or_path, "lora": tuning.lora_rank, "length": data.cutoff_len,
        "sets": [one.dataset_name for one in sets],
        "tags": sorted({(one.formatting, one.messages, one.role_tag, one.content_tag) for one in sets}),
    }  # fmt: skip


def openai(_: str, file: Path) -> dict[str, Any]:
    """By the types of its own client: the request, and what the lines beside it are made of."""
    from openai.types.chat import ChatCompletionMessageParam  # noqa: PLC0415
    from openai.types.fine_tuning.job_create_params import JobCreateParams  # noqa: PLC0415
    from pydantic import TypeAdapter  # noqa: PLC0415

    request = json.loads(file.read_text().split("with:\n")[1])
    read = TypeAdapter(JobCreateParams).validate_python(request)
    if read != request:  # a type of this kind passes over what it does not know
        raise ValueError(f"the request has no {sorted(set(request) - set(read))}")
    message, lines = TypeAdapter(ChatCompletionMessageParam), 0
    for line in map(json.loads, file.with_suffix(".jsonl").read_text().splitlines()):
        parts = [line["messages"]] if "messages" in line else [line["input"]["messages"]]
        parts += [line[name] for name in ("preferred_output", "non_preferred_output") if name in line]
        for one in (one for part in parts for one in part):
            message.validate_python(one)
        lines += 1
    return {"model": read["model"], "method": read["method"]["type"], "lines": lines}


READERS: dict[str, Callable[[str, Path], dict[str, Any]]] = {
    "trl": trl, "axolotl": axolotl, "llama-factory": llama_factory, "openai": openai
}  # fmt: skip


def main() -> None:
    """Read each."""
    tool, *files = sys.argv[1:]
    for config, _, path in (file.partition("=") for file in files):
        sys.stdout.write(f"\nresult: {json.dumps(READERS[tool](config, Path(path)))}\n")


if __name__ == "__main__":
    main()
