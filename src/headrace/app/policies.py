"""The access policy as something that is proposed, reviewed, put into force and taken back."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from headrace.access.examples import Failed, examples_of
from headrace.access.policies import Approve, Refuse, Supersede, check_keys, check_text, transition
from headrace.access.policy import DEFAULT
from headrace.access.resources import policy_id
from headrace.app.composition import App
from headrace.core.canonical import digest_bytes
from headrace.core.errors import Conflict, GateFailed, NotFound
from headrace.core.identity import PolicyText, Principal


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One version with its text. Version 0 is the default policy, which comes with Headrace."""

    workspace: str
    version: int
    state: str
    text: str
    author: str | None = None
    approver: str | None = None
    at: datetime | None = None
    comment: str = ""


@dataclass(frozen=True, kw_only=True)
class Tested:
    """How a policy did on its own examples."""

    version: int | None
    examples: int
    failed: list[Failed]


def show(app: App, me: Principal, version: int | None = None) -> Shown:
    """One version of the policy of the workspace of ``me``; the one in force when none is named.

    Raises:
        NotFound: there is no such version.
    """
    app.gatekeeper.require(me, "policy.read", f"policy:{me.workspace}")
    if version is None:
        version = app.policies.in_force(me.workspace).version
    if version == 0:
        waits = app.policies.in_force(me.workspace).version != 0
        return Shown(workspace=me.workspace, version=0, state="superseded" if waits else "live", text=DEFAULT)
    found = _version(app, me, version)
    return Shown(
        workspace=found.workspace,
        version=found.version,
        state=found.state,
        text=found.text,
        author=found.author,
        approver=found.approver,
        at=found.at,
        comment=found.comment,
    )


def versions(app: App, me: Principal) -> list[PolicyText]:
    """All versions of the policy of the workspace of ``me``, oldest first."""
    app.gatekeeper.require(me, "policy.read", f"policy:{me.workspace}")
    return _texts(app, me.workspace)


def difference(app: App, me: Principal, version: int) -> str:
    """What ``version`` would change of the policy in force, as a unified diff."""
    then = show(app, me, version)
    now = show(app, me)
    return "".join(
        difflib.unified_diff(
            now.text.splitlines(keepends=True),
            then.text.splitlines(keepends=True),
            f"version {now.version} (in force)",
            f"version {then.version} ({then.state})",
        )
    )


def try_examples(app: App, me: Principal, text: str | None = None) -> Tested:
    """Put a policy's own examples to the test: of ``text``, or of the policy in force.

    Raises:
        InvalidInput: the text is no policy; the message names the line.
    """
    app.gatekeeper.require(me, "policy.read", f"policy:{me.workspace}")
    version = None
    if text is None:
        in_force = app.policies.in_force(me.workspace)
        version, text = in_force.version, in_force.policy.text
    _, failed = check_text(text, app.clock, me.workspace)
    return Tested(version=version, examples=len(examples_of(text)), failed=failed)


def propose(app: App, me: Principal, text: str, comment: str = "") -> PolicyText:
    """Put a text up for review. It changes nothing until somebody else has approved it.

    Raises:
        InvalidInput: it is no policy; the message names the line.
        GateFailed: it fails one of its own examples.
        Conflict: it would lock everybody out, or is in force already.
    """
    permitted = app.gatekeeper.require(me, "policy.propose", f"policy:{me.workspace}")
    _check(app, me.workspace, text)
    if text == app.policies.in_force(me.workspace).policy.text:
        raise Conflict("This text is in force already. Change it, then propose it again.")
    digest = digest_bytes(text.encode())
    while True:
        version = 1 + max((known.version for known in _texts(app, me.workspace)), default=0)
        wanted = PolicyText(
            id=policy_id(me.workspace, str(version)),
            workspace=me.workspace,
            subject=me.workspace,
            version=version,
            text=text,
            digest=digest,
            author=me.name,
            at=app.clock.now(),
            comment=comment,
        )
        with app.store.transaction():
            kept = app.store.policies.add(wanted)
            app.store.epoch.advance()
            # Two proposals at the same instant: the number is the first one's, this one takes the next.
            if (kept.digest, kept.author) == (digest, me.name):
                app.store.audit.append(
                    me.name, "policy.propose", _named(wanted), {"digest": digest} | permitted.basis
                )
                return kept


