"""How models answer in a process: the parts of the way to an answer, and who may serve a home."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.app.composition import App
from headrace.core.errors import Conflict
from headrace.core.ids import Ref
from headrace.serving.distributions import Distributions, Reference
from headrace.serving.handler import Handler
from headrace.serving.models import LoadedModels
from headrace.serving.recorder import Recorder
from headrace.serving.routes import RouteTable
from headrace.serving.shadows import Shadows
from headrace.store.disk import hold

SERVER = "server"
LOCK = "server.lock"


@dataclass(frozen=True, kw_only=True)
class Serving:
    """The way to an answer, connected."""

    routes: RouteTable
    models: LoadedModels
    recorder: Recorder
    shadows: Shadows
    distributions: Distributions
    handler: Handler


def serving_of(app: App) -> Serving:
    """Connect the parts; nothing is started or read yet."""
    routes = RouteTable(app.store.rollouts, app.clock)

    def version_of(release_id: str) -> str:
        return Ref.parse(app.store.releases.get(release_id).manifest.subject.ref).version

    models = LoadedModels(app.scorers.of_release, app.clock, version_of=version_of)
    recorder = Recorder(app.store.events)
    rules_of = app.access.privacy.rules
    shadows = Shadows(models, app.store.events, app.clock, rules_of)

    def reference_of(release_id: str) -> Reference:
        baseline = app.scorers.baseline(release_id)
        return Reference(baseline.inputs.features, next(iter(baseline.outputs.features.values()), None))

    distributions = Distributions(reference_of, models)
    handler = Handler(
        routes,
        models,
        recorder,
        app.clock,
        app.gatekeeper,
        rules_of,
        shadows=shadows,
        distributions=distributions,
    )
    return Serving(
        routes=routes,
        models=models,
        recorder=recorder,
        shadows=shadows,
        distributions=distributions,
        handler=handler,
    )


def reserve_home(app: App, address: str) -> None:
    """Refuse a second server on the same laptop home; replicas need Postgres.

    Raises:
        Conflict: another live server holds this home.
    """
    if not app.settings.database_url.startswith("sqlite"):
        return
    found = app.store.executors.find(SERVER)
    # The second one is for two that start at the same moment, before either is known.
    if found is not None or not hold(app.settings.home / LOCK):
        where = f" at {found[1]}" if found is not None else ""
        raise Conflict(
            f"This home is served already{where}. Stop that server, use another HEADRACE_HOME "
            f"for {address}, or move the metadata to Postgres (HEADRACE_DATABASE_URL) to run replicas."
        )
