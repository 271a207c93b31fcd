"""Why somebody may or may not: the rules that decided, and what would have to change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from headrace.access.gatekeeper import NOTHING
from headrace.access.policy import ACTIONS
from headrace.access.rules import Rule
from headrace.app.composition import App
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.identity import ROLES, Grant, Principal, Role


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """One decision with everything that led to it.

    Attributes:
        rules: those that decided, with their text; none when no rule permits it.
        version: of the policy that decided; 0 is the default policy.
        grants: roles for a while that ``principal`` holds on the resource and that counted.
        would_suffice: roles, each of which alone would have allowed it.
        note: what no rule says, such as that the identity is frozen.
    """

    principal: str
    action: str
    resource: str
    allowed: bool
    rules: tuple[Rule, ...]
    policy: str
    version: int
    roles: tuple[Role, ...]
    grants: tuple[Grant, ...]
    would_suffice: tuple[Role, ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What a principal may do on one resource."""

    resource: str
    actions: tuple[str, ...]


def explain(
    app: App,
    me: Principal,
    name: str,
    action: str,
    resource: str,
    arguments: Mapping[str, str] = NOTHING,
) -> Explanation:
    """Whether ``name`` may do ``action`` on ``resource`` (``kind:name``) at this moment, and why.

    Raises:
        NotFound: nobody is known by this name in the workspace of ``me``.
        InvalidInput: there is no such action, or the resource has another form.
    """
    app.gatekeeper.require(me, "access.read", f"principal:{name}")
    principal = _known(app, me, name)
    _check_question(action, resource)
    decision = app.gatekeeper.decide(principal, action, resource, arguments)
    in_force = app.policies.in_force(principal.workspace)
    found = [in_force.policy.rule(rule) for rule in decision.rules]
    would = tuple(
        role
        for role in ROLES
        if app.gatekeeper.decide(
            replace(principal, roles=(role,)), action, resource, arguments, granted=False
        ).allowed
    )
    return Explanation(
        principal=name,
        action=action,
        resource=resource,
        allowed=decision.allowed and not _stopped(app, principal),
        rules=tuple(rule for rule in found if rule is not None),
        policy=decision.policy,
        version=in_force.version,
        roles=principal.roles,
        grants=tuple(app.gatekeeper.grants_for(principal, action, resource)),
        would_suffice=would,
        note=_stopped(app, principal)
        or ("A rule could not be evaluated, which denies." if "error" in decision.rules else ""),
    )


def reach(app: App, me: Principal, name: str) -> list[Reach]:
    """What ``name`` may do on its workspace and on each of its projects, by the same rule as every check.

    Raises:
        NotFound: nobody is known by this name in the workspace of ``me``.
    """
    app.gatekeeper.require(me, "access.read", f"principal:{name}")
    return reach_of(app, _known(app, me, name))


def reach_of(app: App, principal: Principal) -> list[Reach]:
    """What ``principal`` may do at this moment; whoever asks has been found to be allowed to."""
    if _stopped(app, principal):
        return []
    resources = [f"workspace:{principal.workspace}"]
    resources += [f"project:{project.name}" for project in app.store.projects.list()]
    found = []
    for resource in resources:
        may = tuple(action for action in ACTIONS if app.gatekeeper.allows(principal, action, resource))
        if may:
            found.append(Reach(resource=resource, actions=may))
    return found


def _known(app: App, me: Principal, name: str) -> Principal:
    found = app.store.principals.find(name)
    if found is None or found.workspace != me.workspace:
        raise NotFound(
            f"There is no identity {name!r} in {me.workspace!r}. List them: headrace access user ls"
        )
    return found


def _check_question(action: str, resource: str) -> None:
    if action not in ACTIONS:
        raise InvalidInput(f"There is no action {action!r}. Actions are {', '.join(ACTIONS)}.")
    kind, colon, name = resource.partition(":")
    if not (kind and colon and name):
        raise InvalidInput(f"{resource!r} is no resource. Expected KIND:NAME, such as project:cars.")


def _stopped(app: App, principal: Principal) -> str:
    """Why it may do nothing at all at this moment; empty when it may."""
    if principal.frozen is not None:
        return f"It is frozen: {principal.frozen}."
    if principal.has_ended(app.clock.now()):
        return "Its time is over."
    return ""
