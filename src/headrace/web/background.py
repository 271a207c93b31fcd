"""What the server does between requests: follow the routes, load models ahead, watch models and people."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial

from headrace.app.credentials import revoke_unneeded
from headrace.app.incidents import notice
from headrace.app.inventory import tidy
from headrace.app.outbox import deliver, escalate
from headrace.app.retaining import delete_old
from headrace.store.disk import Held
from headrace.web.metrics import counted
from headrace.web.parts import Parts

_log = logging.getLogger(__name__)
REFRESH_S = 0.2
WATCH_S = 60.0
NOTICE_S = 1.0
TELL_S = 2.0
ESCALATE_S = 30.0
FLUSH_S = 30.0
TIDY_S = 3_600.0
RETAIN_S = 3_600.0
SEAL_S = 5.0
COUNT_S = 2.0
LOCK = "background.lock"


class Background:
    """One thread for each kind of turn, from :meth:`start` to :meth:`stop`; a turn is a method of its own.

    What has to be done once for a home is done by one of the processes that serve it.
    """

    def __init__(self, parts: Parts, *, refresh_s: float = REFRESH_S, watch_s: float = WATCH_S) -> None:
        self._parts = parts
        self._turns: tuple[tuple[str, float, Callable[[], object]], ...] = (
            ("routes", refresh_s, self.refresh),
            ("watch", watch_s, self._alone(self.watch)),
            ("notice", NOTICE_S, self.notice),
            ("tell", TELL_S, self._alone(self.tell)),
            ("escalate", ESCALATE_S, self._alone(self.escalate)),
            ("uses", FLUSH_S, self.flush),
            ("tidy", TIDY_S, self._alone(self.tidy)),
            ("retain", RETAIN_S, self._alone(self.retain)),
            ("seal", SEAL_S, self._alone(self.seal)),
        )
        if parts.siblings:
            self._turns += (("counts", COUNT_S, self.count),)
        self._leading = Held(parts.app.settings.home / LOCK)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Read the routes once, so that the first request finds them, then go on in the background.

        A round of watching starts at once too: what happened while no server ran is looked at now.
        """
        self._turn("routes", self.refresh)
        self._turn("watch", self._alone(self.watch))
        self._turn("tidy", self._alone(self.tidy))
        for turn in self._turns:
            thread = threading.Thread(target=self._repeat, args=turn, name=f"headrace-{turn[0]}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End all threads; a turn under way is finished first."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        if self._parts.siblings:
            self._turn("last counts", self.count)
        self._turn("last seal", self._parts.app.seals.seal)
        self._leading.release()

    def refresh(self) -> None:
        """Read the routes, load what they name, forget the rest; count what was asked."""
        self._parts.routes.refresh()
        named = self._parts.routes.release_ids()
        self._parts.models.keep(named)
        self._parts.distributions.keep(named)

    def watch(self) -> list[str]:
        """Start a round of watching for each project that answers and is not being watched right now; see to
        decisions whose process died before they took effect."""
        work = self._parts.work
        self._turn("decisions", work.deliveries.remind)
        busy = work.durable.unfinished("watch")
        projects = [route.project for route in self._parts.app.store.rollouts.routes()]
        free = [name for name in projects if not any(one.startswith(f"watch:{name}:") for one in busy)]
        return [work.watching.start(name) for name in free]

    def notice(self) -> None:
        """Raise incidents about identities that do something out of the ordinary."""
        notice(self._parts.app)

    def tell(self) -> None:
        """Tell people of alerts."""
        deliver(self._parts.app)

    def escalate(self) -> None:
        """Tell others of alerts that nobody has acknowledged in time."""
        escalate(self._parts.app)

    def flush(self) -> None:
        """Write which rights were used, once what waits has been compared with earlier uses."""
        self.notice()
        self._parts.app.access.uses.flush()

    def tidy(self) -> None:
        """End credentials that are over or that nobody needs, and tell about what a person has to mend."""
        app = self._parts.app
        self._turn("revoking", lambda: revoke_unneeded(app))
        self._turn("setting aside", app.access.revocations.set_aside)
        self._turn("expiring", app.store.expiring.clean)
        self._turn("sightings", app.access.activity.forget)
        self._turn("inventory", lambda: tidy(app))
        self._turn("old answers", self._parts.later.clean)

    def seal(self) -> None:
        """Seal the audit log when enough has come, or something has waited long enough."""
        self._parts.app.seals.due()

    def count(self) -> None:
        """Let the processes that share the port read what this one has counted."""
        visible = {project.name for project in self._parts.app.store.projects.list()}
        self._parts.siblings.write(counted(self._parts, visible))

    def retain(self) -> None:
        """Delete what projects may not keep any longer; one that cannot be served keeps no other waiting.

        An erasure that did not succeed is tried again first.
        """
        app = self._parts.app
        self._turn("erasures", self._parts.work.erasures.resume)
        for project in app.store.projects.list():
            self._turn(f"retention of {project.name}", partial(delete_old, app, project.name))

    def _alone(self, act: Callable[[], object]) -> Callable[[], object]:
        """``act``, in one of several processes of this home; when that one ends, in another."""
        return lambda: act() if self._leading.take() else None

    def _repeat(self, name: str, period_s: float, act: Callable[[], object]) -> None:
        while not self._stopping.wait(period_s):
            self._turn(name, act)

    def _turn(self, name: str, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception:  # noqa: BLE001
            # Boundary: a store that cannot be read now must not end the thread; the next turn tries again.
            _log.exception("The server's turn of %s failed", name)
