"""What production leaves behind: answers, truth, and what was concluded from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Arm = str
"""In which part a release was asked: ``live``, ``canary``, ``shadow``, ``fallback``, or the name of its arm
in an A/B test. What a shadow says is recorded and given to nobody."""

FINDING_KINDS = tuple(
    "data_drift prediction_drift new_segment columns performance concept_drift estimate coverage bias metric "
    "deviation fairness answers traffic latency service_level labels schedule code registration compliance "
    "review fallback learning handoff draft".split()
)
"""Kinds of findings."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One answered request of one or more rows.

    Attributes:
        columns: input name to values, each of length ``n_rows``.
        outputs: output name to values, each of length ``n_rows``.
        event_time: when the thing predicted happened or will happen; the request may say.
        keys: business keys of the rows, by which labels can be joined.
        unseen: inputs that hold a category which training never saw; none is the usual case.
        trace_id: of the trace that the request belongs to (W3C trace context), if it named one.
    """

    id: str
    project: str
    release_id: str
    arm: Arm
    principal: str
    at: datetime
    event_time: datetime
    n_rows: int
    columns: dict[str, list[Any]]
    outputs: dict[str, list[Any]]
    keys: list[str] | None = None
    request_id: str | None = None
    prepare_ms: float = 0.0
    infer_ms: float = 0.0
    unseen: list[str] | None = None
    trace_id: str | None = None

    @property
    def confidence(self) -> list[float] | None:
        """The probability of each row's predicted class; none for a model that gives no probabilities.

        It follows from ``outputs``, so every record has it; of two classes, they hold the last one's.
        """
        probability = self.outputs.get("probability")
        if probability is None:
            return None
        return [max(p) if isinstance(p, list) else max(p, 1.0 - p) for p in probability]

    @property
    def answers(self) -> dict[str, list[Any]]:
        """What the caller gets: the outputs and, where there is one, the confidence."""
        confidence = self.confidence
        return self.outputs if confidence is None else {**self.outputs, "confidence": confidence}


@dataclass(frozen=True, kw_only=True)
class Unrecorded(Prediction):
    """An answer that could not be recorded and is given all the same, because its project has it so."""


@dataclass(frozen=True, kw_only=True)
class Noted(Prediction):
    """An answer that is given before it is recorded, because its project has it so."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A request that was valid and that the model of a release could not answer."""

    id: str
    project: str
    release_id: str
    arm: Arm
    principal: str
    at: datetime
    n_rows: int
    error: str
    request_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Requests of one sender that were refused alike: their columns are not what the model expects.

    One that names no column counts those of a sender with too many kinds of them.

    Attributes:
        at: when the last of them came, ``since``: the first.
        n: how many they are.
        missing: inputs that they lack; ``unknown``: columns that the model does not know.
        mistyped: by input, what they hold instead, in words and without a value.
    """

    id: str
    project: str
    release_id: str
    principal: str
    at: datetime
    since: datetime
    n: int
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    mistyped: dict[str, str] = field(default_factory=dict)


Method = Literal["trees", "linear", "all_subsets", "sampled", "lime", "own"]
Scale = Literal["output", "probability", "log_odds", "log"]


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What the trees of a model asked of one input on a row's way through them, all of them together.

    Attributes:
        above, at_most: for numbers: the value is more than the one and at most the other; None: no limit.
        among: for categories and booleans: those that go the same way.
        missing: the row has no value, and the trees asked whether it has one.
    """

    input: str
    above: float | None = None
    at_most: float | None = None
    among: list[str | float | bool] | None = None
    missing: bool = False

    @property
    def text(self) -> str:
        """In words.

        >>> Condition(input="mileage", above=12000.0, at_most=18250.5).text
        'mileage > 12000 and <= 18250.5'
        """
        if self.missing:
            return f"{self.input} is missing"
        if self.among is not None:
            return f"{self.input} in {', '.join(map(str, self.among)) or 'none that training saw'}"
        limits = ((">", self.above), ("<=", self.at_most))
        said = [f"{sign} {limit:.12g}" for sign, limit in limits if limit is not None]
        return f"{self.input} {' and '.join(said) or 'has a value'}"


