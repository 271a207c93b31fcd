"""The experiments behind a model: every attempt up to it, chosen or not, and the line that it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headrace.app.composition import App
from headrace.app.overviews import reading
from headrace.core.data import Run
from headrace.core.identity import Principal
from headrace.core.release import Release, ReleaseState
from headrace.releases.manifest import parent_of

_ALL = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One build: its runs, and what became of the best of them.

    Attributes:
        runs: every variant that was tried, failed ones included, in the order in which they began.
        chosen: the run that was proposed; None where none was good enough.
        release_id, state: what was made of it.
        in_line: whether the model descends from it: it, its parent, the parent of that, and so on.
    """

    build_id: str
    cause: str
    author: str
    began_at: datetime
    runs: tuple[Run, ...]
    chosen: str | None
    release_id: str | None
    state: ReleaseState | None
    in_line: bool


def history(app: App, me: Principal, reference: str) -> list[Experiment]:
    """All experiments of the project up to the one that made ``NAME@VERSION``, newest first.

    Raises:
        NotFound, InvalidInput, Denied: as :func:`headrace.app.overviews.reading.model_run`.
    """
    run = reading.model_run(app, me, reference)
    builds: dict[str, list[Run]] = {}
    for one in reversed(app.store.runs.list(run.project, limit=_ALL)):
        builds.setdefault(one.build_id, []).append(one)
    releases = {one.manifest.run_id: one for one in app.store.releases.list(run.project)}
    line = _line(app, releases.get(run.id))
    found = []
    for build_id, runs in builds.items():
        chosen = next((one for one in runs if one.id in releases), None)
        release = None if chosen is None else releases[chosen.id]
        found.append(
            Experiment(
                build_id=build_id,
                cause=runs[0].cause,
                author=runs[0].author,
                began_at=runs[0].started_at,
                runs=tuple(runs),
                chosen=None if chosen is None else chosen.id,
                release_id=None if release is None else release.id,
                state=None if release is None else release.state,
                in_line=build_id == run.build_id or (release is not None and release.id in line),
            )
        )
        if build_id == run.build_id:
            break
    return found[::-1]


def _line(app: App, release: Release | None) -> set[str]:
    """Ids of a release and of those it descends from."""
    found: set[str] = set()
    while release is not None and release.id not in found:
        found.add(release.id)
        release = parent_of(app.store.releases, release.manifest)
    return found
