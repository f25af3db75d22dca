"""Settings: every knob with its default and its reason, in one typed object.

Go on to `loading.py`, which makes them of a file and the environment.
Nothing else in the package reads the environment; `flows/cli.py` and `streams/__main__.py` do it once and pass this on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from schemas.kafka_options import refuse_others
from schemas.prompts import Prompt
from schemas.secrets import Secret, SecretUrl
from schemas.serving import AlertSettings, DoorSettings, UiSettings
from schemas.trainer import TrainSettings

Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]
PositiveInt = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0)]
Origin = Literal["accepted", "correction", "regenerate", "ab", "rejected", "guardrail"]
"""What made an interaction an example: its outcome, or what a person did."""
DEFAULT_RECIPE = "all"
"""The recipe that takes everything, whether the settings describe it or not."""
SAMPLE = "sample"
"""The dataset of the newest requests, whatever the recipe: it is what traffic is, not what is wanted of it."""
NO_BROKER = "no Kafka broker is named: start `flywheel up` and wait for its table, or set KAFKA_BOOTSTRAP_SERVERS"


class KafkaSettings(Struct, frozen=True, kw_only=True):
    """How to reach Kafka."""

    bootstrap_servers: str = ""
    """Empty: `flywheel up` starts the embedded broker. `KAFKA_BOOTSTRAP_SERVERS` sets it too."""
    client: dict[str, Secret] = {}
    """librdkafka's options of every client, as security.protocol; none that could load or run a program."""
    partitions: PositiveInt = 4
    """Per topic. The same for interactions and feedback, so that their join is local to a partition."""
    heap: str = "512m"
    """Memory of the embedded broker: it idles at 340 MB."""
    port: int = 0
    """Port of the embedded broker; 0 takes a free one and keeps it for later starts."""

    def __post_init__(self) -> None:
        """Refuse what could run a program."""
        refuse_others(self.client)


class ArchiveSettings(Struct, frozen=True, kw_only=True):
    """Kafka to lake."""

    batch_rows: PositiveInt = 20_000
    """Commit when this many events wait: row groups of 10k and more compress well; chunk size hardly moves speed."""
    batch_bytes: PositiveInt = 64 * 2**20
    """Or this many bytes: bounds memory whatever the events' size."""
    batch_seconds: Positive = 2.0
    """Or when the oldest has waited so long (in a large group half a second a member): the lake's freshness."""
    max_event_bytes: PositiveInt = 2**20
    """A longer event is a dead letter `too_large`: Kafka's own default limit is 1 MiB."""
    dead_letter_bytes: PositiveInt = 64 * 2**10
    """How much of a bad event's value is kept; its full length and SHA-256 always are."""
    group_id: str = "flywheel-archive"
    """Consumer group: archivers of one group share the partitions; its committed offsets are only a lag gauge."""
    accept_loss: bool = False
    """Go on where Kafka's retention has removed events that were never archived, recording each loss as a dead letter
    `lost`. Otherwise the archiver stops and names the offsets: nothing is skipped without a person's word."""
    metrics_port: int = 0
    """Port for Prometheus, and for `/live`, which says whether Kafka is still being asked; 0: none."""
    metrics_host: str = "127.0.0.1"
    """Address that it listens on; it has no password."""
    compact_bytes: PositiveInt = 64 * 2**20
    """Size that the maintain flow joins small files to: some 150,000 interactions, half a GiB in memory."""
    vacuum_hours: PositiveInt = 168
    """How long files that a table no longer needs are kept for readers of its older versions."""
    keep_days: Annotated[int, Meta(ge=0)] = 0
    """Raw rows that arrived longer ago are removed by the maintain flow; 0: never."""
    erasure_grace_h: Annotated[float, Meta(ge=0)] = 72.0
    """Hours that an unsigned erasure from Kafka waits: time to see a forged one, well within the law's month."""
    after_erasure: Literal["accept", "refuse"] = "accept"
    """Events of an erased user that happened after the erasure: `accept` them as a new start, or erase these too."""


