"""What the server does between requests: follow the routes, load models ahead, count; its home's chores."""

from __future__ import annotations

from headrace.app.chores import WATCH_S, Chores
from headrace.app.governance.incidents import notice
from headrace.app.llm.shadow_use import write_down
from headrace.app.repeating import Repeating, Turn, attempt
from headrace.serving.refusals import EVERY_S as REFUSALS_S
from headrace.web.metrics import counted
from headrace.web.parts import Parts

REFRESH_S = 0.2
NOTICE_S = 1.0
BUDGETS_S = 1.0
FLUSH_S = 30.0
COUNT_S = 2.0
SHADOW_S = 5.0


class Background:
    """One thread for each kind of turn, from :meth:`start` to :meth:`stop`; a turn is a method of its own."""

    def __init__(self, parts: Parts, *, refresh_s: float = REFRESH_S, watch_s: float = WATCH_S) -> None:
        self._parts = parts
        self.chores = Chores(parts.app, parts.work, watch_s=watch_s)
        turns = [
            Turn("routes", refresh_s, self.refresh),
            Turn("notice", NOTICE_S, self.notice),
            Turn("budgets", BUDGETS_S, parts.gateway.budgets.give_back),
            Turn("uses", FLUSH_S, self.flush),
            Turn("shadow", SHADOW_S, self.write_shadow),
            Turn("refusals", REFUSALS_S, self.write_refusals),
            *self.chores.turns(),
        ]
        if parts.siblings:
            turns.append(Turn("counts", COUNT_S, self.count))
        self._repeating = Repeating(turns)

    def start(self) -> None:
        """Read the routes once, so that the first request finds them, then go on in the background.

        A round of watching starts at once too: what happened while no server ran is looked at now.
        """
        attempt("routes", self.refresh)
        attempt("watch", self.chores.share)
        attempt("tidy", lambda: self.chores.do(self.chores.tidy))
        self._repeating.start()

    def stop(self) -> None:
        """End all threads; a turn under way is finished first."""
        self._repeating.stop()
        if self._parts.siblings:
            attempt("last counts", self.count)
        attempt("last refusals", self.write_refusals)
        attempt("last shadow", self.write_shadow)
        attempt("last seal", self._parts.app.seals.seal)
        self.chores.leave()

    def refresh(self) -> None:
        """Read the routes, load what they name, forget the rest; count what was asked."""
        self._parts.routes.refresh()
        named = self._parts.routes.release_ids()
        self._parts.models.keep(named)
        self._parts.distributions.keep(named)
        self._parts.gateway.refresh()

    def notice(self) -> None:
        """Raise incidents about identities that do something out of the ordinary."""
        notice(self._parts.app)

    def flush(self) -> None:
        """Write which rights were used, once what waits has been compared with earlier uses."""
        self.notice()
        self._parts.app.access.uses.flush()

    def write_refusals(self) -> None:
        """Write how many requests were refused alike; the next one may never come."""
        self._parts.handler.refusals.flush()

    def write_shadow(self) -> None:
        """Write which models, keys and names were wanted that nobody has approved."""
        write_down(self._parts.app, self._parts.gateway.permits.shadow)

    def count(self) -> None:
        """Let the processes that share the port read what this one has counted."""
        visible = {project.name for project in self._parts.app.store.projects.list()}
        self._parts.siblings.write(counted(self._parts, visible))
