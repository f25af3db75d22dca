"""The whole way from answers to verdicts on real answers of real models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

STUDY = Path(__file__).parents[3] / "benchmarks" / "gsm8k.py"


@pytest.mark.integration
def test_the_weaker_model_is_never_promoted_over_the_stronger(shared_data: Path) -> None:
    """Four models, 1,319 items, all 16 ordered pairs: the better is promoted, the worse blocked, the same neither."""
    data = shared_data / "gsm8k_model_solutions.jsonl"
    done = subprocess.run([sys.executable, STUDY, "--data", data], capture_output=True, text=True, check=True)

    assert json.loads(done.stdout.splitlines()[-1]) == {
        "better": {"self_inconclusive": 4, "better_promote": 6, "worse_block": 6},
        "as_good": {"self_promote": 4, "better_promote": 6, "worse_block": 6},
    }
