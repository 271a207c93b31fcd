"""The one choke point: who is asking, and whether they may."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Literal, NamedTuple

from headrace.access.activity import SEEN, Activity
from headrace.access.grants import NEVER_BY_GRANT, Grants
from headrace.access.identities import Identities
from headrace.access.memory import Fresh
from headrace.access.resources import Resources
from headrace.access.second_factors import SecondFactors
from headrace.access.tokens import Tokens
from headrace.access.uses import Uses
from headrace.core.errors import Denied, NotFound, ProofNeeded, Unauthenticated
from headrace.core.identity import (
    PLAIN,
    ROLES,
    Circumstance,
    Decision,
    Grant,
    Principal,
    Proof,
    Resource,
    Role,
    Session,
)
from headrace.core.ports import AuditLog, Clock, Epoch, Policy

NOTHING: Mapping[str, str] = {}
"""No arguments."""
_FORBIDDEN = {
    "another-workspace": "It belongs to another workspace.",
    "own-work": "Nobody can decide on their own work: ask somebody else.",
    "own-rights": "Nobody changes their own roles, end or review: ask another administrator.",
    "own-incident": "It is about you: somebody else looks into it.",
    "second-factor": "A high risk needs a fresh second factor.",
    "passkey-first": "Here your passkey is needed: a code can be talked out of somebody.",
    "fresh-proof": "Whoever has a second factor shows it before deciding or administering.",
    "people-decide": "Deciding is for people, not for services and agents.",
    "release-moves-alias": "Production follows it: only an approved release moves it (headrace release ls).",
    "bound-tools": "The token is bound to other tools.",
    "agent-tools": "An agent calls tools only with a token that names them and the run.",
}
"""What the rules of always.cedar mean for whoever they stop."""
_PROVE = "Prove it is you, then try again: at /security/prove; commands take --code or HEADRACE_CODE."
_MAX_SESSIONS = 10_000


class _Decided(NamedTuple):
    principal: Principal
    decision: Decision
    until: datetime | None

    def over(self, clock: Clock) -> bool:
        """Whether a grant or a proof that it rests on has ended."""
        return self.until is not None and clock.now() >= self.until


class Gatekeeper:
    """Turns a credential into an identity, and an identity's wish into a yes or a refusal.

    Example::

        principal = gatekeeper.authenticate(request.headers.get("authorization"))
        gatekeeper.require(principal, "predict", "project:cars")
    """

    def __init__(
        self,
        *,
        identities: Identities,
        tokens: Tokens,
        policy: Policy,
        resources: Resources,
        grants: Grants,
        uses: Uses,
        activity: Activity,
        factors: SecondFactors,
        audit: AuditLog,
        epoch: Epoch,
        clock: Clock,
    ) -> None:
        self._identities = identities
        self._tokens = tokens
        self._policy = policy
        self._resources = resources
        self._grants = grants
        self._uses = uses
        self._activity = activity
        self._factors = factors
        self._audit = audit
        self._clock = clock
        self._sessions: dict[tuple[str, str], tuple[Principal, Principal]] = {}
        self._decided: Fresh[tuple[int, str, str], _Decided] = Fresh(epoch, clock)
        # Apart, because every call of every user asks about a project, and only of those is it known cheaply
        # whether anything has changed.
        self._decided_projects: Fresh[tuple[int, str, str], _Decided] = Fresh(
            epoch, clock, edition=lambda: (resources.edition(), factors.edition()), levels=1
        )

    def authenticate(self, authorization_header: str | None, network: str = "") -> Principal:
        """The identity behind the value of an ``Authorization`` header, with the session that it speaks in.

        Args:
            network: where the request comes from; becomes part of the principal's session.

        Raises:
            Unauthenticated: there is none, it is no bearer token, it is not valid (any more), or it is for
                another workspace than its identity's.
        """
        if not authorization_header:
            raise Unauthenticated(
                "This address needs an identity. Send 'Authorization: Bearer TOKEN'; "
                "headrace access token --as NAME prints a token."
            )
        scheme, _, token = authorization_header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("The Authorization header has another form. Expected 'Bearer TOKEN'.")
        verified = self._tokens.verify(token.strip())
        principal = self._resolve(verified.name)
        if principal.workspace != verified.workspace:
            raise Unauthenticated(
                f"The token is for the workspace {verified.workspace!r}, and {principal.name!r} belongs to "
                f"another. Get a new one: headrace access token --as {principal.name}."
            )
        speaking = self._speaking(principal, verified.session, network)
        self.seen(speaking)
        return speaking

    def lasting(self, principal: Principal, action: str = "", resource: str = "") -> Callable[[], None]:
        """What lets work go on that begins now, to be asked again while it lasts.

        It raises Unauthenticated once the identity is frozen, over or gone, or the token has been revoked,
        and Denied, where an ``action`` is named, once its roles have been changed and those that it has do
        not permit it on ``resource``. What runs out, as a token does or a role for a while, ends nothing that
        was begun.
        """
        name, session, generation = principal.name, principal.session, self._tokens.generation(principal.name)

        def go_on() -> None:
            current = self._resolve(name)
            self._tokens.require_standing(name, session, generation)
            same = (current.roles, current.workspace) == (principal.roles, principal.workspace)
            if same or not action:
                return
            here = replace(current, session=session)
            decision, _ = self._decide(here, action, resource, NOTHING)
            if not decision.allowed:
                raise Denied(self._why(here, action, resource, decision))

        return go_on

    def _resolve(self, name: str) -> Principal:
        try:
            return self._identities.resolve(name)
        except NotFound as error:
            raise Unauthenticated(f"The token's identity {name!r} is no longer known here.") from error

    def seen(self, principal: Principal) -> None:
        """Somebody speaks again whose credential was found good a moment ago."""
        self._activity.note(principal, SEEN, principal.name)

    def used(self, principal: Principal, action: str, resource: str, times: int = 1) -> None:
        """Somebody has used a right of which :meth:`allows` said that they have it."""
        self._uses.note(principal.name, action, resource, times)

    def _speaking(self, principal: Principal, session: Session, network: str) -> Principal:
        """``principal`` with its session; made once for each as long as nothing has changed."""
        key = (session.token, network)
        known = self._sessions.get(key)
        if known is None or known[0] is not principal:
            if len(self._sessions) >= _MAX_SESSIONS:
                self._sessions = {}
            here = replace(session, network=network) if network else session
            known = self._sessions[key] = (principal, replace(principal, session=here))
        return known[1]

    def decide(
        self,
        principal: Principal,
        action: str,
        resource: str | Resource,
        arguments: Mapping[str, str] = NOTHING,
        *,
        granted: bool = True,
    ) -> Decision:
        """Whether ``principal`` may, and by which rules; asking leaves no trace.

        A repeated question is answered from memory, until rights change anywhere or half a second is over,
        and never beyond the end of a grant or a proof that the answer rests on.

        Args:
            arguments: with which a tool would be called, for rules that ask about them.
            granted: whether roles that it holds for a while count too.
        """
        if arguments or not granted or not isinstance(resource, str):
            return self._decide(principal, action, resource, arguments, granted=granted)[0]
        return self._remembered(principal, action, resource).decision

    def stands_until(self, principal: Principal, action: str, resource: str) -> datetime | None:
        """When a grant or a proof ends that the decision rests on; None: nothing ends by itself."""
        return self._remembered(principal, action, resource).until

    def _remembered(self, principal: Principal, action: str, resource: str) -> _Decided:
        decided = (self._decided_projects if resource.startswith("project:") else self._decided).now()
        # By the object, which is the same for all requests of a session: hashing all it says takes longer.
        asked = (id(principal), action, resource)
        known = decided.get(asked)
        if known is not None and known.principal is principal and not known.over(self._clock):
            return known
        found = decided[asked] = _Decided(principal, *self._decide(principal, action, resource, NOTHING))
        return found

    def _decide(
        self,
        principal: Principal,
        action: str,
        resource: str | Resource,
        arguments: Mapping[str, str],
        *,
        granted: bool = True,
    ) -> tuple[Decision, datetime | None]:
        """The decision, and until when it can stand; None: nothing that it rests on ends by itself."""
        described = self._resources.describe(resource, principal) if isinstance(resource, str) else resource
        held = (
            [] if not granted or action in NEVER_BY_GRANT else self._grants.holding(principal.name, described)
        )
        circumstance = self.circumstance(principal, arguments, tuple(grant.role for grant in held))
        ends = [grant.ends_at for grant in held if grant.ends_at is not None]
        if circumstance.proved and principal.session is not None and principal.session.proved_until:
            ends.append(principal.session.proved_until)
        decision = self._policy.decide(principal, action, described, circumstance)
        return decision, min(ends, default=None)

    def allows(
        self,
        principal: Principal,
        action: str,
        resource: str | Resource,
        arguments: Mapping[str, str] = NOTHING,
    ) -> bool:
        """Whether ``principal`` may; asking leaves no trace."""
        return self.decide(principal, action, resource, arguments).allowed

    def lacks_proof(
        self,
        principal: Principal,
        action: str,
        resource: str | Resource,
        arguments: Mapping[str, str] = NOTHING,
    ) -> bool:
        """Whether ``principal`` may not now, but might with a fresh second factor."""
        if principal.kind != "person" or self.decide(principal, action, resource, arguments).allowed:
            return False
        described = self._resources.describe(resource, principal) if isinstance(resource, str) else resource
        extra = () if action in NEVER_BY_GRANT else self._grants.roles(principal.name, described)
        proved = replace(self.circumstance(principal, arguments, extra), proved=True, proof="passkey")
        return self._policy.decide(principal, action, described, proved).allowed

    def require(
        self,
        principal: Principal,
        action: str,
        resource: str | Resource,
        arguments: Mapping[str, str] = NOTHING,
    ) -> Decision:
        """By which rules ``principal`` may do ``action`` on ``resource``; a refusal is audited, durably.

        Raises:
            Denied: no rule permits it, or one forbids it.
            ProofNeeded: all that is missing is a fresh second factor.
        """
        self._activity.note(principal, action, resource)
        decision = self.decide(principal, action, resource, arguments)
        if decision.allowed:
            self._uses.note(principal.name, action, str(resource))
            return decision
        self._audit.append(
            principal.name,
            "access.denied",
            str(resource),
            {"action": action} | decision.basis,
        )
        why = self._why(principal, action, resource, decision)
        if self.lacks_proof(principal, action, resource, arguments):
            raise ProofNeeded(f"{why} {_PROVE}")
        raise Denied(why)

    def grants_for(self, principal: Principal, action: str, resource: str | Resource) -> list[Grant]:
        """The grants that count when ``principal`` asks for this at this moment."""
        if action in NEVER_BY_GRANT:
            return []
        described = self._resources.describe(resource, principal) if isinstance(resource, str) else resource
        return self._grants.holding(principal.name, described)

    def circumstance(
        self, principal: Principal, arguments: Mapping[str, str] = NOTHING, granted: tuple[Role, ...] = ()
    ) -> Circumstance:
        """What holds for ``principal`` now. A proof ends with the factor that gave it."""
        given = tuple(sorted(arguments.items())) if arguments else ()
        enrolled = self._factors.enrolled(principal.name) if principal.kind == "person" else ()
        session = principal.session
        until = None if session is None else session.proved_until
        proof: Proof | Literal[""] = ""
        proved = False
        if session is not None and until is not None and self._clock.now() < until:
            proved = session.proof is None or session.proof in enrolled
            proof = session.proof or "" if proved else ""
        if not (proved or enrolled or given or granted):
            return PLAIN
        return Circumstance(proved=proved, proof=proof, enrolled=enrolled, arguments=given, granted=granted)

    def _why(self, principal: Principal, action: str, resource: str | Resource, decision: Decision) -> str:
        held = ", ".join(principal.roles) or "none"
        refusal = f"{principal.name!r} (roles: {held}) may not {action} on {resource}."
        if decision.rules:
            known = [_FORBIDDEN[rule] for rule in decision.rules if rule in _FORBIDDEN]
            return " ".join([refusal, *(known or [f"Forbidden by: {', '.join(decision.rules)}."])])
        may = [role for role in ROLES if self._role_may(role, principal, action, resource)]
        next_step = f"Roles that may: {', '.join(may)}." if may else "No role may."
        return f"{refusal} {next_step}"

    def _role_may(self, role: Role, principal: Principal, action: str, resource: str | Resource) -> bool:
        somebody = replace(principal, name="somebody", roles=(role,))
        return self.decide(somebody, action, resource).allowed
