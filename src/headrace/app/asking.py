"""Asks one person to decide about one release, by e-mail or in Slack.

What is sent is good once, for some days, for this person and this digest. Having it proves
nothing: mail is opened by scanners and forwarded by people. Whoever answers has to be that person, signed in
here or known by a signed request of Slack's, with the rights that the decision takes, and not the author.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_urlsafe
from typing import Literal, get_args

from headrace.access.pending import Pending
from headrace.app.composition import App
from headrace.app.operations import decide, find_release
from headrace.app.workflows import Workflows
from headrace.core.alerts import Link, Message
from headrace.core.canonical import digest_bytes
from headrace.core.errors import Conflict, Denied, InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.core.ids import new_id
from headrace.core.release import Release
from headrace.plugins.slack import ASKED, SlackChannel

GOOD_FOR_S = 3 * 86_400.0
Decision = Literal["approved", "rejected"]
_SLACK = "https://slack.com/"
"""The issuer of identities of a Slack workspace is this and the workspace's id."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Who was asked to decide about what; ``digest`` is of the release as it was then."""

    release_id: str
    digest: str
    project: str
    subject: str
    person: str
    by: str
    until: datetime


@dataclass(frozen=True, kw_only=True)
class Sent:
    """That somebody was asked, by which channel and until when they can answer."""

    release: str
    person: str
    channel: str
    until: datetime


def ask(app: App, me: Principal, release_id: str, *, person: str, channel: str, to: str = "") -> Sent:
    """Ask somebody to decide about a waiting release; the other side has taken the message when this returns.

    Args:
        person: by name; only they can answer.
        to: their address, for a channel that tells persons.

    Raises:
        Denied: ``me`` may not build here, or ``person`` may not decide: the author never may.
        NotFound: there is no such release, person or channel.
        Conflict: the release does not wait for a decision.
        InvalidInput: the channel needs an address, or cannot ask.
        Unavailable: the message was not taken.
    """
    release = find_release(app, me, release_id)
    app.gatekeeper.require(me, "project.run", f"project:{release.project}")
    if release.state != "waiting":
        raise Conflict(f"Release {release.id} is {release.state}. Only one that waits can be decided about.")
    asked_of = app.identities.resolve(person)
    resource = f"release:{release.id}"
    if not app.gatekeeper.lacks_proof(asked_of, "release.approve", resource):
        app.gatekeeper.require(asked_of, "release.approve", resource)
    way = app.channels.get(channel)
    if way is None:
        known = ", ".join(app.channels) or "none"
        raise NotFound(f"There is no channel {channel!r} here (known: {known}). See HEADRACE_CHANNEL_NAME.")
    if way.personal and not to:
        raise InvalidInput(f"The channel {channel!r} tells persons. Say where {person} is: --to ADDRESS.")
    now, token = app.clock.now(), token_urlsafe(32)
    wanted = Asked(
        release_id=release.id,
        digest=release.digest,
        project=release.project,
        subject=release.manifest.subject.ref.partition(":")[2],
        person=asked_of.name,
        by=me.name,
        until=now + timedelta(seconds=GOOD_FOR_S),
    )
    # Kept and written down first: an answer may come before the sender knows that the message was taken.
    _pending(app).put(token, wanted)
    detail = {"person": person, "channel": channel, "digest": release.digest, "asked": _short(token)}
    app.store.audit.append(me.name, "approval.ask", resource, detail)
    way.send(_message(app, wanted, token, now, to))
    return Sent(release=release.id, person=person, channel=channel, until=wanted.until)


