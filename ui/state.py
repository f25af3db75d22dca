"""What pages know of the application: the index, and the few small tables, each read once a version.

Two threads keep it: one folds new commits into the index once a second, one asks the neighbours (`health.py`). A page
opens the index for itself and asks; whatever is read of the lake is kept until its table changes. Go on to `pages/`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from sqlite3 import Connection
from typing import Any, Self, TypeVar, cast

from msgspec import Struct

from flows import embed, ledger
from flows.cluster.lineage.accepted import OpenProposal, proposals_of
from flows.cluster.lineage.by_itself import waiting_by_itself
from flows.cluster.standing import Key
from flows.cluster.state import clusters_of, events_of
from flows.cluster.summary import Summary
from flows.evaluations import evaluations
from flows.registry import Registry
from flows.run import Finished, latest
from flows.versions import Version, versions
from schemas.records import Cluster, ClusterEvent, Evaluation
from schemas.settings import Settings
from streams.keyring import own_secret
from streams.lake import Lake
from streams.producer import EventProducer
from ui.health import Watch
from ui.index.fold import FILE, Folder
from ui.index.lists import newest
from ui.index.rows import id_of, milliseconds
from ui.index.store import reader
from ui.notices.notifier import Notifier
from ui.notices.rules import Trouble, subject_of, troubles
from ui.outbox import Outbox
from ui.reservations import Reservations
from ui.watched import Watched
from ui.words import at

EVERY_S = 1.0
"""How often new commits are looked for: the archiver makes one every two seconds."""
CONNECT_S = 5.0
LOTS = "review"
"""The name of a secret."""
SMALL = ("runs", "ledger", "evaluations", "dataset_versions", "cluster_decisions", "scores", "decisions")
"""Tables that pages read as a whole, or a run's part of; each change of any of them is a new version of all."""
_log = logging.getLogger(__name__)
T = TypeVar("T")


class Clusters(Struct, frozen=True):
    """The newest cluster run."""

    run: Finished
    summary: Summary
    every: tuple[Cluster, ...]
    """Largest first, those that were merged into another and pinned ones too."""
    events: tuple[ClusterEvent, ...]
    proposals: tuple[OpenProposal, ...]
    certain: frozenset[Key]
    """What of these the next run accepts by itself, unless a person speaks first."""

    @property
    def living(self) -> list[Cluster]:
        """Found ones, without those that are other names of another: each failure is in one at most."""
        return [one for one in self.every if not one.alias_of and not one.pinned]

    @property
    def watched(self) -> list[Cluster]:
        """These and pinned ones, which share failures with them."""
        return [one for one in self.every if not one.alias_of]


