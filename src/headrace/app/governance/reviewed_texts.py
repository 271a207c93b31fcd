"""Texts that hold for a workspace: proposed by one, decided by another, in force at once, and taken back.

The access policy and the rules for projects are two kinds of them; what differs is in ``ReviewedTexts``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from headrace.access.resources import policy_id
from headrace.access.reviewed_texts import Approve, Refuse, Supersede, transition
from headrace.app.composition import App
from headrace.core.canonical import digest_bytes
from headrace.core.errors import Conflict, IllegalTransition, InvalidInput, NotFound
from headrace.core.identity import Decision, PolicyText, Principal
from headrace.core.text import printable

PROPOSE: Literal["policy.propose"] = "policy.propose"


class Present(NamedTuple):
    """What holds in a workspace. Version 0 is what comes with Headrace."""

    version: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One version with its text. Version 0 is what comes with Headrace."""

    workspace: str
    version: int
    state: str
    text: str
    author: str | None = None
    approver: str | None = None
    at: datetime | None = None
    comment: str = ""


@dataclass(frozen=True, kw_only=True)
class Decided:
    """A text that was decided, and the projects whose live release does not keep what holds now."""

    text: PolicyText
    violating: list[str]


@dataclass(frozen=True, kw_only=True)
class ReviewedTexts:
    """One kind of reviewed text, and all that can be done with it.

    Attributes:
        name: what it is called in a sentence.
        command: group of commands about it, for what to do next.
        audited_as: what its entries in the audit log begin with.
        subject_of: what the texts of a workspace are about; each kind has subjects of its own.
        default: what holds where a workspace has no text of its own.
        present: what holds at this moment.
        check: raises for a text that must not come into force; asked before it is put up and before it holds.
        judge: what follows from a text that has come into force: the projects that do not keep it.

    Example::

        made = POLICY.propose(app, dev, text, "viewers may predict")
        POLICY.decide(app, validator, made.version, "approved")
    """

    name: str
    command: str
    audited_as: str
    subject_of: Callable[[str], str]
    default: Callable[[], str]
    present: Callable[[App, str], Present]
    check: Callable[[App, str, str], None]
    judge: Callable[[App, str], list[str]]

    def show(self, app: App, me: Principal, version: int | None = None) -> Shown:
        """One version of the workspace of ``me``; the one in force when none is named.

        Raises:
            NotFound: there is no such version.
        """
        app.gatekeeper.require(me, "policy.read", self.resource(me.workspace))
        present = self.present(app, me.workspace).version
        if version is None:
            version = present
        if version == 0:
            state = "superseded" if present else "live"
            return Shown(workspace=me.workspace, version=0, state=state, text=self.default())
        found = self._version(app, me.workspace, version)
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

    def versions(self, app: App, me: Principal) -> list[PolicyText]:
        """All versions of the workspace of ``me``, oldest first."""
        app.gatekeeper.require(me, "policy.read", self.resource(me.workspace))
        return self._texts(app, me.workspace)

    def difference(self, app: App, me: Principal, version: int) -> str:
        """What ``version`` would change of the one in force, as a unified diff."""
        then = self.show(app, me, version)
        now = self.show(app, me)
        return "".join(
            difflib.unified_diff(
                now.text.splitlines(keepends=True),
                then.text.splitlines(keepends=True),
                f"version {now.version} (in force)",
                f"version {then.version} ({then.state})",
            )
        )

    def examine(
        self, app: App, me: Principal, text: str, right: Literal["policy.propose", "grant.ask"] = PROPOSE
    ) -> Decision:
        """By which rules ``me`` could propose this text; changes nothing.

        Args:
            right: what it takes; less where a command has written the text, and ``me`` has only asked.

        Raises:
            InvalidInput: it cannot be used; the message names the line.
            GateFailed: it fails one of its own examples.
            Conflict: it would lock everybody out, or is in force already.
        """
        permitted = app.gatekeeper.require(me, right, self.resource(me.workspace))
        self.check(app, me.workspace, text)
        if text == self.present(app, me.workspace).text:
            raise Conflict("This text is in force already. Change it, then propose it again.")
        return permitted

    def propose(
        self,
        app: App,
        me: Principal,
        text: str,
        comment: str = "",
        right: Literal["policy.propose", "grant.ask"] = PROPOSE,
    ) -> PolicyText:
        """Put a text up for review. It changes nothing until somebody else has approved it.

        Args:
            right: as ``examine`` has it.

        Raises:
            InvalidInput, GateFailed, Conflict: as ``examine`` does; or it holds what nobody sees.
        """
        permitted = self.examine(app, me, text, right)
        _check_visible(text)
        digest, subject = digest_bytes(text.encode()), self.subject_of(me.workspace)
        while True:
            version = 1 + max((known.version for known in self._texts(app, me.workspace)), default=0)
            wanted = PolicyText(
                id=policy_id(subject, str(version)),
                workspace=me.workspace,
                subject=subject,
                version=version,
                text=text,
                digest=digest,
                author=me.name,
                at=app.clock.now(),
                comment=comment,
            )
            resource = self.resource(me.workspace, version)
            with app.store.transaction():
                kept = app.store.policies.add(wanted)
                # Two proposals at the same instant: the number is the first one's, this one takes the next.
                if (kept.digest, kept.author) == (digest, me.name):
                    detail = {"digest": digest} | permitted.basis
                    app.store.audit.append(me.name, f"{self.audited_as}.propose", resource, detail)
                    app.store.epoch.advance()
                    return kept

    def decide(
        self,
        app: App,
        me: Principal,
        version: int,
        decision: Literal["approved", "rejected"],
        comment: str = "",
    ) -> Decided:
        """Put a waiting version into force, or refuse it; never one's own.

        The record is the effect: from its write on every process decides by the new text.

        Raises:
            Denied: ``me`` is the author, answers for them, or may not decide.
            Conflict: it was decided meanwhile, is older than the one in force, or must not come into force.
        """
        resource = self.resource(me.workspace, version)
        permitted = app.gatekeeper.require(me, "policy.decide", resource)
        found = self._version(app, me.workspace, version)
        approved, now = decision == "approved", app.clock.now()
        if found.state != "waiting":
            raise IllegalTransition(
                f"Version {version} of the {self.name} is {found.state}; only one that waits can be decided. "
                f"List them: {self.command} ls"
            )
        moved = transition(found, (Approve if approved else Refuse)(by=me.name, at=now))
        if approved:
            self._check_still(app, me.workspace, found)
        detail = {"decision": decision, "digest": found.digest, "author": found.author, "comment": comment}
        with app.store.transaction():
            app.store.audit.append(me.name, f"{self.audited_as}.decide", resource, detail | permitted.basis)
            kept = app.store.policies.change(moved)
            app.store.epoch.advance()
            if approved:
                self._supersede_older(app, me.workspace, now)
        if not approved:
            return Decided(text=kept, violating=[])
        # Of two that were approved at the same instant the newer one holds, and the other one is told so.
        return Decided(text=app.store.policies.get(kept.id), violating=self.judge(app, me.workspace))

    def revert(self, app: App, me: Principal, comment: str = "") -> PolicyText:
        """Propose the text that was in force before this one.

        Raises:
            NotFound: what comes with Headrace is in force; there is none before it.
        """
        app.gatekeeper.require(me, "policy.propose", self.resource(me.workspace))
        in_force = self.present(app, me.workspace).version
        if in_force == 0:
            raise NotFound(f"The default text of the {self.name} is in force: there is none before it.")
        former = [
            t for t in self._texts(app, me.workspace) if t.state == "superseded" and t.version < in_force
        ]
        text, name = (
            (former[-1].text, str(former[-1].version)) if former else (self.default(), "0, the default")
        )
        return self.propose(app, me, text, comment or f"back to version {name}")

    def resource(self, workspace: str, version: int | None = None) -> str:
        """What the rules and the audit log call one version, or the texts as such."""
        subject = self.subject_of(workspace)
        return f"policy:{subject}" if version is None else f"policy:{subject}@{version}"

    def _check_still(self, app: App, workspace: str, found: PolicyText) -> None:
        in_force = self.present(app, workspace).version
        if found.version < in_force:
            raise Conflict(
                f"Version {in_force} came into force after version {found.version} was proposed, and would "
                f"be undone. Propose the text again on top of it: {self.command} show {found.version}"
            )
        self.check(app, workspace, found.text)

    def _supersede_older(self, app: App, workspace: str, now: datetime) -> None:
        """Leave one live. Whoever writes last sees all that are, so that one is left whoever was first."""
        for older in [text for text in self._texts(app, workspace) if text.state == "live"][:-1]:
            with suppress(Conflict):
                app.store.policies.change(transition(older, Supersede(at=now)))

    def _texts(self, app: App, workspace: str) -> list[PolicyText]:
        found = app.store.policies.list(workspace=workspace, subject=self.subject_of(workspace))
        return sorted(found, key=lambda text: text.version)

    def _version(self, app: App, workspace: str, version: int) -> PolicyText:
        found = app.store.policies.find(policy_id(self.subject_of(workspace), str(version)))
        if found is None:
            raise NotFound(
                f"There is no version {version} of the {self.name} of {workspace!r}. "
                f"List them: {self.command} ls"
            )
        return found


def _check_visible(text: str) -> None:
    """Whoever approves a text has to see what is in it: nothing turns its direction or moves a cursor."""
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if (shown := printable(line.replace("\t", " "))) != line.replace("\t", " "):
            raise InvalidInput(
                f"Line {number} holds characters that are not seen as they are: {shown[:200]!r}. "
                "Expected plain text: take them out."
            )