class ClusterSettings(Struct, frozen=True, kw_only=True):
    """Failures into named issues."""

    failed_below: Share = 0.3
    """An interaction whose score (0 to 1: how far what was said speaks for it) is below this is failed. With the
    documented guesses a retry alone (4 to 1) is enough, an abandoned conversation alone (2 to 1) is not."""
    ok_from: Share = 0.65
    """At or above this it is ok. Between the two it is unknown: one weak signal, or signals that disagree."""
    signals_off: tuple[str, ...] = ()
    """Signals that are not heard: a kind (`abandon`), a source (`judge:NAME`) or a rule of ours (`found:refusal`)."""
    signal_weights: dict[str, Annotated[float, Meta(ge=0, le=10)]] = {}
    """Scales the log odds that a kind's or source's voice adds; 1 if not named. Reliabilities are estimated still."""
    failing_labels: tuple[str, ...] = ("bad", "wrong", "incorrect", "failed", "harmful", "off_topic")
    """Labels (lower case) that say an interaction failed; any other label says nothing."""
    feedback_cap: PositiveInt = 20
    """Interactions of one day that one user's (or conversation's) feedback may decide: the rest is counted only."""
    subject_cap: PositiveInt = 3
    """Times that one user counts in a cluster's rate per window: k accounts move it by at most 3 k failures."""
    embedder: str = "wordllama"
    """`wordllama` (offline, 15k texts/s), `quality` or `multilingual` (extras), `onnx:FOLDER`,
    `sentence-transformers/MODEL`, `module:name` for one of your own (docs/extending.md), several joined by `+`, or,
    with `embedder_url`, any model that is served there."""
    embedder_url: str = ""
    """Base URL, up to and with `/v1`, of an OpenAI-compatible API that serves embeddings."""
    embedder_key: Secret = Secret()
    """Its bearer token."""
    least_people: PositiveInt = 3
    """A cluster of fewer people shows no name or examples, and each term is said by so many: one may be known by it."""
    min_size: PositiveInt = 5
    """Fewer failures that go wrong alike are not a cluster yet."""
    accept_from: Share = 1.0
    """Runs accept splits and merges proposed with this certainty, of clusters nobody touched. 1: only people do."""
    audit: Annotated[int, Meta(ge=0, le=1000)] = 50
    """Interactions a week that chance puts into the review queue: an honest interval of the failure rate. 0: none."""
    window_hours: Positive = 24.0
    """Trends hold the last window against the seven before it."""
    namer_url: str = ""
    """Base URL, up to and with `/v1`, of an OpenAI-compatible API that names clusters. Empty: distinctive words do."""
    namer_model: str = ""
    """The model that is asked there."""
    namer_key: Secret = Secret()
    """Its bearer token."""


class Recipe(Struct, frozen=True, kw_only=True):
    """Which examples a dataset takes: `[curate.recipes.NAME]` in the settings file. Everything, unless it says less."""

    clusters: tuple[str, ...] = ()
    """Only these cluster ids; empty: any, and those in none."""
    origins: tuple[Origin, ...] = ()
    """Only these signals; empty: any."""
    models: tuple[str, ...] = ()
    """Only answers of these request models; empty: any."""
    prompt_versions: tuple[str, ...] = ()
    days: PositiveInt | None = None
    """Only interactions of so many days before the build."""
    min_score: Share = 0.0
    """Only accepted answers with at least this score."""
    per_cluster: PositiveInt | None = None
    """At most so many rows of one cluster: the best rated; no cluster can drown the others."""


