"""The policy: who may do what, in Cedar's language (cedarpolicy.com)."""

from __future__ import annotations

import json
import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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
_ROLES = Path(__file__).with_name("default.cedar")
_ALWAYS = Path(__file__).with_name("always.cedar")


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
    ``resource.risk``; ``context.proved`` (a second factor is fresh), ``context.proof`` (``"passkey"``,
    ``"code"`` or ``""``), ``context.enrolled`` (a set of these) and ``context.arguments``.

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
        self.text = _ROLES.read_text(encoding="utf-8") if text is None else text
        self._always = _ALWAYS.read_text(encoding="utf-8")
        self.digest = digest_bytes(f"{self._always}\n{self.text}".encode())
        self._max_cached = max_cached
        self._lock = threading.Lock()
        self._decided: dict[_Asked, Decision] = {}
        if text is not None:
            _ = self._policies

    @cached_property
    def _policies(self) -> cedarpy.PolicySet:
        import cedarpy

        try:
            return cedarpy.PolicySet.from_str(f"{self._always}\n{self.text}")
        except ValueError as error:
            raise InvalidInput(
                f"The policy does not parse: {error}. Expected Cedar text such as "
                'permit (principal in Role::"viewer", action == Action::"project.read", resource);'
            ) from error

    def decide(
        self, principal: Principal, action: str, resource: Resource, circumstance: Circumstance = PLAIN
    ) -> Decision:
        """Whether ``principal`` may do ``action`` on ``resource``, and by which rules."""
        session = principal.session
        asked = _Asked(
            principal.name,
            principal.kind,
            principal.roles,
            principal.workspace,
            None if session is None else session.tools,
            action,
            resource.kind,
            resource.name,
            resource.workspace,
            resource.authors,
            resource.risk,
            circumstance.proved,
            circumstance.proof,
            circumstance.enrolled,
            circumstance.arguments,
        )
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
        roles = [{"type": "Role", "id": role} for role in asked.roles]
        about: dict[str, Any] = {"name": asked.name, "workspace": asked.workspace}
        if asked.tools is not None:
            about["tools"] = list(asked.tools)
        on = {
            "name": asked.resource_name,
            "workspace": asked.resource_workspace,
            "authors": list(asked.authors),
            "risk": asked.risk,
        }
        entities = cedarpy.Entities.from_json_str(
            json.dumps(
                [
                    {"uid": principal, "attrs": about, "parents": roles},
                    {"uid": resource, "attrs": on, "parents": []},
                ]
            )
        )
        result = cedarpy.is_authorized(
            {
                "principal": principal,
                "action": {"type": "Action", "id": asked.action},
                "resource": resource,
                "context": {
                    "proved": asked.proved,
                    "proof": asked.proof,
                    "enrolled": list(asked.enrolled),
                    "arguments": dict(asked.arguments),
                },
            },
            self._policies,
            entities,
        )
        named = result.diagnostics.id_annotations_by_reason
        rules = tuple(sorted(named.get(reason, reason) for reason in result.diagnostics.reasons))
        if result.diagnostics.errors:
            # Cedar skips a rule that fails to evaluate; it might have been the one that forbids.
            return Decision(allowed=False, rules=("error", *rules), policy=self.digest)
        return Decision(allowed=bool(result.allowed), rules=rules, policy=self.digest)