class State:
    """One application's lake, index, outbox and neighbours, as a context manager that keeps them."""

    def __init__(self, lake: Lake, settings: Settings) -> None:
        self.lake, self.settings = lake, settings
        self.application = settings.application
        self.outbox = Outbox(settings.home_path, lambda: EventProducer(settings.kafka, timeout_s=CONNECT_S))
        self.health = Watch(lake, settings)
        self.alerts = Notifier(settings, self, self.outbox.put)
        self.reservations = Reservations()
        self.watched = Watched(lake, settings)
        self.lots = own_secret(settings.home_path, LOTS)
        """Decides what is asked first, and of whom: whoever sends events cannot choose it."""
        self.conversations: dict[str, str] = {}
        """Interaction → its conversation, of those that somebody reviews now: the Kafka key of what they say."""
        self.folded: datetime | None = None
        """When the index was last seen to have everything; None before that."""
        self.versions: dict[str, int] = {}
        """Table → version, as last seen."""
        self.trouble = ""
        """Why the index could not be kept, the last time that was tried."""
        self._path = settings.home_path / FILE
        self._folder = Folder(lake, settings)
        self._embedder: embed.Embedder | None = None
        self._once: dict[str, tuple[Any, Any]] = {}
        self._lock = threading.RLock()  # what is kept may rest on what is kept
        self._folding = threading.Lock()
        self._stop, self._open = threading.Event(), ExitStack()
        self._thread = threading.Thread(target=self._run, name="index", daemon=True)

    def __enter__(self) -> Self:
        self._open.enter_context(self.outbox)
        self._open.enter_context(self.health)
        self._thread.start()
        self._open.enter_context(self.alerts)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=30)
        self._open.close()
        self._folder.close()

    def refresh(self) -> None:
        """Take in what came; afterwards pages know it."""
        with self._folding:
            known = self._folder.fold()
            self.versions = {**self.lake.versions(SMALL), **known}
            self.folded = datetime.now(UTC)
        self.outbox.settled(self._archived)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """The index, for the questions of one page."""
        with reader(self._path) as sql:
            yield sql

    def once(self, name: str, make: Callable[[], T], also: Collection[str] = ()) -> T:
        """What `make` gives, kept under a name until one of the small tables changes, or one that is named."""
        version = tuple(self.versions.get(table, -1) for table in (*SMALL, *also))
        with self._lock:
            if name in self._once and self._once[name][0] == version:
                return cast(T, self._once[name][1])
            made = make()
            self._once[name] = (version, made)
        return made

    @property
    def clusters(self) -> Clusters | None:
        """The newest cluster run; None before the first."""
        return self.once("clusters", self._clusters)

    @property
    def registry(self) -> Registry:
        """Who serves, and every decision."""
        return self.once("registry", lambda: ledger.fold(self.lake, self.application))

    @property
    def evaluations(self) -> list[Evaluation]:
        """Finished evaluations, oldest first."""
        return self.once("evaluations", lambda: evaluations(self.lake, self.application))

    @property
    def datasets(self) -> list[Version]:
        """Dataset versions, oldest first."""
        return self.once("datasets", lambda: versions(self.lake, self.application))

    @property
    def turn(self) -> Finished | None:
        """The newest finished turn."""
        return self.once("turn", lambda: latest(self.lake, "turn", self.application))

    @property
    def turned(self) -> datetime | None:
        """The instant of the newest turn, or of the newest clustering where no turn is known."""
        return self.turn.as_of if self.turn else self.clusters.run.as_of if self.clusters else None

    def troubles(self, now: datetime) -> list[Trouble] | None:
        """What is wrong now, as nobody but the web app sees it; None before the index is made."""
        if self.folded is None:
            return None
        with self.reading() as sql:
            last = newest(sql, milliseconds(now))
        clusters = self.clusters.watched if self.clusters else []
        return troubles(self.health.seen, at(last) if last else None, self.turned, clusters, now)

    def unsure(self) -> list[str]:
        """What nothing is known of just now: of Kafka before it was asked, of the archiver while it is away."""
        seen = self.health.seen
        away = ("archiver_stopped", "events_lost") if seen.kafka or not seen.asked else ()
        return [subject_of(rule, None) for rule in (*away, *(() if seen.asked else ("kafka_away",)))]

    @property
    def reviews(self) -> list[Evaluation]:
        """Evaluations of waiting candidates about which the gate asks people, each candidate's newest."""
        last = {one.candidate.id: one for one in self.evaluations}
        mine = [last[each.id] for each in self.registry.waiting if each.id in last]
        return [one for one in mine if one.comparison.sampled and one.comparison.sampled.next_look]

    @property
    def names(self) -> dict[str, str]:
        """Cluster id → its name."""
        return {one.cluster_id: one.name for one in self.clusters.every} if self.clusters else {}

    @property
    def embedder(self) -> embed.Embedder:
        """What gives texts their vectors, loaded when it is first asked for. Raises SettingsError."""
        with self._lock:
            if self._embedder is None:
                how = self.settings.cluster
                declared = self.settings.evaluate.private_endpoints
                self._embedder = embed.load(how.embedder, how.embedder_url, how.embedder_key, declared)
            return self._embedder

    def _clusters(self) -> Clusters | None:
        run = latest(self.lake, "cluster", self.application)
        if run is None:
            return None
        return Clusters(
            run,
            run.told(Summary),
            tuple(clusters_of(self.lake, run.run_id)),
            tuple(events_of(self.lake, run.run_id)),
            tuple(proposals_of(self.lake, run)),
            waiting_by_itself(self.lake, run, self.settings.cluster.accept_from),
        )

    def _archived(self, ids: Collection[str]) -> list[str]:
        with self.reading() as sql:
            return [
                each
                for each in ids
                if sql.execute("SELECT 1 FROM feedback WHERE id = ?", (id_of(each),)).fetchone() is not None
            ]

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.refresh()
                self.trouble = ""
            except Exception as error:  # a page says so; the next try may find a lake that is whole again
                self.trouble = f"{type(error).__name__}: {error}"
                _log.exception("the index could not take in what came")
            self._stop.wait(EVERY_S)