def look(app: App, me: Principal, token: str) -> Asked:
    """What ``me`` is asked about. Looking decides nothing and uses nothing up.

    Raises:
        Denied: it was used, is too old, or is for somebody else; that is in the audit log.
        Conflict: the release is not the one any more that was asked about.
    """
    asked = _pending(app).look(token)
    if asked is None or asked.until <= app.clock.now():
        raise Denied("This was answered already, or is too old. The page Approvals lists what waits for you.")
    if asked.person != me.name:
        _refused(app, me.name, asked, token, "somebody else's")
        raise Denied("Somebody else was asked. What waits for you is on the page Approvals.")
    if app.store.releases.get(asked.release_id).digest != asked.digest:
        _refused(app, me.name, asked, token, "another digest")
        raise Conflict("The release is not what it was when you were asked. Look at it and decide there.")
    return asked


def answer(
    app: App, work: Workflows, me: Principal, token: str, decision: str, comment: str, *, way: str = "link"
) -> Release:
    """Decide as the person that was asked: once, about what was asked, with the rights that it takes.

    Raises:
        Denied, Conflict: as :func:`look`; or ``me`` may not decide, or the release does not wait any more.
        ProofNeeded: a second factor has to be shown first; the question stays open.
        InvalidInput: the decision is neither.
    """
    if decision not in get_args(Decision):
        raise InvalidInput(f"A decision is 'approved' or 'rejected', got {decision[:40]!r}.")
    asked = look(app, me, token)
    action = "release.approve" if decision == "approved" else "release.reject"
    app.gatekeeper.require(me, action, f"release:{asked.release_id}")
    # The question is used up once it is decided: until then it can be answered again, and deciding the same
    # again changes nothing.
    release = decide(app, work, me, asked.release_id, decision, comment)
    if _pending(app).take(token) is not None:
        detail = {"decision": decision, "way": way, "digest": asked.digest, "asked": _short(token)}
        app.store.audit.append(me.name, "approval.answer", f"release:{asked.release_id}", detail)
    return release


def slack_channels(app: App) -> list[SlackChannel]:
    """Those whose requests can be told from others' by their signature."""
    return [one for one in app.channels.values() if isinstance(one, SlackChannel) and one.answers]


def known_in_slack(app: App, team: str, user: str) -> Principal:
    """Who a user of a Slack workspace is here: linked by an administrator, as for any provider.

    Raises:
        Denied: nobody, which is in the audit log.
        Unauthenticated: the identity is frozen or over.
    """
    name = app.access.links.find(f"{_SLACK}{team}", user)
    if name is None:
        detail = {"way": "slack", "team": team}
        app.store.audit.append("nobody", "approval.refused", "principal:unknown", detail)
        raise Denied(
            "Nobody here is linked to this Slack user. An administrator can: headrace access user link NAME "
            f"--issuer {_SLACK}{team} --subject {user}"
        )
    return app.identities.resolve(name)


def _message(app: App, asked: Asked, token: str, now: datetime, to: str) -> Message:
    url = app.settings.url.rstrip("/")
    return Message(
        id=new_id(now),
        at=now,
        project=asked.project,
        severity="info",
        title=f"{asked.person}: {asked.subject} waits for your decision",
        text=(
            f"{asked.by} asks {asked.person} to decide about the release with the digest {asked.digest[:12]}."
            f" The link opens its page after signing in and decides nothing by itself; it is good once, "
            f"until {asked.until:%Y-%m-%d %H:%M} UTC, for {asked.person} alone."
        ),
        links=(
            Link(title="Look and decide", url=f"{url}/asked/{token}"),
            Link(title="Evidence", url=f"{url}/releases/{asked.release_id}"),
        ),
        to=to,
        details=({ASKED: token},),
    )


def _refused(app: App, actor: str, asked: Asked, token: str, why: str) -> None:
    detail = {"why": why, "person": asked.person, "asked": _short(token)}
    app.store.audit.append(actor, "approval.refused", f"release:{asked.release_id}", detail)


def _short(token: str) -> str:
    """By which entries of the log belong together, and from which nobody can answer."""
    return digest_bytes(token.encode())[:12]


def _pending(app: App) -> Pending[Asked]:
    return Pending(
        app.store.expiring, app.access.vault, app.clock, kind="asked", value=Asked, ttl_s=GOOD_FOR_S
    )
