from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from headrace.app.watching import Watching
from headrace.core.release import Route
from headrace.testing.factories import make_route
from headrace.web.background import Background
from tests.web.conftest import Site
from tests.web.seed import VIEWER


def test_each_project_that_answers_is_watched_once_at_a_time(site: Site) -> None:
    started: list[str] = []
    busy = ["watch:cars:1"]

    class Durable:
        def unfinished(self, name: str, prefix: str) -> list[str]:
            assert name == "watch"
            return [one for one in busy if one.startswith(prefix)]

        def start(self, _name: str, workflow_id: str, project: str) -> None:
            assert workflow_id.startswith(f"watch:{project}:")
            started.append(project)

    durable: Any = Durable()
    work = replace(site.work, durable=durable, watching=Watching(site.server.parts.app, durable))
    background = Background(replace(site.server.parts, work=work))
    (begun,) = background.chores.watch()
    assert begun.startswith("watch:flight-delay:")
    busy.clear()
    background.chores.watch()
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
    routes = type(site.server.parts.routes)(Rollouts(), site.app.clock)
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

    routes = type(site.server.parts.routes)(Rollouts(), site.app.clock)
    background = Background(replace(site.server.parts, routes=routes))
    background.refresh()
    assert site.server.parts.models.find(site.seeded.cars_live) is not None
    Background(site.server.parts).refresh()


def test_counts_of_refused_requests_are_written_in_turns_and_once_more_at_the_end(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = threading.Semaphore(0)

    class Counting:
        def flush(self) -> None:
            flushed.release()

    parts = replace(site.server.parts, handler=SimpleNamespace(refusals=Counting()))  # type: ignore[arg-type]
    Background(parts).stop()
    assert flushed.acquire(blocking=False)
    monkeypatch.setattr("headrace.web.background.REFUSALS_S", 0.001)
    background = Background(parts)
    background.start()
    for _ in range(3):
        assert flushed.acquire(timeout=10)
    background.stop()


@pytest.mark.requirement("IDN-07")
def test_what_is_out_of_the_ordinary_over_http_becomes_an_incident(site: Site) -> None:
    headers = {"authorization": f"Bearer {site.token(VIEWER)}"}

    async def ask(host: str) -> int:
        transport = httpx.ASGITransport(app=site.server, client=(host, 1234))
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return (await client.get("/api/v1/projects", headers=headers)).status_code

    for host in ("93.184.1.1", "151.101.1.1", "93.184.1.1"):
        assert asyncio.run(ask(host)) == 200
    # The server looks every second by itself, so somebody may be at it right now.
    for _ in range(500):
        Background(site.server.parts).flush()
        found = {one.kind for one in site.app.store.incidents.list(subject=VIEWER)}
        if "impossible_travel" in found:
            break
        threading.Event().wait(0.01)
    assert "impossible_travel" in found
    assert sum(use.count for use in site.app.store.uses.list(VIEWER) if use.action == "active") >= 3


@pytest.mark.requirement("GOV-01")
def test_the_log_is_sealed_as_it_grows_and_once_more_at_the_end(site: Site) -> None:
    app, background = site.app, Background(site.server.parts)
    app.store.audit.append("ada", "act", "thing:1", {})
    background.chores.seal()
    assert app.seals.last() is not None
    assert app.seals.due() is None, "what has come since has not waited long enough"
    app.store.audit.append("ada", "act", "thing:2", {})
    written = app.store.audit.head().sequence
    background.stop()
    last = app.seals.last()
    assert last is not None
    assert last.sequence >= written
