"""Builds datasets: read the lake as of a version, think, publish a training and an eval version.

`flow.py` wraps it for schedules and the UI. Go on to `examples.py`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from flows.curate.build import Build, build
from flows.curate.contributors import held, hold_new, largest
from flows.curate.examples import Dropped, Found
from flows.curate.folder.card import most_first
from flows.curate.folder.disk import application_folder
from flows.curate.folder.fit import fit
from flows.curate.folder.folder import Folder, write
from flows.curate.folder.own import kinds_of
from flows.curate.folder.shapes import Kind
from flows.curate.forget import withdraw
from flows.curate.golden import items_of
from flows.curate.guards import binding, digest_of, of_files, of_versions
from flows.curate.kept import FORGOTTEN, forget_wished, forgotten, kept
from flows.curate.leaks import Guard, Paraphrases
from flows.curate.quarantine import newcomers, strangers
from flows.curate.quarantine import record as quarantine
from flows.curate.salt import salt_hash, with_salt
from flows.curate.sample import sample_of
from flows.curate.split import KEYS
from flows.curate.versions.staleness import stale
from flows.curate.versions.stored import even_out, send_made
from flows.curate.versions.withdraw import clear, discard_unlisted, withdrawals
from flows.embed import code_of, load
from flows.embedded import embedded
from flows.extend import fingerprint
from flows.ledger import fold
from flows.redact.own import redactor_of
from flows.redact.redact import Redactor, TooCostly
from flows.run import Run, begin, counted, finish, finished, latest, named, under_way
from flows.versions import Version, record, versions
from schemas.errors import NotEnoughData, UsageError
from schemas.normalise import VERSION
from schemas.prompts import Examples
from schemas.records import Example, content_hash
from schemas.secrets import encoded
from schemas.settings import DEFAULT_RECIPE, SAMPLE, CurateSettings, Recipe, Settings
from streams.lake import Lake
from streams.lake.audit import check_files
from streams.lake.query import query
from streams.lake.query import rows as rows_of

_log = logging.getLogger(__name__)
TABLES = (
    "interactions", "feedback", "erasures", "outcomes", "voices", "cluster_members", "clusters", "cleared", "golden",
)  # fmt: skip
FOLDER = Path(__file__).parent


def curate(lake: Lake, settings: Settings, as_of: datetime, name: str = DEFAULT_RECIPE) -> dict[str, Any]:
    """Build a training and an eval dataset by the recipe `name` from all that is known; returns the run's summary.

    The same tables, settings and `as_of` are one run: a second call returns the first one's summary.
    Raises NotEnoughData where no cluster run has finished or no interaction gives an example; UsageError for an unknown
    recipe; FileDamaged, before anything is read, where a file of the tables changed since it was written.
    """
    lake = lake.asked_by(settings.engine)
    done = forget_wished(lake, settings)
    with under_way(lake):
        return _curate(lake, settings, as_of, name, done)


def _curate(lake: Lake, settings: Settings, as_of: datetime, name: str, done: str) -> dict[str, Any]:
    recipe, kinds = _recipe(settings.curate, name), kinds_of(settings.curate.kinds)
    judged = latest(lake, "cluster", settings.application)
    if judged is None:
        raise NotEnoughData(f"nothing is known of {settings.application!r} yet: `flywheel turn` finds it out")
    recipe = _with_clusters(lake, judged, recipe, name)
    known = versions(lake, settings.application)
    settings = with_salt(settings, known)
    clear(known, settings)
    even_out(settings, known)
    bound = binding(known, split_of(settings.curate), as_of)
    shots = fold(lake, settings.application).shots
    inputs = {
        "outcome_run": judged.run_id,
        "recipe": name,
        "frozen": ",".join(f"{v.dataset}@{v.version}" for v in bound),
        "benchmarks": digest_of(settings.curate.benchmarks),
        "embedder": settings.cluster.embedder + settings.cluster.embedder_url,
        "split": salt_hash(settings.curate.salt.reveal()),
        "after_erasure": settings.archive.after_erasure,
        **({"shots": content_hash(shots)} if shots else {}),
        "extensions": fingerprint(*settings.curate.recognise_with, *settings.curate.kinds)
        + code_of(settings.cluster.embedder, settings.cluster.embedder_url),
    }
    run = begin(lake, "curate", settings.application, as_of, TABLES, settings.curate, **inputs)
    if (summary := finished(lake, run, dict[str, Any])) is not None:
        return summary
    with named(run):
        _log.info("dataset %s: checking the files that it is built from", name)
        check_files(lake, TABLES, as_of.date())
        guards = [*of_versions(bound, settings), *of_files(settings.curate.benchmarks)]
        found, newest, redacted = _read(lake, run, settings, judged.run_id, shots)
        _log.info("dataset %s: %s examples to split and de-duplicate", name, len(found.examples))
        made = _think(found, newest, settings, recipe, as_of, guards, redacted, _paraphrases(lake, settings))
        units = forgotten(lake, settings, run.versions["erasures"])
        discard_unlisted(known, settings, settings.application, units)
        withdrawn = withdrawals(known, settings, units, (), as_of)
        if not made.taught and not made.eval:
            raise _nothing(lake, settings, run, name, made, withdrawn)
        left = {version.version for version in withdrawn}
        marked = [*withdrawn, *stale([v for v in known if v.version not in left], found.examples, settings, as_of)]
        facts = {**inputs, "redacted": dict(sorted(redacted.items())), "guards": len(guards), **_facts(made)}
        summary = _publish(lake, settings, run, name, made, kinds, marked, facts, done)
        for part in ("training", "eval", SAMPLE):
            _log.info("dataset %s: %s: %s", name, part, counted(summary[part]))
        return summary


def _facts(made: Build) -> dict[str, Any]:
    cut = made.cut.isoformat() if made.cut else None
    return {"eval_threshold": made.threshold, "cut": cut, "sampled": len(made.sample)}


def _nothing(
    lake: Lake, settings: Settings, run: Run, name: str, made: Build, withdrawn: Sequence[Version]
) -> NotEnoughData:
    """Why there is nothing to build; what is to be forgotten does not wait for it."""
    if withdrawn:
        brief = {"withdrawn": len(withdrawn)}
        withdraw(lake, settings, settings.application, run.as_of, withdrawn, brief, build=run.run_id)
    left_out = made.reasons()
    hint = f"; look at what the recipe {name!r} asks for" if "not_in_recipe" in left_out else ""
    reasons = ", ".join(f"{reason} {count}" for reason, count in left_out.items()) or "none was judged"
    return NotEnoughData(f"no interaction gives an example yet; left out: {reasons}{hint}")


def split_of(settings: CurateSettings) -> dict[str, Any]:
    """What decides the split, as it stands in the manifest.

    Of the salt only its hash: a name and the salt together give the unit.
    """
    salt = salt_hash(settings.salt.reveal())
    return {"salt_sha256": salt, "keys": KEYS, "eval_share": settings.eval_share, "normaliser": VERSION}


def _recipe(settings: CurateSettings, name: str) -> Recipe:
    if name == DEFAULT_RECIPE:
        return settings.recipes.get(DEFAULT_RECIPE, Recipe())
    if name not in settings.recipes:
        known = ", ".join(sorted({DEFAULT_RECIPE, *settings.recipes}))
        raise UsageError(f"there is no recipe {name!r}; known are {known}. Add [curate.recipes.{name}] to the settings")
    return settings.recipes[name]


def _with_clusters(lake: Lake, judged: Run, recipe: Recipe, name: str) -> Recipe:
    """The recipe with its clusters by their full ids, as of the newest cluster run; a merged one is where it went.

    A beginning is enough where it is only one cluster's. Raises UsageError for a cluster that there is not.
    """
    if not recipe.clusters:
        return recipe
    stored = rows_of(lake, "clusters", run_id=judged.run_id)
    known = {row["cluster_id"]: row["alias_of"] or row["cluster_id"] for row in stored if not row["pinned"]}
    return msgspec.structs.replace(
        recipe, clusters=tuple(_full_id(lake, judged, known, wanted, name) for wanted in recipe.clusters)
    )


def _full_id(lake: Lake, judged: Run, known: Mapping[str, str], wanted: str, name: str) -> str:
    if wanted in known:
        return known[wanted]
    if rows_of(lake, "cluster_members", application=judged.application, cluster_id=wanted):
        return wanted
    found = sorted({full for id_, full in known.items() if wanted and id_.startswith(wanted)})
    if len(found) == 1:
        return found[0]
    raise UsageError(
        f"recipe {name!r} names the cluster {wanted!r}, and {len(found) or 'no'} clusters of {judged.application!r} "
        "begin so: `flywheel cluster list` shows their ids (a pinned one has no rows of its own)"
    )


def _read(
    lake: Lake, run: Run, settings: Settings, outcome_run: str, shots: Examples
) -> tuple[Found, tuple[Example, ...], Counter[str]]:
    """What teaches, redacted; the newest requests, which decide; and how often which personal data was replaced."""
    how = settings.curate
    memory = kept(lake, run, settings, outcome_run, shots)
    _log.info("examples: %s in all, %s conversations made anew", len(memory.found.examples), memory.made)
    found = msgspec.structs.replace(memory.found, dropped=(*memory.found.dropped, *strangers(lake, run, settings)))
    found = hold_new(found, newcomers(lake, run, settings))
    found = msgspec.structs.replace(found, golden=items_of(lake, run, settings))
    each = int(how.max_share * how.sample)
    size = {"most": how.sample, "share": how.hold_back, "consent": how.consent, "each": each}
    parameters = {"application": run.application, "outcome_run": outcome_run, "as_of": run.as_of, **size}
    sql, after = (FOLDER / "sample.sql").read_text(), settings.archive.after_erasure
    newest = query(lake, sql, run.versions, parameters, after_erasure=after).to_pylist()
    return found, sample_of(newest, found.examples, how, shots), memory.redacted


def _think(
    found: Found,
    newest: tuple[Example, ...],
    settings: Settings,
    recipe: Recipe,
    as_of: datetime,
    guards: Sequence[Guard],
    redacted: Counter[str],
    paraphrases: Paraphrases | None,
) -> Build:
    """The build; counts in `redacted` what was replaced in the sample."""
    options = settings.curate
    if options.redact:
        redactor = redactor_of(options)
        newest, _ = _redacted(newest, redactor)
        golden, costly = _redacted(found.golden, redactor)
        found = msgspec.structs.replace(found, golden=golden, dropped=(*found.dropped, *costly))
        redacted.update(redactor.counts)
    return build(found, options, recipe, as_of, guards, paraphrases, newest)


def _paraphrases(lake: Lake, settings: Settings) -> Paraphrases | None:
    """What finds them, unless the settings want none found."""
    options, cluster = settings.curate, settings.cluster
    if options.paraphrase >= 1:
        return None
    declared = settings.evaluate.private_endpoints
    embedder = load(cluster.embedder, cluster.embedder_url, cluster.embedder_key, declared)
    return Paraphrases(partial(embedded, lake, embedder), options.paraphrase, options.paraphrase_margin)


def _redacted(examples: Iterable[Example], redactor: Redactor) -> tuple[tuple[Example, ...], list[Dropped]]:
    """Examples without personal data; what would take too long to look through is left out."""
    kept, dropped = [], []
    for example in examples:
        try:
            kept.append(redactor.example(example))
        except TooCostly:
            dropped.append(Dropped(example.interaction_id, "too_costly"))
    return tuple(kept), dropped


def _publish(
    lake: Lake,
    settings: Settings,
    run: Run,
    name: str,
    made: Build,
    kinds: Mapping[str, Kind],
    marked: Sequence[Version],
    facts: dict[str, Any],
    done: str,
) -> dict[str, Any]:
    """1. The folders, in the store too. 2. Their rows in the lake. 3. The run's row, which makes them visible."""
    training = _write(settings, run, f"{name}-training", "training", made, kinds, facts)
    items = _write(settings, run, f"{name}-eval", "eval", made, kinds, facts)
    newest = _write(settings, run, SAMPLE, SAMPLE, made, kinds, facts)
    folders = ((name, "training", training), (name, "eval", items), (SAMPLE, SAMPLE, newest))
    found = send_made(lake, settings, [_version(run, settings, *each) for each in folders])
    quarantine(lake, run, held(made.dropped))
    record(lake, run, [*marked, *found])
    summary = {
        "training": _brief(training)
        | {f"{kind.name}_rows": training.rows.get(f"{kind.name}/train", 0) for kind in kinds.values() if kind.teaches},
        "eval": _brief(items) | {"eval_rows": items.rows["eval/test"]},
        SAMPLE: _brief(newest) | {"sample_rows": newest.rows["sample/test"], "cut": facts["cut"]},
        "dropped": made.reasons(),
        "stale": [f"{v.dataset}@{v.version}" for v in marked if v.status == "stale"],
        "withdrawn": [f"{v.dataset}@{v.version}" for v in marked if v.status == "withdrawn"],
        FORGOTTEN: done,
    }
    finish(lake, run, summary)
    clear(versions(lake, run.application), settings)
    return summary


