"""Search for bytes that stop a reader, with coverage to guide it: `python benchmarks/fuzz.py --seconds 600`.

Needs `pip install atheris` (a Python that it has wheels for). Each input goes to the readers of what strangers send:
events, both ways alike; messages of every dialect; bodies and streams of endpoints. What reached new code is kept in
`tests/schemas/corpus.txt`, one input a line in base 64, which `tests/schemas/test_corpus.py` reads in every run of
the tests; what stopped a reader is left beside it as `crash-…`. The last line is JSON.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT / "tests" / "schemas" / "corpus.txt"
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]


def fuzz(folder: Path, seconds: int) -> None:
    """Fuzz for a while, from and into a folder with one input a file. Does not return: libFuzzer ends the process."""
    import atheris  # type: ignore[import-not-found]  # noqa: PLC0415 - a tool that few have

    with atheris.instrument_imports(include=["schemas", "flows.evaluate"]):
        from corpus import look_at  # noqa: PLC0415 - instrumented
    more = ["-max_len=2048", "-timeout=20", f"-artifact_prefix={CORPUS.parent}/", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", *more, str(folder)], look_at)
    atheris.Fuzz()


def main() -> None:
    """Unpack the corpus, fuzz, pack what there is now."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600)
    seconds = parser.parse_args().seconds
    before = CORPUS.read_text().split()
    folder = Path(tempfile.mkdtemp())
    for number, line in enumerate(before):
        (folder / f"{number:06d}").write_bytes(base64.b64decode(line))
    if (child := os.fork()) == 0:
        fuzz(folder, seconds)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    after = sorted({base64.b64encode(path.read_bytes()).decode() for path in folder.iterdir()} | set(before))
    shutil.rmtree(folder)
    CORPUS.write_text("\n".join(after) + "\n")
    print(
        json.dumps({"seconds": seconds, "inputs": len(after), "new": len(after) - len(before), "stopped": ended != 0})
    )


if __name__ == "__main__":
    main()
