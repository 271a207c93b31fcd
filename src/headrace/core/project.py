"""What a project promises: the typed form of ``headrace.yaml``."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from headrace.core.alerts import Severity
from headrace.core.canonical import ADDED

Task = Literal[
    "classification", "regression", "forecasting", "anomaly_detection", "clustering", "text_generation"
]
Risk = Literal["low", "medium", "high"]
ColumnRole = Literal["numeric", "categorical", "text", "image", "ignored"]
Action = Literal["warn", "review", "automatic"]
_PUBLIC = Literal["legal_obligation", "vital_interests", "public_task"]
Basis = Literal["not_personal", "consent", "contract", _PUBLIC, "legitimate_interests"]
TimedTarget = Literal["max_age_s", "max_step_s", "max_gap_s", "max_delay_s"]
Target = Literal[TimedTarget, "min_rows", "max_rows", "max_read_s", "max_cost"]
"""What a dataset can be held to at each arrival: see :data:`headrace.checks.arrivals.MEASURES`."""
Price = Literal["arrival", "gb"]
Delivery = Literal["target_days", "stalled_days", "machine_hour_price", "person_step_price"]
Handling = Literal["keep", "redact", "measure", "mask", "hash", "drop"]


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Somebody to call."""

    name: str
    contact: str


@dataclass(frozen=True, kw_only=True)
class Column:
    """One input of the model: its name and how it is read; ``text`` is free text, no category; ``image`` is
    base64."""

    name: str
    role: ColumnRole
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """Inputs that come from a table of their own, each row with what was known of its entity at its time.

    Attributes:
        source: path of a CSV or Parquet file, relative to the project.
        columns: which inputs come from there; ``data.columns`` says what each of them is.
        key: column that names the entity, in this table and in the project's own.
        time: since when a row's values hold; the project's own rows are at ``data.time``.
        known: when a row's values came to be known, where that can be later than ``time``.
        owner: whom to ask; the project's owner unless somebody else is named.
        targets, prices: as of the project's own table.
    """

    name: str
    source: str
    columns: tuple[str, ...]
    key: str
    time: str
    known: str | None = None
    owner: Owner | None = None
    documentation: str = ""
    targets: dict[Target, float] = field(default_factory=dict, metadata=ADDED)
    prices: dict[Price, float] = field(default_factory=dict, metadata=ADDED)


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """Where the data is and what its columns mean.

    Attributes:
        source: path of a CSV or Parquet file, relative to the project, or ``project.py`` when a
            function decorated with ``@headrace.source`` makes the table.
        target: column to predict. Of anomaly detection and clustering what an answer is called; no such
            column is needed.
        time: column that says when a row happened; splits and windows follow it.
        key: column that names the entity; labels are joined by it.
        unit: of the target, such as EUR or minutes; whoever is told of the model is told it.
        positive: of two classes the one that ``precision``, ``recall`` and the like are about, and that
            ``probability`` is of; the last in order when not set.
        columns: the inputs of the model, in the order in which it sees them.
        lags_days, horizon_days: forecasting only: which past values are inputs, and how many days
            ahead a forecast is made.
        rules: what holds in every row, such as ``arrival >= departure`` or ``fuel in gas, diesel``.
        features: inputs that come from other tables.
        targets: what each arrival of the table is held to.
        prices: what an arrival costs, and each 10^9 bytes of it, in the unit of the target ``max_cost``.
    """

    source: str
    target: str
    time: str | None = None
    key: str | None = None
    columns: tuple[Column, ...] = ()
    lags_days: tuple[int, ...] = ()
    horizon_days: int = 7
    documentation: str = ""
    unit: str = ""
    rules: tuple[str, ...] = field(default=(), metadata=ADDED)
    features: tuple[FeatureSpec, ...] = field(default=(), metadata=ADDED)
    targets: dict[Target, float] = field(default_factory=dict, metadata=ADDED)
    prices: dict[Price, float] = field(default_factory=dict, metadata=ADDED)
    positive: str | float | bool | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True, kw_only=True)
