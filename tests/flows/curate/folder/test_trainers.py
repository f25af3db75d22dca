"""TRL's own trainers take two steps on an exported folder as it is, with a tiny model made from nothing.

Needs the extra `trl` (torch, transformers, trl); skipped without. No weights are fetched: they are drawn by chance.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

from flows.curate.folder.folder import write
from flows.curate.folder.recipes import COLUMNS
from schemas.records import Example
from tests.support.examples import FACTS, example, pair

trl = pytest.importorskip("trl", reason="needs the extra `trl` (it brings in torch)")
torch = pytest.importorskip("torch", reason="needs the extra `trl`")
transformers = pytest.importorskip("transformers", reason="needs the extra `trl`")
pytestmark = [pytest.mark.timeout(600)]
TEMPLATE = (
    "{% for m in messages %}<s>{{ m['role'] }} {{ m['content'] or '' }}"
    "{% for c in m.get('tool_calls') or [] %} {{ c['function']['name'] }} {{ c['function']['arguments'] | tojson }}"
    "{% endfor %}</s>{% endfor %}{% if add_generation_prompt %}<s>assistant {% endif %}"
)


def calling(n: int) -> Example:
    """A call of a tool, beside a wrong one."""

    def call(order: int) -> str:
        made = {"id": "1", "function": {"name": "refund", "arguments": {"order": order}}}
        return json.dumps([{"role": "assistant", "content": "", "tool_calls": [made]}])

    tools = json.dumps([{"type": "function", "function": {"name": "refund", "parameters": {"type": "object"}}}])
    return example(n, f"refund {n}", answer=call(n), rejected=call(n + 1), origin="correction", tools=tools)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A model of two layers, in a folder of its own, and a tokenizer that knows bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: PLC0415 comes with torch

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
        vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    place = tmp_path_factory.mktemp("tiny")
    transformers.LlamaForCausalLM(shape).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return transformers.LlamaForCausalLM.from_pretrained(place), tokenizer


TRAINERS = {
    "completion": (trl.SFTConfig, trl.SFTTrainer, COLUMNS["sft"]),
    "sft": (trl.SFTConfig, trl.SFTTrainer, ["messages"]),
    "preference": (trl.DPOConfig, trl.DPOTrainer, COLUMNS["preference"]),
    "kto": (trl.KTOConfig, trl.KTOTrainer, COLUMNS["kto"]),
}


@pytest.mark.parametrize("make", [pair, calling])
@pytest.mark.parametrize("config", TRAINERS)
def test_two_steps_are_taken(tmp_path: Path, tiny: tuple[Any, Any], config: str, make: Any) -> None:
    """The loss is a number, and the weights have moved; with calls of tools and without."""
    model, tokenizer = tiny
    folder = write(tmp_path, "all-training", {(config, "train"): [make(n) for n in range(8)]}, FACTS).path
    rows = load_dataset(str(folder), config, split="train", cache_dir=str(tmp_path / "cache"))
    options, trainer, columns = TRAINERS[config]
    how = options(
        output_dir=str(tmp_path / "out"), max_steps=2, per_device_train_batch_size=4, max_length=512, report_to="none",
        use_cpu=True, bf16=False, save_strategy="no", logging_steps=1, learning_rate=1e-2, seed=0,
        gradient_checkpointing=False,
    )  # fmt: skip
    before = model.model.embed_tokens.weight.detach().clone()
    kept = [*columns, *({"tools"} & set(rows.column_names))]

    teaching = trainer(model=model, args=how, train_dataset=rows.select_columns(kept), processing_class=tokenizer)
    result = teaching.train()

    assert result.global_step == 2
    assert math.isfinite(result.training_loss)
    assert not torch.equal(before, model.model.embed_tokens.weight)
    if config == "completion":  # the answer alone is learned
        batch = next(iter(teaching.get_train_dataloader()))
        learned = tokenizer.decode(batch["labels"][0][batch["labels"][0] >= 0])
        assert "user" not in learned
        assert learned.strip()
