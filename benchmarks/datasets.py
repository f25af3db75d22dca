"""How good and how fast the datasets are made: duplicates, leaks, the same bytes, writing, personal data.

    python benchmarks/datasets.py --data FILE.jsonl [--rows N]     lines of {"text": …}, with "label" where there is one
    python benchmarks/datasets.py --data FILE.jsonl --scale N      de-duplicate N variants of those texts, and only that
    python benchmarks/datasets.py --data FILE.jsonl --leaks        the leak check as traffic grows (`leaks.py`)
    python benchmarks/datasets.py --write N                        write N chats beside `datasets`, and only that
    python benchmarks/datasets.py --pii FILE.jsonl                 … {"text", "spans": [{"start", "end", "kind"}]}

How many duplicates are found is measured with planted edits; whether what goes had to go, by pairs labelled by hand
(`pairs.jsonl`: the same request, or one that only looks alike) and by the labels of the file, never by a measure of
likeness. Prints a table for people and, last, one line of JSON. Needs `datasketch` beside the package's dependencies.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import resource
import string
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import leaks as leak_check

from flows.curate.bands import BANDS, ROWS, gram_sets
from flows.curate.build import build
from flows.curate.dedup import stars
from flows.curate.examples import Found
from flows.curate.folder.folder import write
from flows.curate.split import pseudonym
from flows.redact.redact import Redactor
from schemas.normalise import normalise
from schemas.records import Example
from schemas.settings import CurateSettings, Recipe
from schemas.unit import unit_of

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = CurateSettings(paraphrase=1)
FACTS = {
    "as_of": AS_OF.isoformat(), "versions": {}, "settings_hash": "0" * 64, "code_version": "benchmark",
    "settings": {"near_duplicate": 0.85, "paraphrase": 1, "paraphrase_margin": 0}, "split": {"eval_share": 0.2},
    "guards": 0, "origins": {}, "clusters": {}, "dropped": {}, "redacted": {}, "run_id": "0" * 32,
}  # fmt: skip
KINDS = {
    "email": ("email_address", "e_mail", "mail"),
    "phone": ("phone_number", "telephone", "mobile", "fax"),
    "card": ("credit_card", "credit_card_number", "creditcard", "card_number", "pan"),
    "iban": ("iban_code",),
    "ssn": ("us_ssn", "social_security_number"),
    "national_id": ("cpf", "dni", "nie", "nir", "nino", "uk_nino", "nhs", "uk_nhs", "aadhaar", "in_aadhaar", "es_nif",
                    "it_fiscal_code", "codice_fiscale", "sin", "tax_id", "id_number"),
    "ip": ("ip_address", "ipv4", "ipv6"),
    "mac": ("mac_address",),
    "crypto": ("crypto_address", "bitcoin", "ethereum", "wallet"),
    "passport": ("us_passport", "passport_number"),
    "licence": ("driver_license", "drivers_license", "driving_licence", "us_driver_license"),
    "account": ("bank_account", "account_number", "us_bank_number", "routing_number", "sort_code"),
    "birth_date": ("date_of_birth", "dob", "birthdate"),
    "api_key": ("token", "secret", "aws_key", "aws_access_key", "github_token", "openai_key", "stripe_key",
                "slack_token", "access_token", "bearer", "key"),
    "private_key": ("pem", "ssh_key"),
    "password": ("credential", "credentials", "url_password"),
    "name": ("person", "person_name"),
    "address": ("street_address", "location", "postal_address", "postcode"),
}  # fmt: skip
"""Our kinds, and the names that others give them."""


def main() -> None:
    """Run what was asked for."""
    sys.path.remove(str(Path(__file__).resolve().parent))  # where `datasets` would be this file
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="real texts, a line of JSON each")
    parser.add_argument("--pii", type=Path, help="labelled texts, a line of JSON each")
    parser.add_argument("--rows", type=int, default=100_000, help="chats to write beside `datasets`, with --data")
    parser.add_argument("--scale", type=int, help="how many variants of the texts to de-duplicate")
    parser.add_argument("--write", type=int, help="how many chats to write beside `datasets`")
    parser.add_argument("--leaks", action="store_true", help="only the leak check's recall and cost, of --data")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        _child(*given.child, given)
    elif given.pii:
        _last(pii(given.pii))
    elif given.write:
        _last(writing(given.write))
    elif given.data and given.leaks:
        beside = (given.data.with_name(name) for name in ("gsm8k_rephrased.jsonl", "gsm8k_model_solutions.jsonl"))
        _last(leak_check.figures(given.data, *beside, 84_000))
    elif given.data and given.scale:
        _last(scale(given.data, given.scale))
    elif given.data:
        _last(datasets(given.data, given.rows))
    else:
        parser.error("give --data FILE, --pii FILE or --write N")


def datasets(file: Path, rows: int) -> dict[str, Any]:
    """All figures of `--data`."""
    rng = random.Random(7)
    texts = list(dict.fromkeys(text for text in _texts(file) if len(normalise(text).split()) > 2))[:8_000]
    planted, sources = plant(rng, texts)
    return {
        **duplicates(planted, sources),
        **pairs(texts),
        **same_label(file),
        **leaks(rng, texts[:3_000]),
        "same_sha": len({_run_child("build", workers, file=file) for workers in (1, 8)}) == 1,
        **writing(rows),
    }


def plant(rng: random.Random, texts: Sequence[str]) -> tuple[list[str], dict[int, int]]:
    """The texts and an edited copy of every second one, shuffled; and copy → original, by place."""
    edits: list[Callable[[str], str]] = [
        lambda t: _typos(rng, t),
        lambda t: rng.choice([t.upper(), t.lower(), t.title()]),
        lambda t: t + rng.choice([" please", " thanks!", " Thank you.", " asap", " ??"]),
        _without_article,
    ]
    rows = [(text, n, False) for n, text in enumerate(texts)]
    rows += [(edits[n // 2 % 4](texts[n]), n, True) for n in range(0, len(texts), 2)]
    rng.shuffle(rows)
    place = {n: at for at, (_, n, copy) in enumerate(rows) if not copy}
    return [text for text, _, _ in rows], {at: place[n] for at, (_, n, copy) in enumerate(rows) if copy}


def duplicates(rows: Sequence[str], sources: dict[int, int]) -> dict[str, float]:
    """Planted pairs of which one row went, and rows a CPU second beside datasketch on the same grams of all rows."""
    texts = [normalise(text) for text in rows]
    began = time.process_time()
    star = stars(texts, SETTINGS.near_duplicate)
    ours = len(texts) / (time.process_time() - began)
    recall = sum(star[copy] != copy or star[source] != source for copy, source in sources.items()) / len(sources)
    gone = sum(row != kept for row, kept in enumerate(star))
    theirs, near = _datasketch(texts)
    proposed = sum(source in near[copy] or copy in near[source] for copy, source in sources.items()) / len(sources)
    print(f"duplicates   {recall:.3f} of the planted edits found; of {len(texts)} rows {gone} went")
    print(f"             {ours:,.0f} rows/CPU-s, every pair checked exactly; datasketch {theirs:,.0f}, only proposing")
    print(f"             pairs (of the planted ones {proposed:.3f})")
    return {
        "dedup_recall": round(recall, 4),
        "datasketch_recall": round(proposed, 4),
        "rows_per_s_vs_datasketch": round(ours / theirs, 2),
    }


def pairs(company: Sequence[str]) -> dict[str, float]:
    """Of pairs labelled by hand, in the company of other texts: those that ask for the same, those that look alike."""
    labelled = [json.loads(line) for line in Path(__file__).with_name("pairs.jsonl").read_text().splitlines()]
    others = list(dict.fromkeys(map(normalise, company)))
    one = [_are_one(normalise(pair["a"]), normalise(pair["b"]), others) for pair in labelled]
    right = sum(found and pair["same"] for found, pair in zip(one, labelled, strict=True))
    same = sum(pair["same"] for pair in labelled)
    recall, precision = right / same, right / max(1, sum(one))
    print(f"pairs        {right} of {same} that ask for the same are one, and {sum(one) - right} of "
          f"{len(labelled) - same} that look alike")  # fmt: skip
    return {"dedup_pair_recall": round(recall, 4), "dedup_precision": round(precision, 4)}


def _are_one(a: str, b: str, others: Sequence[str]) -> bool:
    """Whether one of two texts goes for the other; other texts come after them, and go for neither."""
    if a == b:
        return True
    return stars([a, b, *others[:2_000]], SETTINGS.near_duplicate)[1] == 0


def same_label(file: Path) -> dict[str, float | None]:
    """Of the file's own texts that go, nothing planted, the share that has the label of the text that stays."""
    rows = [json.loads(line) for line in file.read_text().splitlines() if line.strip()]
    labels = {normalise(row["text"]): row.get("label") for row in rows}
    texts = list(labels)
    gone = [(texts[row], texts[kept]) for row, kept in enumerate(stars(texts, SETTINGS.near_duplicate)) if row != kept]
    if not gone or None in labels.values():
        return {"dedup_same_label": None}
    share = sum(labels[row] == labels[kept] for row, kept in gone) / len(gone)
    print(
        f"             of {len(gone)} rows that went, nothing planted, {share:.3f} had the label of the one that stayed"
    )
    return {"dedup_same_label": round(share, 4)}


