"""What the server consists of, connected once: the app, its workflows, and the way to an answer."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from headrace.access.tickets import Tickets
from headrace.app.answers.explanations import Explainers
from headrace.app.answers.kept_explanations import KeptExplanations
from headrace.app.answers.later import later_of
from headrace.app.answers.serving import serving_of
from headrace.app.composition import App
from headrace.app.llm.gateway import Gateway, gateway_of
from headrace.app.workflows import Workflows
from headrace.plugins.otlp import OtlpSpans
from headrace.serving.distributions import Distributions
from headrace.serving.handler import Handler
from headrace.serving.later import Later
from headrace.serving.models import LoadedModels
from headrace.serving.plain_rows import Scoring
from headrace.serving.recorder import Recorder
from headrace.serving.routes import RouteTable
from headrace.serving.shadows import Shadows
from headrace.web.guards import SECURE_HEADERS
from headrace.web.latency import Latencies, Timed
from headrace.web.sessions import Sessions
from headrace.web.siblings import Siblings
from headrace.web.tracing import Tracing


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything that a route may need."""

    app: App
    work: Workflows
    routes: RouteTable
    models: LoadedModels
    recorder: Recorder
    shadows: Shadows
    distributions: Distributions
    handler: Handler
    scoring: Scoring
    explainers: Explainers
    explanations: KeptExplanations
    tickets: Tickets
    sessions: Sessions
    latencies: Latencies
    later: Later
    siblings: Siblings
    gateway: Gateway
    spans: OtlpSpans | None = None
    tracing: Tracing | None = None


def assemble(app: App, work: Workflows, *, counts: Path | None = None) -> Parts:
    """Connect the parts; nothing is started or read yet.

    Args:
        counts: folder in which the processes that share a port write what they count; None for one process.
    """
    latencies = Latencies()

    def observe(project: str, duration_s: float, n_requests: int) -> None:
        latencies.observe(Timed("infer", project), duration_s, n_requests)

    spans = tracing = None
    if app.settings.otlp_url is not None:
        spans = OtlpSpans(app.settings.otlp_url, version=version("headrace"))
        tracing = Tracing(spans, app.clock, ratio=app.settings.trace_ratio)
    serving = serving_of(app, observe=observe, record_headers=SECURE_HEADERS, spans=spans)
    return Parts(
        app=app,
        work=work,
        routes=serving.routes,
        models=serving.models,
        recorder=serving.recorder,
        shadows=serving.shadows,
        distributions=serving.distributions,
        handler=serving.handler,
        scoring=serving.scoring,
        explainers=serving.explainers,
        explanations=serving.explanations,
        tickets=Tickets(app.store.expiring, app.clock),
        sessions=Sessions(app.store.expiring, app.store.epoch, app.clock),
        latencies=latencies,
        later=later_of(app, serving.handler),
        siblings=Siblings(counts),
        gateway=gateway_of(app, serving.recorder, owner=work.durable.executor_id),
        spans=spans,
        tracing=tracing,
    )
