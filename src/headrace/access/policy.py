"""The policy: who may do what, in Cedar's language (cedarpolicy.com)."""

from __future__ import annotations

import json
import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from headrace.core.canonical import digest_bytes
from headrace.core.errors import InvalidInput
from headrace.core.identity import Decision, Principal

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
    "access.write",
    "audit.read",
)
_DEFAULT = Path(__file__).with_name("default.cedar")


class _Asked(NamedTuple):
    """Everything a decision depends on beside the policy text, which never changes in one object."""

    name: str
    kind: str
    roles: tuple[str, ...]
    action: str
    resource: str


class CedarPolicy:
    """Decides by a Cedar policy text, default deny; a repeated question is answered from memory.

    In the text a principal is ``Person::"ann"``, ``Service::"..."`` or ``Agent::"..."`` within its
    ``Role::"..."``s, an action ``Action::"predict"``, and the resource ``project:cars`` is
    ``Project::"cars"``.

    Args:
        text: the policy; the default policy when not given.
        max_cached: how many decisions are remembered.

    Raises:
        InvalidInput: the text does not parse.

    Example::

        CedarPolicy().decide(principal, "predict", "project:cars").allowed
    """

    def __init__(self, text: str | None = None, *, max_cached: int = 10_000) -> None:
        self.text = _DEFAULT.read_text(encoding="utf-8") if text is None else text
        self.digest = digest_bytes(self.text.encode())
        self._max_cached = max_cached
        self._lock = threading.Lock()
        self._decided: dict[_Asked, Decision] = {}
        if text is not None:
            _ = self._policies

    @cached_property
    def _policies(self) -> cedarpy.PolicySet:
        import cedarpy

        try:
            return cedarpy.PolicySet.from_str(self.text)
        except ValueError as error:
            raise InvalidInput(
                f"The policy does not parse: {error}. Expected Cedar text such as "
                'permit (principal in Role::"viewer", action == Action::"project.read", resource);'
            ) from error

    def decide(self, principal: Principal, action: str, resource: str) -> Decision:
        """Whether ``principal`` may do ``action`` on ``resource`` (``kind:name``), and by which rules."""
        asked = _Asked(principal.name, principal.kind, principal.roles, action, resource)
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
        roles = [{"type": "Role", "id": role} for role in asked.roles]
        entities = cedarpy.Entities.from_json_str(
            json.dumps([{"uid": principal, "attrs": {}, "parents": roles}])
        )
        kind, _, name = asked.resource.partition(":")
        result = cedarpy.is_authorized(
            {
                "principal": principal,
                "action": {"type": "Action", "id": asked.action},
                "resource": {"type": kind.capitalize(), "id": name},
                "context": {},
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
