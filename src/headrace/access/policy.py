"""The policy: who may do what, in Cedar's language (cedarpolicy.com)."""

from __future__ import annotations

import json
import threading
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from headrace.access.rules import Rule, rules_of
from headrace.core.canonical import digest_bytes
from headrace.core.errors import InvalidInput
from headrace.core.identity import PLAIN, Circumstance, Decision, Principal, Resource

if TYPE_CHECKING:
    import cedarpy

ACTIONS = (
    "project.read",
    "project.run",
    "release.approve",
    "release.reject",
    "release.rollback",
    "predict",
    "label.write",
    "monitor.run",
    "alert.answer",
    "draft.decide",
    "data.read",
    "data.erase",
    "trace.read",
    "tracking.write",
    "alias.move",
    "agent.prompt",
    "tool.call",
    "waiver.ask",
    "waiver.decide",
    "grant.ask",
    "grant.decide",
    "grant.break_glass",
    "policy.read",
    "policy.propose",
    "policy.decide",
    "incident.raise",
    "incident.work",
    "access.read",
    "access.write",
    "factor.write",
    "factor.reset",
    "token.issue",
    "workspace.write",
    "audit.read",
)
DEFAULT = Path(__file__).with_name("default.cedar").read_text(encoding="utf-8")
"""The policy of a workspace that has no other."""
ALWAYS = Path(__file__).with_name("always.cedar").read_text(encoding="utf-8")
"""The rules that hold beside every policy."""


class _Asked(NamedTuple):
    """Everything a decision depends on beside the policy text, which never changes in one object."""

    name: str
    kind: str
    roles: tuple[str, ...]
    workspace: str
    tools: tuple[str, ...] | None
    action: str
    resource_kind: str
    resource_name: str
    resource_workspace: str
    authors: tuple[str, ...]
    risk: str
    project: str
    proved: bool
    proof: str
    enrolled: tuple[str, ...]
    arguments: tuple[tuple[str, str], ...]


