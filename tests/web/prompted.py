"""A home whose projects answer with texts, served on a real socket; the model behind it is scripted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import openai

from headrace.access.privacy.charters import terms_of
from headrace.app.composition import App, open_app
from headrace.app.workflows import launch
from headrace.core.project import Column, DataSpec, PrivacySpec
from headrace.core.record import Failure, Prediction
from headrace.core.release import Route, Subject
from headrace.core.settings import Settings, read_settings
from headrace.gateway.llm.endpoints import FILE
from headrace.gateway.prompts import MEDIA_TYPE, Prompt
from headrace.store.records import decode_failure, decode_prediction
from headrace.testing import ScriptedLLM
from headrace.testing.factories import make_manifest, make_project, make_release, make_settings
from headrace.web.server import Server, build_server
from tests.web.memory_client import in_memory

PROJECT, USER, STRANGER = "support", "uma", "vic"
HELLO: list[Any] = [{"role": "user", "content": "May I return it?"}]
STAFF = {"oversight": {"faces": "staff"}}
"""Answers that need nobody to look at them first."""
PROMPT = Prompt(template="Be {{ tone }}.", models=("local/small",), variables={"tone": "kind"})


@dataclass(frozen=True, kw_only=True)
class Desk:
    """The home, its server, and the model."""

    app: App
    server: Server
    model: ScriptedLLM
    url: str

    def token(self, name: str = USER) -> str:
        """A bearer token of ``name``."""
        return self.app.tokens.issue(self.app.identities.resolve(name))

    def release(
        self,
        prompt: Prompt,
        project: str = PROJECT,
        llm: dict[str, Any] | None = None,
        params: dict[str, Any] | None = None,
        **privacy: Any,
    ) -> str:
        """Make ``prompt`` live; returns its release's id."""
        app = self.app
        declared = replace(
            make_project(name=project, task="text_generation"),
            data=DataSpec(source="q.csv", target="expected", columns=(Column(name="question", role="text"),)),
            llm=STAFF | (llm or {}),
            privacy=PrivacySpec(**({"basis": "not_personal"} | privacy)),
        )
        app.store.projects.save(declared, "")
        version = len(app.store.releases.list(project)) + 1
        package = app.store.artifacts.put(prompt.to_bytes(), MEDIA_TYPE)
        subject = Subject(ref=f"prompt:{project}@{version}", package=package)
        manifest = make_manifest(project=project, subject=subject, terms=terms_of(declared), charter=declared)
        manifest = replace(manifest, params=manifest.params | (params or {}))
        made = make_release(manifest=manifest)
        added = app.store.releases.add(replace(made, signature=app.access.signatures.sign(made)))
        before = app.store.rollouts.route(project)
        revision = 0 if before is None else before.revision + 1
        app.store.rollouts.set_route(Route(project=project, live=added.id, revision=revision))
        app.store.epoch.advance()
        self.server.parts.gateway.refresh()
        return added.id

    def answers(self, project: str = PROJECT) -> list[Prediction]:
        """All that is on record, the oldest first."""
        return [decode_prediction(record) for record in self.records("predictions", project)]

    def failures(self, project: str = PROJECT) -> list[Failure]:
        """The same of what could not be answered."""
        return [decode_failure(record) for record in self.records("failures", project)]

    def records(self, kind: str, project: str = PROJECT) -> Iterator[bytes]:
        """One stream of the record."""
        events, stream = self.app.store.events, f"{project}/{kind}"
        for segment in events.segments(stream):
            yield from events.read(stream, segment.name, 0, 10_000)[0]


@contextmanager
def prompted(home: Path, listen: Callable[[Server], str], **environment: str) -> Iterator[Desk]:
    """Serve ``home``, with one prompt live."""
    with ScriptedLLM() as model, open_app(_settings(home, environment)) as app:
        provider = {"url": f"{model.url}/v1", "terms": {"self_hosted": True, "region": "eu"}}
        again = {"url": "http://127.0.0.1:9/v1", "connect_timeout_s": 0.5}
        terms = {"retains_days": 30, "trains_on_data": False, "region": "us"}
        abroad = {"url": f"{model.url}/v1", "terms": terms, "models": [{"name": "small"}]}
        claude = provider | {"api": "anthropic"}
        short = {"first_byte_timeout_s": 0.4, "idle_timeout_s": 0.4, "total_timeout_s": 0.8}
        providers = {
            "hasty": provider | short,
            "hasty-claude": claude | short,
            "claude": claude,
            "local": provider,
            "down": again,
            "abroad": abroad,
        }
        (home / FILE).write_text(json.dumps({"providers": providers}))
        app.identities.add(USER, ["operator"], actor=app.me().name)
        app.identities.add(STRANGER, ["auditor"], actor=USER)
        with launch(app, role="server") as work:
            server = build_server(app, work)
            with in_memory(server):
                desk = Desk(app=app, server=server, model=model, url=listen(server))
                desk.release(PROMPT)
                yield desk


def _settings(home: Path, environment: dict[str, str]) -> Settings:
    settings = make_settings(home)
    return read_settings(dict(settings.environment) | environment)


def client(desk: Desk, *, retries: int = 0) -> openai.OpenAI:
    """The official client, as the one who may ask."""
    return openai.OpenAI(base_url=f"{desk.url}/v1", api_key=desk.token(), max_retries=retries)


def read(answer: Any) -> str:
    """What an answer says, whole or in pieces."""
    if not isinstance(answer, openai.Stream):
        return str(answer.choices[0].message.content)
    return "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)
