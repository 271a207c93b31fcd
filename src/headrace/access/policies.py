"""The policy in force in each workspace, and what a text is checked for before it takes its place."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from headrace.access.examples import Failed, examples_of, failing
from headrace.access.memory import Memory
from headrace.access.policy import ACTIONS, ALWAYS, CedarPolicy
from headrace.access.reviewed_texts import newest_usable
from headrace.access.rules import check_names, rules_of
from headrace.core.errors import Conflict, InternalError
from headrace.core.identity import (
    PLAIN,
    ROLES,
    Circumstance,
    Decision,
    Incident,
    PolicyText,
    Principal,
    Resource,
)
from headrace.core.ids import derived_id
from headrace.core.ports import Clock, Epoch, Policy, RecordStore

KEYS = (
    ("access.write", "principal:somebody"),
    ("grant.decide", "grant:new"),
    ("policy.decide", "policy:new"),
)
"""What somebody in a workspace must always be able to do: without these nothing could be put right again."""


@dataclass(frozen=True, kw_only=True)
class InForce:
    """What holds in a workspace. Version 0 is the default policy, which comes with Headrace."""

    version: int
    policy: CedarPolicy


class Policies:
    """Implements ``Policy``: each workspace has the newest of its texts that is in force.

    The record is the effect: a text is in force from the moment it is stored as live, whatever happens to
    the process that stored it; one that cannot be read leaves the one before in force, with an incident.

    Example::

        policies = Policies(store.policies, store.incidents, store.epoch, clock)
        policies.in_force("main").version
    """

    def __init__(
        self,
        texts: RecordStore[PolicyText],
        incidents: RecordStore[Incident],
        epoch: Epoch,
        clock: Clock,
    ) -> None:
        self._texts = texts
        self._incidents = incidents
        self._clock = clock
        self._default = CedarPolicy()
        self._lock = threading.Lock()
        self._parsed: dict[str, InForce] = {}
        self._reported: set[str] = set()
        self._in_force = Memory(self._find, epoch, clock)

    def decide(
        self, principal: Principal, action: str, resource: Resource, circumstance: Circumstance = PLAIN
    ) -> Decision:
        """Decide by the policy of the workspace that ``principal`` belongs to."""
        return self._in_force.get(principal.workspace).policy.decide(
            principal, action, resource, circumstance
        )

    def in_force(self, workspace: str) -> InForce:
        """What holds there at this moment."""
        return self._in_force.get(workspace)

    def _find(self, workspace: str) -> InForce:
        with self._lock:
            last = self._parsed.get(workspace)
            try:
                found = self._newest(workspace, last)
            except InternalError:
                # A record that cannot be decoded: what this process knows stays in force.
                if last is None:
                    raise
                self._report(workspace, workspace, "a record of a policy cannot be read")
                return last
            self._parsed[workspace] = found
            return found

    def _newest(self, workspace: str, last: InForce | None) -> InForce:
        def read(text: PolicyText) -> InForce:
            if last is not None and last.policy.text == text.text and last.version == text.version:
                return last
            return InForce(version=text.version, policy=CedarPolicy(text.text))

        def report(text: PolicyText, why: str) -> None:
            self._report(text.id, workspace, why, text)

        found = newest_usable(self._texts, workspace, workspace, read=read, report=report)
        return found or InForce(version=0, policy=self._default)

    def _report(self, key: str, workspace: str, why: str, text: PolicyText | None = None) -> None:
        if key in self._reported:
            return
        self._reported.add(key)
        self._incidents.add(
            Incident(
                id=derived_id("incident", "policy_broken", key),
                workspace=workspace,
                subject=workspace if text is None else text.author,
                kind="policy_broken",
                title="A policy in the database cannot be used; the one before it is in force",
                raised_by="headrace",
                at=self._clock.now(),
                evidence={"why": why, "version": None if text is None else text.version},
            )
        )


def check_text(text: str, clock: Clock, workspace: str) -> tuple[CedarPolicy, list[Failed]]:
    """The policy that a text is, and which of its own examples it fails.

    Raises:
        InvalidInput: it does not parse, names what does not exist, or has rules without a name.
    """
    check_names(text, actions=ACTIONS, roles=ROLES, taken=[rule.name for rule in rules_of(ALWAYS)])
    policy = CedarPolicy(text)
    return policy, failing(policy, examples_of(text), clock, workspace)


def check_keys(policy: Policy, before: Policy, people: Sequence[Principal], workspace: str) -> None:
    """Refuse a policy that locks everybody out.

    Args:
        before: the policy in force, to say who is lost.
        people: everybody who may act in the workspace, with roles of their own.

    Raises:
        Conflict: nobody could hand out roles, decide grants or decide policies any more.
    """
    for action, example in KEYS:
        resource = Resource.parse(example, workspace)
        if any(_may(policy, person, action, resource) for person in people):
            continue
        lost = [person.name for person in people if _may(before, person, action, resource)]
        raise Conflict(
            f"Under this policy nobody in {workspace!r} could {action} any more, and nothing could put that "
            f"right. Today {_and(lost)} can. Keep a rule that permits it to one of them."
        )


def _may(policy: Policy, person: Principal, action: str, resource: Resource) -> bool:
    return policy.decide(person, action, resource, Circumstance(proved=True)).allowed


def _and(names: Sequence[str]) -> str:
    return ", ".join(names) or "nobody"
