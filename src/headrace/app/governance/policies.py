"""The access policy of a workspace: what its texts are checked for, and how it does on its own examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.access.examples import Failed, examples_of
from headrace.access.policies import check_keys, check_text
from headrace.access.policy import DEFAULT
from headrace.app.composition import App
from headrace.app.governance.reviewed_texts import Present, ReviewedTexts
from headrace.core.errors import GateFailed
from headrace.core.identity import Principal


@dataclass(frozen=True, kw_only=True)
class Tested:
    """How a policy did on its own examples."""

    version: int | None
    examples: int
    failed: list[Failed]


def try_examples(app: App, me: Principal, text: str | None = None) -> Tested:
    """Put a policy's own examples to the test: of ``text``, or of the policy in force.

    Raises:
        InvalidInput: the text is no policy; the message names the line.
    """
    app.gatekeeper.require(me, "policy.read", POLICY.resource(me.workspace))
    version = None
    if text is None:
        version, text = _present(app, me.workspace)
    _, failed = check_text(text, app.clock, me.workspace)
    return Tested(version=version, examples=len(examples_of(text)), failed=failed)


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


def _present(app: App, workspace: str) -> Present:
    in_force = app.policies.in_force(workspace)
    return Present(in_force.version, in_force.policy.text)


def _check(app: App, workspace: str, text: str) -> None:
    policy, failed = check_text(text, app.clock, workspace)
    if failed:
        raise GateFailed(failures(failed))
    check_keys(policy, app.policies, _people(app, workspace), workspace)


def _people(app: App, workspace: str) -> list[Principal]:
    """Everybody who may act there at this moment."""
    now = app.clock.now()
    return [p for p in app.store.principals.list() if p.workspace == workspace and p.may_act(now)]


POLICY = ReviewedTexts(
    name="policy",
    command="headrace access policy",
    audited_as="policy",
    subject_of=lambda workspace: workspace,
    default=lambda: DEFAULT,
    present=_present,
    check=_check,
    judge=lambda _app, _workspace: [],
)
"""The Cedar text that says what is allowed to whom."""
