"""Train the model further with TRL and LoRA: SFT on a dataset's `completion` rows, or DPO on its `preference` pairs.

    python train.py sft --base MODELS/base --out MODELS/bot-1 --dataset DATASETS/RECIPE/VERSION --seed-rows seed.jsonl
    python train.py dpo --base MODELS/bot-1 --out MODELS/bot-1-dpo --dataset DATASETS/RECIPE/VERSION

The folder is read by `datasets.load_dataset`, as it was exported. A killed run goes on from its last checkpoint. Beside
the weights lies `flywheel.json`, which says what was trained on what. Prints how many rows are cut at `--length`, and
`step N/M` as it goes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars, load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase, TrainerCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

CONFIGS = {"sft": "completion", "dpo": "preference"}
"""Which rows teach; of `completion` TRL learns the answer alone."""
COLUMNS = {"sft": ("prompt", "completion"), "dpo": ("prompt", "chosen", "rejected")}
RATE = {"sft": 2e-3, "dpo": 2e-4}
"""Learning rates of LoRA; DPO's is a tenth, since few pairs are soon learned by heart."""
PARTS = {"sft": 1, "dpo": 2}
"""Passes that share out a step's rows: a pair is two answers, and the model before stands beside the new one."""
RANK = 16
LENGTH = 192
"""Tokens of a row at most, where nothing is said: the longest request of the demo has some 80."""
CHECKPOINT_STEPS = 10
"""A kill costs at most so many steps."""
WHOLE = ("adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")
"""Files that a checkpoint must have to go on from."""
LIBRARIES = ("datasets", "peft", "torch", "transformers", "trl")


class Steps(TrainerCallback):
    """Says how far it is, a line a step."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 transformers' signature
        """After each step."""
        print(f"step {state.global_step}/{state.max_steps}", flush=True)


def main() -> None:
    """Train; the model's folder is there whole or not at all."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    disable_progress_bars()
    torch.manual_seed(args.seed)
    work = args.out.with_name(f".{args.out.name}.work")
    tokenizer = AutoTokenizer.from_pretrained(args.base)
    kind = torch.bfloat16 if torch.cuda.is_available() else torch.float32  # half the memory; LoRA's stay floats
    model = AutoModelForCausalLM.from_pretrained(args.base, dtype=kind)
    rows = _rows(args)
    cut = sum(_tokens(row, tokenizer) > args.length for row in rows)
    print(f"{cut} of {len(rows)} rows are cut at {args.length} tokens", flush=True)
    trainer = _trainer(args, model, tokenizer, rows, work)
    trainer.add_callback(Steps())
    trainer.train(resume_from_checkpoint=_checkpoint(work))
    losses = [round(entry["loss"], 4) for entry in trainer.state.log_history if "loss" in entry]
    merged = trainer.model.merge_and_unload().to(torch.bfloat16)
    draft = args.out.with_name(f".{args.out.name}.{os.getpid()}")
    merged.save_pretrained(draft)
    tokenizer.save_pretrained(draft)
    if args.dataset:
        _describe(draft, args, trainer.args, {"rows": len(rows), "rows_cut": cut, "losses": losses})
    shutil.rmtree(args.out, ignore_errors=True)
    draft.replace(args.out)
    shutil.rmtree(work, ignore_errors=True)
    print(f"{len(rows)} rows, {trainer.state.global_step} steps, losses {losses}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=sorted(CONFIGS))
    parser.add_argument("--base", type=Path, required=True, help="folder of the model that is trained further")
    parser.add_argument("--out", type=Path, required=True, help="folder of the trained model")
    parser.add_argument("--dataset", type=Path, help="folder of an exported dataset version")
    parser.add_argument("--seed-rows", type=Path, help='JSON lines of {"text", "call"}, learned beside the dataset')
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=LENGTH, help="tokens of a row at most: what is longer is cut")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if not args.dataset and not args.seed_rows:
        parser.error("say what to train on: --dataset, --seed-rows, or both")
    return args


