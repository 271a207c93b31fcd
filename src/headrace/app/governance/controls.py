"""The rules of a workspace, which hold for all its projects.

A new text needs no new version of Headrace: every live release is judged by it at once.
"""

from __future__ import annotations

from headrace.app.compliance import in_force, subject_of, watch_compliance
from headrace.app.composition import App
from headrace.app.governance.reviewed_texts import Present, ReviewedTexts
from headrace.core.errors import InvalidInput
from headrace.core.identity import Principal
from headrace.projects.controls import InForce, house_rules, read_rules

LARGEST = 65_536
"""Characters that a text of rules may have."""


def show(app: App, principal: Principal) -> InForce:
    """The rules in force in the workspace of ``principal``."""
    app.gatekeeper.require(principal, "policy.read", RULES.resource(principal.workspace))
    return in_force(app, principal.workspace)


def judge_all(app: App, workspace: str) -> list[str]:
    """Judge every live release of a workspace anew; returns the projects that do not keep the rules."""
    mine = [p.name for p in app.store.projects.list() if app.store.projects.workspace(p.name) == workspace]
    return [name for name in mine if watch_compliance(app, name) is not None]


def _present(app: App, workspace: str) -> Present:
    found = in_force(app, workspace)
    return Present(found.version, found.text)


def _check(_app: App, _workspace: str, text: str) -> None:
    if len(text) > LARGEST:
        raise InvalidInput(f"The text has {len(text)} characters. Expected at most {LARGEST}.")
    read_rules(text)


RULES = ReviewedTexts(
    name="rules",
    command="headrace project controls",
    audited_as="controls",
    subject_of=subject_of,
    default=lambda: house_rules().text,
    present=_present,
    check=_check,
    judge=judge_all,
)
"""The YAML text that says what each risk tier asks for."""