def _write(
    settings: Settings,
    run: Run,
    name: str,
    kind: str,
    made: Build,
    kinds: Mapping[str, Kind],
    facts: dict[str, Any],
) -> Folder:
    mine = [k for k in kinds.values() if _belongs(k, kind)]
    parts = {(k.name, k.split): k.takes(made) for k in mine}
    counted = next(iter(parts.values()))
    manifest = {
        **facts,
        "application": run.application,
        "as_of": run.as_of.isoformat(),
        "run_id": run.run_id,
        "versions": run.versions,
        "settings_hash": run.settings_hash,
        "settings": {**msgspec.to_builtins(settings.curate, enc_hook=encoded), "salt": "its hash is in split"},
        "split": split_of(settings.curate),
        "code_version": run.code_version,
        "origins": _count(example.origin for example in counted),
        "clusters": _count(example.cluster_id for example in counted),
        "dropped": made.reasons(),
        "contributors": largest(counted),
    }
    root, how = application_folder(settings.datasets_path, run.application), settings.curate
    if kind != "training" or not how.tokenizer:
        return write(root, name, parts, manifest, kinds)
    return write(root, name, parts, manifest, kinds, partial(_lengths, how))


def _lengths(how: CurateSettings, folder: Path) -> dict[str, Any]:
    """How many tokens the rows of `sft` have, for the card; a tokenizer that cannot be read costs no build."""
    try:
        return {"lengths": msgspec.to_builtins(fit(folder, "sft", Path(how.tokenizer), how.max_length))}
    except UsageError as error:
        return {"lengths": {"problem": str(error)}}


def _belongs(kind: Kind, dataset: str) -> bool:
    """Whether a dataset (training, eval, sample) holds a kind; what does not teach is asked, beside the eval set."""
    if kind.teaches or kind.name == SAMPLE:
        return dataset == ("training" if kind.teaches else SAMPLE)
    return dataset == "eval"


def _count(values: Iterable[str]) -> dict[str, int]:
    return most_first(Counter(values))


def _brief(folder: Folder) -> dict[str, Any]:
    return {"path": str(folder.path), "version": folder.version, "sha256": folder.sha256}


def _version(run: Run, settings: Settings, name: str, kind: str, folder: Folder) -> Version:
    return Version(
        application=run.application,
        dataset=name,
        version=folder.version,
        kind=kind,
        path=folder.path.relative_to(settings.datasets_path).as_posix(),
        sha256=folder.sha256,
        created=run.as_of,
        rows=folder.rows,
        manifest=folder.manifest,
    )
