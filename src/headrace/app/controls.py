"""The rules of a workspace: a text that is proposed, decided by somebody else, and holds for all projects.

A new text needs no new version of Headrace: every live release is judged by it at once.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from headrace.access.policies import Approve, Refuse, Supersede, transition
from headrace.app.compliance import in_force, subject_of, watch_compliance
from headrace.app.composition import App
from headrace.core.canonical import digest_bytes
from headrace.core.errors import Conflict, InvalidInput, NotFound
from headrace.core.identity import PolicyText, Principal, Resource
from headrace.core.ids import derived_id
from headrace.projects.controls import InForce, read_rules

LARGEST = 65_536
"""Characters that a text of rules may have."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A text that was decided, and the projects whose live release does not keep it."""

    text: PolicyText
    violating: list[str]


def show(app: App, principal: Principal) -> InForce:
    """The rules in force in the workspace of ``principal``."""
    app.gatekeeper.require(principal, "policy.read", _resource(principal.workspace))
    return in_force(app, principal.workspace)


def versions(app: App, principal: Principal) -> list[PolicyText]:
    """All texts of the rules of the workspace of ``principal``, oldest first."""
    app.gatekeeper.require(principal, "policy.read", _resource(principal.workspace))
    return _texts(app, principal.workspace)


def propose(app: App, principal: Principal, text: str, comment: str = "") -> PolicyText:
    """Put a text up for decision; it holds for nobody until somebody else has approved it.

    Raises:
        InvalidInput: it cannot be used; each mistake with line and column.
        Conflict: it is in force already.
    """
    permitted = app.gatekeeper.require(principal, "policy.propose", _resource(principal.workspace))
    if len(text) > LARGEST:
        raise InvalidInput(f"The text has {len(text)} characters. Expected at most {LARGEST}.")
    read_rules(text)
    digest = digest_bytes(text.encode())
    if digest == in_force(app, principal.workspace).digest:
        raise Conflict("This text is in force already. Change it, then propose it again.")
    while True:
        version = 1 + max((known.version for known in _texts(app, principal.workspace)), default=0)
        wanted = PolicyText(
            id=derived_id(subject_of(principal.workspace), str(version)),
            workspace=principal.workspace,
            subject=subject_of(principal.workspace),
            version=version,
            text=text,
            digest=digest,
            author=principal.name,
            at=app.clock.now(),
            comment=comment,
        )
        with app.store.transaction():
            kept = app.store.policies.add(wanted)
            # Of two proposals at the same instant the first has this number; the other one takes the next.
            if (kept.digest, kept.author) == (digest, principal.name):
                app.store.audit.append(
                    principal.name, "controls.propose", _named(wanted), {"digest": digest} | permitted.basis
                )
                return kept


def decide(
    app: App,
    principal: Principal,
    version: int,
    decision: Literal["approved", "rejected"],
    comment: str = "",
) -> Judged:
    """Put a proposed text into force, or refuse it; never one's own. Live releases are judged by it at once.

    Raises:
        Denied: ``principal`` is its author, or may not decide.
        Conflict: it was decided before, or a newer text is in force.
    """
    found = next((t for t in _texts(app, principal.workspace) if t.version == version), None)
    if found is None:
        raise NotFound(f"The rules have no version {version}. List them: headrace project controls ls")
    makers = app.access.resources.makers(found.author)
    resource = replace(_resource(found.workspace), authors=makers)
    permitted = app.gatekeeper.require(principal, "policy.decide", resource)
    if found.state != "waiting":
        raise Conflict(
            f"Version {version} of the rules is {found.state}; only one that waits can be decided. "
            "List them: headrace project controls ls"
        )
    present, now = in_force(app, principal.workspace), app.clock.now()
    if decision == "approved" and version < present.version:
        raise Conflict(
            f"Version {present.version} came into force after version {version} was proposed, and would be "
            "undone. Propose the text again."
        )
    moved = transition(found, (Approve if decision == "approved" else Refuse)(by=principal.name, at=now))
    detail = {"decision": decision, "digest": found.digest, "author": found.author, "comment": comment}
    with app.store.transaction():
        app.store.audit.append(principal.name, "controls.decide", _named(found), detail | permitted.basis)
        kept = app.store.policies.change(moved)
        for older in app.store.policies.list(subject=kept.subject, state="live"):
            if decision == "approved" and older.version < version:
                # Whoever approved another version at the same instant has tidied up too.
                with suppress(Conflict):
                    app.store.policies.change(transition(older, Supersede(at=now)))
    if decision == "rejected":
        return Judged(text=kept, violating=[])
    return Judged(text=kept, violating=judge_all(app, principal.workspace))


def judge_all(app: App, workspace: str) -> list[str]:
    """Judge every live release of a workspace anew; returns the projects that do not keep the rules."""
    mine = [p.name for p in app.store.projects.list() if app.store.projects.workspace(p.name) == workspace]
    return [name for name in mine if watch_compliance(app, name) is not None]


def _texts(app: App, workspace: str) -> list[PolicyText]:
    return sorted(app.store.policies.list(subject=subject_of(workspace)), key=lambda text: text.version)


def _resource(workspace: str) -> Resource:
    return Resource(kind="policy", name=subject_of(workspace), workspace=workspace)


def _named(text: PolicyText) -> str:
    return f"policy:{text.subject}@{text.version}"
