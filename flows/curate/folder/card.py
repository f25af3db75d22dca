"""The dataset card: README.md with the front matter that `datasets` reads and the numbers that a person needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.markdown import text

REASONS = {
    "erased": "the person asked to be forgotten",
    "no_consent": "no consent to training",
    "excluded": "a reviewer excluded it from training",
    "no_question": "the person said nothing in words",
    "no_answer": "the model answered nothing",
    "broken_call": "corrected by a call that cannot be made: half a call, a tool not offered, arguments that are none",
    "too_costly": "too much to look through for what one row may cost",
    "eval_without_reference": "on the eval side, and nobody said what would have been right",
    "held_back": "so new that it decides about the model trained on these rows; taught by a later build",
    "eval_full": "on the eval side, beyond the 5,000 items with the lowest keyed hash",
    "duplicate_in_eval": "the same question is in the eval set already",
    "duplicate_in_train": "a near-duplicate of a better rated row, which counts it in `copies`",
    "eval_interaction": "the interaction itself is in a frozen eval set",
    "eval_unit": "the user or conversation is in a frozen eval set",
    "eval_exact": "equal to an eval row",
    "eval_near": "nearly equal to an eval row",
    "eval_reordered": "the words of an eval row in another order",
    "eval_paraphrase": "says what an eval row says in other words",
    "not_in_recipe": "not asked for by the recipe",
    "quarantine_new": "in quarantine: somebody whom nobody knew the day before",
    "quarantine_share": "in quarantine: beyond one person's share",
    "quarantine_stranger": "in quarantine: somebody corrected an answer that somebody else was given",
    "cluster_full": "the recipe takes only so many rows of one cluster",
}
"""Why rows are left out, in words."""


def card(manifest: Mapping[str, Any]) -> str:
    """README.md of a dataset version, from its manifest, in whatever order JSON has put that."""
    rows = dict(sorted(manifest["rows"].items(), key=lambda part: _place(part[0].split("/")[0], manifest)))
    parts = [key.split("/") for key in rows]
    return "\n".join([_front_matter(parts, sum(rows.values())), *_body({**manifest, "rows": rows}), ""])


def _place(config: str, manifest: Mapping[str, Any]) -> int:
    """Where a config stands among the others: as the manifest lists them."""
    listed: list[str] = manifest.get("configs", [])
    return listed.index(config) if config in listed else len(listed)


def most_first(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts from the largest to the smallest, equal ones by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _front_matter(parts: list[list[str]], rows: int) -> str:
    lines = ["---", "license: other", "task_categories:", "- text-generation", "tags:", "- llm-flywheel", "- trl"]
    lines += ["size_categories:", f"- {_size(rows)}", "configs:"]
    for number, (kind, split) in enumerate(parts):
        lines += [f"- config_name: {kind}"]
        lines += ["  default: true"] if number == 0 else []
        lines += ["  data_files:", f"  - split: {split}", f"    path: data/{kind}-{split}-*.parquet"]
    return "\n".join([*lines, "---"])


def _body(manifest: Mapping[str, Any]) -> list[str]:
    kinds = list(dict.fromkeys(key.split("/")[0] for key in manifest["rows"]))
    dropped = {_why(reason): count for reason, count in most_first(manifest["dropped"]).items()}
    return [
        _HEAD.format(**manifest, calls="\n".join(f'load_dataset("PATH/TO/THIS/FOLDER", "{kind}")' for kind in kinds)),
        *_table("Config and split", "Rows", manifest["rows"]),
        *_table("Signal that made the row", "Rows", most_first(manifest["origins"])),
        *_table("Cluster (empty: none)", "Rows", most_first(manifest["clusters"])),
        *_lengths(manifest.get("lengths")),
        "## Left out\n",
        *_table("Reason", "Rows", dropped),
        "## Personal data and secrets replaced\n",
        *_table("Kind", "Times", dict(sorted(manifest["redacted"].items()))),
        _TAIL.format(
            **manifest, tables=_inline(manifest["versions"]), held_back=_held_back(manifest), people=_people(manifest)
        ),
    ]


_HEAD = """
# {name}

Version `{version}`, built by llm-flywheel from production interactions as of {as_of}. Immutable: other rows are
another version.

```python
from datasets import load_dataset

{calls}
```
"""
_TAIL = """## How it was built

- Split: a keyed hash of the unit (the user where known, else the conversation); share of eval
  {split[eval_share]}. No unit is on both sides, and none ever moves from eval to train.
- Train rows that equal, nearly equal (similarity >= {settings[near_duplicate]}), reorder or paraphrase (cosine
  >= {settings[paraphrase]} and {settings[paraphrase_margin]} above the neighbourhood) an eval row are left out of
  train; eval loses nothing to train. {guards} rows of frozen eval sets and benchmark files count as eval rows too.
{held_back}{people}- Table versions: {tables}; settings `{settings_hash:.16}`, code `{code_version}`.
- SHA-256 over all rows: `{sha256}`; of each file: `manifest.json`.

## Known limits

- Answers are a model's own where nobody corrected them: right in the eyes of the people who rated them.
- People who give feedback are not all people; clusters that nobody complains about are not in it.
- Personal data is found by patterns: names and addresses only where their surroundings give them away.
- The split keeps a user apart, not two users who are one person under two names.
"""


def _lengths(found: Mapping[str, Any] | None) -> list[str]:
    """How many tokens rows have, and what the chat template does not say; nothing where no tokenizer was named."""
    if not found:
        return []
    if problem := found.get("problem"):
        return ["## Tokens\n", f"Not counted: {text(problem)}.", ""]
    counts = {
        "Median": found["median"], "95 % have at most": found["p95"], "Longest": found["longest"],
        f"**Rows of more than {found['max_length']}, which a trainer cuts or drops**": found["cut"],
    }  # fmt: skip
    by = "by the chat template" if found["template"] else "of the texts alone"
    said = [f"- {text(finding)}" for finding in found["findings"]]
    return ["## Tokens\n", *_table(f"Tokens of a row, {by}", "", counts), *said, *([""] if said else [])]


def _held_back(manifest: Mapping[str, Any]) -> str:
    """What decides about models trained on these rows; nothing in sets from before there were samples."""
    if not manifest.get("cut"):
        return ""
    return (
        f"- The {manifest['sampled']} newest first requests are a sample that decides about models trained on these\n"
        f"  rows: nothing that happened from {manifest['cut']} on is taught here.\n"
    )


def _people(manifest: Mapping[str, Any]) -> str:
    """Whose the rows are; nothing in sets from before that was bounded."""
    if not (found := manifest.get("contributors")):
        return ""
    bound = f"{manifest['settings']['max_share']:.2%}, or {manifest['settings']['least_rows']} rows in a small set"
    return (
        f"- Rows of {found['people']} people. The largest share of one: {found['largest_share']:.2%} "
        f"({found['largest_rows']} rows);\n  the bound is {bound}. Reviewers vouch for {found['reviewed']} rows.\n"
    )


def _table(left: str, right: str, counts: Mapping[str, int]) -> list[str]:
    rows = [f"| {name or ' '} | {count} |" for name, count in counts.items()]
    return [f"| {left} | {right} |", "|---|---:|", *rows, ""]


def _why(reason: str) -> str:
    return f"`{reason}`: {REASONS[reason]}" if reason in REASONS else f"`{reason}`"


def _inline(values: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(values.items()))


def _size(rows: int) -> str:
    bounds = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    return next((name for bound, name in bounds if rows < bound), "1M<n<10M")
