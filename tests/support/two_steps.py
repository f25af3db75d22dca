"""Two steps of TRL's own trainers on exported folders, with a tiny model drawn by chance: run where TRL is.

    python two_steps.py '[{"folder": …, "config": "sft", "columns": ["messages"]}, …]'

Writes a line of JSON for each. No weights are fetched; nothing of ours is imported.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
import transformers
import trl
from datasets import disable_progress_bars, load_dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

TEMPLATE = (
    "{% for m in messages %}<s>{{ m['role'] }} {{ m['content'] or '' }}"
    "{% for c in m.get('tool_calls') or [] %} {{ c['function']['name'] }} {{ c['function']['arguments'] | tojson }}"
    "{% endfor %}</s>{% endfor %}{% if add_generation_prompt %}<s>assistant {% endif %}"
)
TRAINERS = {
    "completion": (trl.SFTConfig, trl.SFTTrainer),
    "sft": (trl.SFTConfig, trl.SFTTrainer),
    "preference": (trl.DPOConfig, trl.DPOTrainer),
    "kto": (trl.KTOConfig, trl.KTOTrainer),
}


def tiny() -> tuple[Any, Any]:
    """A model of two layers, and a tokenizer that knows bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {token: number for number, token in enumerate(["<pad>", "<s>", "</s>", *alphabet])}
    made = Tokenizer(models.BPE(vocab=words, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>", chat_template=TEMPLATE
    )
    torch.manual_seed(0)
    shape = transformers.LlamaConfig(
        vocab_size=len(words), hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=2, max_position_embeddings=512,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(shape), tokenizer


def trained(folder: str, config: str, columns: list[str]) -> dict[str, Any]:
    """What two steps on a config of a folder came to."""
    model, tokenizer = tiny()
    model.save_pretrained("tiny")
    model = transformers.LlamaForCausalLM.from_pretrained("tiny")  # of a folder: DPO and KTO read it once more
    rows = load_dataset(folder, config, split="train", cache_dir="cache")
    options, trainer = TRAINERS[config]
    how = options(
        output_dir="out", max_steps=2, per_device_train_batch_size=4, max_length=512, report_to="none",
        use_cpu=True, bf16=False, save_strategy="no", logging_steps=1, learning_rate=1e-2, seed=0,
        gradient_checkpointing=False, disable_tqdm=True,
    )  # fmt: skip
    before = model.model.embed_tokens.weight.detach().clone()
    kept = [*columns, *({"tools"} & set(rows.column_names))]
    teaching = trainer(model=model, args=how, train_dataset=rows.select_columns(kept), processing_class=tokenizer)
    result = teaching.train()
    told = {
        "steps": result.global_step,
        "loss": result.training_loss,
        "moved": not torch.equal(before, model.model.embed_tokens.weight),
    }
    if config == "completion":
        labels = next(iter(teaching.get_train_dataloader()))["labels"][0]
        told["learned"] = tokenizer.decode(labels[labels >= 0])
    return told


def main() -> None:
    """Train on each; or, given a folder's name alone, leave the tiny model there."""
    disable_progress_bars()
    if not sys.argv[1].startswith("["):
        for part in tiny():
            part.save_pretrained(sys.argv[1])
        return
    for case in json.loads(sys.argv[1]):
        told = json.dumps(trained(**case))
        sys.stdout.write(f"\nresult: {told}\n")


if __name__ == "__main__":
    main()
