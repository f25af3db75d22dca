"""Train a tiny model, made from scratch, on an exported dataset folder with TRL's SFT and DPO trainers.

    pip install trl torch
    python examples/train_with_trl.py PATH/TO/DATASET/VERSION

Nothing is downloaded: the tokenizer is trained on the dataset's own words, the model is a GPT-2 of two small layers. It
will not answer anybody; it shows that the folder goes into the trainers as it is, and that the loss falls.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from typing import Any

from datasets import Dataset, get_dataset_config_names, load_dataset
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}<eos>{% endfor %}"
TEMPLATE += "{% if add_generation_prompt %}<assistant>{% endif %}"
SPECIAL = {"unk_token": "<unk>", "pad_token": "<pad>", "eos_token": "<eos>"}
COMMON: dict[str, Any] = {
    "per_device_train_batch_size": 4,
    "max_steps": 20,
    "logging_steps": 5,
    "learning_rate": 3e-3,
    "report_to": "none",
    "save_strategy": "no",
    "use_cpu": True,
    "seed": 0,
}


def tokenizer_of(texts: list[str]) -> PreTrainedTokenizerFast:
    """A byte-pair tokenizer of 1,000 tokens, trained on the texts."""
    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = [*SPECIAL.values(), "<system>", "<user>", "<assistant>", "<tool>"]
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=1_000, special_tokens=special))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL)
    fast.chat_template = TEMPLATE
    return fast


def model_for(tokenizer: PreTrainedTokenizerFast) -> GPT2LMHeadModel:
    """A model of two layers, 64 wide, with random weights."""
    ends = {"bos_token_id": tokenizer.eos_token_id, "eos_token_id": tokenizer.eos_token_id}
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=len(tokenizer), n_layer=2, n_head=2, n_embd=64, n_positions=512, **ends)
    )


def main() -> None:
    """SFT on the config `sft`, then DPO on `preference` where there are pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="a dataset version, as `flywheel dataset build` prints it")
    folder = parser.parse_args().folder
    sft = load_dataset(folder, "sft", split="train")
    tokenizer = tokenizer_of([m["content"] for row in sft for m in row["messages"]])
    model = model_for(tokenizer)
    with tempfile.TemporaryDirectory() as scratch:
        options = SFTConfig(output_dir=scratch, max_length=256, **COMMON)
        SFTTrainer(model=model, args=options, train_dataset=sft, processing_class=tokenizer).train()
        if "preference" in get_dataset_config_names(folder):
            pairs: Dataset = load_dataset(folder, "preference", split="train")
            options = DPOConfig(output_dir=scratch, max_length=256, **COMMON)
            DPOTrainer(
                model=model,
                ref_model=copy.deepcopy(model),
                args=options,
                train_dataset=pairs,
                processing_class=tokenizer,
            ).train()


if __name__ == "__main__":
    main()
