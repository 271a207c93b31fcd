"""What has to be done once for a home, by whichever of its processes: watch models, tell people, tidy up.

A server does it between requests. Processes of their own (``headrace monitor run``) relieve all servers of
the home: they leave the chores to them, and take them back when the last one ends, however it ends. Such
processes share the projects that are to be watched; all else is done by one of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

from headrace.app.alerting.announcing import announce
from headrace.app.alerting.outbox import deliver, escalate
from headrace.app.answers.later import delete_old_answers
from headrace.app.composition import App
from headrace.app.credentials import revoke_unneeded
from headrace.app.governance.inventory import tidy
from headrace.app.llm.drafts import tell_decisions
from headrace.app.llm.shadow_use import forget_old
from headrace.app.privacy.retaining import delete_old
from headrace.app.repeating import Turn, attempt
from headrace.app.workflows import Workflows
from headrace.core.errors import Conflict
from headrace.core.ids import derived_id
from headrace.store.disk import Held

WATCH_S = 60.0
TELL_S = 2.0
ANNOUNCE_S = 10.0
ESCALATE_S = 30.0
TIDY_S = 3_600.0
RETAIN_S = 3_600.0
SEAL_S = 5.0
BUDGETS_S = 60.0
TRUST_S = 5.0
_BUDGETS_KEPT = timedelta(days=400)
"""For how long it is known what was spent in a period."""
MONITOR = "monitor"
"""Role of processes that exist for nothing else."""
LOCK, ITS_OWN_LOCK = "background.lock", "monitor.lock"
"""Who does the chores now; and that processes exist for nothing else."""
_TRIES, _PAUSE_S = 50, 0.05


class Chores:
    """The chores of a home, done by this process or left to another.

    Args:
        own_process: whether this process exists for nothing else; servers then leave the chores to it, and it
            shares the watching with others of its kind.

    Raises:
        Conflict: servers of this home do not leave the chores to this process.

    Example::

        chores = Chores(app, work)
        repeating = Repeating(chores.turns())
    """

    def __init__(
        self, app: App, work: Workflows, *, own_process: bool = False, watch_s: float = WATCH_S
    ) -> None:
        self._app = app
        self._work = work
        self._own_process = own_process
        self._duty = _Duty(app, own_process=own_process)
        self._watch_s = watch_s

    def turns(self) -> list[Turn]:
        """Each chore, and how often it is due."""
        alone = (
            ("trust", TRUST_S, self.trust),
            ("tell", TELL_S, self.tell),
            ("announce", ANNOUNCE_S, self.announce),
            ("escalate", ESCALATE_S, self.escalate),
            ("tidy", TIDY_S, self.tidy),
            ("retain", RETAIN_S, self.retain),
            ("seal", SEAL_S, self.seal),
            ("budgets", BUDGETS_S, self.budgets),
        )
        return [
            Turn("watch", self._watch_s, self.share),
            *(Turn(name, period_s, partial(self.do, act)) for name, period_s, act in alone),
        ]

    def do(self, chore: Callable[[], object]) -> None:
        """Do it, unless another process of this home does."""
        with self._duty.turn() as mine:
            if mine:
                chore()

    def share(self) -> None:
        """Watch, unless other processes do; several that exist for it share the projects."""
        if self._own_process:
            self.watch()
        else:
            self.do(self.watch)

    def watch(self) -> list[str]:
        """Start a round of watching for each project of this process that answers and is not being watched
        right now; see to decisions whose process died before they took effect."""
        attempt("decisions", self._work.deliveries.remind)
        projects = [route.project for route in self._app.store.rollouts.routes()]
        if self._own_process:
            me, living = self._work.durable.executor_id, self._app.store.executors.living(MONITOR)
            sharing = {me, *(one for one, _ in living)}
            projects = [name for name in projects if falls_to(sharing, name) == me]
        return [begun for name in projects if (begun := self._work.watching.begin(name)) is not None]

    def trust(self) -> None:
        """Let fallbacks answer for live releases that fail: in seconds, not with the next round."""
        for route in self._app.store.rollouts.routes():
            attempt(
                f"trust in {route.project}", partial(self._work.watching.falling_back.look, route.project)
            )

    def tell(self) -> None:
        """Tell people of alerts."""
        deliver(self._app)

    def announce(self) -> None:
        """Tell people of drafts and conversations that wait for them."""
        announce(self._app)

    def escalate(self) -> None:
        """Tell others of alerts that nobody has acknowledged in time."""
        escalate(self._app)

    def tidy(self) -> None:
        """End credentials that are over or that nobody needs, and tell about what a person has to mend."""
        app = self._app
        attempt("revoking", lambda: revoke_unneeded(app))
        attempt("setting aside", app.access.revocations.set_aside)
        attempt("expiring", app.store.expiring.clean)
        attempt("sightings", app.access.activity.forget)
        attempt("inventory", lambda: tidy(app))
        attempt("decisions", lambda: tell_decisions(app))
        attempt("old answers", lambda: delete_old_answers(app))

    def seal(self) -> None:
        """Seal the audit log when enough has come, or something has waited long enough."""
        self._app.seals.due()

    def budgets(self) -> None:
        """Count as spent for good what processes held of budgets that have ended, and forget old periods."""
        budgets, before = self._app.store.budgets, self._app.clock.now() - _BUDGETS_KEPT
        attempt("budgets of ended processes", budgets.lose_dead)
        attempt("old budgets", lambda: budgets.clean(int(before.timestamp()) * 1_000_000))

    def retain(self) -> None:
        """Delete what projects may not keep any longer; one that cannot be served keeps no other waiting.

        An erasure that did not succeed is tried again first.
        """
        attempt("erasures", self._work.erasures.resume)
        for project in self._app.store.projects.list():
            attempt(f"retention of {project.name}", partial(delete_old, self._app, project.name))
        attempt("old shadow uses", lambda: forget_old(self._app))

    def leave(self) -> None:
        """Let another process do them."""
        self._duty.leave()


def falls_to(sharing: Iterable[str], project: str) -> str:
    """Which of the processes that share the projects now watches one, by rendezvous hashing.

    When a process comes or goes, only what it gets or had moves (D. Thaler and C. Ravishankar, IEEE/ACM
    Transactions on Networking 6, 1998): the others go on with what they remember.

    >>> before = [falls_to("ab", str(number)) for number in range(100)]
    >>> after = [falls_to("abc", str(number)) for number in range(100)]
    >>> all(now in (then, "c") for then, now in zip(before, after)), 20 < after.count("c") < 50
    (True, True)
    """
    return max(sharing, key=lambda one: derived_id(one, project))


class _Duty:
    """Which process of a home it falls to: the first that exists for it, or else the first server."""

    def __init__(self, app: App, *, own_process: bool) -> None:
        self._on_duty = Held(app.settings.home / LOCK)
        self._exists = Held(app.settings.home / ITS_OWN_LOCK, shared=own_process)
        self._own_process = own_process
        self._lock = threading.Lock()
        self._n_under_way = 0
        if own_process and not self._announced(app):
            path = app.settings.home / ITS_OWN_LOCK
            raise Conflict(f"Servers of this home hold {path} all the time. Restart them, then try again.")

    def _announced(self, app: App) -> bool:
        """Servers look for a moment whether somebody holds it, so it is tried more than once."""
        for _ in range(_TRIES):
            if self._exists.take():
                return True
            app.clock.sleep(_PAUSE_S)
        return False

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Whether a turn is this process's; as long as one is, no other process has one."""
        with self._lock:
            mine = self._takes()
            self._n_under_way += mine
        try:
            yield mine
        finally:
            with self._lock:
                self._n_under_way -= mine

    def _takes(self) -> bool:
        if self._n_under_way == 0 and not self._own_process:
            if not self._exists.take():  # a process exists for it
                self._on_duty.release()
                return False
            self._exists.release()
        return self._on_duty.take()

    def leave(self) -> None:
        self._on_duty.release()
        self._exists.release()
