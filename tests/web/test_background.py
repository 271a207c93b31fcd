from __future__ import annotations

import threading
from dataclasses import replace

from headrace.core.release import Route
from headrace.testing.factories import make_route
from headrace.web.background import Background
from tests.web.conftest import Site


def test_each_project_that_answers_is_watched_once_at_a_time(site: Site) -> None:
    started: list[str] = []
    busy = ["watch:cars:1"]

    class Durable:
        def unfinished(self, name: str) -> list[str]:
            assert name == "watch"
            return busy

    class Watching:
        def start(self, project: str) -> str:
            started.append(project)
            return f"watch:{project}:2"

    work = replace(site.work, durable=Durable(), watching=Watching())  # type: ignore[arg-type]
    background = Background(replace(site.server.parts, work=work))
    assert background.watch() == ["watch:flight-delay:2"]
    busy.clear()
    background.watch()
    assert sorted(started) == ["cars", "flight-delay", "flight-delay"]


def test_routes_and_models_follow_the_store(site: Site) -> None:
    parts = site.server.parts
    Background(parts).refresh()
    assert parts.routes.release_ids() == {site.seeded.live, site.seeded.cars_live, site.seeded.canary}
    assert parts.models.find(site.seeded.canary) is not None
    assert parts.models.find(site.seeded.aborted) is None


def test_a_store_that_fails_does_not_end_the_threads(site: Site) -> None:
    turns = threading.Semaphore(0)

    class Rollouts:
        def routes(self) -> list[Route]:
            turns.release()
            raise OSError("the disk is gone")

    store = replace(site.app.store, rollouts=Rollouts())  # type: ignore[arg-type]
    app = replace(site.app, store=store)
    routes = type(site.server.parts.routes)(Rollouts(), site.app.clock)  # type: ignore[arg-type]
    background = Background(
        replace(site.server.parts, app=app, routes=routes), refresh_s=0.001, watch_s=0.001
    )
    background.start()
    for _ in range(5):
        assert turns.acquire(timeout=10)
    background.stop()


def test_a_route_that_names_no_release_leaves_the_others_alone(site: Site) -> None:
    class Rollouts:
        def routes(self) -> list[Route]:
            return [make_route(project="cars", live=site.seeded.cars_live), make_route(project="odd")]

    routes = type(site.server.parts.routes)(Rollouts(), site.app.clock)  # type: ignore[arg-type]
    background = Background(replace(site.server.parts, routes=routes))
    background.refresh()
    assert site.server.parts.models.find(site.seeded.cars_live) is not None
    Background(site.server.parts).refresh()