def scale(file: Path, rows: int) -> dict[str, Any]:
    """Wall time, CPU time and peak memory of de-duplicating many rows, in a fresh process."""
    figures: dict[str, Any] = json.loads(_run_child("scale", 2, rows, file))
    print(
        f"dedup {rows:>9,} rows  {figures['wall']:.0f} s  {figures['cpu']:.0f} CPU-s  {figures['rss']:,.0f} MB; "
        f"{figures['gone']:,} went, {figures['recall']:.3f} of the planted ones"
    )
    return {f"dedup_scale_{name}": figure for name, figure in figures.items()}


def leaks(rng: random.Random, texts: Sequence[str]) -> dict[str, int]:
    """Near pairs and units across the cut after a build over users who copy one another, counted by brute force."""
    vocabulary = [word for text in texts for word in text.split()]
    rows = [(n % (len(texts) // 4), text) for n, text in enumerate(texts)]
    for n in range(0, len(texts), 3):  # another user says the same: exactly, edited, reordered
        said = (texts[n], _typos(rng, texts[n]), _words(rng, texts[n], vocabulary), _reordered(rng, texts[n]))[
            n // 3 % 4
        ]
        rows.append((rng.randrange(len(texts) // 4), said))
    examples = [_example(n, f"user-{user}", text) for n, (user, text) in enumerate(rows)]
    made = build(Found(tuple(examples), ()), SETTINGS, Recipe(), AS_OF)
    train, items = [[_grams(e.text) for e in side] for side in (made.taught, made.eval)]
    pairs = sum(len(a & b) >= 0.55 * len(a | b) for a in train for b in items)
    bags = {tuple(sorted(normalise(e.text).split())) for e in made.eval}
    pairs += sum(tuple(sorted(normalise(e.text).split())) in bags for e in made.taught)
    units = {e.unit for e in made.taught} & {e.unit for e in made.eval}
    print(
        f"leaks        {pairs} near pairs and {len(units)} units across {len(train)} train and {len(items)} eval rows"
    )
    print(f"             left out: {made.reasons()}")
    return {"leaked_pairs": pairs, "leaked_units": len(units)}


def writing(rows: int) -> dict[str, float]:
    """Wall time and peak memory of writing chats, beside `Dataset.from_generator(…).to_parquet`, in fresh processes."""
    figures = {name: json.loads(_run_child(name, 2, rows)) for name in ("flywheel", "datasets")}
    for name, found in figures.items():
        print(
            f"write {rows:>8,} chats  {name:9} {found['wall']:6.1f} s {found['cpu']:6.1f} CPU-s {found['rss']:6.0f} MB"
        )
    ours, theirs = figures["flywheel"], figures["datasets"]
    return {
        "write_wall_vs_datasets": round(ours["wall"] / theirs["wall"], 3),
        "write_rss_vs_datasets": round(ours["rss"] / theirs["rss"], 3),
    }


def pii(file: Path) -> dict[str, Any]:
    """Recall and precision by kind. A span is found where a found one of the same kind overlaps it."""
    redactor = Redactor(SETTINGS.regions, {})
    hits: dict[str, Counter[str]] = defaultdict(Counter)
    lines = [json.loads(line) for line in file.read_text().splitlines() if line.strip()]
    began = time.process_time()
    answers = [redactor.find(line["text"]) for line in lines]
    speed = len(lines) / max(time.process_time() - began, 1e-9)
    for line, found in zip(lines, answers, strict=True):
        wanted = [(span["start"], span["end"], _kind(span["kind"])) for span in line["spans"]]
        got = [(span.start, span.end, span.kind) for span in found]
        for left, right, good, bad in ((wanted, got, "found", "missed"), (got, wanted, "right", "wrong")):
            for start, end, kind in left:
                there = any(kind == k and start < e and s < end for s, e, k in right)
                hits[kind][good if there else bad] += 1
    figures = {kind: _shares(count) for kind, count in sorted(hits.items())}
    for kind, figure in figures.items():
        shown = f"recall {_shown(figure['recall'])}  precision {_shown(figure['precision'])}"
        print(f"{kind:12} {shown}  of {figure['labelled']}")
    print(f"{speed:,.0f} texts/CPU-s")
    return {"kinds": figures, "texts_per_cpu_s": round(speed), **_shares(sum(hits.values(), Counter()))}


def _shares(count: Counter[str]) -> dict[str, Any]:
    wanted, got = count["found"] + count["missed"], count["right"] + count["wrong"]
    return {
        "recall": round(count["found"] / wanted, 4) if wanted else None,
        "precision": round(count["right"] / got, 4) if got else None,
        "labelled": wanted,
    }


def _shown(share: float | None) -> str:
    return "    –" if share is None else f"{share:.3f}"


def _kind(name: str) -> str:
    plain = name.lower().replace("-", "_").replace(" ", "_")
    return next((kind for kind, others in KINDS.items() if plain == kind or plain in others), plain)


def _child(what: str, workers: str, rows: str, given: argparse.Namespace) -> None:
    """One measurement in a process of its own."""
    import pyarrow as pa  # noqa: PLC0415 the parent must not pay for it

    pa.set_cpu_count(int(workers))
    with tempfile.TemporaryDirectory() as folder:
        if what == "build":
            print(_built(given.data, Path(folder), random.Random(int(workers))))
            return
        if what == "scale":
            print(json.dumps(_deduplicated(given.data, int(rows))))
            return
        began = time.perf_counter()
        _write_flywheel(Path(folder), int(rows)) if what == "flywheel" else _write_datasets(Path(folder), int(rows))
        print(json.dumps(_spent(began)))


def _spent(began: float, cpu: float = 0.0) -> dict[str, float]:
    """Seconds by the clock since `began`, CPU seconds beyond `cpu`, and the peak memory (MB) of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    wall = time.perf_counter() - began
    return {
        "wall": round(wall, 1),
        "cpu": round(usage.ru_utime + usage.ru_stime - cpu, 1),
        "rss": usage.ru_maxrss / 1e3,
    }


def _deduplicated(file: Path, rows: int) -> dict[str, float]:
    """What it takes to de-duplicate `rows` variants of the file's texts, of which a tenth is planted edits."""
    rng = random.Random(7)
    texts = _texts(file)
    vocabulary = [word for text in texts for word in text.split()]
    variants = [_variant(rng, texts[n % len(texts)], vocabulary) for n in range(rows - rows // 10)]
    sources = [rng.randrange(len(variants)) for _ in range(rows // 10)]
    planted = [_typos(rng, variants[source]) for source in sources]
    began, cpu = time.perf_counter(), time.process_time()
    star = stars([normalise(text) for text in (*variants, *planted)], SETTINGS.near_duplicate)
    spent = _spent(began, cpu)
    found = sum(star[n] != n for n in range(len(variants), rows)) / len(planted)
    return {**spent, "gone": sum(kept != n for n, kept in enumerate(star)), "recall": round(found, 4)}


def _built(file: Path, folder: Path, rng: random.Random) -> str:
    """The SHA-256 of a whole build, its rows arriving in another order in each process."""
    examples = [_example(n, f"user-{n % 500}", text) for n, text in enumerate(_texts(file)[:3_000])]
    rng.shuffle(examples)
    made = build(Found(tuple(examples), ()), SETTINGS, Recipe(), AS_OF)
    return write(folder, "all-training", {("sft", "train"): made.taught, ("eval", "test"): made.eval}, FACTS).sha256


def _run_child(what: str, workers: int, rows: int = 0, file: Path | None = None) -> str:
    command = [
        sys.executable,
        __file__,
        "--child",
        what,
        str(workers),
        str(rows),
        *(["--data", str(file)] if file else []),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip().splitlines()[-1]


class _Chats(Sequence[Example]):
    """Chats made when they are asked for, so that only the writer's own memory counts."""

    def __init__(self, rows: range) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Example]:
        return map(_chat_example, self._rows)

    def __getitem__(self, at: Any) -> Any:
        return _Chats(self._rows[at]) if isinstance(at, slice) else _chat_example(self._rows[at])


def _write_flywheel(folder: Path, rows: int) -> None:
    write(folder, "chats", {("sft", "train"): _Chats(range(rows))}, FACTS)


def _write_datasets(folder: Path, rows: int) -> None:
    import datasets as hugging_face  # noqa: PLC0415 only this child measures it

    def generate() -> Iterator[dict[str, Any]]:
        for n in range(rows):
            yield {"messages": _chat(n), "interaction_id": f"i-{n:08d}", "unit": f"u-{n}", "origin": "accepted"}

    made = hugging_face.Dataset.from_generator(generate, cache_dir=str(folder / "cache"))
    made.to_parquet(str(folder / "train.parquet"))


SYSTEM = "You are a helpful support agent."


def _said(n: int) -> tuple[str, str]:
    order = n * 7919 % 1_000_003
    asked = f"Question {n} about order {order}: where is it, and when will it come to my address?"
    return asked, f"Order {order} left our warehouse; follow it with the code {n * 104729}."


def _chat(n: int) -> list[dict[str, str]]:
    said = zip(("system", "user", "assistant"), (SYSTEM, *_said(n)), strict=True)
    return [{"role": role, "content": content} for role, content in said]


def _chat_example(n: int) -> Example:
    """What the lake holds of a chat: JSON text."""
    asked, answered = _said(n)
    prompt = f'[{{"content":"{SYSTEM}","role":"system"}},{{"content":"{asked}","role":"user"}}]'
    answer = f'[{{"content":"{answered}","role":"assistant"}}]'
    return Example(f"i-{n:08d}", f"u-{n}", prompt, answer, asked, "accepted")


def _example(n: int, user: str, text: str) -> Example:
    prompt, answer = ([{"role": role, "content": text}] for role in ("user", "assistant"))
    unit = pseudonym(unit_of(user, ""), SETTINGS.salt.reveal())
    return Example(f"i-{n:06d}", unit, json.dumps(prompt), json.dumps(answer), text, "accepted", score=0.9, time=AS_OF)


def _texts(file: Path) -> list[str]:
    return [json.loads(line)["text"] for line in file.read_text().splitlines() if line.strip()]


def _typos(rng: random.Random, text: str) -> str:
    for _ in range(rng.choice([1, 2])):
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice(["", rng.choice(string.ascii_lowercase)]) + text[at + 1 :]
    return text


def _words(rng: random.Random, text: str, vocabulary: Sequence[str]) -> str:
    words = text.split()
    for _ in range(max(1, round(len(words) / 10))):
        words[rng.randrange(len(words))] = rng.choice(vocabulary)
    return " ".join(words)


def _without_article(text: str) -> str:
    """The text without its first article."""
    words = text.split()
    at = next((at for at, word in enumerate(words) if word.lower() in {"a", "an", "the", "my"}), len(words))
    return " ".join([*words[:at], *words[at + 1 :]])


def _variant(rng: random.Random, text: str, vocabulary: Sequence[str]) -> str:
    """A text with every second word another: of the same length and topic, and saying something else."""
    return " ".join(rng.choice(vocabulary) if rng.random() < 0.5 else word for word in text.split())


def _reordered(rng: random.Random, text: str) -> str:
    words = text.split()
    rng.shuffle(words)
    return " ".join(words)


def _grams(text: str) -> frozenset[str]:
    padded = f" {normalise(text)} "
    return frozenset(padded[at : at + 4] for at in range(max(1, len(padded) - 3)))


def _datasketch(texts: Sequence[str]) -> tuple[float, list[set[int]]]:
    """Rows a CPU second of datasketch's MinHash and LSH, and what it proposes for each row.

    The same texts, the same 4-byte grams (made by our own code, counted for both) and the same bands; its own hash.
    What it proposes is not looked at: the exact check of each pair, which ours includes, comes on top.
    """
    from datasketch import MinHash, MinHashLSH  # noqa: PLC0415 only where the benchmark runs

    began = time.process_time()
    grams = gram_sets(texts)
    flat = grams.flat.astype("<u4").tobytes()
    index = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
    near: list[set[int]] = []
    for number, (start, end) in enumerate(itertools.pairwise(grams.offsets.tolist())):
        sketch = MinHash(num_perm=BANDS * ROWS)
        sketch.update_batch([flat[at : at + 4] for at in range(4 * start, 4 * end, 4)])
        near.append(set(index.query(sketch)))
        index.insert(number, sketch)
    return len(texts) / (time.process_time() - began), near


def _last(figures: dict[str, Any]) -> None:
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
