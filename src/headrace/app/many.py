"""Many projects at once: roll back or approve what a list of names and patterns selects, each for itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeVar

from headrace.app.composition import App
from headrace.app.operations import decide, find_release, roll_back
from headrace.app.overviews import reading
from headrace.app.workflows import Workflows
from headrace.core.errors import Conflict, Denied, NotFound, UserError
from headrace.core.identity import Principal
from headrace.core.release import Release
from headrace.releases.states import overall

ALL = "*"
_Thing = TypeVar("_Thing")


@dataclass(frozen=True, kw_only=True)
class Done:
    """What became of one project or release among many.

    Attributes:
        release: the one that answers after a rollback, or that was decided on; none where nothing was done.
        done: whether it was done, or would be.
        said: what, or why not.
    """

    project: str
    release: str | None
    done: bool
    said: str


def is_pattern(text: str) -> bool:
    """Whether ``text`` selects by a pattern such as ``cars-*``, and is no name."""
    return any(sign in text for sign in "*?[")


def roll_back_many(
    app: App, work: Workflows, me: Principal, names: Sequence[str], *, dry_run: bool = False
) -> list[Done]:
    """Roll each project back that ``names`` (or patterns such as ``cars-*``) select; one that cannot be does
    not stop the others. A pattern selects among projects of which something is live.

    Raises:
        NotFound: a pattern selects nothing.
    """
    live = [p.name for p in reading.projects(app, me) if app.store.rollouts.route(p.name) is not None]
    chosen = _select(names, live, what="project of which something is live")

    def act(project: str) -> Done:
        if dry_run:
            _require(app, me, "release.rollback", f"project:{project}")
            return _would_roll_back(app, project)
        release = roll_back(app, work, me, project)
        said = f"{_subject(release)} answers all calls again"
        return Done(project=project, release=release.id, done=True, said=said)

    return [_attempt(act, project, project) for project in chosen]


def approve_many(
    app: App, work: Workflows, me: Principal, names: Sequence[str], comment: str, *, dry_run: bool = False
) -> list[Done]:
    """Approve each waiting release that ``names`` (ids) or patterns of projects select; one that cannot be
    does not stop the others. What a pattern selects is approved only where every gate has passed: a doubt is
    for somebody who looks at that release alone.

    Raises:
        NotFound: a pattern selects nothing.
    """
    waiting = [release for release in reading.releases(app, me) if release.state == "waiting"]
    patterns = [name for name in names if is_pattern(name)]
    projects = _select(patterns, sorted({r.project for r in waiting}), what="project with a waiting release")
    chosen = [find_release(app, me, name) for name in names if not is_pattern(name)]
    named = {release.id for release in chosen}
    chosen += [r for r in waiting if r.project in projects and r.id not in named]

    def act(release: Release) -> Done:
        outcome = overall(app.store.evidence.verdicts(release.id))
        if release.id not in named and outcome != "passed":
            raise Conflict(f"a gate is {outcome}: look at it, then approve {release.id} by its id")
        if dry_run:
            _require(app, me, "release.approve", f"release:{release.id}")
            return _done(release, f"would approve {_subject(release)}, digest {release.digest[:12]}")
        decided = decide(app, work, me, release.id, "approved", comment)
        return _done(decided, f"{_subject(decided)} is {decided.state.replace('_', ' ')}")

    return [_attempt(act, release, release.project) for release in chosen]


def _require(app: App, me: Principal, action: str, resource: str) -> None:
    """As the gatekeeper's, but without a trace: nothing is tried."""
    if not app.gatekeeper.allows(me, action, resource):
        raise Denied(f"{me.name} may not {action} on {resource} as things are.")


def _would_roll_back(app: App, project: str) -> Done:
    route, active = app.store.rollouts.route(project), app.store.rollouts.find_active(project)
    if route is None:
        raise NotFound(f"Nothing of {project!r} is live.")
    before = app.store.rollouts.get(route.live).champion_id
    if active is not None or route.split is not None:
        before, what = route.live, "stop the rollout" if active is not None else "end the A/B test"
    elif before is None:
        raise NotFound(f"{route.live} is the first release of {project!r}: there is no earlier one.")
    else:
        what = f"take back {_subject(app.store.releases.get(route.live))}"
    return _done(app.store.releases.get(before), f"would {what}: {{}} answers")


def _select(names: Sequence[str], known: Sequence[str], *, what: str) -> list[str]:
    chosen: dict[str, None] = {}
    for name in names:
        found = [one for one in known if fnmatchcase(one, name)] if is_pattern(name) else [name]
        if not found:
            raise NotFound(f"{name!r} selects no {what}. There are: {', '.join(known) or 'none'}.")
        chosen |= dict.fromkeys(found)
    return list(chosen)


def _attempt(act: Callable[[_Thing], Done], thing: _Thing, project: str) -> Done:
    try:
        return act(thing)
    except UserError as error:
        return Done(project=project, release=None, done=False, said=str(error))


def _done(release: Release, said: str) -> Done:
    text = said.format(_subject(release)) if "{}" in said else said
    return Done(project=release.project, release=release.id, done=True, said=text)


def _subject(release: Release) -> str:
    return release.manifest.subject.ref
