"""Configs of trainers: what they name is there and opens, whoever's words stand in names; the tools' parsers agree."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import load_dataset

from flows.curate.folder.export import openai_lines
from flows.curate.folder.folder import write
from flows.curate.folder.recipes import TOOLS, Wanted, recipe
from schemas.errors import UsageError
from tests.support import trainers
from tests.support.examples import FACTS, pair

SUPPORT = Path(trainers.__file__).parent
READER, TWO_STEPS = SUPPORT / "read_recipe.py", SUPPORT / "two_steps.py"
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


def understood(tool: str, folder: Path, tmp_path: Path, wanted: dict[str, Wanted]) -> list[Any]:
    """What a tool's own parser makes of the recipes for some configs; skipped where the tool is not at hand."""
    here = "use_cpu: true\nbf16: false\n" if tool == "trl" else ""  # as the recipe says for a CPU
    names = []
    for config, one in wanted.items():
        file = tmp_path / f"{config}.yaml"
        file.write_text(recipe(tool, one) + here)
        if tool == "openai":
            file.with_suffix(".jsonl").write_bytes(b"".join(openai_lines(folder, config)))
        names.append(f"{config}={file}")
    return trainers.run(READER, tool, *names, cwd=tmp_path, tool="" if tool == "trl" else tool)


@pytest.mark.integration
def test_trls_own_parser_takes_it(folder: Path, tmp_path: Path) -> None:
    """Every key is one of its arguments; an unknown one would be refused."""
    wanted = {config: Wanted(folder, config, HOSTILE, 512, (str(folder),)) for config in ("sft", "preference", "kto")}
    expected = {"model": HOSTILE, "lora": 16, "length": 512, "sets": [str(folder)] * 2}
    assert understood("trl", folder, tmp_path, wanted) == [expected] * 3


@pytest.mark.integration
def test_axolotls_own_schema_takes_it(folder: Path, tmp_path: Path) -> None:
    """Every key is one of its fields, of a data set too."""
    wanted = Wanted(folder, "sft", HOSTILE, 512, ("seeds",))
    expected = {"model": HOSTILE, "lora": 16, "length": 512, "sets": [*wanted.files, "seeds"]}
    assert understood("axolotl", folder, tmp_path, {"sft": wanted}) == [expected]


@pytest.mark.integration
def test_llama_factorys_own_parsers_take_it(folder: Path, tmp_path: Path) -> None:
    """The arguments, and the `dataset_info.json` that tells where messages lie and what their parts are called."""
    wanted = Wanted(folder, "sft", HOSTILE, 512)
    tags = ["sharegpt", "messages", "role", "content"]
    expected = {"model": HOSTILE, "lora": 16, "length": 512, "sets": wanted.files, "tags": [tags]}
    assert understood("llama-factory", folder, tmp_path, {"sft": wanted}) == [expected]


@pytest.mark.integration
def test_openais_own_types_take_it(folder: Path, tmp_path: Path) -> None:
    """The request for a job, and each message of the lines that are sent before it."""
    wanted = {config: Wanted(folder, config, HOSTILE) for config in ("sft", "preference")}
    found = understood("openai", folder, tmp_path, wanted)
    assert [(one["model"], one["method"]) for one in found] == [(HOSTILE, "supervised"), (HOSTILE, "dpo")]
    assert [one["lines"] for one in found] == [4, 4]


@pytest.mark.integration
def test_unsloth_runs_the_script_as_it_is(folder: Path, tmp_path: Path) -> None:
    """On a tiny model made from nothing: it trains to its end, and saves an adapter."""
    trainers.run(TWO_STEPS, str(tmp_path / "tiny"), cwd=tmp_path)
    script = tmp_path / "train.py"
    script.write_text(recipe("unsloth", Wanted(folder, "sft", str(tmp_path / "tiny"), 512, seeds=(str(folder),))))
    trainers.run(script, cwd=tmp_path, tool="unsloth")
    assert (tmp_path / f"unsloth-{folder.name}" / "adapter_model.safetensors").is_file()