class SplitSpec:
    """How rows are divided: ``random`` (seeded, by row content) or ``sequential`` (by time)."""

    policy: Literal["random", "sequential"] = "random"
    test_fraction: float = 0.3
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to make a model; ``trainer`` names a function in ``project.py``."""

    name: str
    trainer: str
    params: dict[str, float | int | str | bool] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DataGate:
    """Gate 1. ``segment`` names a column; segments with too few good rows are not trained on.

    ``max_unfit_fraction``: share of the rows that may be wrong or dirty; none when not set.
    """

    min_rows: int = 50
    max_null_fraction: float = 0.5
    segment: str | None = None
    min_rows_per_segment: int = 20
    max_unfit_fraction: float | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True, kw_only=True)
class ModelGate:
    """Gate 2. ``metric`` is a loss (smaller is better).

    Attributes:
        max_loss: absolute limit in the metric's own unit; none when not set.
        margin: how much worse than the champion a candidate may be, as a share of its loss.
        confidence: level of the paired interval.
        max_moved: how far its answers may be from the live model's, over all test rows and in each segment:
            the share of other decisions, or of numbers the mean distance in standard deviations; none when
            not set.
    """

    metric: str
    max_loss: float | None = None
    margin: float = 0.02
    confidence: float = 0.95
    max_moved: float | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True, kw_only=True)
class MetricSpec:
    """One more measure of every version on its test rows, and of live answers in every window.

    Attributes:
        name: one that Headrace knows, or a function marked ``@headrace.metric`` in ``project.py``.
        business: whether it says what an answer is worth to the business.
        unit: of its values, such as EUR.
        max, min: what a release may have; a release beyond it fails the gate ``metrics``.
        by: for ``ndcg``, ``map`` and ``mrr``: the input that names the list which an item stands in.
    """

    name: str
    business: bool = False
    unit: str = ""
    max: float | None = None
    min: float | None = None
    by: str | None = None


@dataclass(frozen=True, kw_only=True)
class KpiSpec:
    """What the answers of each version bring, by the feedback that comes about them.

    Attributes:
        event: name of the events that count. ``label`` is the truth itself. Needed but for ``deviation``, for
            which every action counts unless one is named.
        measure: ``share`` of the answers that have such an event; ``mean`` of its values, over the answers
            that have one; ``per_answer``: sum of its values, divided by the number of all answers;
            ``deviation`` of what was done from the answer: the share that differs, of numbers the mean
            absolute difference.
        unit: of the values, such as EUR.
        by_action: whether it is also measured for each action that was taken on the answers.
        worse: in which direction it gets worse; a canary that is shown to go there is aborted.
    """

    name: str
    event: str = ""
    measure: Literal["share", "mean", "per_answer", "deviation"] = "share"
    unit: str = ""
    by_action: bool = False
    worse: Literal["", "lower", "higher"] = field(default="", metadata=ADDED)


@dataclass(frozen=True, kw_only=True)
class FairnessSpec:
    """Whose answers are compared, and how far apart they may be. For classification.

    Attributes:
        groups: columns whose values name the groups. Any column of the table is judged on the test rows; only
            recorded inputs are watched live.
        favourable: the class that is good for whom it concerns.
        max_difference: largest difference between two groups in how often they get it, and in both error
            rates.
        min_rows: groups with fewer rows are listed and not compared.
    """

    groups: tuple[str, ...]
    favourable: bool | int | float | str
    max_difference: float = 0.1
    min_rows: int = 30


@dataclass(frozen=True, kw_only=True)
class PackageGate:
    """Gate 3a. ``tolerance`` is relative to the spread of the original's outputs."""

    tolerance: float = 1e-3


@dataclass(frozen=True, kw_only=True)
class Gates:
    """All that must pass before a release may be approved."""

    data: DataGate
    model: ModelGate
    package: PackageGate = PackageGate()


@dataclass(frozen=True, kw_only=True)
class RolloutSpec:
    """How a release goes live.

    Attributes:
        steps: shares of traffic in percent, growing; promotion follows the last. At 0 the candidate is a
            shadow: it is asked what the champion is asked, and its answers are only recorded and compared.
        min_requests: answers by the candidate before a step may end.
        min_labels: labelled rows before quality is judged; 0 judges without labels.
        max_error_rate: share of failed answers that the candidate may have.
        interval_s: time between two looks.
        timeout_s: a step that is still inconclusive after this long is rolled back.
    """

    steps: tuple[int, ...] = (10, 50)
    min_requests: int = 50
    min_labels: int = 0
    max_error_rate: float = 0.02
    interval_s: float = 5.0
    timeout_s: float = 86_400.0


