"""What waits for a person, from releases to reviews. The list asks the rule that is checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from headrace.app.composition import App
from headrace.app.governance import grants, waivers
from headrace.app.governance.controls import RULES
from headrace.app.governance.policies import POLICY
from headrace.app.llm.acceptable_use import ACCEPTABLE_USE
from headrace.app.llm.usage import LLM_USE
from headrace.app.overviews import reading, reviews
from headrace.core.identity import Principal, Resource
from headrace.core.release import Waiver

Kind = Literal["release", "grant", "waiver", "policy", "rules", "llm use", "terms", "review"]


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """One thing that somebody has to decide.

    Attributes:
        id: the release, the grant, the waiver, or the version of the text; of a review, the project.
        about: what it would change, in a line.
        why: the reason that was given.
        asked_by: who made it or asked for it, and therefore does not decide.
        may_decide: whether the reader may, if need be after they have proved that it is them.
        why_not: why the reader may not decide.
    """

    kind: Kind
    id: str
    about: str
    why: str
    asked_by: str
    at: datetime
    may_decide: bool
    why_not: str = ""


def inbox(app: App, me: Principal) -> list[Waiting]:
    """Everything that waits and that ``me`` may see; what they may decide comes first, then the oldest."""
    found = [*_releases(app, me), *_grants(app, me), *_waivers(app, me), *_texts(app, me), *_reviews(app, me)]
    return sorted(found, key=lambda one: (not one.may_decide, one.at))


def _releases(app: App, me: Principal) -> Iterator[Waiting]:
    for release in reading.releases(app, me):
        if release.state == "waiting":
            manifest = release.manifest
            why_not = why_not_decide(app, me, "release.approve", f"release:{release.id}", release.author)
            yield Waiting(
                kind="release",
                id=release.id,
                about=manifest.subject.ref,
                why=manifest.cause,
                asked_by=release.author,
                at=release.created_at,
                may_decide=not why_not,
                why_not=why_not,
            )


def _grants(app: App, me: Principal) -> Iterator[Waiting]:
    for grant in grants.grants(app, me, "asked"):
        why_not = why_not_decide(app, me, "grant.decide", f"grant:{grant.id}", grant.asked_by, grant.subject)
        yield Waiting(
            kind="grant",
            id=grant.id,
            about=f"{grant.role} on {grant.resource} for {grant.subject}, {_lasting(grant.duration_s)}",
            why=grant.reason,
            asked_by=grant.asked_by,
            at=grant.asked_at,
            may_decide=not why_not,
            why_not=why_not,
        )


def _waivers(app: App, me: Principal) -> Iterator[Waiting]:
    for standing in waivers.waivers(app, me):
        waiver = standing.waiver
        if waiver.state == "asked" and standing.missing:
            why_not = why_not_waiver(app, me, waiver)
            yield Waiting(
                kind="waiver",
                id=waiver.id,
                about=f"{waiver.subject} without {waiver.rule} until {waiver.ends_at:%Y-%m-%d}",
                why=f"{waiver.reason} ({waiver.size}; {standing.missing})",
                asked_by=waiver.asked_by,
                at=waiver.asked_at,
                may_decide=not why_not,
                why_not=why_not,
            )


def _texts(app: App, me: Principal) -> Iterator[Waiting]:
    if not app.gatekeeper.allows(me, "policy.read", POLICY.resource(me.workspace)):
        return
    for kind, texts, what in (
        ("policy", POLICY, "access policy"),
        ("rules", RULES, "rules for projects"),
        ("llm use", LLM_USE, "list of allowed uses of models"),
        ("terms", ACCEPTABLE_USE, "acceptable-use policy"),
    ):
        for text in texts.versions(app, me):
            if text.state == "waiting":
                resource = texts.resource(text.workspace, text.version)
                why_not = why_not_decide(app, me, "policy.decide", resource, text.author)
                yield Waiting(
                    kind=kind,  # type: ignore[arg-type]
                    id=str(text.version),
                    about=f"version {text.version} of the {what} of {text.workspace}",
                    why=text.comment,
                    asked_by=text.author,
                    at=text.at,
                    may_decide=not why_not,
                    why_not=why_not,
                )


def _reviews(app: App, me: Principal) -> Iterator[Waiting]:
    for standing in reviews.standings(app, me):
        if standing.soon:
            why_not = reviews.why_not_review(app, me, standing)
            yield Waiting(
                kind="review",
                id=standing.project,
                about=f"{standing.subject.partition(':')[2]}, due {standing.due_at:%Y-%m-%d}",
                why=f"{'overdue' if standing.overdue else 'soon'}; every {standing.every_days} days",
                asked_by=standing.author,
                at=standing.due_at,
                may_decide=not why_not,
                why_not=why_not,
            )


def why_not_waiver(app: App, me: Principal, waiver: Waiver) -> str:
    """Why ``me`` may not decide about a waiver; empty if they may."""
    why_not = why_not_decide(app, me, "waiver.decide", f"waiver:{waiver.id}", waiver.asked_by)
    if not why_not and any(one["by"] == me.name for one in waiver.decisions):
        return "you have agreed; somebody else is needed"
    return why_not


def why_not_decide(app: App, me: Principal, action: str, resource: str | Resource, *makers: str) -> str:
    """Why ``me`` may not decide; empty if they may."""
    keeper = app.gatekeeper
    if keeper.allows(me, action, resource) or keeper.lacks_proof(me, action, resource):
        return ""
    return "yours: somebody else decides" if me.name in makers else "your roles may not decide it"


def _lasting(duration_s: int) -> str:
    minutes = round(duration_s / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:g} h"
