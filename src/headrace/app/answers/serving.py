"""How models answer in a process: the parts of the way to an answer, and who may serve a home."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headrace.app.answers.explanations import Explainers
from headrace.app.answers.kept_explanations import KeptExplanations
from headrace.app.composition import App
from headrace.app.erasure_marks import MARKS, ErasureMarks
from headrace.core.errors import Conflict
from headrace.core.ids import Ref
from headrace.core.release import Route
from headrace.serving.distributions import Distributions, Reference
from headrace.serving.handler import Handler
from headrace.serving.microbatch import MicroBatches
from headrace.serving.models import LoadedModels
from headrace.serving.plain_rows import Scoring
from headrace.serving.recorder import Recorder
from headrace.serving.routes import Routes, RouteTable
from headrace.serving.shadows import Shadows
from headrace.serving.trace_context import Spans
from headrace.serving.traced import TracedHandler
from headrace.store.disk import hold

SERVER = "server"
LOCK = "server.lock"
_NO_MODEL = "asks a language model: ask it at /v1/chat/completions, with its name as 'model'."


@dataclass(frozen=True, kw_only=True)
class Serving:
    """The way to an answer, connected."""

    routes: RouteTable
    models: LoadedModels
    recorder: Recorder
    shadows: Shadows
    distributions: Distributions
    handler: Handler
    scoring: Scoring
    explainers: Explainers
    explanations: KeptExplanations


def serving_of(
    app: App,
    *,
    source: Routes | None = None,
    observe: Callable[[str, float, int], None] = lambda _project, _duration_s, _n_requests: None,
    record_headers: tuple[tuple[bytes, bytes], ...] = (),
    spans: Spans | None = None,
) -> Serving:
    """Connect the parts; nothing is started or read yet.

    Args:
        source: where routes are read from; the store, unless given.
        observe: told the project, how long answers to plain rows took in seconds, and how many they were.
        record_headers: sent with answers to records.
        spans: takes explanations as spans.
    """
    routes = RouteTable(
        source or app.store.rollouts, app.clock, takes=answers_by(app, "model"), others=_NO_MODEL
    )

    def version_of(release_id: str) -> str:
        return Ref.parse(app.store.releases.get(release_id).manifest.subject.ref).version

    models = LoadedModels(app.scorers.of_release, app.clock, version_of=version_of)
    recorder = Recorder(app.store.events, app.clock, on_lost=_raise_lost(app), on_forgone=_raise_forgone(app))
    rules_of = app.access.privacy.rules
    erased_s = ErasureMarks(app.settings.home / MARKS).last_s
    shadows = Shadows(models, app.store.events, app.clock, rules_of, erased_s=erased_s)
    explainers = Explainers(app)
    explanations = KeptExplanations(
        explainers, app.store.events, app.clock, rules_of, erased_s=erased_s, spans=spans
    )

    def reference_of(release_id: str) -> Reference:
        baseline = app.scorers.baseline(release_id)
        return Reference(baseline.inputs.features, next(iter(baseline.outputs.features.values()), None))

    distributions = Distributions(reference_of, models)
    handler_of = Handler if app.settings.otlp_url is None else TracedHandler
    handler = handler_of(
        routes,
        models,
        recorder,
        app.clock,
        app.gatekeeper,
        rules_of,
        shadows=shadows,
        distributions=distributions,
        share=explanations,
    )
    batches = MicroBatches(
        handler,
        routes,
        models,
        recorder,
        app.clock,
        rules_of=rules_of,
        distributions=distributions,
        share=explanations,
        observe=observe,
    )
    return Serving(
        routes=routes,
        models=models,
        recorder=recorder,
        shadows=shadows,
        distributions=distributions,
        handler=handler,
        scoring=Scoring(batches, app.gatekeeper, app.store.epoch, app.clock, headers=record_headers),
        explainers=explainers,
        explanations=explanations,
    )


def answers_by(app: App, kind: str) -> Callable[[Route], bool]:
    """Whether what a route names is a ``model`` or a ``prompt``; a release never becomes another kind."""
    kinds: dict[str, str] = {}

    def takes(route: Route) -> bool:
        if route.live not in kinds:
            kinds[route.live] = Ref.parse(app.store.releases.get(route.live).manifest.subject.ref).kind
        return kinds[route.live] == kind

    return takes


def _raise_lost(app: App) -> Callable[[str, int], None]:
    """Answers that were given and could not be stored are an incident, until somebody has closed it."""

    def tell(stream: str, n_records: int) -> None:
        project = stream.partition("/")[0]
        app.access.incidents.open(
            "answers_lost",
            project,
            app.store.projects.workspace(project),
            title=f"Answers of {project} were given and could not be recorded",
            evidence={"first": n_records, "see": "headrace_answers_lost_total"},
        )

    return tell


def _raise_forgone(app: App) -> Callable[[str], None]:
    """So are answers that a project has given without record."""

    def tell(project: str) -> None:
        app.access.incidents.open(
            "answers_unrecorded",
            project,
            app.store.projects.workspace(project),
            title=f"Answers of {project} are given without record",
            evidence={"see": "headrace_answers_unrecorded_total"},
        )

    return tell


def reserve_home(app: App, address: str) -> None:
    """Refuse a second server on the same laptop home; replicas need Postgres.

    Raises:
        Conflict: another live server holds this home.
    """
    if not app.settings.database_url.startswith("sqlite"):
        return
    found = next(iter(app.store.executors.living(SERVER)), None)
    # The second one is for two that start at the same moment, before either is known.
    if found is not None or not hold(app.settings.home / LOCK):
        where = f" at {found[1]}" if found is not None else ""
        raise Conflict(
            f"This home is served already{where}. Stop that server, use another HEADRACE_HOME "
            f"for {address}, or move the metadata to Postgres (HEADRACE_DATABASE_URL) to run replicas."
        )
