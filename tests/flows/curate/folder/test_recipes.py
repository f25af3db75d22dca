"""Configs of trainers: what they name is there and opens, whoever's words stand in names; the tools' parsers agree."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import load_dataset

from flows.curate.folder.folder import write
from flows.curate.folder.recipes import TOOLS, Wanted, recipe
from schemas.errors import UsageError
from tests.support.examples import FACTS, pair

HOSTILE = "a\"b'c: [x] #y\n{{z}} \\ \u202e é"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A version with `sft`, `completion`, `preference` and `kto`, in a folder of a strange name."""
    rows = [pair(n) for n in range(4)]
    parts = {(name, "train"): rows for name in ("sft", "completion", "preference", "kto")}
    return write(tmp_path / "it's a: #place", "all-training", parts, FACTS).path


def opened(path: str, name: str, cache: Path) -> Any:
    return load_dataset(path, name, split="train", cache_dir=str(cache))


def test_the_answer_alone_is_learned_from_the_same_rows(folder: Path, tmp_path: Path) -> None:
    """`completion` has the rows of `sft`, parted before the last message, under the same ids."""
    whole, parted = opened(str(folder), "sft", tmp_path), opened(str(folder), "completion", tmp_path)
    assert whole["row_id"] == parted["row_id"]
    assert whole["messages"] == [a + b for a, b in zip(parted["prompt"], parted["completion"], strict=True)]
    assert {message["role"] for completion in parted["completion"] for message in completion} == {"assistant"}


@pytest.mark.parametrize("config", ["sft", "preference", "kto"])
def test_what_trl_is_told_to_open_opens_with_the_columns_of_its_trainer(
    folder: Path, tmp_path: Path, config: str
) -> None:
    """Read as YAML; mixed with another set only the trainer's own columns are asked for."""
    found = yaml.safe_load(recipe("trl", Wanted(folder, config, HOSTILE, 512, seeds=(str(folder),))))
    assert found["model_name_or_path"] == HOSTILE
    assert found["max_length"] == 512
    assert len(found["datasets"]) == 2
    wanted = {"sft": {"prompt", "completion"}, "preference": {"prompt", "chosen", "rejected"}}
    for one in found["datasets"]:
        data = opened(one["path"], one["name"], tmp_path).select_columns(one["columns"])
        assert set(data.column_names) == wanted.get(config, {"prompt", "completion", "label"})


def test_axolotl_and_llama_factory_read_the_files_by_name(folder: Path, tmp_path: Path) -> None:
    """Each shard is named, lies there, and has messages with roles and contents."""
    axolotl = yaml.safe_load(recipe("axolotl", Wanted(folder, "sft", HOSTILE)))
    text = recipe("llama-factory", Wanted(folder, "sft", HOSTILE))
    factory = yaml.safe_load(text)
    lines = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")]
    info = json.loads("\n".join(lines[1:]))
    assert set(factory["dataset"].split(",")) == set(info)
    for path in (axolotl["datasets"][0]["path"], *(one["file_name"] for one in info.values())):
        rows = load_dataset("parquet", data_files=path, split="train", cache_dir=str(tmp_path))
        assert {"role", "content"} <= set(rows[0]["messages"][0])
    assert axolotl["base_model"] == factory["model_name_or_path"] == HOSTILE


def test_the_script_is_python_and_the_request_is_json(folder: Path) -> None:
    """Nobody's name ends a text in them."""
    script = ast.parse(recipe("unsloth", Wanted(folder, "sft", HOSTILE, seeds=(HOSTILE,))))
    texts = {node.value for node in ast.walk(script) if isinstance(node, ast.Constant)}
    assert {HOSTILE, str(folder)} <= texts
    request = recipe("openai", Wanted(folder, "preference", HOSTILE)).split("with:\n")[1]
    assert json.loads(request)["model"] == HOSTILE
    assert json.loads(request)["method"] == {"type": "dpo"}


def test_what_there_is_no_recipe_for_is_said(folder: Path, tmp_path: Path) -> None:
    """Unknown tools, configs that a tool does not take, sets without rows, and mixing where it cannot be said."""
    for tool, wanted, said in (
        ("nope", Wanted(folder, "sft", "m"), "there is no recipe for 'nope'; there is for trl"),
        ("axolotl", Wanted(folder, "kto", "m"), "takes sft, not 'kto'"),
        ("trl", Wanted(tmp_path, "sft", "m"), "has no rows of sft"),
        ("openai", Wanted(folder, "sft", "m", seeds=("x",)), "mixes in no other set"),
    ):
        with pytest.raises(UsageError, match=said):
            recipe(tool, wanted)


@pytest.mark.parametrize("tool", TOOLS)
def test_the_same_version_gives_the_same_recipe(folder: Path, tool: str) -> None:
    """Byte for byte: it can be kept beside what was trained."""
    wanted = Wanted(folder, "sft", "m")
    assert recipe(tool, wanted) == recipe(tool, wanted)


@pytest.mark.parametrize("config", ["sft", "preference", "kto"])
def test_trls_own_parser_takes_it(folder: Path, tmp_path: Path, config: str) -> None:
    """Every key is one of its arguments."""
    trl = pytest.importorskip("trl", reason="needs the extra `trl` (it brings in torch)")
    options = {"sft": trl.SFTConfig, "preference": trl.DPOConfig, "kto": trl.KTOConfig}[config]
    from trl.scripts.utils import DatasetMixtureConfig  # noqa: PLC0415

    file = tmp_path / "recipe.yaml"
    here = "use_cpu: true\nbf16: false\n"  # as the recipe says for a machine without an accelerator
    file.write_text(recipe("trl", Wanted(folder, config, "m", seeds=(str(folder),))) + here)
    parser = trl.TrlParser((trl.ScriptArguments, options, trl.ModelConfig, DatasetMixtureConfig))
    *_, model, mixture = parser.parse_args_and_config(["--config", str(file)])
    assert model.lora_r == 16
    assert [one.path for one in mixture.datasets] == [str(folder)] * 2