class CurateSettings(Struct, frozen=True, kw_only=True):
    """Interactions into datasets."""

    eval_share: Share = 0.2
    """Share of units whose examples go to eval."""
    salt: Secret = Secret()
    """Keys the split and the names of people in datasets: change it and everybody is dealt anew, so never change it.
    Empty: a secret of this home, made on first use (`<home>/secrets/split`)."""
    sample: PositiveInt = 1000
    """Newest first requests that are held back from training, to decide about what is trained; taught by later builds.
    They hold the some 200 disagreements that a gain of five points takes, where a fifth of the answers differ."""
    hold_back: Share = 0.4
    """But at most this share of all first requests: with little traffic, most of it must teach. 0: none is held back,
    and every decision waits for traffic that comes after its candidate."""
    near_duplicate: Share = 0.85
    """Similarity (1 - insertions and deletions / characters of both) from which two texts are compared word by word;
    they are one where no word differs by more than a typo. docs/datasets.md: how much is found, how much wrongly."""
    paraphrase: Share = 0.75
    """Cosine of vectors from which a train text may say the same as an eval text; 1 switches the check off."""
    paraphrase_margin: Share = 0.15
    """And how far the pair must stand out from the eval text's own neighbourhood: questions of one topic are near one
    another without saying the same (docs/design/splits.md)."""
    max_share: Share = 0.0025
    """Largest share of the rows of a kind that one person may tell or have asked for: twenty accounts hold 5 % at most.
    What is beyond waits in quarantine. 1: no bound."""
    least_rows: PositiveInt = 5
    """But so many rows in a small set, or as many as half of the people have: below 2,000 rows this is what holds."""
    new_hours: Annotated[float, Meta(ge=0)] = 24.0
    """Rows of people first seen so shortly before a build wait in quarantine, unless others who are known longer were
    given the same answer; not before a hundred are known. 0: nobody is new."""
    benchmarks: tuple[str, ...] = ()
    """Files that train must not resemble: JSON lines, JSON, CSV, Parquet, or a text a line (docs/datasets.md)."""
    tokenizer: str = ""
    """Folder of the tokenizer of the model that will be trained: the card of a training set counts its rows' tokens."""
    max_length: PositiveInt = 2048
    """Tokens of a row that will be trained on: the card counts those that are longer."""
    failed_turns: Literal["mask", "cut"] = "mask"
    """Earlier assistant turns that failed: `cut` from the context in every form, or masked in hosted forms too."""
    consent: bool = True
    """What an interaction without `training_consent` counts as."""
    redact: bool = True
    """Personal data and secrets become placeholders such as <EMAIL_1> before anything else is done with a row."""
    regions: tuple[str, ...] = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "IN", "BR", "AU")
    """Whose phone numbers are known without a country code."""
    recognisers: dict[str, str] = {}
    """Personal data of your own: kind → regular expression; a group named `value` marks what to replace."""
    recognise_with: tuple[str, ...] = ()
    """Recognisers of your own in code, `module:name` each, before all others (docs/extending.md)."""
    kinds: tuple[str, ...] = ()
    """Kinds of dataset of your own, `module:name` each, written beside ours (docs/extending.md)."""
    recipes: dict[str, Recipe] = {}
    """Named datasets: `flywheel dataset build NAME`."""


class EvaluateSettings(Struct, frozen=True, kw_only=True):
    """Eval set and models into scores."""

    eval_set: str = SAMPLE
    """Decides about candidates that name no other: `sample`, people's reviews of how the newest requests are answered;
    or a fixed set: the newest eval set of this recipe, or the one frozen so."""
    scorer: str = "auto"
    """What scores answers (docs/evaluation.md), or `module:name`. `auto` follows from the references: exact kinds where
    they are short or structured, else the judge where one is set, else nobody."""
    scorer_options: dict[str, Any] = {}
    """Of that scorer: pattern, schema, tolerance, threshold, …"""
    samples: Annotated[int, Meta(ge=1, le=100)] = 1
    """Answers per item and model; 3 or more for models that are not deterministic."""
    stream: bool = False
    """Ask for a stream, which gives the time to the first token."""
    connections: Annotated[int, Meta(ge=1, le=1000)] = 16
    """Requests in flight per run, to both models together; a slow endpoint is sent fewer, down to one at a time."""
    timeout_s: Positive = 120.0
    """Seconds until an answer counts as missing: on a CPU, long generations take a minute."""
    start_timeout_s: Positive = 300.0
    """Seconds until the endpoint that a candidate's command serves must answer: large weights load for minutes."""
    tries: Annotated[int, Meta(ge=1, le=20)] = 5
    """Times that a request is sent before its item counts as unscored."""
    backoff_s: Positive = 0.5
    """Try n waits a random time up to `backoff_s · 2^n`, at most 30 s."""
    retry_after_max_s: Positive = 60.0
    """A server that asks for a longer wait is asked again after this one."""
    give_up_after: PositiveInt = 20
    """An endpoint that failed so many requests in a row, each after all its tries, is not asked again."""
    max_response_bytes: PositiveInt = 4 * 2**20
    """A longer answer is none: 4 MiB are some million tokens."""
    max_requests: Annotated[int, Meta(ge=0)] = 0
    """Requests that one evaluation may make, the judge's and repeated ones too; 0: no cap."""
    max_cost_usd: Annotated[float, Meta(ge=0)] = 0.0
    """What one evaluation may cost by `prices`; 0: no cap."""
    prices: dict[str, tuple[float, float]] = {}
    """Model → USD per million input tokens and per million output tokens."""
    share_answers: bool = False
    """Re-use the answers of other evaluations on the same eval set: cheaper, but the two models are then not asked
    side by side, and their latencies are not compared."""
    private_endpoints: tuple[str, ...] = ("127.0.0.1", "localhost", "::1")
    """Hosts that may be called although their address is not public."""
    api_keys: dict[str, Secret] = {}
    """Endpoint → key, sent to that endpoint only."""
    prompts: dict[str, Prompt] = {}
    """Prompt version → its system message, or all messages that it puts before a conversation, examples among them."""
    judge_endpoint: str = ""
    """Scorers `judge` and `pairwise_judge`: base URL of the model that judges."""
    judge_model: str = ""
    """Its name there; best of another family than the models that it judges."""
    judge_parameters: dict[str, Any] = msgspec.field(
        default_factory=lambda: {"temperature": 0, "max_tokens": 512, "response_format": {"type": "json_object"}}
    )
    """Sent with each question to the judge: a short, steady answer. Change it where its server knows other words."""
    rubric: str = "The reply answers the request correctly and completely; it invents nothing."
    """What a judge is to look for, where the item brings no rubric of its own."""


