"""A release answering on trial: as it would be served, but for a record that nobody keeps."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from headrace.app.answers.serving import Serving, serving_of
from headrace.app.composition import App, open_app
from headrace.core.errors import Unavailable
from headrace.core.ids import new_id
from headrace.core.release import Route
from headrace.core.settings import Settings, read_settings
from headrace.store.events import SegmentLog

SERVER = "headrace.web.trial_server"
_PATIENCE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class _OneRoute:
    """All of the project's traffic to one release, whatever is live."""

    route: Route

    def routes(self) -> list[Route]:
        """The one."""
        return [self.route]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A release that answers, and the home that it was made in."""

    app: App
    serving: Serving


@contextmanager
def open_trial(settings: Settings, release_id: str) -> Iterator[Trial]:
    """The way to an answer of one release, loaded; its records are deleted at the end."""
    with open_app(settings) as app:
        release = app.store.releases.get(release_id)
        scratch = settings.home / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="trial-", dir=scratch) as folder:
            own = Path(folder) / "events"
            events = SegmentLog(own, new_id(app.clock.now()), keys=app.access.data_keys)
            apart = replace(app, store=replace(app.store, events=events))
            serving = serving_of(
                apart, source=_OneRoute(route=Route(project=release.project, live=release.id))
            )
            serving.routes.refresh()
            serving.models.get(release.id)
            serving.distributions.keep({release.id})
            try:
                yield Trial(app=apart, serving=serving)
            finally:
                serving.recorder.close()
                events.close()


@contextmanager
def trial_server(app: App, release_id: str) -> Iterator[str]:
    """The address at which a release answers on trial, in a process of its own, until the block ends.

    Raises:
        Unavailable: it did not start; the message has its last words.
    """
    with server_process(app.settings, SERVER, release_id) as url:
        yield url


@contextmanager
def server_process(settings: Settings, module: str, *arguments: str) -> Iterator[str]:
    """The address at which a module of ours serves a home, in a process of its own, until the block ends.

    Raises:
        Unavailable: it did not start; the message has its last words.
    """
    # Its words go into a file: a pipe that nobody reads would fill up, and it would wait for ever.
    with TemporaryFile("w+", encoding="utf-8") as words:
        # It ends when its standard input does, so it never outlives us, whatever happens to us.
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
        )
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            with suppress(BrokenPipeError):  # it has ended already, and its last words say why
                process.stdin.write(json.dumps(_told(settings)) + "\n")
                process.stdin.flush()
            said = process.stdout.readline()
            if not said:
                process.wait(_PATIENCE_S)
                words.seek(0)
                last = (words.read().strip().splitlines() or ["it said nothing"])[-1]
                raise Unavailable(f"The server for the test did not start: {last}")
            yield str(json.loads(said)["url"])
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    try:
        process.communicate(timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def _told(settings: Settings) -> dict[str, str]:
    """What the child needs to find the same home."""
    return {
        "HEADRACE_HOME": str(settings.home),
        "HEADRACE_DATABASE_URL": settings.database_url,
        "HEADRACE_STORAGE_URL": str(settings.storage_path),
        "HEADRACE_USER": settings.user,
    }


def told_settings(line: str) -> Settings:
    """The settings that the parent wrote as a line."""
    return read_settings(json.loads(line))