@dataclass(frozen=True, kw_only=True)
class ReferenceDays:
    """Days, from the first to the last (UTC, event time), whose answers others are compared with."""

    first_day: date
    last_day: date


@dataclass(frozen=True, kw_only=True)
class MonitorSpec:
    """What is watched; a finding needs evidence and size.

    Attributes:
        window_s: length of a window in event time.
        false_alarms: expected number of false findings per release and quarter, over all that is watched.
        shift: in standard deviations (:attr:`headrace.checks.drift.Shift.size`), from which a shift is large
            enough to report.
        loss_ratio: ratio to the reference loss at which performance counts as degraded.
        min_rows: fewer rows than this give an inconclusive window, never an alarm.
        calls_change: share by which an hour's calls may differ from the same hour of the day and of the week
            before; 0.4 is 40 %.
        segments: inputs by whose values performance is watched; if none are named, those with few categories.
        class_gap: difference between the shares of a class among answers and among labels from which it is
            reported.
        reference: days to compare with; what the release was trained on unless some are named.
    """

    window_s: int = 604_800
    false_alarms: float = 1.0
    shift: float = 0.08
    loss_ratio: float = 1.1
    min_rows: int = 30
    calls_change: float = 0.4
    segments: tuple[str, ...] = ()
    class_gap: float = 0.1
    reference: ReferenceDays | None = None


@dataclass(frozen=True, kw_only=True)
class OutputSpec:
    """What an answer may be; any other is impossible, and found.

    Attributes:
        lowest, highest: of a number.
        classes: of a classifier; those that it has learnt, unless they are named here. Of clustering the
            clusters, which must be named: 0, 1 and so on.
        budget: of anomaly detection: the share of rows that somebody can look at, and so of those flagged.
    """

    lowest: float | None = None
    highest: float | None = None
    classes: tuple[bool | int | float | str, ...] = ()
    budget: float = field(default=0.01, metadata=ADDED)


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """When ``when`` happens, do ``do``: warn, prepare for review, or act.

    Attributes:
        min_labels: new labels since the live model was trained, before a retraining can learn anything
            (not asked for ``code``); for ``labels`` also what raises the alert.
        every_s: for ``schedule``: age of the live model, in event time.
        cooldown_s: least time between two retrainings, in event time.
    """

    when: Literal["drift", "performance", "labels", "schedule", "code"]
    do: Action = "warn"
    min_labels: int = 1000
    every_s: int = 2_592_000
    cooldown_s: int = 604_800


@dataclass(frozen=True, kw_only=True)
class FallbackSpec:
    """What answers when the live release can no longer be trusted, until a better one is rolled out.

    Attributes:
        to: ``constant`` (the mean, or the share of each class, of the training rows), the name of a variant,
            or an earlier version of the project, such as ``cars@2``.
        do: warn; propose it for a person to decide; or move the traffic at once.
        loss_ratio: ratio of the live loss to that on the test rows from which the live release is degraded
            beyond trust.
        failures: so many requests of the last minute must have failed, more often than
            ``rollout.max_error_rate`` allows; what cannot be loaded fails, too.
    """

    to: str = "constant"
    do: Action = "review"
    loss_ratio: float = 2.0
    failures: int = 10


@dataclass(frozen=True, kw_only=True)
class OnlineSpec:
    """A variant that goes on learning from labelled answers; what it has learnt is released like any other.

    Attributes:
        variant: its trainer returns an :class:`headrace.training.online.OnlineModel`.
        every_labels: rows that are learnt together; they test what was learnt before first.
    """

    variant: str
    every_labels: int = 500


@dataclass(frozen=True, kw_only=True)
class AlertRoute:
    """Where some alerts go. What is left out fits every alert.

    Attributes:
        kind: of the finding.
        metric: the input, metric or group that the finding is about; of ``performance``, the loss.
        above: the size that a finding must have reached, in the unit of its kind: others are not told.
        channels: names of the server's channels; with none, nobody is told.
    """

    channels: tuple[str, ...]
    kind: str | None = None
    metric: str | None = None
    severity: Severity | None = None
    above: float | None = None