@dataclass(frozen=True, kw_only=True)
class Contributions:
    """What moved one row: ``base + sum(contributions) == value``, except by a function of the project.

    Attributes:
        of: the class whose probability or score is explained: of two classes the last one, of more the
            predicted one; None for a number.
        base: the mean over the background.
        value: what the model says of the row, on the scale of the explanation.
        contributions: by raw column; positive ones raised the value.
        standard_errors: of the contributions; None where they are exact.
        confidence: the probability of the predicted class; None where there are none.
        fidelity: for LIME: share of the variance around the row that its local model explains, at most 1.
        path: for trees: every row that meets all conditions takes the same way through each of them, and so
            has the same answer; None for other models.
    """

    of: str | float | bool | None
    base: float
    value: float
    contributions: dict[str, float]
    standard_errors: dict[str, float] | None = None
    confidence: float | None = None
    path: list[Condition] | None = None
    fidelity: float | None = None


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What moved each row of an answer.

    Attributes:
        method: ``trees`` and ``linear`` are exact before the link; ``all_subsets`` is exact on the output;
            ``sampled`` is unbiased, with standard errors; ``lime`` is a local model; ``own`` is what a
            function of the project says.
        scale: of base, value and contributions: ``output`` (the prediction's own unit), ``probability``,
            ``log_odds`` (of several classes: the score before softmax), or ``log`` of the prediction.
        background_rows: how many rows of the training set the base is the mean of.
    """

    method: Method
    scale: Scale
    background_rows: int
    rows: list[Contributions]


@dataclass(frozen=True, kw_only=True)
class Explained:
    """An explanation that is kept with the answer ``id`` of the record; one of its rows for each of the
    answer's, in their order."""

    id: str
    project: str
    release_id: str
    at: datetime
    explanation: Explanation


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What turned out to be true, joined to a prediction by its row id or by key.

    Attributes:
        subject: a prediction row id (``<prediction id>:<row>``) or a business key.
        kind: label, rating, correction or dwell.
        observed_at: when it became known, in event time.
    """

    id: str
    project: str
    kind: Literal["label", "rating", "correction", "dwell"]
    subject: str
    value: float | str | bool
    observed_at: datetime
    at: datetime
    principal: str


FeedbackKind = Literal["interaction", "reaction", "action", "opinion", "result"]
"""``interaction``: what somebody did before the answer; ``reaction``: what they did after it, such as a
click; ``action``: what was decided on it; ``opinion``: a complaint, praise or rating; ``result``: what it
brought, such as revenue."""


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """Something that people did around an answer, or that it earned.

    Attributes:
        id: the same for the same event. The newest record of an id counts; the ones before it were corrected.
        subject: a prediction row id (``<prediction id>:<row>``) or a business key. An event by key belongs to
            one answer: the last one before it, an interaction to the first one after it.
        name: of the event, such as ``clicked``, ``denied``, ``complaint`` or ``paid``.
        value: how much, or which; None: no more than that it happened. 0 and False: it did not, after all.
        happened_at: when, by the clock of ``source``.
        page, text: where it happened, and in whose words.
        source: the system that reports it; ``by``: whose word it is, in the form of business keys.
    """

    id: str
    project: str
    kind: FeedbackKind
    subject: str
    name: str
    value: float | str | bool | None
    happened_at: datetime
    at: datetime
    principal: str
    page: str | None = None
    text: str | None = None
    source: str | None = None
    by: str | None = None


@dataclass(frozen=True, kw_only=True)
class SpanEvent:
    """Something that happened within a step."""

    name: str
    at: datetime
    attributes: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Span:
    """One step of a trace. An attribute is text, a number, a boolean, or a list of one of these."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    started_at: datetime
    ended_at: datetime
    attributes: dict[str, Any] = field(default_factory=dict)
    events: tuple[SpanEvent, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that production data or a registration shows, with evidence and size.

    Attributes:
        kind: one of :data:`FINDING_KINDS`; ``compliance``: the live release does not keep the rules;
            ``registration``: a model that was registered elsewhere became
            no release; ``fallback``: the live release cannot be trusted any more;
            ``learning``: what learns online waits for a person.
        evidence: statistics, p-values and the corrected level they were held against.
        size: effect size in the unit that ``evidence`` names.
    """

    id: str
    project: str
    kind: str
    release_id: str
    title: str
    window: tuple[datetime, datetime]
    evidence: dict[str, Any]
    size: float
    at: datetime
    feature: str | None = None


@dataclass(frozen=True, kw_only=True)
class Alert:
    """A finding that asks for action, and what was done about it.

    ``build_id`` is the retraining it caused, or that has answered it, if any; ``event_time`` is the
    watermark when it was raised, and once it has caused a retraining, when that began.
    """

    id: str
    project: str
    finding_id: str
    action: Literal["warn", "review", "automatic"]
    state: Literal["open", "acting", "closed"]
    reason: str
    at: datetime
    event_time: datetime
    build_id: str | None = None
