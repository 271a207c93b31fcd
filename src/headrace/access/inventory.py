"""What is wrong with an identity as it stands: nobody answers for it, nobody looked, nobody uses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from headrace.access.abnormal import ACTIVE
from headrace.access.identities import answers
from headrace.core.identity import Credential, Principal, Role, Use

UNUSED = timedelta(days=90)
"""What nobody has used for so long is not needed."""
OLD_SECRET = timedelta(days=90)
ENDED_WITH_TIME = ("secret", "refresh", "external")
"""Credentials that a round ends when they or their owner are over; others end where they are kept."""
_DECIDING = frozenset({"admin", "validator"})
_FACTORS = frozenset({"totp", "passkey"})
_MIGHTIEST_FIRST: tuple[Role, ...] = (
    "admin", "validator", "operator", "developer", "auditor", "viewer", "caller",
)  # fmt: skip

ConcernKind = Literal[
    "orphaned", "expired", "review_overdue", "unused", "old_secret", "endless_secret", "shared_secret",
    "no_second_factor",
]  # fmt: skip
RAISED: frozenset[ConcernKind] = frozenset(
    {"orphaned", "review_overdue", "unused", "old_secret", "endless_secret"}
)
"""Concerns that become an incident when a round finds them."""


@dataclass(frozen=True, kw_only=True)
class Concern:
    """Something about an identity that somebody should mend, and how."""

    kind: ConcernKind
    title: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class UnusedRole:
    """A role that nothing needed which was done of late, and the change that takes it away."""

    principal: str
    role: Role
    since: datetime
    title: str
    remedy: str


def rights(uses: Sequence[Use]) -> list[Use]:
    """The uses of rights among ``uses``, which also count when somebody is there at all."""
    return [use for use in uses if use.action != ACTIVE]


def last_use(uses: Sequence[Use]) -> datetime | None:
    """When the identity last did anything."""
    return max((use.last_at for use in uses), default=None)


def concerns(
    principal: Principal,
    owner: Principal | None,
    live: Sequence[Credential],
    uses: Sequence[Use],
    now: datetime,
    *,
    shared: bool = False,
) -> tuple[Concern, ...]:
    """Everything that is wrong with ``principal`` at this moment.

    Args:
        owner: who answers for it, if known.
        live: its credentials that are neither used up nor revoked.
        shared: an open incident says that one secret of it speaks from many networks.
    """
    return (*_of_its_life(principal, owner, uses, now), *_of_its_secrets(principal, live, now, shared=shared))


def _of_its_life(
    principal: Principal, owner: Principal | None, uses: Sequence[Use], now: datetime
) -> list[Concern]:
    name, found = principal.name, []
    if principal.kind != "person" and not answers(owner, principal.workspace, now):
        roles = " ".join(f"--role {role}" for role in principal.roles)
        found.append(
            Concern(
                kind="orphaned",
                title=f"nobody answers for {name} (owner: {principal.owner or 'none'})",
                remedy=f"headrace access user add {name} {roles} --owner NAME",
            )
        )
    if principal.expires_at is not None and principal.expires_at <= now:
        found.append(
            Concern(
                kind="expired",
                title=f"{name} ended on {principal.expires_at:%Y-%m-%d}",
                remedy=f"headrace access user expire {name} --in 90d, if it is still needed",
            )
        )
        return found
    if principal.review_by is None or principal.review_by <= now:
        due = "never" if principal.review_by is None else f"{principal.review_by:%Y-%m-%d}"
        found.append(
            Concern(
                kind="review_overdue",
                title=f"{name} was to be reviewed by {due}",
                remedy=f"headrace access user review {name}",
            )
        )
    if not_used(principal, uses, now):
        last = last_use(uses)
        since = "never" if last is None else f"last on {last:%Y-%m-%d}"
        found.append(
            Concern(
                kind="unused",
                title=f"{name} has done nothing for {UNUSED.days} days ({since})",
                remedy=f"headrace access user expire {name}",
            )
        )
    return found


def _of_its_secrets(
    principal: Principal, live: Sequence[Credential], now: datetime, *, shared: bool
) -> list[Concern]:
    name, found = principal.name, []
    secrets = [one for one in live if one.kind == "secret"]
    old = [one for one in secrets if now - one.created_at > OLD_SECRET]
    if old:
        days = max(now - one.created_at for one in old).days
        found.append(
            Concern(
                kind="old_secret",
                title=f"a secret of {name} is {days} days old",
                remedy=f"give {name} a new one and end the old one",
            )
        )
    if any(one.expires_at is None for one in secrets):
        found.append(
            Concern(
                kind="endless_secret",
                title=f"a secret of {name} never ends",
                remedy=f"give {name} one with an end and end this one",
            )
        )
    if shared:
        found.append(
            Concern(
                kind="shared_secret",
                title=f"a secret of {name} speaks from many networks at once",
                remedy=f"headrace access user freeze {name} --why 'shared secret', then one secret for each",
            )
        )
    decides = principal.kind == "person" and _DECIDING & set(principal.roles)
    if decides and not any(one.kind in _FACTORS for one in live):
        found.append(
            Concern(
                kind="no_second_factor",
                title=f"{name} decides without a second factor",
                remedy="set one up on the page /security",
            )
        )
    return found


def not_used(principal: Principal, uses: Sequence[Use], now: datetime) -> bool:
    """Whether it has been here for long and has done nothing of late."""
    last = last_use(uses) or principal.created_at
    return max(last, principal.created_at) <= now - UNUSED


def unused_roles(
    principal: Principal,
    uses: Sequence[Use],
    allowed: Callable[[Principal, str, str], bool],
    now: datetime,
) -> list[UnusedRole]:
    """Roles that can go: everything done in the last 90 days would have been permitted without them.

    All of them can go together. One role always stays: an identity that does nothing is ended instead.

    Args:
        allowed: whether a principal may do an action on a resource.
    """
    since = principal.roles_since or principal.created_at
    if since > now - UNUSED:
        return []
    recent = [use for use in rights(uses) if use.last_at > now - UNUSED]
    done = [(use.action, use.resource) for use in recent if allowed(principal, use.action, use.resource)]
    kept, found = principal, []
    for role in (role for role in _MIGHTIEST_FIRST if role in principal.roles):
        fewer = replace(kept, roles=tuple(held for held in kept.roles if held != role))
        if fewer.roles and all(allowed(fewer, action, resource) for action, resource in done):
            kept = fewer
            found.append(
                UnusedRole(
                    principal=principal.name,
                    role=role,
                    since=now - UNUSED,
                    title=f"nothing that only {role} permits was used in {UNUSED.days} days",
                    remedy=f"headrace access user remove-role {principal.name} --role {role}",
                )
            )
    return found


def why_over(credential: Credential, principal: Principal, now: datetime) -> str:
    """Why a live credential is to be ended; empty when it is not."""
    if credential.kind not in ENDED_WITH_TIME:
        return ""
    if credential.expires_at is not None and credential.expires_at <= now:
        return "it has expired"
    if principal.has_ended(now):
        return "its identity has expired"
    return ""