@dataclass(frozen=True, kw_only=True)
class AlertSpec:
    """Who is told of alerts, and how. The owner and the team are told by channels that tell persons.

    Attributes:
        channels: for alerts that no route fits, unless they only inform.
        routes: the first one that fits decides.
        escalate_after_s: an alert that nobody has acknowledged for this long is told to others; None: never.
        escalate_channels: by which; channels that tell persons tell the owner alone.
        close_within_s: how long a violation of fairness or of the rules may stay open before it is overdue.
    """

    channels: tuple[str, ...] = ("email",)
    routes: tuple[AlertRoute, ...] = ()
    escalate_after_s: int | None = None
    escalate_channels: tuple[str, ...] = ()
    close_within_s: int = 2_592_000


@dataclass(frozen=True, kw_only=True)
class ReviewSpec:
    """How often a person looks at whether the live release is still fit for its use.

    Attributes:
        every_days: no longer than so many days after it went live, and after each review; 90 at most where
            the risk is high, and unset, never elsewhere.
        by: the person, by name, or the role that does; unset, whoever may approve the release.
    """

    every_days: int | None = None
    by: str = ""


@dataclass(frozen=True, kw_only=True)
class PrivacySpec:
    """What may be kept about people, why, and for how long.

    Attributes:
        basis: why the data may be collected at all; ``not_personal`` where it is about nobody. Without one
            no dataset is registered.
        purpose: what it is collected for, in words.
        retention_days: answers and outcomes are deleted when they are older.
        fields: input or key column to how its values are written into the record of answers.
        encrypt: whether answers, labels and tables are encrypted on disk; unset, where the data is about
            people.
        recognisers: what looks for values to redact; ``presidio`` needs the extra ``[privacy]``.
    """

    basis: Basis | None = None
    purpose: str = ""
    retention_days: int = 365
    fields: dict[str, Handling] = field(default_factory=dict)
    encrypt: bool | None = None
    recognisers: tuple[Literal["builtin", "presidio"], ...] = ("builtin",)

    @property
    def encrypted(self) -> bool:
        """Whether what is written from now on is encrypted."""
        return self.personal if self.encrypt is None else self.encrypt

    @property
    def personal(self) -> bool:
        """Whether the data has to be treated as being about people; until somebody says, it is."""
        return self.basis != "not_personal"


@dataclass(frozen=True, kw_only=True)
class Value:
    """Why the model is worth having and how that will be seen."""

    hypothesis: str
    kpi: str


@dataclass(frozen=True, kw_only=True)
class Governance:
    """What was thought about before anything was built. The last five answers give the least risk tier.

    Attributes:
        affected: who is affected by the answers.
        harms: what could go wrong, for whom, and whom it could treat worse than others.
        fairness: protected attributes that were considered, or why there are none.
        security: how it could be abused.
        automation: what an answer does: informs somebody, recommends something, or decides by itself.
        impact: how much an answer matters to a person it concerns.
        scale: how many people are concerned in a year.
        reversible: whether a wrong answer can be undone.
        personal_data: whether the data is about persons; ``sensitive`` as in article 9 of the GDPR.
        assumed: names of answers (and ``contact``, ``hypothesis``, ``kpi``) that nobody has confirmed yet.
    """

    affected: str = ""
    harms: str = ""
    fairness: str = ""
    security: str = ""
    automation: Literal["informs", "recommends", "decides"] | None = None
    impact: Literal["minor", "material", "serious"] | None = None
    scale: Literal["few", "thousands", "millions"] | None = None
    reversible: Literal["at_once", "with_effort", "never"] | None = None
    personal_data: Literal["none", "personal", "sensitive"] | None = None
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ServiceLevel:
    """What callers may rely on.

    Attributes:
        p99_ms: time within which 99 of 100 requests are answered.
        requests_per_s: up to so many requests per second, at which the rest holds.
        availability: share of valid requests that are answered.
    """

    p99_ms: float
    requests_per_s: float
    availability: float = 0.999


