"""A server whose one live project answers by trees, and all that is kept of its explanations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from headrace.app.answers.kept_explanations import Counted
from headrace.app.composition import App, open_app
from headrace.app.operations import declare
from headrace.app.workflows import launch
from headrace.core.canonical import digest_of
from headrace.core.ids import new_id
from headrace.core.record import Explained, Span
from headrace.core.release import Release
from headrace.store.records import decode_explained
from headrace.testing import MemoryTracker, make_settings
from headrace.web.server import Server, build_server
from tests.app.small import AUTHOR, CODE, INPUTS, Small, cars
from tests.web.memory_client import MemoryClient, in_memory

TREES = ("trainer: listed", "trainer: forest")
OPEN = "privacy: {basis: not_personal}"
CODE_WITH_TREES = f"""{CODE}

@headrace.trainer
def forest(data: headrace.TrainingData):
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(5, max_depth=4, random_state=0).fit(data.X, data.y)


@headrace.explainer("doubled")
def doubled(predict, row, background):
    return {{"listed": 2 * predict(row)[0]}}
"""
ROWS = {name: cars(3, seed=5)[name] for name in INPUTS}
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collected:
    """Takes spans in place of a collector."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def emit(self, spans: Any) -> None:
        self.spans += spans

    def explained(self) -> list[Span]:
        return [span for span in self.spans if span.name == "explain open"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A server whose one live project answers by trees."""

    app: App
    project: Small
    server: Server
    client: MemoryClient

    def ask(self, path: str, *, by: str = AUTHOR, parent: str | None = None, **more: Any) -> httpx.Response:
        token = self.app.tokens.issue(self.app.identities.resolve(by))
        headers = {"authorization": f"Bearer {token}"} | ({"traceparent": parent} if parent else {})
        return self.client.request("POST", path, headers=headers, **more)

    def predict(
        self, parent: str | None = None, keys: list[str] | None = None, **query: Any
    ) -> dict[str, Any]:
        body = {"columns": ROWS, "keys": keys}
        answer = self.ask("/api/v1/predict/open", parent=parent, params=query, json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def one(self, index: int = 0) -> dict[str, Any]:
        record = {name: values[index] for name, values in ROWS.items()}
        answer = self.ask("/api/v1/predict/open", json={"record": record})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def shown(self, answer: str) -> httpx.Response:
        token = self.app.tokens.issue(self.app.identities.resolve(AUTHOR))
        return self.client.request(
            "GET",
            f"/api/v1/projects/open/answers/{answer}/explanation",
            headers={"authorization": f"Bearer {token}"},
        )

    def kept(self) -> dict[str, Explained]:
        """What is durable now, by the answer's id; one explanation for each."""
        events = self.app.store.events
        found = [
            decode_explained(record)
            for segment in events.segments("open/explanations")
            for record in events.read("open/explanations", segment.name, 0, 1 << 20)[0]
        ]
        assert len({one.id for one in found}) == len(found)
        return {one.id: one for one in found}

    def count(self, outcome: str) -> int:
        return self.server.parts.explanations.counts().get(Counted("open", outcome), 0)

    def until(self, holds: Callable[[], bool]) -> None:
        until_s = self.app.clock.monotonic_s() + 30
        while not holds():
            assert self.app.clock.monotonic_s() < until_s, self.server.parts.explanations.counts()
            self.app.clock.sleep(0.01)

    def declared(self, *changes: tuple[str, str]) -> None:
        made = self.project.write(TREES, *changes, code=CODE_WITH_TREES)
        declare(made.app, made.me, made.folder)


def hold_what_is_declared(app: App, live: Release) -> None:
    """Make a release live that is from before releases carried settings: what is declared holds at once."""
    manifest = replace(live.manifest, charter=None)
    made = replace(live, id=new_id(app.clock.now()), manifest=manifest, digest=digest_of(manifest))
    app.store.releases.add(replace(made, signature=app.access.signatures.sign(made)))
    route = app.store.rollouts.route(live.project)
    assert route is not None
    app.store.rollouts.set_route(replace(route, live=made.id, revision=route.revision + 1))
    app.store.epoch.advance()


@contextmanager
def serving(home: Path, privacy: str = OPEN) -> Iterator[tuple[Asked, Collected]]:
    settings = replace(make_settings(home), otlp_url="http://127.0.0.1:9")
    with open_app(settings) as opened:
        app = replace(opened, tracker=MemoryTracker())
        with launch(app, role="server") as work:
            project = Small(app=app, work=work, folder=home / "open", name="open")
            project.write(TREES, (OPEN, privacy), code=CODE_WITH_TREES)
            hold_what_is_declared(app, project.released())
            server = build_server(app, work)
            collected = Collected()
            server.parts.explanations._spans = collected
            tracing = server.parts.tracing
            assert tracing is not None
            tracing._spans = collected
            with in_memory(server) as client:
                yield Asked(app=app, project=project, server=server, client=client), collected