class GateSettings(Struct, frozen=True, kw_only=True):
    """Comparison into verdict. What each knob does to the error rates: docs/gate.md."""

    policy: Literal["better", "as_good"] = "better"
    """`better`: superior overall, not worse on any protected slice. `as_good`: not worse overall nor on any protected
    slice, for a candidate that is cheaper or faster."""
    alpha: Annotated[float, Meta(gt=0, lt=0.5)] = 0.05
    """How often a decision may be wrong: one promoted that is not better (`better`) or worse by a margin, one blocked
    that is worse nowhere. Measured in the worlds of docs/gate.md; a later candidate on the same items has a third."""
    margin: Annotated[float, Meta(gt=0, lt=1)] = 0.03
    """How much worse still counts as not worse, overall. Zero would be superiority: that is the policy `better`."""
    slice_margin: Annotated[float, Meta(gt=0, lt=1)] = 0.1
    """The same in one slice, where there are fewer items."""
    protected: list[str] = []
    """Slices (cluster ids) that must be proven not worse. Keep them few: each costs items (docs/gate.md)."""
    min_items: PositiveInt = 30
    """Below this the verdict is inconclusive whatever the numbers say."""
    min_slice_items: PositiveInt = 10
    """A slice with fewer scored items is listed, not tested: it could only dilute the tests of the others."""
    min_units: PositiveInt = 100
    """The same for units (users or conversations) of two items or more each: of fewer, one lost is easily missed."""
    max_unscored: Share = 0.02
    """More missing scores than this: inconclusive, since what is missing may not be missing at random."""
    pass_score: Share = 0.5
    """From this score an item counts as passed in the lists of fixed and regressed items; no test uses it."""
    max_latency_ratio: Positive = 2.0
    """The candidate's typical latency over the champion's may not be shown to be above this."""
    max_cost_ratio: Positive = 2.0
    """The same for the cost of all answers."""
    reviews: Annotated[tuple[PositiveInt, ...], Meta(min_length=1, max_length=10)] = (50, 100, 200)
    """After how many blind reviews of disagreements the gate looks, in growing order; it asks for no more than the
    last. 200 find a gain of five points where the answers differ in three requests of ten (docs/gate.md)."""
    approval: bool = False
    """A person must agree to each promotion: in the Prefect UI, or with `flywheel promote --approve`."""
    mlflow_uri: SecretUrl = SecretUrl()
    """Tracking URI of an MLflow registry that mirrors the ledger (extra `registry`); empty: none."""
    mlflow_model: Annotated[str, Meta(pattern="^[A-Za-z0-9_. -]{1,128}$")] = "llm-flywheel"
    """Name of the registered model whose aliases `champion` and `challenger` follow the ledger."""

    def few(self, items: int, units: int) -> bool:
        """Whether so many items come from too few units; where each has one of its own, `min_items` speaks of both."""
        return units < self.min_units and items >= 2 * units

    @property
    def level(self) -> float:
        """Level of the overall test, and of all harm tests together.

        Equal models can be wronged both ways by `better`, by a promotion or by a block: each way gets half of alpha, as
        in a two-sided test (ICH E9 §5.5 asks the same of one-sided ones). `as_good` promotes equal models rightly.
        """
        return self.alpha / 2 if self.policy == "better" else self.alpha