def decide(
    app: App, me: Principal, version: int, decision: Literal["approved", "rejected"], comment: str = ""
) -> PolicyText:
    """Put a waiting version into force, or refuse it; never one's own.

    The record is the effect: from its write on every process decides by the new text.

    Raises:
        Denied: ``me`` is the author, or may not decide policies.
        Conflict: it was decided meanwhile, is older than the policy in force, or would lock everybody out.
    """
    permitted = app.gatekeeper.require(me, "policy.decide", f"policy:{me.workspace}@{version}")
    found = _version(app, me, version)
    now = app.clock.now()
    approved = decision == "approved"
    moved = transition(found, (Approve if approved else Refuse)(by=me.name, at=now))
    if approved:
        in_force = app.policies.in_force(me.workspace).version
        if version < in_force:
            raise Conflict(
                f"Version {in_force} came into force after version {version} was proposed, and would be "
                f"undone. Propose the text again on top of it: headrace access policy show {version}"
            )
        _check(app, me.workspace, found.text)
    detail = {"decision": decision, "digest": found.digest, "author": found.author, "comment": comment}
    with app.store.transaction():
        app.store.audit.append(me.name, "policy.decide", _named(found), detail | permitted.basis)
        kept = app.store.policies.change(moved)
        app.store.epoch.advance()
        for older in app.store.policies.list(workspace=me.workspace, subject=me.workspace, state="live"):
            if approved and older.version < version:
                # Whoever approved at the same instant has tidied up too; the newest is in force either way.
                with suppress(Conflict):
                    app.store.policies.change(transition(older, Supersede(at=now)))
    return kept


def revert(app: App, me: Principal, comment: str = "") -> PolicyText:
    """Propose the text that was in force before this one.

    Raises:
        NotFound: the default policy is in force; there is none before it.
    """
    app.gatekeeper.require(me, "policy.propose", f"policy:{me.workspace}")
    in_force = app.policies.in_force(me.workspace).version
    if in_force == 0:
        raise NotFound("The default policy is in force: there is none before it.")
    former = [t for t in _texts(app, me.workspace) if t.state == "superseded" and t.version < in_force]
    text, name = (former[-1].text, str(former[-1].version)) if former else (DEFAULT, "0, the default")
    return propose(app, me, text, comment or f"back to version {name}")


def _check(app: App, workspace: str, text: str) -> None:
    policy, failed = check_text(text, app.clock, workspace)
    if failed:
        raise GateFailed(failures(failed))
    check_keys(policy, app.policies, _people(app, workspace), workspace)


def failures(failed: Sequence[Failed]) -> str:
    """What to tell the author of a policy that fails its own examples."""
    lines = [
        f"line {f.line}: {f.text}: got {'allow' if f.allowed else 'deny'} "
        f"by {', '.join(f.rules) or 'no rule'}"
        for f in failed
    ]
    return "\n".join(
        [f"The policy fails {len(failed)} of its own examples. Correct the rule or the example:", *lines]
    )


def _people(app: App, workspace: str) -> list[Principal]:
    """Everybody who may act there at this moment."""
    now = app.clock.now()
    return [p for p in app.store.principals.list() if p.workspace == workspace and p.may_act(now)]


def _texts(app: App, workspace: str) -> list[PolicyText]:
    return sorted(
        app.store.policies.list(workspace=workspace, subject=workspace), key=lambda text: text.version
    )


def _version(app: App, me: Principal, version: int) -> PolicyText:
    found = app.store.policies.find(policy_id(me.workspace, str(version)))
    if found is None:
        raise NotFound(
            f"The policy of {me.workspace!r} has no version {version}. List them: headrace access policy ls"
        )
    return found


def _named(text: PolicyText) -> str:
    return f"policy:{text.workspace}@{text.version}"
