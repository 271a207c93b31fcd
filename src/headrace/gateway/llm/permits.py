"""Whether a call may be made at all, by what people have decided: from a copy in memory, without I/O."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple
from weakref import WeakSet

from headrace.core.errors import Denied, Unauthenticated
from headrace.core.identity import MAIN, Principal
from headrace.core.ports import Clock, Epoch
from headrace.core.project import Project
from headrace.gateway.llm.declared import Declared
from headrace.gateway.llm.endpoints import Providers, Target
from headrace.gateway.llm.shadow import ShadowCounts, Wanted
from headrace.gateway.llm.uses import Need, Uses, named, need_of, unstated
from headrace.store.llm_decisions import Stop

_FRESH_S = 1.0
_REPEATED_S = 60.0
_REMEMBERED = 4_096


class Published(NamedTuple):
    """An acceptable-use policy that has to be acknowledged."""

    workspace: str
    version: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What people have decided about the calls of one team, as it is now.

    Attributes:
        stops: that hold now.
        policy: what has to be acknowledged; None: nothing.
        acknowledged: the people who have.
        lists: of allowed uses; each has to allow a call.
    """

    stops: tuple[Stop, ...] = ()
    policy: Published | None = None
    acknowledged: frozenset[str] = frozenset()
    lists: tuple[Uses, ...] = ()


class Refusal(NamedTuple):
    """A call that was not made, for the record."""

    principal: str
    team: str
    project: str
    kind: str
    models: tuple[str, ...]
    purpose: str
    data_class: str


class Stopped(Denied):
    """Calls were stopped, or its caller lost the role for them, while this one was being answered."""


class _Kept(NamedTuple):
    """What holds for a team, and what has been found of it."""

    standing: Standing
    stops: dict[str, Stop]
    known: dict[tuple[Need, Target], bool]


class _Caller:
    """Who is being given an answer, as long as somebody holds this; ``ended``: why it goes on no more."""

    def __init__(self, go_on: Callable[[], None]) -> None:
        self._go_on = go_on
        self.ended: tuple[type[Unauthenticated | Stopped], str] | None = None

    def look(self) -> None:
        """Find out whether it goes on; may read the store."""
        try:
            self._go_on()
        except Unauthenticated as error:
            self.ended = Unauthenticated, str(error)  # itself, it would keep this alive
        except Denied as error:
            self.ended = Stopped, str(error)


