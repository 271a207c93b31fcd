"""The control plane from a notebook: ``with headrace.workspace() as here: here.approve(release)``.

Every method calls the function that the command line, the API and the pages call, with the same rights and
the same record.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from headrace.app import operations
from headrace.app.composition import App, open_app
from headrace.app.data import assets
from headrace.app.governance import waivers
from headrace.app.labels import opinions
from headrace.app.overviews import goals, lifecycle, readiness, reading, reviews
from headrace.app.workflows import launch
from headrace.core.identity import Principal
from headrace.core.project import Project
from headrace.core.release import Release, Review, Waiver
from headrace.core.settings import Settings, read_settings
from headrace.projects.goals import Goal
from headrace.releases.waivers import Size


class Workspace:
    """What may be seen and decided here, as the local identity; made by :func:`workspace`."""

    def __init__(self, app: App, me: Principal) -> None:
        self._app = app
        self._me = me

    def projects(self) -> list[Project]:
        """All projects that you may see."""
        return reading.projects(self._app, self._me)

    def releases(self, project: str | None = None) -> list[Release]:
        """Releases that you may see, newest first."""
        return reading.releases(self._app, self._me, project)

    def release(self, release: str) -> reading.ReleaseReport:
        """One release with its evidence, by its id or how that begins."""
        return reading.release_report(self._app, self._me, self._found(release).id)

    def goals(self, project: str) -> tuple[Goal, ...]:
        """What the project is held to."""
        return goals.goals(self._app, self._me, project)

    def lifecycle(self, project: str) -> list[lifecycle.Stage]:
        """Where the project stands, and whose work each stage is."""
        return lifecycle.stages(self._app, self._me, project)

    def readiness(self, project: str) -> readiness.Readiness:
        """How ready the project is, with each gap."""
        return readiness.readiness(self._app, self._me, project)

    def assets(self, search: str = "", kind: assets.Kind | None = None) -> list[assets.Asset]:
        """What projects have that you may use again."""
        return assets.assets(self._app, self._me, search, kind)

    def build(self, folder: Path | str, *, cause: str = "by hand") -> reading.ReleaseReport | None:
        """Build and prove the project in ``folder``; its release, or None where a gate stopped the build.

        Raises:
            GateFailed, Conflict, NotFound, UserCodeError: as ``headrace run``.
        """
        with launch(self._app) as work:
            started = operations.start_build(self._app, work, self._me, Path(folder), cause=cause, until=None)
            built: dict[str, Any] = work.durable.result(started.build_id)
            if built["release_id"] is None:
                return None
            operations.settle(self._app, work, built["release_id"], leaving=("proposed",))
        return self.release(built["release_id"])

    def approve(self, release: str, comment: str = "") -> Release:
        """Approve a waiting release; never one's own."""
        return self._decide(release, "approved", comment)

    def reject(self, release: str, comment: str = "") -> Release:
        """Reject a waiting release."""
        return self._decide(release, "rejected", comment)

    def roll_back(self, project: str) -> Release:
        """Stop the rollout under way, else give the traffic back to the release before."""
        with launch(self._app) as work:
            return operations.roll_back(self._app, work, self._me, project)

    def review(self, release: str, *, outcome: Literal["fit", "unfit"], looked_at: str) -> Review:
        """Record a periodic review of a live release; never of one's own."""
        found = self._found(release)
        return reviews.record(self._app, self._me, found.id, outcome=outcome, looked_at=looked_at)

    def say_of(self, project: str, answer: str, **said: Any) -> opinions.Kept:
        """Store what somebody says of an answer: any of :class:`headrace.app.labels.opinions.Said`.

        Example::

            here.say_of("support", answer_id, thumbs="down", comment="It costs 9 EUR.", by="user-7")
        """
        return opinions.say_of(self._app, self._me, project, answer, opinions.Said(**said))

    def ask_waiver(
        self, project: str, rule: str, *, reason: str, days: int = 30, size: Size = "medium"
    ) -> Waiver:
        """Ask for leave to deviate from a rule for a while; others decide."""
        return waivers.ask(self._app, self._me, project, rule, reason=reason, days=days, size=size)

    def _found(self, release: str) -> Release:
        return operations.find_release(self._app, self._me, release)

    def _decide(self, release: str, decision: Literal["approved", "rejected"], comment: str) -> Release:
        with launch(self._app) as work:
            return operations.decide(self._app, work, self._me, release, decision, comment)


@contextmanager
def workspace(settings: Settings | None = None, *, as_name: str | None = None) -> Iterator[Workspace]:
    """Open the home that the environment names, for as long as the block lasts.

    Args:
        settings: of another home.
        as_name: another identity of yours.

    Raises:
        NotFound, Unauthenticated: there is no such identity, or it may not act.

    Example::

        with headrace.workspace() as here:
            print(here.lifecycle("cars"))
            here.reject("0192f", comment="worse for diesel")
    """
    with open_app(settings or read_settings()) as app:
        me = app.me()  # the home's first identity exists before anybody acts
        yield Workspace(app, me if as_name is None else app.identities.resolve(as_name))
