"""The trainer's programs with a tiny model made from scratch: trained, killed, gone on, served. Needs `.venv-lm`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from examples.real_lm.task import cases
from streams.broker.broker import free_port

ROOT = Path(__file__).resolve().parents[2]
TRAINER = ROOT / "examples" / "real_lm" / "trainer"
PYTHON = ROOT / ".venv-lm" / "bin" / "python"
MINUTES = 240.0
"""Importing torch takes ten seconds, and a minute where the machine is busy."""
TINY = """
import sys
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
sys.path.insert(0, sys.argv[1])
from convert import TEMPLATE
words = Tokenizer(models.BPE(unk_token="<unk>"))
words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
special = ["<unk>", "<|im_start|>", "<|im_end|>"]
words.train_from_iterator(open(sys.argv[2]), trainers.BpeTrainer(vocab_size=500, special_tokens=special))
ends = dict(unk_token="<unk>", pad_token="<|im_end|>", eos_token="<|im_end|>")
fast = PreTrainedTokenizerFast(tokenizer_object=words, **ends)
fast.chat_template = TEMPLATE
shape = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1)
ends = dict(bos_token_id=1, eos_token_id=2, pad_token_id=2)
LlamaForCausalLM(LlamaConfig(vocab_size=500, **shape, **ends)).save_pretrained(sys.argv[3])
fast.save_pretrained(sys.argv[3])
"""
pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not PYTHON.exists(), reason="`make demo-lm` has not made .venv-lm"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 40 rows and a base model."""
    folder = tmp_path_factory.mktemp("lm")
    rows = [json.dumps({"text": case.text, "call": case.call}) for case in cases(40, 1)]
    (folder / "rows.jsonl").write_text("\n".join(rows) + "\n")
    made = [str(PYTHON), "-c", TINY, str(TRAINER), str(folder / "rows.jsonl"), str(folder / "base")]
    subprocess.run(made, check=True, timeout=MINUTES)
    return folder


def training(home: Path) -> subprocess.Popen[str]:
    """Fifteen steps, a checkpoint after the tenth."""
    command = [
        str(PYTHON),
        str(TRAINER / "train.py"),
        "sft",
        "--base",
        str(home / "base"),
        "--out",
        str(home / "bot-1"),
    ]
    command += ["--seed-rows", str(home / "rows.jsonl"), "--epochs", "3"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_killed_training_goes_on_and_its_model_is_served(home: Path) -> None:
    """Killed behind the tenth step it begins with the eleventh; the model answers in OpenAI's form, in batches."""
    with training(home) as first:
        for line in first.stdout or ():
            if line.startswith("step 12/15"):
                os.kill(first.pid, signal.SIGKILL)
                break
    assert not (home / "bot-1").exists()

    with training(home) as second:
        steps = [line.strip() for line in second.stdout or () if line.startswith("step ")]
    assert second.returncode == 0
    assert (steps[0], steps[-1]) == ("step 11/15", "step 15/15")
    assert [path.name for path in home.glob(".bot-1*")] == []

    port = free_port()
    command = [str(PYTHON), str(TRAINER / "server.py"), "--model", str(home / "bot-1"), "--name", "bot-1"]
    server = subprocess.Popen([*command, "--port", str(port)])
    try:
        answer = ask(f"http://127.0.0.1:{port}/v1/chat/completions", "bot-1")
        assert answer["choices"][0]["finish_reason"] in {"stop", "length"}
        assert answer["usage"]["completion_tokens"] <= 6
        assert ask(f"http://127.0.0.1:{port}/v1/chat/completions", "bot-1") | {"id": "", "created": 0} == answer | {
            "id": "", "created": 0,
        }  # fmt: skip
    finally:
        server.terminate()
        server.wait(30)


def ask(url: str, model: str) -> dict[str, object]:
    """One answer, as soon as the server is there."""
    body = {"model": model, "max_tokens": 6, "temperature": 0, "messages": [{"role": "user", "content": "Send £5"}]}
    deadline = time.monotonic() + MINUTES
    while True:
        try:
            response = httpx.post(url, json=body, timeout=MINUTES)
            response.raise_for_status()
            return dict(response.json())
        except httpx.ConnectError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
