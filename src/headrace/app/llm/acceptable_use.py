"""The acceptable-use policy for AI: published, acknowledged by each person, and asked for at the gateway."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headrace.access.reviewed_texts import newest_usable
from headrace.app.composition import App
from headrace.app.governance.reviewed_texts import Present, ReviewedTexts
from headrace.core.canonical import digest_bytes
from headrace.core.errors import Conflict, Denied, InvalidInput
from headrace.core.identity import MAIN, PolicyText, Principal
from headrace.core.ids import derived_id
from headrace.gateway.llm.permits import Published
from headrace.store.llm_decisions import Acknowledgement

LARGEST = 65_536
"""Characters that a policy may have."""
NONE = "Nobody has published an acceptable-use policy here yet, so nothing has to be acknowledged.\n"
_ACKNOWLEDGE = "headrace llm terms acknowledge"


@dataclass(frozen=True, kw_only=True)
class Mine:
    """The policy that holds for somebody, and whether they have acknowledged it.

    Attributes:
        workspace: whose policy it is: their own workspace's, or that of ``main`` where it has none.
        version: 0: none is published.
        acknowledged_at: None: not this version.
    """

    workspace: str
    version: int
    digest: str
    text: str
    acknowledged_at: datetime | None


def subject_of(workspace: str) -> str:
    """What the policies of a workspace are about."""
    return f"acceptable-use:{workspace}"


def published(app: App, team: str) -> tuple[Published, str] | None:
    """What holds for a team, with its text: its own policy, else that of ``main``; None: there is none."""
    for workspace in dict.fromkeys((team, MAIN)):
        found = _in_force(app, workspace)
        if found is not None:
            return Published(workspace, found.version, found.digest), found.text
    return None


def acknowledged(app: App, policy: Published) -> frozenset[str]:
    """Who has acknowledged this version."""
    given = app.store.acknowledgements.list(workspace=policy.workspace)
    return frozenset(one.subject for one in given if one.digest == policy.digest)


def mine(app: App, me: Principal) -> Mine:
    """The policy that holds for ``me``. Raises Denied."""
    app.gatekeeper.require(me, "policy.read", ACCEPTABLE_USE.resource(me.workspace))
    found = published(app, me.workspace)
    if found is None:
        digest = digest_bytes(NONE.encode())
        return Mine(workspace=me.workspace, version=0, digest=digest, text=NONE, acknowledged_at=None)
    policy, text = found
    given = app.store.acknowledgements.find(_id(policy, me.name))
    return Mine(
        workspace=policy.workspace,
        version=policy.version,
        digest=policy.digest,
        text=text,
        acknowledged_at=None if given is None else given.at,
    )


def acknowledge(app: App, me: Principal, version: int) -> Acknowledgement:
    """Say that ``me`` has read the policy and keeps it; for a service or an agent its owner says so.

    Raises:
        Denied: ``me`` is no person.
        Conflict: another version is in force, or none.
    """
    permitted = app.gatekeeper.require(me, "policy.read", ACCEPTABLE_USE.resource(me.workspace))
    if me.kind != "person":
        raise Denied(f"{me.name!r} is no person: its owner {me.owner!r} acknowledges for it.")
    found = published(app, me.workspace)
    if found is None or found[0].version != version:
        what = "none is published" if found is None else f"version {found[0].version} is in force"
        raise Conflict(f"Version {version} is not what holds: {what}. Read it: headrace llm terms show")
    policy = found[0]
    with app.store.transaction():
        known = app.store.acknowledgements.find(_id(policy, me.name))
        if known is not None:
            return known
        given = app.store.acknowledgements.add(
            Acknowledgement(
                id=_id(policy, me.name),
                workspace=policy.workspace,
                subject=me.name,
                version=version,
                digest=policy.digest,
                at=app.clock.now(),
            )
        )
        resource = ACCEPTABLE_USE.resource(policy.workspace, version)
        detail = {"digest": policy.digest} | permitted.basis
        app.store.audit.append(me.name, "acceptable_use.acknowledge", resource, detail)
        app.store.epoch.advance()
    return given


def acknowledgements(app: App, me: Principal) -> list[Acknowledgement]:
    """Who has acknowledged which version of the policy that holds in the workspace of ``me``, oldest first.
    Raises Denied."""
    app.gatekeeper.require(me, "access.read", f"workspace:{me.workspace}")
    found = published(app, me.workspace)
    workspace = me.workspace if found is None else found[0].workspace
    return app.store.acknowledgements.list(workspace=workspace)


def _id(policy: Published, name: str) -> str:
    return derived_id("acknowledgement", policy.workspace, policy.digest, name)


def _in_force(app: App, workspace: str) -> PolicyText | None:
    def report(text: PolicyText, why: str) -> None:
        app.access.incidents.open(
            "rules_broken",
            text.author,
            workspace,
            title=f"Version {text.version} of the acceptable-use policy is not what was approved",
            raised_by="system:acceptable-use",
            evidence={"why": why, "version": text.version},
        )

    subject = subject_of(workspace)
    return newest_usable(app.store.policies, workspace, subject, read=lambda text: text, report=report)


def _present(app: App, workspace: str) -> Present:
    found = _in_force(app, workspace)
    return Present(0, NONE) if found is None else Present(found.version, found.text)


def _check(_app: App, _workspace: str, text: str) -> None:
    if not text.strip() or len(text) > LARGEST:
        raise InvalidInput(f"The policy has {len(text)} characters. Expected 1 to {LARGEST}, in words.")


ACCEPTABLE_USE = ReviewedTexts(
    name="acceptable-use policy",
    command="headrace llm terms",
    audited_as="acceptable_use",
    subject_of=subject_of,
    default=lambda: NONE,
    present=_present,
    check=_check,
    judge=lambda _app, _workspace: [],
)
"""The text that people acknowledge before they call language models."""