def _rows(args: argparse.Namespace) -> Dataset:
    """The rows in the columns that TRL reads; what is provenance beside them stays in the dataset."""
    rows: list[dict[str, Any]] = []
    if args.seed_rows:
        rows += [_row(json.loads(line)) for line in args.seed_rows.read_text(encoding="utf-8").splitlines()]
    if args.dataset:
        cache = str(args.dataset.parent / ".hf-cache")
        columns = list(COLUMNS[args.method])
        found = load_dataset(str(args.dataset), CONFIGS[args.method], split="train", cache_dir=cache)
        rows += found.select_columns(columns).to_list()
    return Dataset.from_list(rows)


def _row(seed: dict[str, str]) -> dict[str, Any]:
    return {
        "prompt": [{"role": "user", "content": seed["text"]}],
        "completion": [{"role": "assistant", "content": seed["call"]}],
    }


def _tokens(row: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> int:
    """How long a row is, of a pair its longer answer."""
    answers = [row[name] for name in ("completion", "chosen", "rejected") if name in row]
    return max(len(tokenizer.apply_chat_template([*row["prompt"], *answer], return_dict=False)) for answer in answers)


def _trainer(
    args: argparse.Namespace, model: Any, tokenizer: PreTrainedTokenizerBase, rows: Dataset, work: Path
) -> SFTTrainer | DPOTrainer:
    common: dict[str, Any] = {
        "output_dir": str(work), "num_train_epochs": args.epochs,
        "per_device_train_batch_size": max(1, args.batch // PARTS[args.method]),
        "gradient_accumulation_steps": PARTS[args.method],
        "learning_rate": RATE[args.method], "lr_scheduler_type": "cosine", "warmup_steps": 4, "max_length": args.length,
        "logging_steps": 5, "save_steps": CHECKPOINT_STEPS, "save_total_limit": 2, "report_to": "none",
        "use_cpu": not torch.cuda.is_available(), "bf16": torch.cuda.is_available(), "gradient_checkpointing": False,
        "dataloader_pin_memory": False, "seed": args.seed, "disable_tqdm": True,
    }  # fmt: skip
    layers = model.config.num_hidden_layers
    lora = LoraConfig(  # the upper half of the layers: the backward pass ends there
        r=RANK, lora_alpha=2 * RANK, layers_to_transform=list(range(layers // 2, layers)),
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    )  # fmt: skip
    given: dict[str, Any] = {"model": model, "train_dataset": rows, "processing_class": tokenizer, "peft_config": lora}
    if args.method == "sft":
        return SFTTrainer(args=SFTConfig(completion_only_loss=True, **common), **given)
    return DPOTrainer(args=DPOConfig(beta=0.1, **common), **given)


def _checkpoint(work: Path) -> str | None:
    """The newest whole checkpoint of a run that was killed; a kill may have left a part of the one after it."""
    found = [folder for folder in work.glob("checkpoint-*") if all((folder / name).is_file() for name in WHOLE)]
    return str(max(found, key=lambda folder: int(folder.name.rpartition("-")[2]))) if found else None


def _describe(folder: Path, args: argparse.Namespace, used: Any, came: dict[str, Any]) -> None:
    """`flywheel.json`, which `flywheel candidate add --model-dir` reads; rows of no dataset are known by their file."""
    manifest = json.loads((args.dataset / "manifest.json").read_text(encoding="utf-8"))
    settings = {
        "method": args.method, "epochs": args.epochs, "batch": args.batch, "lora_rank": RANK, "length": args.length,
        "learning_rate": used.learning_rate, **came,
    }  # fmt: skip
    if args.seed_rows:
        raw = args.seed_rows.read_bytes()
        settings |= {"seed_rows": len(raw.splitlines()), "seed_rows_sha256": hashlib.sha256(raw).hexdigest()}
    told = {
        "format": 1, "dataset": manifest["name"], "version": manifest["version"], "sha256": manifest["sha256"],
        "config": CONFIGS[args.method], "base_model": args.base.name, "seed": args.seed, "settings": settings,
        "libraries": {name: version(name) for name in LIBRARIES} | {"python": sys.version.split()[0]},
    }  # fmt: skip
    (folder / "flywheel.json").write_text(json.dumps(told, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
