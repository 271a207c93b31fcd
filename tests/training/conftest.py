"""Builds that several files look at; each is trained once, in real worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from headrace.core.data import Run
from headrace.core.project import Project, Task
from headrace.store import Store
from headrace.testing.clock import FakeClock
from headrace.training.package import load_scorer
from headrace.training.pipeline import Build, train_variant
from headrace.training.probed import Probed, probe_run
from tests.training.building import build_of, home
from tests.training.examples import project, series, table

KINDS: dict[str, tuple[Task, dict[str, Any]]] = {
    "numbers": ("regression", table()),
    "two-labels": ("classification", table(classes=("cheap", "dear"))),
    "three-numbers": ("classification", table(classes=(1.0, 2.0, 3.0))),
    "days": ("forecasting", series()),
}


class Trained(NamedTuple):
    """One finished build and what it was made from."""

    store: Store
    project: Project
    build: Build
    columns: dict[str, Any]
    runs: dict[str, Run]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Trained]]:
    """Every kind of table with every kind of variant."""
    folder = tmp_path_factory.mktemp("trained")
    store = home(folder / "home")
    builds = {}
    for kind, (task, columns) in KINDS.items():
        declared = project(task, name=kind)
        builds[kind] = build_of(store, folder, declared, columns, build_id=f"build-{kind}")
    jobs = [(kind, variant) for kind, build in builds.items() for variant in build.project.variants]
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda job: train_variant(store, FakeClock(), builds[job[0]], job[1]), jobs))
    yield {
        kind: Trained(
            store,
            build.project,
            build,
            KINDS[kind][1],
            {run.variant: run for (name, _), run in zip(jobs, runs, strict=True) if name == kind},
        )
        for kind, build in builds.items()
    }
    store.close()


@pytest.fixture(scope="session")
def probed(
    trained: dict[str, Trained], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Probed]:
    """What probing a variant of a kind finds; each is probed once, in a worker process."""

    @cache
    def of(kind: str, variant: str) -> Probed:
        run = trained[kind].runs[variant]
        assert run.package is not None, run.error
        with closing(load_scorer(trained[kind].store.artifacts.path(run.package.digest))) as scorer:
            folder = tmp_path_factory.mktemp("probe") / "probe"
            return probe_run(trained[kind].store, run, scorer, folder, timeout_s=60.0, least_gain=0.5)

    return of


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store of the test's own."""
    opened = home(tmp_path / "home")
    yield opened
    opened.close()
