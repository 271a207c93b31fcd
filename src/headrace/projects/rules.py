"""What a charter must not say although its types are right: contradictions, and values that mean nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from math import inf, isfinite
from typing import Any

from headrace.access.privacy.fields import altered_inputs, key_of
from headrace.checks.metrics import LOSSES
from headrace.checks.row_rules import parse_rule
from headrace.checks.tasks import answers_classes
from headrace.core.errors import InvalidInput
from headrace.core.ids import check_name
from headrace.core.project import Governance, KpiSpec, Project
from headrace.core.record import FINDING_KINDS
from headrace.data.features import OWN
from headrace.projects.deployment import wrong_deployment
from headrace.projects.targets import wrong_targets
from headrace.projects.unsupervised import wrong_without_truth

STATEMENTS = {
    "affected": "who is affected by the answers?",
    "harms": "what could go wrong, for whom, and whom could it treat worse than others?",
    "fairness": "which protected attributes were considered, or why are there none?",
    "security": "how could it be abused?",
}
"""Asked when a project is made, not when it is released."""
CHOICES = {
    "automation": ("informs", "recommends", "decides"),
    "impact": ("minor", "material", "serious"),
    "scale": ("few", "thousands", "millions"),
    "reversible": ("at_once", "with_effort", "never"),
    "personal_data": ("none", "personal", "sensitive"),
}
"""The questions that the risk tier follows from; each answer is graver than the one before."""
_ASSUMABLE = (*STATEMENTS, *CHOICES, "contact", "hypothesis", "kpi", "need")
_MAX_STATEMENT = 2000
_REACHABLE = re.compile(r"(mailto:)?[^@\s/]+@[^@\s/]+|https?://[^\s/]+\S*|(tel:)?\+?\d[\d ()/.-]{4,}\d")
"""An e-mail address, a URL, or a telephone number."""
_LONGEST_REVIEW_DAYS = 1096
_CHANNEL = re.compile(r"[a-z][a-z0-9_]*")
Place = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class BrokenRule:
    """A place in the charter, as keys and positions from the top, and what is wrong there."""

    loc: Place
    text: str


@dataclass(frozen=True, kw_only=True)
class _Limit:
    """From ``low`` to ``high``; with ``open`` neither end itself."""

    loc: tuple[str, ...]
    low: float = 0
    high: float = inf
    open: bool = False

    @property
    def expected(self) -> str:
        if self.high == inf:
            return f"a number above {self.low:g}" if self.open else f"{self.low:g} or more"
        return f"a number between {self.low:g} and {self.high:g}{' (neither of them)' if self.open else ''}"

    def allows(self, value: float) -> bool:
        inside = self.low < value < self.high if self.open else self.low <= value <= self.high
        return inside and isfinite(value)


_LIMITS = (
    _Limit(loc=("seed",), high=2**32 - 1),
    _Limit(loc=("data", "horizon_days"), low=1),
    _Limit(loc=("split", "seed"), high=2**32 - 1),
    _Limit(loc=("split", "test_fraction"), high=1, open=True),
    _Limit(loc=("gates", "data", "min_rows"), low=1),
    _Limit(loc=("gates", "data", "max_null_fraction"), high=1),
    _Limit(loc=("gates", "data", "min_rows_per_segment"), low=1),
    _Limit(loc=("gates", "model", "margin"), low=-1),
    _Limit(loc=("gates", "model", "confidence"), high=1, open=True),
    _Limit(loc=("gates", "package", "tolerance")),
    _Limit(loc=("rollout", "min_requests")),
    _Limit(loc=("rollout", "min_labels")),
    _Limit(loc=("rollout", "max_error_rate"), high=1),
    _Limit(loc=("rollout", "interval_s"), open=True),
    _Limit(loc=("rollout", "timeout_s"), open=True),
    _Limit(loc=("monitors", "window_s")),
    _Limit(loc=("monitors", "false_alarms"), open=True),
    _Limit(loc=("monitors", "shift"), open=True),
    _Limit(loc=("monitors", "loss_ratio"), open=True),
    _Limit(loc=("monitors", "min_rows")),
    _Limit(loc=("monitors", "calls_change"), open=True),
    _Limit(loc=("monitors", "class_gap"), high=1, open=True),
    _Limit(loc=("privacy", "retention_days"), low=1),
)
_FALLBACK_LIMITS = (_Limit(loc=("loss_ratio",), low=1), _Limit(loc=("failures",), low=3))
_UNFIT = _Limit(loc=("gates", "data", "max_unfit_fraction"), high=1)
_SERVING_LIMITS = (
    _Limit(loc=("concurrency",), low=1, high=64),
    _Limit(loc=("queue",), high=10_000),
    _Limit(loc=("timeout_s",), high=600, open=True),
    _Limit(loc=("explain_share",), high=1),
    _Limit(loc=("compress_above_bytes",), low=1_024),
)
_LEVEL_LIMITS = (
    _Limit(loc=("p99_ms",), open=True),
    _Limit(loc=("requests_per_s",), open=True),
    _Limit(loc=("availability",), high=1, open=True),
)
_FAIRNESS_LIMITS = (
    _Limit(loc=("max_difference",), high=1, open=True),
    _Limit(loc=("min_rows",), low=1),
)
_TRIGGER_LIMITS = (
    _Limit(loc=("min_labels",)),
    _Limit(loc=("every_s",), open=True),
    _Limit(loc=("cooldown_s",)),
)


def broken_rules(project: Project) -> Iterator[BrokenRule]:
    """All that is wrong, in no order that matters.

    >>> from headrace.testing.factories import make_project
    >>> list(broken_rules(make_project()))
    []
    """
    yield from _names(project)
    yield from _contact(project)
    yield from _governance(project.governance)
    yield from _columns(project)
    yield from _feature_sets(project)
    for wrong in (wrong_targets, wrong_deployment, wrong_without_truth):
        yield from (_at(*loc, text=text) for loc, text in wrong(project))
    yield from _times(project)
    yield from _variants(project)
    yield from _numbers(project)
    yield from _privacy(project)
    yield from _metrics(project)
    yield from _kpis(project.kpis)
    yield from _fairness(project)
    yield from _alerts(project)
    yield from _review(project)
    yield from _outputs(project)
    yield from _fallback(project)
    yield from _online(project)
    allowed = LOSSES[project.task]
    if project.gates.model.metric not in allowed:
        text = f"{project.gates.model.metric!r} is no loss for {project.task} (known: {', '.join(allowed)})"
        yield _at("gates", "model", "metric", text=text)
    steps = project.rollout.steps
    if any(not 0 <= step <= 100 for step in steps) or list(steps) != sorted(set(steps)):
        text = "expected growing percentages, such as [10, 50], or [0, 10, 50] to begin as a shadow"
        yield _at("rollout", "steps", text=text)


def _names(project: Project) -> Iterator[BrokenRule]:
    try:
        check_name(project.name, "A project's name")
    except InvalidInput as error:
        yield _at("name", text=str(error))


def is_reachable(contact: str) -> bool:
    """Whether somebody can be called there: an e-mail address, a URL or a telephone number.

    >>> is_reachable("ann@example.org"), is_reachable("ask around")
    (True, False)
    """
    return _REACHABLE.fullmatch(contact.strip()) is not None


def is_answered(text: str) -> bool:
    """Whether ``text`` says something; ``to be filled`` does not."""
    return bool(text.strip()) and not text.strip().lower().startswith("to be filled")


def _contact(project: Project) -> Iterator[BrokenRule]:
    if not is_reachable(project.owner.contact):
        expected = "expected an e-mail address, a URL or a telephone number at which the owner can be called"
        yield _at("owner", "contact", text=f"owner.contact is {project.owner.contact!r}: {expected}")


def _fallback(project: Project) -> Iterator[BrokenRule]:
    spec = project.fallback
    if spec is None:
        return
    names = {"constant", *(variant.name for variant in project.variants)}
    name, at, version = spec.to.partition("@")
    if spec.to not in names and not (at and name == project.name and version.isdecimal()):
        known = ", ".join([*sorted(names), f"a version such as {project.name}@1"])
        yield _at("fallback", "to", text=f"{spec.to!r} is nothing to fall back to (known: {known})")
    for limit in _FALLBACK_LIMITS:
        yield from _limited(limit, spec, ("fallback",))


def _online(project: Project) -> Iterator[BrokenRule]:
    spec = project.online
    if spec is None:
        return
    later = [variant.name for variant in project.variants[1:] if project.task != "forecasting"]
    if spec.variant not in later:
        text = f"{spec.variant!r} is no variant after the first that can learn online, as no forecast can"
        yield _at("online", "variant", text=f"{text} (known: {', '.join(later) or 'none'})")
    yield from _limited(_Limit(loc=("every_labels",), low=2), spec, ("online",))


def _review(project: Project) -> Iterator[BrokenRule]:
    days = project.review.every_days
    if days is not None and not 1 <= days <= _LONGEST_REVIEW_DAYS:
        text = f"review.every_days is {days}: expected 1 to {_LONGEST_REVIEW_DAYS} days"
        yield _at("review", "every_days", text=text)


def _alerts(project: Project) -> Iterator[BrokenRule]:
    for index, one in enumerate(project.team):
        if not is_reachable(one.contact):
            text = f"team.{index}.contact is {one.contact!r}: expected an e-mail address, a URL or a number"
            yield _at("team", index, "contact", text=text)
    spec = project.alerts
    named: list[tuple[Place, tuple[str, ...]]] = [
        (("alerts", "channels"), spec.channels),
        (("alerts", "escalate_channels"), spec.escalate_channels),
    ]
    for index, route in enumerate(spec.routes):
        named.append((("alerts", "routes", index, "channels"), route.channels))
        if route.kind is not None and route.kind not in FINDING_KINDS:
            text = f"{route.kind!r} is no kind of finding (known: {', '.join(FINDING_KINDS)})"
            yield _at("alerts", "routes", index, "kind", text=text)
        if route.above is not None:
            yield from _limited(_Limit(loc=("above",)), route, ("alerts", "routes", index))
    for place, channels in named:
        for name in channels:
            if _CHANNEL.fullmatch(name) is None:
                text = f"{name!r} is no channel's name: expected lower-case letters, digits and '_'"
                yield BrokenRule(loc=place, text=text)
    if (spec.escalate_after_s is None) != (not spec.escalate_channels):
        yield _at("alerts", text="escalate_after_s and escalate_channels belong together: give both or none")
    elif spec.escalate_after_s is not None:
        yield from _limited(_Limit(loc=("escalate_after_s",), open=True), spec, ("alerts",))
    yield from _limited(_Limit(loc=("close_within_s",), open=True), spec, ("alerts",))


def _governance(governance: Governance) -> Iterator[BrokenRule]:
    for name, question in STATEMENTS.items():
        answer: str = getattr(governance, name)
        if not is_answered(answer):
            yield _at("governance", name, text=f"governance.{name} has no answer: {question}")
        elif len(answer) > _MAX_STATEMENT:
            text = f"governance.{name} has {len(answer)} characters: expected at most {_MAX_STATEMENT}"
            yield _at("governance", name, text=text)
    for name, choices in CHOICES.items():
        if getattr(governance, name) is None:
            text = f"governance.{name} has no answer: expected one of {', '.join(choices)}"
            yield _at("governance", name, text=text)
    for index, name in enumerate(governance.assumed):
        if name not in _ASSUMABLE:
            text = f"{name!r} is no answer (known: {', '.join(_ASSUMABLE)})"
            yield _at("governance", "assumed", index, text=text)


def _columns(project: Project) -> Iterator[BrokenRule]:
    data = project.data
    inputs = [column.name for column in data.columns if column.role != "ignored"]
    if not inputs and project.task != "forecasting":
        text = "no column is an input; give at least one the role numeric, categorical or text"
        yield _at("data", "columns", text=text)
    if data.target in inputs:
        yield _at("data", "columns", text=f"the target {data.target!r} is listed as an input")
    if len(set(inputs)) != len(inputs):
        yield _at("data", "columns", text="a column is listed twice")
    for role in ("time", "key"):
        if getattr(data, role) == data.target:
            yield _at("data", role, text=f"{data.target!r} is the target; it cannot be the {role} too")
    for index, rule in enumerate(data.rules):
        try:
            parse_rule(rule)
        except InvalidInput as error:
            yield _at("data", "rules", index, text=str(error))


def _feature_sets(project: Project) -> Iterator[BrokenRule]:
    data = project.data
    if data.features and data.time is None:
        yield _at("data", "features", text="feature sets are joined at each row's time: name it as data.time")
    inputs = {column.name for column in data.columns}
    taken: dict[str, str] = {}
    for index, one in enumerate(data.features):
        try:
            check_name(one.name, "A feature set's name")
        except InvalidInput as error:
            yield _at("data", "features", index, "name", text=str(error))
        if one.name == OWN or one.name in taken.values():
            whose = "of the project's own table" if one.name == OWN else "of another feature set"
            text = f"{one.name!r} is the name {whose}; give each its own"
            yield _at("data", "features", index, "name", text=text)
        if not one.columns:
            yield _at("data", "features", index, "columns", text="name the inputs that come from there")
        for place, name in enumerate(one.columns):
            text = f"{name!r} comes from {taken[name]!r} already" if name in taken else ""
            if name not in inputs:
                text = f"{name!r} is none of data.columns, which say what each input is"
            elif name in (data.target, data.time, data.key, one.key, one.time, one.known):
                text = f"{name!r} is a key, a time or the target; it cannot be a feature too"
            if text:
                yield _at("data", "features", index, "columns", place, text=text)
        taken |= dict.fromkeys(one.columns, one.name)


def _times(project: Project) -> Iterator[BrokenRule]:
    data = project.data
    if project.split.policy == "sequential" and data.time is None:
        yield _at("split", "policy", text="'sequential' needs data.time; name the time or use 'random'")
    if project.task != "forecasting":
        return
    if data.time is None:
        yield _at("data", text="forecasting needs data.time")
    if not data.lags_days:
        yield _at("data", text="forecasting needs data.lags_days, such as [7, 14, 21, 28]")
    short = [lag for lag in data.lags_days if lag < data.horizon_days]
    if short:
        text = f"a lag of {short[0]} days is not known {data.horizon_days} days ahead (horizon_days)"
        yield _at("data", "lags_days", text=text)


def _variants(project: Project) -> Iterator[BrokenRule]:
    if not project.variants:
        yield _at("variants", text="name at least one variant to train")
    seen: set[str] = set()
    for index, variant in enumerate(project.variants):
        if not variant.name.strip():
            yield _at("variants", index, "name", text="a variant needs a name")
        elif variant.name in seen:
            text = f"{variant.name!r} is the name of another variant; give each its own"
            yield _at("variants", index, "name", text=text)
        seen.add(variant.name)
        for name, value in variant.params.items():
            if isinstance(value, float) and not isfinite(value):
                text = f"variants.{index}.params.{name} is {value}: expected a finite number"
                yield _at("variants", index, "params", name, text=text)


def _privacy(project: Project) -> Iterator[BrokenRule]:
    data, key = project.data, key_of(project)
    known = {column.name for column in data.columns} | {key, data.target, data.time}
    images = {column.name for column in data.columns if column.role == "image"}
    for name, handling in project.privacy.fields.items():
        if name not in known:
            listed = ", ".join(sorted(filter(None, known)))
            yield _at("privacy", "fields", name, text=f"{name!r} is no input and no key (known: {listed})")
        elif name in (data.target, data.time) and handling != "keep":
            what = "the target" if name == data.target else "the time"
            text = f"{name!r} is {what}, without which nothing can be watched: it can only be kept"
            yield _at("privacy", "fields", name, text=text)
        elif name == key and handling in ("mask", "redact"):
            text = f"no label finds its answer by a {name!r} that is not whole: hash it"
            yield _at("privacy", "fields", name, text=text)
        elif handling == "measure" and name not in images:
            yield _at("privacy", "fields", name, text=f"{name!r} is no image, which alone is measured")
    altered = altered_inputs(project)
    if project.rollout.min_labels and altered:
        text = (
            f"rollout.min_labels is {project.rollout.min_labels}, but no canary can be judged by labels: its "
            f"answers cannot be predicted again without {altered[0]!r} as it came (privacy.fields). Keep it, "
            "or set 0 to judge by failures alone"
        )
        yield _at("rollout", "min_labels", text=text)


def _metrics(project: Project) -> Iterator[BrokenRule]:
    inputs = [column.name for column in project.data.columns if column.role != "ignored"]
    seen: set[str] = set()
    for index, metric in enumerate(project.metrics):
        if not metric.name.isidentifier() or metric.name in seen:
            text = f"{metric.name!r} is listed twice" if metric.name in seen else "expected a metric's name"
            yield _at("metrics", index, "name", text=text)
        seen.add(metric.name)
        if metric.by is not None and metric.by not in inputs:
            text = f"{metric.by!r} is no input (known: {', '.join(inputs)})"
            yield _at("metrics", index, "by", text=text)
        for end in ("max", "min"):
            limit = getattr(metric, end)
            if limit is not None and not isfinite(limit):
                yield _at("metrics", index, end, text=f"metrics.{index}.{end} is {limit}: expected a number")


def _kpis(kpis: Sequence[KpiSpec]) -> Iterator[BrokenRule]:
    seen: set[str] = set()
    for index, kpi in enumerate(kpis):
        if not kpi.name.isidentifier() or kpi.name in seen:
            text = f"{kpi.name!r} is listed twice" if kpi.name in seen else "expected a KPI's name"
            yield _at("kpis", index, "name", text=text)
        seen.add(kpi.name)
        if not kpi.event and kpi.measure != "deviation":
            yield _at("kpis", index, "event", text="name the events that count, such as paid")


def _fairness(project: Project) -> Iterator[BrokenRule]:
    spec = project.fairness
    if spec is None:
        return
    if project.task != "classification":
        yield _at("fairness", text=f"fairness compares classes; the task is {project.task}")
    if not spec.groups or project.data.target in spec.groups:
        yield _at("fairness", "groups", text="name at least one column, and not the target")
    for limit in _FAIRNESS_LIMITS:
        yield from _limited(limit, spec, ("fairness",))


def _outputs(project: Project) -> Iterator[BrokenRule]:
    spec = project.outputs
    inputs = [column.name for column in project.data.columns if column.role != "ignored"]
    for index, name in enumerate(project.monitors.segments):
        if name not in inputs:
            text = f"{name!r} is no input (known: {', '.join(inputs)})"
            yield _at("monitors", "segments", index, text=text)
    days = project.monitors.reference
    if days is not None and days.last_day < days.first_day:
        text = f"last_day {days.last_day} is before first_day {days.first_day}: expected the same or a later"
        yield _at("monitors", "reference", "last_day", text=text)
    elif days is not None and days.last_day == date.max:
        yield _at("monitors", "reference", "last_day", text=f"last_day {days.last_day} is never over")
    for end in ("lowest", "highest"):
        value = getattr(spec, end)
        if value is not None and not isfinite(value):
            yield _at("outputs", end, text=f"outputs.{end} is {value}: expected a finite number")
        elif value is not None and answers_classes(project.task):
            yield _at("outputs", end, text="a classifier answers with classes: name them in outputs.classes")
    if spec.classes and not answers_classes(project.task):
        yield _at("outputs", "classes", text=f"{project.task} answers with numbers: give lowest and highest")
    if project.data.positive is not None and project.task != "classification":
        yield _at("data", "positive", text=f"data.positive is of two classes: {project.task} has none")
    if spec.lowest is not None and spec.highest is not None and not spec.lowest < spec.highest:
        text = f"outputs.highest is {spec.highest}: expected more than lowest, which is {spec.lowest}"
        yield _at("outputs", "highest", text=text)


def _numbers(project: Project) -> Iterator[BrokenRule]:
    for limit in _LIMITS:
        yield from _limited(limit, project, ())
    for index, trigger in enumerate(project.triggers):
        for limit in _TRIGGER_LIMITS:
            yield from _limited(limit, trigger, ("triggers", index))
    for limit in _SERVING_LIMITS:
        yield from _limited(limit, project.serving, ("serving",))
    for limit in _LEVEL_LIMITS if project.serving.level is not None else ():
        yield from _limited(limit, project.serving.level, ("serving", "level"))
    if project.gates.data.max_unfit_fraction is not None:
        yield from _limited(_UNFIT, project, ())
    most = project.gates.model.max_loss
    if most is not None and not isfinite(most):
        yield _at("gates", "model", "max_loss", text=f"gates.model.max_loss is {most}: expected a number")
    moved = project.gates.model.max_moved
    if moved is not None and not 0 < moved < inf:
        text = f"gates.model.max_moved is {moved}: expected a number above 0"
        yield _at("gates", "model", "max_moved", text=text)


def _limited(limit: _Limit, record: Any, inside: Place) -> Iterator[BrokenRule]:
    value = record
    for name in limit.loc:
        value = getattr(value, name)
    if not limit.allows(value):
        loc = (*inside, *limit.loc)
        path = ".".join(map(str, loc))
        yield BrokenRule(loc=loc, text=f"{path} is {value}: expected {limit.expected}")


def _at(*loc: str | int, text: str) -> BrokenRule:
    return BrokenRule(loc=loc, text=text)
