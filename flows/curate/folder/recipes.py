"""What a trainer needs to train on a version's folder as it is: its config, or a script of a few lines. Pure.

    trl            YAML for `trl sft|dpo|kto --config`      prompt and completion: the answer alone is learned
    axolotl        YAML for `axolotl train`                 assistant turns alone
    llama-factory  YAML, with its `dataset_info.json`       assistant turns alone
    unsloth        a script                                 prompt and completion
    openai         the lines to send, and the request       turns that failed have weight 0

Paths and names go in as quoted JSON, which YAML reads too. Batch sizes and rates are where one begins, not what is
best. The hosted one takes the lines that `export.py` writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from flows.curate.folder.opened import shards
from schemas.errors import UsageError

LENGTH = 2048
"""Tokens of a row that are trained on, where the user says nothing: `dataset fit` says how many rows are longer."""
SHARED: dict[str, Any] = {"num_train_epochs": 2, "learning_rate": 1e-4, "seed": 0}
COLUMNS = {
    "sft": ["prompt", "completion"],
    "preference": ["prompt", "chosen", "rejected"],
    "kto": ["prompt", "completion", "label"],
}
"""What a trainer reads of each: sets that are mixed must have the same columns."""
LORA = {"r": 16, "alpha": 32}


class Wanted(msgspec.Struct, frozen=True):
    """Which rows of which version, and what is to be trained."""

    folder: Path
    config: str
    """sft, preference or kto."""
    model: str
    max_length: int = LENGTH
    seeds: tuple[str, ...] = ()
    """Folders or names of datasets with a config of the same columns, mixed in: what shall not be forgotten."""

    @property
    def files(self) -> list[str]:
        """The shards of the config `messages` lie in, in order."""
        return [str(path) for path in shards(self.folder, self.config)]


def recipe(tool: str, wanted: Wanted) -> str:
    """The text of a tool's config. Raises UsageError for a tool or a config that there is none for."""
    if tool not in TOOLS:
        raise UsageError(f"there is no recipe for {tool[:64]!r}; there is for {', '.join(TOOLS)}")
    make, configs = TOOLS[tool]
    if wanted.config not in configs:
        raise UsageError(f"the recipe for {tool} takes {', '.join(configs)}, not {wanted.config[:64]!r}")
    if wanted.seeds and tool in {"openai", "llama-factory"}:
        raise UsageError(f"the recipe for {tool} mixes in no other set: put its rows beside these by hand")
    if not wanted.files:
        raise UsageError(f"{wanted.folder} has no rows of {wanted.config}: `flywheel dataset list` says what it has")
    return make(wanted)


def _trl(wanted: Wanted) -> str:
    """Prompt and completion: as `messages`, TRL would learn the customer's words too."""
    method = {"sft": "sft", "preference": "dpo", "kto": "kto"}[wanted.config]
    places = [str(wanted.folder), *wanted.seeds]
    same: dict[str, Any] = {"columns": COLUMNS[wanted.config]} if wanted.seeds else {}
    sets = [{"path": place, "name": _parted(wanted.config), "split": "train", **same} for place in places]
    options = {
        "model_name_or_path": wanted.model,
        "datasets": sets,
        "max_length": wanted.max_length,
        **SHARED,
        "use_peft": True,
        "lora_r": LORA["r"],
        "lora_alpha": LORA["alpha"],
        "per_device_train_batch_size": 8,
        "output_dir": f"{method}-{wanted.folder.name}",
        "report_to": "none",
    }
    head = f"# trl {method} --config THIS_FILE    (pip install 'trl[peft]')\n"
    return f"{head}# without an accelerator add: use_cpu: true, bf16: false\n{_yaml(options)}"


def _axolotl(wanted: Wanted) -> str:
    sets: list[Mapping[str, Any]] = [
        {
            "path": place,
            "ds_type": "parquet",
            "type": "chat_template",
            "field_messages": "messages",
            "roles_to_train": ["assistant"],
        }
        for place in (*wanted.files, *wanted.seeds)
    ]
    options = {
        "base_model": wanted.model,
        "datasets": sets,
        "chat_template": "tokenizer_default",
        "sequence_len": wanted.max_length,
        "adapter": "lora",
        "lora_r": LORA["r"],
        "lora_alpha": LORA["alpha"],
        "lora_target_linear": True,
        "micro_batch_size": 8,
        "gradient_accumulation_steps": 1,
        "num_epochs": SHARED["num_train_epochs"],
        "learning_rate": SHARED["learning_rate"],
        "seed": SHARED["seed"],
        "output_dir": f"axolotl-{wanted.folder.name}",
    }
    return "# axolotl train THIS_FILE    (pip install axolotl)\n" + _yaml(options)