class TriageSettings(Struct, frozen=True, kw_only=True):
    """Live failure rates and alerts."""

    window_s: Positive = 300.0
    """Width of a window of event time: five minutes hold enough votes of a busy application to say something."""
    alert_rate: Share = 0.5
    """Failure rate of a window that raises an alert."""
    alert_clear_rate: Share = 0.4
    """Failure rate of a window that ends it: lower than `alert_rate`, so that a rate that hovers does not chatter."""
    alert_min: PositiveInt = 50
    """Judged interactions a window needs before it may alert."""
    canary_alpha: Share = 0.01
    """Share of harmless promotions that may ever be rolled back beside a control, however long they are watched;
    against the rate before (docs/operations.md) it may be more. 0 watches only."""
    canary_margin: Share = 0.02
    """How much more often than the champion before a new one may fail: traffic changes a little by itself."""
    canary_beside: bool = True
    """Take back on what users say whom the former champion still serves beside the new one; its rate before only
    warns. False: take back on the rate before, too."""
    canary_delay_s: Positive = 6 * 3600.0
    """How long after a user's request its feedback is awaited: a user counts by what was said until then, failures
    that are told sooner than successes no more than these."""
    canary_accounts: Count = 12
    """So many accounts together cannot have a champion taken back: what the others said must be enough."""
    keep_interactions: PositiveInt = 50_000
    """Per partition, how many of the newest interactions wait for feedback: 0.4 KB each; later feedback is `late`.
    Also how many users of watched champions are noted: where there are more, a sample of them is."""
    keep_windows: PositiveInt = 10_000
    """How many of the newest windows are kept, over all groups: a day of 34 groups."""
    web_port: int = 6066
    """Port of the live page; 0 takes a free one."""
    web_host: str = "127.0.0.1"
    """Address that the live page listens on. It has no password: open it only in a container or a closed network."""
    web_names: tuple[str, ...] = ()
    """Names under which the live page may be asked for, beside `localhost` and addresses; others get 421."""


class Settings(Struct, frozen=True, kw_only=True):
    """All settings; `home` holds everything that is written."""

    home: str = ".flywheel"
    """Data root: everything that is written lies below it."""
    application: str = "support-bot"
    """The application whose events the flows work on; one lake holds many."""
    lake: str = ""
    """Root of the tables: a folder or `s3://…`, `gs://…`, `az://…`. Empty: `<home>/lake`."""
    storage_options: dict[str, Secret] = {}
    """Passed to the object store of the lake, and to `store`."""
    store: str = ""
    """Where machines share dataset folders and reports: `s3://BUCKET/PREFIX`, `file:///FOLDER`. Empty: nowhere."""
    engine: str = ""
    """Who answers what turns ask: empty DuckDB; with the extra `spark` `sc://…`, `spark://…`, `local[2]` a Spark."""
    prefect_port: int = 4200
    """Port of the Prefect server and its UI, on loopback."""
    trusted_keys: tuple[str, ...] = ()
    """Public keys whose decisions are believed, beside this home's own (`flywheel ledger key` prints it)."""
    kafka: KafkaSettings = KafkaSettings()
    archive: ArchiveSettings = ArchiveSettings()
    cluster: ClusterSettings = ClusterSettings()
    curate: CurateSettings = CurateSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    gate: GateSettings = GateSettings()
    train: TrainSettings = TrainSettings()
    triage: TriageSettings = TriageSettings()
    door: DoorSettings = DoorSettings()
    ui: UiSettings = UiSettings()
    alerts: AlertSettings = AlertSettings()

    @property
    def home_path(self) -> Path:
        """The data root as an absolute path."""
        return Path(self.home).expanduser().resolve()

    @property
    def lake_root(self) -> str:
        """The root of the lake's tables."""
        return self.lake or str(self.home_path / "lake")

    @property
    def datasets_path(self) -> Path:
        """The folder of exported dataset versions."""
        return self.home_path / "datasets"


SECTIONS: dict[str, type[Struct]] = {
    field.name: field.type for field in msgspec.structs.fields(Settings) if isinstance(field.type, type(Struct))
}
