from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from headrace.app.composition import open_app
from headrace.cli.exits import exit_code
from headrace.cli.main import app
from headrace.core.errors import HeadraceError
from headrace.testing import make_settings
from tests.web.seed import Seeded, seed

USER = "ada"


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended; ``error`` is what it raised for the edge to report."""

    code: int
    out: str
    error: str

    @property
    def json(self) -> Any:
        """What it printed, read as JSON."""
        return json.loads(self.out)


@dataclass(frozen=True, kw_only=True)
class Cli:
    """Runs commands in this process, in a home of the test's own."""

    home: Path
    user: str = USER

    def __call__(self, *arguments: str, given: str | None = None) -> Ended:
        """Run one command to its end; ``given`` is its standard input."""
        return self.run(arguments, given=given)

    def run(
        self, arguments: Sequence[str], more: Mapping[str, str] | None = None, *, given: str | None = None
    ) -> Ended:
        """Run one command, with ``more`` in its environment."""
        environment = {"HEADRACE_HOME": str(self.home), "HEADRACE_USER": self.user, "COLUMNS": "200"}
        environment |= dict(more or {})
        result = CliRunner().invoke(app, list(arguments), env=environment, input=given)
        error = result.exception
        if isinstance(error, HeadraceError):
            return Ended(code=exit_code(error), out=result.stdout, error=str(error))
        if error is not None and not isinstance(error, SystemExit):
            raise error
        return Ended(code=result.exit_code, out=result.stdout, error=result.stderr)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line in an empty home and an empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Cli(home=tmp_path / "home")


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Seeded]:
    """A home that a few months of work have filled; commands may only read it."""
    home = tmp_path_factory.mktemp("seeded") / "home"
    with open_app(make_settings(home)) as opened:
        return home, seed(opened)


@pytest.fixture
def full(seeded: tuple[Path, Seeded]) -> Callable[..., Ended]:
    """The command line in the filled home."""
    return Cli(home=seeded[0])


@pytest.fixture
def known(seeded: tuple[Path, Seeded]) -> Seeded:
    """Ids in the filled home."""
    return seeded[1]
