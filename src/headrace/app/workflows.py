"""The durable workflows of one process, connected."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType

from headrace.app.build import Builds
from headrace.app.composition import App
from headrace.app.durable import Durable
from headrace.app.overviews.deployed import note_server
from headrace.app.privacy.erasures import Erasures
from headrace.app.promotions import Promotions
from headrace.app.rollouts.deliver import Deliveries
from headrace.app.watching import Watching


@dataclass(frozen=True, kw_only=True)
class Workflows:
    """Use as a context manager: leaving frees what is unfinished for other processes."""

    durable: Durable
    builds: Builds
    deliveries: Deliveries
    promotions: Promotions
    watching: Watching
    erasures: Erasures

    def __enter__(self) -> Workflows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.durable.close()


def launch(app: App, *, role: str = "command", address: str | None = None) -> Workflows:
    """Start running workflows in this process, those that others left unfinished included; what was decided
    meanwhile reaches them."""
    durable = Durable(
        database_url=app.settings.workflows_url,
        executors=app.store.executors,
        clock=app.clock,
        role=role,
    )
    work = Workflows(
        durable=durable,
        builds=Builds(app, durable),
        deliveries=Deliveries(app, durable),
        promotions=Promotions(app, durable),
        watching=Watching(app, durable),
        erasures=Erasures(app, durable),
    )
    durable.launch(
        {
            "build": work.builds.run,
            "train": work.builds.train,
            "deliver": work.deliveries.run,
            "promote": work.promotions.run,
            "watch": work.watching.run,
            "erase": work.erasures.run,
        },
        address,
    )
    if address is not None:
        note_server(app, durable.executor_id, address)
    work.deliveries.remind()
    work.erasures.resume()
    return work