@dataclass(frozen=True, kw_only=True)
class ServingSpec:
    """How answers are given: once they are ``stored``, or at once (``best_effort``), when a process that dies
    may take those of the last second with it.

    Attributes:
        on_record_failure: what becomes of an answer that cannot be recorded: nobody gets it (``refuse``), or
            its caller does, told that it is not on record (``serve``).
        concurrency: how many requests a model that takes its time answers at once, each in its own process
            where it is kept in one; models that answer within microseconds need none of the three.
        queue: how many more may wait for it; others are refused at once.
        timeout_s: how long an answer may take, and how long a request may wait for its turn.
        level: what callers may rely on; nothing is promised without it.
        compress_above_bytes: records of answers that are longer are written in compressed form.
        explain_share: share of the answers, from 0 to 1, that are explained after they were given; what was
            found is kept beside the record.
        explainer: ``shapley``, ``lime``, or the name of a function marked ``@headrace.explainer``.
    """

    durability: Literal["stored", "best_effort"] = "stored"
    on_record_failure: Literal["refuse", "serve"] = "refuse"
    concurrency: int = 1
    queue: int = 64
    timeout_s: float = 10.0
    level: ServiceLevel | None = None
    compress_above_bytes: int = field(default=65_536, metadata=ADDED)
    explain_share: float = field(default=0.0, metadata=ADDED)
    explainer: str = field(default="shapley", metadata=ADDED)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a release answers under: how its answers are kept, and how surely.

    Attributes:
        privacy: with every input's handling written out.
        key: the column of the business key, if the project names one; ``keys``: how business keys are kept.
        review_days: so often it is reviewed at least, if the project says how often.
    """

    privacy: PrivacySpec
    serving: ServingSpec
    key: str | None
    keys: Handling
    review_days: int | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True, kw_only=True)
class DeploymentSpec:
    """Where releases are meant to answer; ``rollout`` says how they get there.

    Attributes:
        target: one machine (``laptop``, ``server``) or a cluster (``kubernetes``).
        database: of the metadata; several servers share one in Postgres.
        servers: how many there are, and with how many ``processes`` each answers.
    """

    target: Literal["laptop", "server", "kubernetes"] = "laptop"
    database: Literal["sqlite", "postgres"] = "sqlite"
    servers: int = 1
    processes: int = 1


@dataclass(frozen=True, kw_only=True)
class Project:
    """A project as declared.

    Attributes:
        approval: who decides: nobody (automatic) or a person.
        team: who else is responsible for the model.
        tags: words by which it is found among many, such as ``pricing``.
        deployment: where it is meant to answer; what it is compared with once it does.
        intake: why it was taken on: :class:`headrace.projects.intake.Intake`, as it is written.
        llm: what calls may spend: :class:`headrace.projects.llm.Llm`, as it is written.
        delivery: days that a release may take from data to live, and in one step before it has stalled; what
            an hour of a machine costs, and a person's part in a step.
        proofs: what else is proved of a release: :class:`headrace.projects.proofs.Proofs`, as it is written.
    """

    name: str
    task: Task
    owner: Owner
    value: Value
    data: DataSpec
    gates: Gates
    variants: tuple[Variant, ...]
    risk: Risk = "medium"
    approval: Literal["automatic", "manual"] = "manual"
    seed: int = 0
    split: SplitSpec = SplitSpec()
    rollout: RolloutSpec = RolloutSpec()
    monitors: MonitorSpec = MonitorSpec()
    outputs: OutputSpec = OutputSpec()
    triggers: tuple[Trigger, ...] = ()
    governance: Governance = Governance()
    privacy: PrivacySpec = PrivacySpec()
    serving: ServingSpec = ServingSpec()
    metrics: tuple[MetricSpec, ...] = ()
    kpis: tuple[KpiSpec, ...] = field(default=(), metadata=ADDED)
    fairness: FairnessSpec | None = None
    team: tuple[Owner, ...] = ()
    alerts: AlertSpec = AlertSpec()
    tags: tuple[str, ...] = field(default=(), metadata=ADDED)
    review: ReviewSpec = field(default=ReviewSpec(), metadata=ADDED)
    fallback: FallbackSpec | None = field(default=None, metadata=ADDED)
    online: OnlineSpec | None = field(default=None, metadata=ADDED)
    delivery: dict[Delivery, float] = field(default_factory=dict, metadata=ADDED)
    deployment: DeploymentSpec | None = field(default=None, metadata=ADDED)
    intake: dict[str, Any] = field(default_factory=dict, metadata=ADDED)
    proofs: dict[str, Any] = field(default_factory=dict, metadata=ADDED)
    llm: dict[str, Any] = field(default_factory=dict, metadata=ADDED)