class Permits:
    """What holds for each team, followed by :meth:`refresh`; safe to use from several threads.

    Args:
        read: what has been decided about a team's calls; reads the store.
        edition: equal as long as nothing has been decided about any team.
        refused: is told of a refusal, once a minute of those that are alike.
        instead: the projects that somebody may ask now, whose own calls are permitted.
        lasting: what raises Unauthenticated or Denied once somebody may not go on with what they begin now
            to ask of a project.

    Attributes:
        shadow: counts what was wanted and is not approved.
    """

    def __init__(
        self,
        *,
        read: Callable[[str], Standing],
        edition: Callable[[], object],
        providers: Providers,
        declared: Declared,
        refused: Callable[[Refusal], None],
        instead: Callable[[Principal], Sequence[str]],
        lasting: Callable[[Principal, str], Callable[[], None]],
        epoch: Epoch,
        clock: Clock,
    ) -> None:
        self._read = read
        self._edition = edition
        self.providers = providers
        self.declared = declared
        self._refused = refused
        self.instead = instead
        self._lasting = lasting
        self._epoch = epoch
        self._clock = clock
        self._seen = -1
        self._of: object = None
        self._kept: dict[str, _Kept] = {}
        self._told: dict[Refusal, float] = {}
        self._until_s = float("-inf")
        self._lock = threading.Lock()
        self._callers: WeakSet[_Caller] = WeakSet()
        self.shadow = ShadowCounts(clock)

    def refresh(self) -> None:
        """Follow what is decided: at once where this machine knows of a change, and once a second.

        Nothing is read again while nothing was decided, however many teams ask. Whoever is given an answer
        is looked at too, here, so that no piece of an answer waits for the store.
        """
        seen, now_s = self._epoch.read(), self._clock.monotonic_s()
        if seen == self._seen and now_s < self._until_s:
            return
        self._seen, self._until_s = seen, now_s + _FRESH_S
        edition = self._edition()
        if edition != self._of:
            for team in tuple(self._kept):
                self._look(team)
            self._of = edition  # only now: a team that could not be read is read again
        # Last: a stop of all calls does not wait for as many callers as there are.
        with self._lock:
            callers = list(self._callers)
        for caller in callers:
            caller.look()

    def find(
        self, principal: Principal, project: Project, targets: Sequence[Target]
    ) -> tuple[Target, ...] | None:
        """Those of ``targets`` that may be called, in their order; None: ask :meth:`require`."""
        kept, team = self._kept.get(principal.workspace), principal.workspace
        if kept is None or _stop(kept, team, project.name) or not _has_acknowledged(kept, principal):
            return None
        return self._fit(kept, team, project, targets) or None

    def begin(self, principal: Principal, project: str) -> Callable[[], None]:
        """What lets an answer that begins now go on, to be asked at each of its pieces.

        It raises Stopped where the project's calls were stopped meanwhile or ``principal`` has lost the role
        for them, and Unauthenticated where it was frozen or ended, or its token revoked: as :meth:`refresh`
        has found.
        """
        caller = _Caller(self._lasting(principal, project))
        with self._lock:
            self._callers.add(caller)
        return partial(self._keep_on, caller, principal.workspace, project)

    def _keep_on(self, caller: _Caller, team: str, project: str) -> None:
        if caller.ended is not None:
            kind, said = caller.ended
            raise kind(said)
        kept = self._kept.get(team)
        stop = None if kept is None else _stop(kept, team, project)
        if stop is not None:
            raise Stopped(_why(stop))

    def require(
        self, principal: Principal, project: Project, targets: Sequence[Target]
    ) -> tuple[Target, ...]:
        """As :meth:`find`, by what is decided at this moment. Reads the store.

        Raises:
            Denied: the call may not be made; the message says what may be done instead.
        """
        team = principal.workspace
        kept = self._look(team)
        stop = _stop(kept, team, project.name)
        if stop is not None:
            self._tell(principal.name, team, project, targets, "stopped")
            raise Denied(_why(stop))
        if not _has_acknowledged(kept, principal):
            self._tell(principal.name, team, project, targets, "not acknowledged")
            raise _unread(kept.standing.policy, principal)
        fit = self._fit(kept, team, project, targets)
        if fit or not targets:
            return fit
        self._tell(principal.name, team, project, targets, "use")
        for target in targets:
            self.shadow.note(Wanted("use", str(target), principal.name, team, project.name))
        others = [name for name in self.instead(principal) if name != project.name]
        raise self._refusal(kept.standing, team, project, targets, others)

    def of_team(
        self, team: str, project: Project, targets: Sequence[Target], *, refuse: bool = True
    ) -> tuple[Target, ...]:
        """Those of ``targets`` that a team may call at all, whoever of it asks. Reads the store.

        Raises:
            Denied: none of them, where ``refuse``; or calls are stopped.
        """
        kept = self._look(team)
        stop = _stop(kept, team, project.name)
        if stop is not None:
            if refuse:
                raise Denied(_why(stop))
            return ()
        fit = self._fit(kept, team, project, targets)
        if not fit and targets and refuse:
            raise self._refusal(kept.standing, team, project, targets, [])
        return fit

    def alternatives(self, team: str, project: Project) -> list[Target]:
        """Models that a team may use for what ``project`` is for, with its data. Reads the store."""
        kept = self._look(team)
        literal = {
            Target.parse(model)
            for uses in kept.standing.lists
            for use in uses.allow
            for model in use.models
            if "*" not in model and "?" not in model and "[" not in model
        }
        known = self.providers.targets()
        listed = [*known, *sorted(literal - set(known))]
        return [
            one
            for one in self._fit(kept, team, project, [t for t in listed if self._is_known(t)])
            if self.declared.fits(project, one)
        ]

    def allowed_at_all(self, team: str) -> list[Target]:
        """Models that a team may use for something, whatever it is. Reads the store."""
        lists = self._look(team).standing.lists
        return [
            one
            for one in self.providers.targets()
            if not unstated(lists, self.providers, one)
            and all(any(use.names(one) and use.is_for(team) for use in uses.allow) for uses in lists)
        ]

    def _is_known(self, target: Target) -> bool:
        provider = self.providers.providers.get(target.endpoint)
        if provider is None:
            return False
        return not provider.is_external or any(model.name == target.model for model in provider.models)

    def _look(self, team: str) -> _Kept:
        found = self._read(team)
        with self._lock:
            kept = self._kept.get(team)
            if kept is None or kept.standing != found:
                kept = self._kept[team] = _Kept(found, {one.subject: one for one in found.stops}, {})
            return kept

    def _fit(self, kept: _Kept, team: str, project: Project, targets: Sequence[Target]) -> tuple[Target, ...]:
        need = self._need(project, team)
        return tuple(one for one in targets if self._may(kept, need, one))

    def _may(self, kept: _Kept, need: Need, target: Target) -> bool:
        known = kept.known.get((need, target))
        if known is None:
            if len(kept.known) >= _REMEMBERED:
                kept.known.clear()
            lists = kept.standing.lists
            allowed = all(uses.allows(need, target) for uses in lists)
            known = kept.known[need, target] = allowed and not unstated(lists, self.providers, target)
        return known

    def _need(self, project: Project, team: str) -> Need:
        return need_of(project, self.declared.of(project), team)

    def _tell(
        self, principal: str, team: str, project: Project, targets: Sequence[Target], kind: str
    ) -> None:
        need = self._need(project, team)
        models = tuple(map(str, targets))
        refusal = Refusal(principal, team, project.name, kind, models, need.purpose, need.data_class)
        now_s = self._clock.monotonic_s()
        with self._lock:
            if self._told.get(refusal, float("-inf")) > now_s - _REPEATED_S:
                return
            if len(self._told) >= _REMEMBERED:
                self._told.clear()
            self._told[refusal] = now_s
        self._refused(refusal)

    def _refusal(
        self,
        standing: Standing,
        team: str,
        project: Project,
        targets: Sequence[Target],
        others: Sequence[str],
    ) -> Denied:
        need = self._need(project, team)
        missing = {one: unstated(standing.lists, self.providers, one) for one in targets}
        silent = [f"{one} lacks {', '.join(lacking)}" for one, lacking in missing.items() if lacking]
        purpose = f"for {need.purpose}" if need.purpose else "for no stated purpose (llm.purpose)"
        models = [str(one) for one in self.alternatives(team, project)]
        who = f"The team {team!r} may not use {named(targets)} {purpose} with {need.data_class} data"
        silence = f" In providers.yaml {'; '.join(silent)}." if silent else ""
        allowed = named(models) if models else "no model yet"
        projects = f" You may ask these projects instead: {named(others)}." if others else ""
        return Denied(
            f"{who}, as {project.name!r} would.{silence} Allowed for this: {allowed}.{projects} Choose: "
            f"headrace llm instead {project.name}. Or ask for it: headrace llm ask {project.name} "
            f"{targets[0]} --reason TEXT, or at /policy/llm."
        )