class CedarPolicy:
    """Decides by a Cedar policy text, default deny; a repeated question is answered from memory.

    In the text a principal is ``Person::"ann"``, ``Service::"..."`` or ``Agent::"..."`` within its
    ``Role::"..."``s, an action ``Action::"predict"``, and the resource ``project:cars`` is
    ``Project::"cars"``. Rules may ask for ``principal.workspace``, ``principal.name``, for a token that is
    bound to tools ``principal.tools``; ``resource.name``, ``resource.workspace``, ``resource.authors``,
    ``resource.risk``, ``resource.project``;
    ``context.proved`` (a second factor is fresh), ``context.proof`` (``"passkey"``, ``"code"`` or ``""``),
    ``context.enrolled`` (a set of these) and ``context.arguments``.

    The rules of ``always.cedar`` hold beside every text: a policy cannot lift them.

    Args:
        text: the policy; the default policy when not given.
        max_cached: how many decisions are remembered.

    Raises:
        InvalidInput: the text does not parse.

    Example::

        CedarPolicy().decide(principal, "predict", "project:cars").allowed
    """

    def __init__(self, text: str | None = None, *, max_cached: int = 10_000) -> None:
        self.text = DEFAULT if text is None else text
        self.digest = digest_bytes(f"{ALWAYS}\n{self.text}".encode())
        self._max_cached = max_cached
        self._lock = threading.Lock()
        self._decided: dict[_Asked, Decision] = {}
        self._by_action: dict[str, cedarpy.PolicySet] = {}
        if text is not None:
            _ = self._policies

    @cached_property
    def _policies(self) -> dict[str, Any]:
        """Every rule by its id, as Cedar writes it in JSON."""
        import cedarpy

        try:
            parsed: dict[str, Any] = json.loads(cedarpy.policies_to_json_str(f"{ALWAYS}\n{self.text}"))
        except ValueError as error:
            rules_of(self.text)
            raise InvalidInput(f"The policy does not parse: {error}.") from error
        return parsed

    def _about(self, action: str) -> cedarpy.PolicySet:
        """The rules that can apply to ``action``: evaluating the others would only cost time."""
        import cedarpy

        known = self._by_action.get(action)
        if known is None:
            rules: dict[str, Any] = self._policies["staticPolicies"]
            some = {name: rule for name, rule in rules.items() if _applies(rule["action"], action)}
            known = cedarpy.PolicySet.from_json_str(json.dumps(self._policies | {"staticPolicies": some}))
            if action in ACTIONS:
                self._by_action[action] = known
        return known

    def rule(self, name: str) -> Rule | None:
        """The rule that a decision names; None for ``error``, which is no rule."""
        return self._rules.get(name)

    @cached_property
    def _rules(self) -> dict[str, Rule]:
        always, own = rules_of(ALWAYS), rules_of(self.text)
        numbered = [*always, *own]
        return {rule.name: rule for rule in numbered} | {
            f"policy{number}": rule for number, rule in enumerate(numbered)
        }

    def decide(
        self, principal: Principal, action: str, resource: Resource, circumstance: Circumstance = PLAIN
    ) -> Decision:
        """Whether ``principal`` may do ``action`` on ``resource``, and by which rules."""
        session = principal.session
        asked = _Asked(
            principal.name,
            principal.kind,
            principal.roles + circumstance.granted,
            principal.workspace,
            None if session is None else session.tools,
            action,
            resource.kind,
            resource.name,
            resource.workspace,
            resource.authors,
            resource.risk,
            resource.project,
            circumstance.proved,
            circumstance.proof,
            circumstance.enrolled,
            circumstance.arguments,
        )
        if asked.arguments:
            # They differ from call to call: remembering them would only push out what is asked again.
            return self._evaluate(asked)
        decision = self._decided.get(asked)
        if decision is None:
            decision = self._evaluate(asked)
            with self._lock:
                if len(self._decided) >= self._max_cached:
                    self._decided.clear()
                self._decided[asked] = decision
        return decision

    def _evaluate(self, asked: _Asked) -> Decision:
        import cedarpy

        principal = {"type": asked.kind.capitalize(), "id": asked.name}
        resource = {"type": asked.resource_kind.capitalize(), "id": asked.resource_name}
        about: dict[str, Any] = {"name": asked.name, "workspace": asked.workspace}
        if asked.tools is not None:
            about["tools"] = asked.tools
        on = {
            "name": asked.resource_name,
            "workspace": asked.resource_workspace,
            "authors": asked.authors,
            "risk": asked.risk,
            "project": asked.project,
        }
        if principal == resource:
            # Who acts on itself is one entity, with what may be asked of either.
            if asked.workspace != asked.resource_workspace:
                return Decision(allowed=False, rules=("another-workspace",), policy=self.digest)
            about, on = on | about, {}
        asking = {
            "uid": principal,
            "attrs": about,
            "parents": [{"type": "Role", "id": role} for role in asked.roles],
        }
        request = {
            "principal": principal,
            "action": {"type": "Action", "id": asked.action},
            "resource": resource,
            "context": {
                "proved": asked.proved,
                "proof": asked.proof,
                "enrolled": asked.enrolled,
                "arguments": dict(asked.arguments),
            },
        }
        try:
            entities = _entities(json.dumps([asking]))
            if on:
                added = {"uid": resource, "attrs": on, "parents": []}
                entities = entities.with_added_json_str(json.dumps([added]))
            result = cedarpy.is_authorized(request, self._about(asked.action), entities)
        except ValueError:
            # A kind that Cedar has no word for, such as "a b".
            return Decision(allowed=False, rules=("error",), policy=self.digest)
        named = result.diagnostics.id_annotations_by_reason
        rules = tuple(sorted(named.get(reason, reason) for reason in result.diagnostics.reasons))
        if result.diagnostics.errors:
            # Cedar skips a rule that fails to evaluate; it might have been the one that forbids.
            return Decision(allowed=False, rules=("error", *rules), policy=self.digest)
        return Decision(allowed=bool(result.allowed), rules=rules, policy=self.digest)


def _applies(scope: dict[str, Any], action: str) -> bool:
    """Whether a rule's scope of actions, in Cedar's JSON form, holds ``action``. Ours have no groups."""
    if scope["op"] == "All":
        return True
    named = scope["entities"] if "entities" in scope else [scope["entity"]]
    return {"type": "Action", "id": action} in named


@lru_cache(maxsize=1024)
def _entities(text: str) -> cedarpy.Entities:
    """Entities read once: somebody asks about many things in a row."""
    import cedarpy

    return cedarpy.Entities.from_json_str(text)
