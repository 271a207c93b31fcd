"""``/metrics``: what the server and its models do, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from importlib.metadata import version
from typing import NamedTuple

from headrace.access.privacy.fields import handling_of
from headrace.app.overviews import reading, service_levels
from headrace.app.overviews.exposed import Exposed, exposed
from headrace.checks.profiles import OTHER
from headrace.core.errors import InvalidInput
from headrace.core.identity import Principal
from headrace.core.project import Project
from headrace.projects.goals import goals_of
from headrace.serving.statistics import Tally
from headrace.web.latency import BOUNDS_S
from headrace.web.parts import Parts
from headrace.web.process_metrics import process_lines
from headrace.web.siblings import Counted, merged

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_MOST_CATEGORIES = 20
_COMPARED = {
    "asked": "Requests that a shadow was asked since the server started.",
    "failed": "Of those, requests that it could not answer.",
    "skipped": "Requests that a shadow was not asked, because it did not keep up.",
    "rows": "Rows that a shadow and the live release both answered.",
    "same": "Of those, rows that they answered alike.",
    "difference": "Absolute difference between the two, summed over those rows; another label counts 1.",
}
"""What is shown of each comparison with a shadow."""
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class _Sample(NamedTuple):
    labels: Mapping[str, str]
    value: float


class _Family(NamedTuple):
    name: str
    kind: str
    help: str
    samples: list[_Sample]


def exposition(parts: Parts, me: Principal) -> str:
    """Everything about the projects that ``me`` may see."""
    declared = reading.projects(parts.app, me)
    visible = {project.name for project in declared}
    own = counted(parts, visible)
    others = parts.siblings.others()
    lines = list(merged([Counted(own, living=True), *others], visible)) if others else [own]
    shown = exposed(parts.app, declared)
    in_force = [parts.app.access.charters.bound(project) for project in declared]
    recorded = [
        *_goals(in_force),
        *_levels(in_force),
        *_availability(parts, me),
        *_models(shown),
        *_calls(shown),
        *_ages(shown, parts.app.clock.now()),
        *_trends(shown),
        *_kpis(shown),
    ]
    lines += [line for family in recorded for line in _lines(family)]
    return "\n".join(lines) + "\n"


def counted(parts: Parts, visible: set[str]) -> str:
    """What this process has counted since it started, about these projects."""
    families = [*_server(parts, visible), *_answers(parts, visible), *_shadows(parts, visible)]
    families += [*_explanations(parts, visible), *_guards(parts, visible)]
    lines = [line for family in families for line in _lines(family)]
    lines += process_lines()
    lines += _histograms(parts, visible)
    lines += _model_parts(parts, visible)
    lines += _distributions(parts, visible)
    return "\n".join(lines)


def _server(parts: Parts, visible: set[str]) -> Iterator[_Family]:
    yield _Family("headrace_info", "gauge", "Version.", [_Sample({"version": version("headrace")}, 1)])
    age_s = parts.routes.age_s()
    if age_s is not None:
        yield _Family("headrace_routes_age_seconds", "gauge", "Age of the routes.", [_Sample({}, age_s)])
    in_flight = [_Sample({"part": part}, n) for part, n in parts.latencies.in_flight().items()]
    yield _Family("headrace_requests_in_flight", "gauge", "Requests that are being answered.", in_flight)
    ended = [
        _Sample({**one.series._asdict(), "status": one.status}, n)
        for one, n in parts.latencies.ended().items()
        if not one.series.project or one.series.project in visible
    ]
    yield _Family("headrace_responses_total", "counter", "Requests by how they ended.", ended)
    if parts.spans is not None:
        states = {"made": parts.spans.made, "sent": parts.spans.sent, "failed": parts.spans.failed}
        spans = [_Sample({"state": state}, n) for state, n in states.items()]
        yield _Family("headrace_spans_total", "counter", "Spans for the collector.", spans)
    waiting = [_Sample({}, parts.recorder.waiting())]
    yield _Family("headrace_records_waiting", "gauge", "Records that wait to be durable.", waiting)


def _goals(declared: Sequence[Project]) -> Iterator[_Family]:
    """Every goal with a limit, by the charter in force; a charter that cannot be read has none."""
    samples = []
    for project in declared:
        with suppress(InvalidInput):
            samples += [
                _Sample(
                    {
                        "project": project.name,
                        "goal": one.name,
                        "must": one.must,
                        "unit": one.unit,
                        "what": one.what,
                    },
                    one.limit,
                )
                for one in goals_of(project)
                if one.limit is not None
            ]
    yield _Family("headrace_goal", "gauge", "What a project is held to: the limit.", samples)


def _levels(declared: Sequence[Project]) -> Iterator[_Family]:
    """What is declared, so that alert rules compare with it."""
    p99, rate, availability = [], [], []
    for project in declared:
        level = project.serving.level
        if level is not None:
            p99.append(_Sample({"project": project.name}, level.p99_ms / 1000))
            rate.append(_Sample({"project": project.name}, level.requests_per_s))
            availability.append(_Sample({"project": project.name}, level.availability))
    level_of = "headrace_service_level"
    yield _Family(f"{level_of}_p99_seconds", "gauge", "Declared 99th percentile.", p99)
    yield _Family(f"{level_of}_requests_per_second", "gauge", "Declared rate.", rate)
    yield _Family(f"{level_of}_availability", "gauge", "Declared share of answered requests.", availability)


def _availability(parts: Parts, me: Principal) -> Iterator[_Family]:
    """Over 30 days up to the last full hour, downtime counted: what no counter of a server can know."""
    found = service_levels.standings(parts.app, me)
    for name, text, values in (
        ("headrace_availability", "Chance that a request was answered.", [s.availability for s in found]),
        ("headrace_downtime_seconds", "Time without any server.", [s.down_s for s in found]),
        ("headrace_error_budget_left", "Share of the error budget that is left.", [s.left for s in found]),
    ):
        samples = [
            _Sample({"project": one.project}, value)
            for one, value in zip(found, values, strict=True)
            if value is not None
        ]
        yield _Family(name, "gauge", f"{text} Over 30 days.", samples)


def _answers(parts: Parts, visible: set[str]) -> Iterator[_Family]:
    answered, failed = [], []
    for release_id, counts in parts.handler.counts().items():
        release = parts.app.store.releases.get(release_id)
        if release.project in visible:
            labels = {"project": release.project, "release": release_id}
            answered.append(_Sample(labels, counts.answered))
            failed.append(_Sample(labels, counts.failed))
    yield _Family(
        "headrace_predictions_total", "counter", "Requests answered since the server started.", answered
    )
    yield _Family(
        "headrace_prediction_failures_total", "counter", "Valid requests that the model failed.", failed
    )
    raised = [
        _Sample({"project": project, "release": release_id, "exception": kind}, n)
        for release_id, project, tally in _tallies(parts, visible)
        for kind, n in tally.exceptions.items()
    ]
    yield _Family("headrace_prediction_exceptions_total", "counter", "What models raised, by kind.", raised)
    refused = [
        _Sample({"project": sender.project, "principal": sender.principal}, count)
        for sender, count in parts.handler.refused().items()
        if sender.project in visible
    ]
    yield _Family(
        "headrace_prediction_refusals_total", "counter", "Requests that the model does not expect.", refused
    )
    logged = [
        _Sample({"project": stream.rpartition("/")[0], "kind": stream.rpartition("/")[2]}, count)
        for stream, count in parts.handler.logged().items()
        if stream.rpartition("/")[0] in visible
    ]
    yield _Family("headrace_log_records_total", "counter", "Records made durable since the start.", logged)
    lost = [
        _Sample({"project": stream.rpartition("/")[0]}, count)
        for stream, count in parts.recorder.lost().items()
        if stream.rpartition("/")[0] in visible
    ]
    yield _Family("headrace_answers_lost_total", "counter", "Answers given that could not be recorded.", lost)
    unrecorded = [
        _Sample({"project": project}, count)
        for project, count in parts.recorder.forgone().items()
        if project in visible
    ]
    yield _Family(
        "headrace_answers_unrecorded_total", "counter", "Answers given without record on purpose.", unrecorded
    )


def _explanations(parts: Parts, visible: set[str]) -> Iterator[_Family]:
    samples = [
        _Sample({"project": one.project, "outcome": one.outcome}, count)
        for one, count in parts.explanations.counts().items()
        if one.project in visible
    ]
    yield _Family("headrace_explanations_total", "counter", "Explanations by what became of them.", samples)


def _guards(parts: Parts, visible: set[str]) -> Iterator[_Family]:
    counts = parts.gateway.endings.guards
    requests = [_Sample(one._asdict(), n) for one, n in counts.requests().items() if one.project in visible]
    yield _Family(
        "headrace_guarded_requests_total", "counter", "Requests to LLMs by what guards decided.", requests
    )
    hits = [_Sample(one._asdict(), n) for one, n in counts.hits().items() if one.project in visible]
    yield _Family("headrace_guard_hits_total", "counter", "Requests in which a guard found something.", hits)
    kept = parts.gateway.cache.counts()
    cached = [_Sample(one._asdict(), n) for one, n in kept.items() if one.project in visible]
    yield _Family("headrace_llm_cache_total", "counter", "Requests by whether an answer was kept.", cached)


def _shadows(parts: Parts, visible: set[str]) -> Iterator[_Family]:
    shown = []
    for release_id, comparison in parts.shadows.comparisons().items():
        project = parts.app.store.releases.get(release_id).project
        if project in visible:
            shown.append(({"project": project, "release": release_id}, comparison))
    for name, help_text in _COMPARED.items():
        samples = [_Sample(labels, getattr(comparison, name)) for labels, comparison in shown]
        yield _Family(f"headrace_shadow_{name}_total", "counter", help_text, samples)


def _models(shown: Sequence[Exposed]) -> Iterator[_Family]:
    live, weights, alerts, shifts, loss, reference = [], [], [], [], [], []
    for one in shown:
        named = {"project": one.project.name}
        alerts += [_Sample({**named, "action": action}, n) for action, n in one.open_alerts.items()]
        if one.live is None or one.route is None:
            continue
        labels = {**named, "release": one.live.id}
        subject = one.live.manifest.subject.ref
        live.append(_Sample({**labels, "subject": subject, "digest": one.live.digest}, 1))
        if one.route.canary is not None:
            weights.append(_Sample({**named, "release": one.route.canary}, one.route.canary_weight))
        for measured in one.shifts:
            extra = {"feature": measured.feature or "", "kind": str(measured.detail.get("kind", ""))}
            shifts.append(_Sample({**labels, **extra}, measured.value or 0.0))
        if one.loss is not None and one.loss.value is not None:
            labels = {**labels, "metric": one.loss.name}
            loss.append(_Sample(labels, one.loss.value))
            if one.loss.detail.get("reference") is not None:
                reference.append(_Sample(labels, float(one.loss.detail["reference"])))
    yield _Family("headrace_live_release_info", "gauge", "The release that answers.", live)
    yield _Family("headrace_canary_weight", "gauge", "Share of traffic that the canary answers.", weights)
    yield _Family("headrace_open_alerts", "gauge", "Alerts that nobody has closed, by what they ask.", alerts)
    yield _Family("headrace_drift", "gauge", "Shift in the newest window, in standard deviations.", shifts)
    yield _Family("headrace_loss", "gauge", "Loss in the newest window that has labels.", loss)
    yield _Family("headrace_reference_loss", "gauge", "Loss on the test rows.", reference)


def _trends(shown: Sequence[Exposed]) -> Iterator[_Family]:
    """Of the live release, each metric now and how much it changes from window to window."""
    values, slopes = [], []
    for one in shown:
        for trend in one.trends:
            labels = {
                "project": trend.project,
                "release": trend.release_id or "",
                "metric": trend.feature or "",
            }
            values.append(_Sample(labels, trend.detail["current"]))
            slopes.append(_Sample(labels, trend.value or 0.0))
    yield _Family("headrace_metric", "gauge", "Loss and metrics in the newest window with labels.", values)
    yield _Family("headrace_metric_trend", "gauge", "Their change per window, over the newest ones.", slopes)


def _kpis(shown: Sequence[Exposed]) -> Iterator[_Family]:
    """Of the releases that answer, each KPI in the newest window that feedback has come for."""
    samples = [
        _Sample(
            {
                "project": kpi.project,
                "release": kpi.release_id or "",
                "kpi": kpi.feature or "",
                "action": kpi.segment or "",
            },
            kpi.value or 0.0,
        )
        for one in shown
        for kpi in one.kpis
    ]
    yield _Family("headrace_kpi", "gauge", "What answers brought, in the newest window told of.", samples)


def _ages(shown: Sequence[Exposed], now: datetime) -> Iterator[_Family]:
    ages = [
        _Sample({"project": one.project.name}, (now - one.trained_at).total_seconds())
        for one in shown
        if one.trained_at is not None
    ]
    yield _Family("headrace_model_age_seconds", "gauge", "Time since the live model's training.", ages)


def _calls(shown: Sequence[Exposed]) -> Iterator[_Family]:
    """Who uses the models, and how much: the newest hour that is over."""
    calls, expected = [], []
    for hour in (one.calls for one in shown if one.calls is not None):
        busiest = sorted(hour.detail["consumers"].items(), key=lambda one: -one[1]["calls"])
        calls += [
            _Sample({"project": hour.project, "principal": who}, sums["calls"])
            for who, sums in busiest[:_MOST_CATEGORIES]
        ]
        expected += [
            _Sample({"project": hour.project, "before": before}, hour.detail[f"{before}_before"])
            for before in ("day", "week")
            if hour.detail[f"{before}_before"] is not None
        ]
    yield _Family("headrace_hour_calls", "gauge", "Calls in the last full hour, by consumer.", calls)
    help_text = "Calls in the same hour of the day and of the week before."
    yield _Family("headrace_hour_calls_before", "gauge", help_text, expected)


def _lines(family: _Family) -> Iterator[str]:
    if not family.samples:
        return
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {family.kind}"
    for sample in family.samples:
        yield f"{family.name}{_labels(sample.labels)} {_number(sample.value)}"


def _histograms(parts: Parts, visible: set[str]) -> Iterator[str]:
    name = "headrace_request_duration_seconds"
    series = parts.latencies.series()
    shown = {key: value for key, value in series.items() if not key.project or key.project in visible}
    if shown:
        yield f"# HELP {name} From the first byte read to the last byte written."
        yield f"# TYPE {name} histogram"
    for key, histogram in shown.items():
        yield from _histogram(name, dict(key._asdict()), BOUNDS_S, histogram.counts, histogram.sum_s)


def _tallies(parts: Parts, visible: set[str]) -> Iterator[tuple[str, str, Tally]]:
    """Release, project and counts of what was asked."""
    for release_id, tally in parts.handler.tallies().items():
        project = parts.app.store.releases.get(release_id).project
        if project in visible:
            yield release_id, project, tally


def _model_parts(parts: Parts, visible: set[str]) -> Iterator[str]:
    """The two parts of an answer, apart, of the releases that routes name."""
    named = parts.routes.release_ids()
    shown = [one for one in _tallies(parts, visible) if one[0] in named and one[2].answered]
    for part, text in (("prepare", "Reading the rows of a request."), ("infer", "The model's part.")):
        name = f"headrace_prediction_{part}_seconds"
        if shown:
            yield f"# HELP {name} {text}"
            yield f"# TYPE {name} histogram"
        for release_id, project, tally in shown:
            histogram = tally.prepared if part == "prepare" else tally.inferred
            labels = {"project": project, "release": release_id}
            yield from _histogram(name, labels, histogram.bounds_s, histogram.counts, histogram.sum_s)


def _distributions(parts: Parts, visible: set[str]) -> Iterator[str]:
    """Inputs and predictions in the bins of training: of what may be written down as it is, and no other."""
    name = "headrace_value"
    categories, missing = [], []
    numbers: list[str] = []
    for release_id, found in parts.distributions.all().items():
        project = parts.app.store.releases.get(release_id).project
        if project not in visible:
            continue
        held = parts.app.access.privacy.rules(project).project
        for one in found:
            if one.kind == "input" and handling_of(held, one.name) != "keep":
                continue
            labels = {"project": project, "release": release_id, "kind": one.kind, "name": one.name}
            missing.append(_Sample(labels, one.missing))
            shown = most_frequent(one.categories)
            categories += [_Sample({**labels, "category": name}, count) for name, count in shown.items()]
            if one.edges:
                numbers += _histogram(name, labels, one.edges, one.counts, one.total)
    if numbers:
        yield f"# HELP {name} Values of inputs and predictions since the start, in the bins of training."
        yield f"# TYPE {name} histogram"
        yield from numbers
    counted = "Rows by category since the server started."
    yield from _lines(_Family(f"{name}_category_total", "counter", counted, categories))
    yield from _lines(_Family(f"{name}_missing_total", "counter", "Rows without a value.", missing))


def most_frequent(categories: Mapping[str, int]) -> dict[str, int]:
    """Those that were the most frequent in training, which come first; all others are one."""
    names = [name for name in categories if name != OTHER][:_MOST_CATEGORIES]
    shown = {name: categories[name] for name in names}
    return shown if not categories else {**shown, OTHER: sum(categories.values()) - sum(shown.values())}


def _histogram(
    name: str, labels: dict[str, str], bounds: Sequence[float], counts: Sequence[int], summed: float
) -> Iterator[str]:
    total = 0
    for bound, count in zip((*bounds, float("inf")), counts, strict=True):
        total += count
        yield f"{name}_bucket{_labels({**labels, 'le': _number(bound)})} {total}"
    yield f"{name}_sum{_labels(labels)} {_number(summed)}"
    yield f"{name}_count{_labels(labels)} {total}"


def _labels(labels: Mapping[str, str]) -> str:
    inner = ",".join(f'{name}="{text.translate(_ESCAPES)}"' for name, text in labels.items())
    return f"{{{inner}}}" if inner else ""


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if float(value).is_integer() else repr(float(value))