def _stop(kept: _Kept, team: str, project: str) -> Stop | None:
    """What stops a call; that of ``main`` stops everybody's."""
    stops = kept.stops
    if not stops:
        return None
    named = (f"project:{project}", f"workspace:{team}", f"workspace:{MAIN}")
    return next((stops[name] for name in named if name in stops), None)


def _why(stop: Stop) -> str:
    kind, _, name = stop.subject.partition(":")
    what = f"of {name!r}" if kind == "project" else "to language models"
    which = name if kind == "project" else "--all"
    return (
        f"All calls {what} were stopped by {stop.by} at {stop.at:%Y-%m-%d %H:%M} UTC: {stop.reason} "
        f"An operator lets them be made again: headrace llm resume {which} --reason TEXT"
    )


def _has_acknowledged(kept: _Kept, principal: Principal) -> bool:
    return kept.standing.policy is None or _responsible(principal) in kept.standing.acknowledged


def _responsible(principal: Principal) -> str | None:
    return principal.name if principal.kind == "person" else principal.owner


def _unread(policy: Published | None, principal: Principal) -> Denied:
    who = _responsible(principal)
    if policy is None or who is None:
        return Denied(
            f"{principal.name!r} has no owner who could acknowledge the acceptable-use policy. Make an "
            "identity that has one: headrace access user add NAME --owner PERSON"
        )
    whose = "" if who == principal.name else f", who answers for {principal.name!r},"
    return Denied(
        f"{who!r}{whose} has not acknowledged version {policy.version} of the acceptable-use policy of "
        f"{policy.workspace!r}, which is in force. Read it: headrace llm terms show. Then: headrace llm "
        f"terms acknowledge {policy.version}, or at /policy/acceptable-use"
    )
