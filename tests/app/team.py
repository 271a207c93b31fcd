"""One home for many tests, each with a workspace and people of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from headrace.app.composition import App, open_app
from headrace.core.identity import Kind, Principal
from headrace.testing import FakeClock, make_project, make_settings

_NUMBERS = count(1)


@dataclass(frozen=True, kw_only=True)
class Team:
    """A workspace with ``dev`` (developer), ``val`` (validator), ``root`` (admin) and a project."""

    app: App
    clock: FakeClock
    workspace: str
    project: str

    def add(self, name: str, *roles: str, kind: Kind = "person") -> Principal:
        """Make somebody of the workspace known; names are made unique over all tests."""
        machine = kind != "person"
        return self.app.identities.add(
            f"{name}-{self.workspace}",
            roles,
            actor="test",
            kind=kind,
            workspace=self.workspace,
            owner=f"root-{self.workspace}" if machine else None,
            purpose="tests" if machine else "",
        )

    def __getitem__(self, name: str) -> Principal:
        return self.app.identities.resolve(f"{name}-{self.workspace}")


@contextmanager
def home(folder: Path) -> Iterator[App]:
    """An opened home whose clock stands still."""
    with open_app(make_settings(folder / "home"), FakeClock()) as app:
        yield app


def new_team(app: App) -> Team:
    """A workspace of a test's own."""
    assert isinstance(app.clock, FakeClock)
    workspace = f"w{next(_NUMBERS)}"
    team = Team(app=app, clock=app.clock, workspace=workspace, project=f"{workspace}-cars")
    team.add("root", "admin")
    team.add("dev", "developer")
    team.add("val", "validator")
    app.store.projects.save(make_project(name=team.project), "/nowhere", workspace)
    app.store.epoch.advance()
    return team