def _llama_factory(wanted: Wanted) -> str:
    tags = {
        "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
        "system_tag": "system",
    }  # fmt: skip
    names = [f"flywheel_{wanted.folder.name}_{number}" for number, _ in enumerate(wanted.files)]
    info = {
        name: {"file_name": file, "formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": tags}
        for name, file in zip(names, wanted.files, strict=True)
    }
    options = {
        "model_name_or_path": wanted.model,
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_rank": LORA["r"],
        "lora_alpha": LORA["alpha"],
        "dataset_dir": ".",
        "dataset": ",".join(names),
        "cutoff_len": wanted.max_length,
        "per_device_train_batch_size": 8,
        **SHARED,
        "output_dir": f"llama-factory-{wanted.folder.name}",
        "report_to": "none",
    }
    described = msgspec.json.format(msgspec.json.encode(info)).decode()
    head = "# llamafactory-cli train THIS_FILE    (pip install llamafactory); dataset_info.json beside it:\n"
    return head + "".join(f"# {line}\n" for line in described.splitlines()) + _yaml(options)


def _openai(wanted: Wanted) -> str:
    method = {"sft": "supervised", "preference": "dpo"}[wanted.config]
    request = {"model": wanted.model, "training_file": "FILE_ID", "seed": SHARED["seed"], "method": {"type": method}}
    lines = [
        f"# 1. flywheel dataset export {wanted.folder.name} --config {wanted.config} --out train.jsonl",
        '# 2. curl -H "Authorization: Bearer $OPENAI_API_KEY" -F purpose=fine-tune -F file=@train.jsonl \\',
        "#      https://api.openai.com/v1/files              its answer holds FILE_ID",
        "# 3. POST https://api.openai.com/v1/fine_tuning/jobs with:",
        msgspec.json.format(msgspec.json.encode(request)).decode(),
    ]
    return "\n".join(lines) + "\n"


def _unsloth(wanted: Wanted) -> str:
    sets = [_loaded(place, _parted(wanted.config)) for place in (str(wanted.folder), *wanted.seeds)]
    data = sets[0] if len(sets) == 1 else f"concatenate_datasets([{', '.join(sets)}])"
    return f'''"""python THIS_FILE    (pip install unsloth)"""

from datasets import concatenate_datasets, load_dataset
from unsloth import FastLanguageModel
from trl import SFTConfig, SFTTrainer

model, tokenizer = FastLanguageModel.from_pretrained({_quoted(wanted.model)}, max_seq_length={wanted.max_length})
model = FastLanguageModel.get_peft_model(
    model, r={LORA["r"]}, lora_alpha={LORA["alpha"]}, random_state={SHARED["seed"]}
)
rows = {data}
options = SFTConfig(
    output_dir={_quoted(f"unsloth-{wanted.folder.name}")},
    max_length={wanted.max_length},
    num_train_epochs={SHARED["num_train_epochs"]},
    learning_rate={SHARED["learning_rate"]},
    per_device_train_batch_size=8,
    seed={SHARED["seed"]},
    report_to="none",
)
SFTTrainer(model=model, args=options, train_dataset=rows, processing_class=tokenizer).train()
model.save_pretrained(options.output_dir)
'''


TOOLS: Mapping[str, tuple[Callable[[Wanted], str], Sequence[str]]] = {
    "trl": (_trl, ("sft", "preference", "kto")),
    "axolotl": (_axolotl, ("sft",)),
    "llama-factory": (_llama_factory, ("sft",)),
    "openai": (_openai, ("sft", "preference")),
    "unsloth": (_unsloth, ("sft",)),
}
"""Tool → what makes its config, and the configs of ours that it takes."""


def _parted(config: str) -> str:
    """The form in which the answer alone is learned."""
    return "completion" if config == "sft" else config


def _loaded(place: str, config: str) -> str:
    columns = _quoted(COLUMNS["sft"])
    return f'load_dataset({_quoted(place)}, {_quoted(config)}, split="train").select_columns({columns})'


def _yaml(options: Mapping[str, Any]) -> str:
    """YAML of one level, each value as JSON, which is YAML: nobody's name is markup."""
    return "".join(f"{name}: {_quoted(value)}\n" for name, value in options.items())


def _quoted(value: Any) -> str:
    """JSON in ASCII: of texts, numbers and lists YAML and Python read the same."""
    return json.dumps(value)
