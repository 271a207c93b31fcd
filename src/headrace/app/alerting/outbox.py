"""Sends notices, again and again until the other side has taken them; what is given up is said.

A notice is written with its alert, so none is lost. It is claimed before it is sent, so that of several
servers one sends it; whoever is killed between sending and saying so leaves it to be sent once more, with the
same id.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from headrace.app.alerting.alerts import SYSTEM, personal
from headrace.app.composition import App
from headrace.core.alerts import Message, Notice
from headrace.core.errors import Conflict, HeadraceError, InvalidInput, Unavailable, UserError
from headrace.core.ids import new_id
from headrace.monitoring.notices import MOST_TRIES, NO_CHANNEL, Raised, notices, pause
from headrace.monitoring.wording import worded, worded_backlog

_log = logging.getLogger(__name__)


def deliver(app: App) -> int:
    """Send what is due; returns how many notices were taken by the other side.

    A channel that does not answer is left alone for this turn: it holds up no other.
    """
    sent, silent = 0, set[str]()
    for notice in app.store.notices.list(state="waiting"):
        if notice.channel in silent or notice.due_at > app.clock.now():
            continue
        try:
            claimed = app.store.notices.change(_begun(notice, app.clock.now()))
        except Conflict:  # another server has it
            continue
        try:
            is_told = _send(app, claimed)
        except UserError as error:
            _give_up(app, claimed, str(error))
        except HeadraceError as error:
            silent.add(claimed.channel)
            _later(app, claimed, str(error))
        else:
            if is_told:
                _taken(app, claimed)
                sent += 1
            else:
                app.store.notices.change(replace(claimed, state="lapsed", revision=claimed.revision + 1))
    return sent


def escalate(app: App) -> int:
    """Tell others of alerts that people were told of and nobody has acknowledged in time, each once; returns
    how many notices were written."""
    written, now = 0, app.clock.now()
    for declared in app.store.projects.list():
        project = app.access.charters.bound(declared)
        after_s = project.alerts.escalate_after_s
        if after_s is None:
            continue
        waited = {
            case.id
            for case in app.store.cases.list(subject=project.name, state="open")
            if not case.quiet and now - case.at >= timedelta(seconds=after_s)
        }
        if not waited:
            continue
        earlier = app.store.notices.list(subject=project.name)
        waited -= {alert for one in earlier if one.why == "escalated" for alert in one.alerts}
        alerts = [one for one in app.store.findings.alerts(project.name) if one.id in waited]
        told = [(channel, alert) for alert in alerts for channel in project.alerts.escalate_channels]
        workspace = app.store.projects.workspace(project.name)
        made = list(notices(project, workspace, told, now, personal=personal(app), escalated=True))
        if not made:
            continue
        with app.store.transaction():
            detail = {"alerts": [alert.id for alert in alerts], "after_s": after_s}
            app.store.audit.append(SYSTEM, "alert.escalate", f"project:{project.name}", detail)
            for notice in made:
                app.store.notices.add(notice)
        written += len(made)
    return written


def _begun(notice: Notice, now: datetime) -> Notice:
    tries = notice.tries + 1
    revision, turn = notice.revision + 1, new_id(now)
    return replace(notice, tries=tries, turn=turn, due_at=now + pause(tries), revision=revision)


def _send(app: App, notice: Notice) -> bool:
    """Whether there was something to tell."""
    message = _message(app, notice)
    if message is None:
        return False
    channel = app.channels.get(notice.channel)
    if channel is None:
        setting = f"HEADRACE_CHANNEL_{notice.channel.upper()}"
        if not app.channels:
            raise InvalidInput(f"{NO_CHANNEL}: alerts are shown, and told to nobody. Set {setting}.")
        raise InvalidInput(f"There is no channel {notice.channel!r} here. Set {setting}.")
    if channel.personal and not notice.to:
        raise InvalidInput(
            "Nobody of the project has an e-mail address: see owner and team in headrace.yaml."
        )
    try:
        channel.send(message)
    except HeadraceError:
        raise
    except Exception as error:
        # Boundary: a channel may come from anybody; what breaks in it keeps no other waiting.
        _log.exception("The channel %s broke down", notice.channel)
        raise Unavailable(f"The channel broke down ({type(error).__name__}).") from error
    return True


def _message(app: App, notice: Notice) -> Message | None:
    """None: nothing waits any more, so nobody needs to be told."""
    if notice.why in ("draft", "handoff"):
        waiting = [one for one in app.store.backlog.waiting([notice.subject]) if one.kind == notice.why]
        return worded_backlog(notice, waiting[0], app.settings.url) if waiting else None
    findings = {one.id: one for one in app.store.findings.list(notice.subject)}
    raised = [
        Raised(alert, findings[alert.finding_id])
        for alert in app.store.findings.alerts(notice.subject)
        if alert.id in notice.alerts
    ]
    return worded(notice, raised, app.settings.url)


def _taken(app: App, notice: Notice) -> None:
    now = app.clock.now()
    with app.store.transaction():
        app.store.notices.change(
            replace(notice, state="sent", sent_at=now, error="", revision=notice.revision + 1)
        )
        _said(app, "alert.tell", notice)


def _later(app: App, notice: Notice, why: str) -> None:
    if notice.tries >= MOST_TRIES:
        _give_up(app, notice, why)
        return
    _log.warning("Notice %s was not taken by %s, try %d", notice.id, notice.channel, notice.tries)
    app.store.notices.change(replace(notice, error=why[:500], revision=notice.revision + 1))


def _give_up(app: App, notice: Notice, why: str) -> None:
    # Without a channel nobody is told of anything, and each alert says so where it is shown.
    level = logging.INFO if why.startswith(NO_CHANNEL) else logging.WARNING
    _log.log(level, "Notice %s to %s was given up: %s", notice.id, notice.channel, why)
    with app.store.transaction():
        app.store.notices.change(
            replace(notice, state="failed", error=why[:500], revision=notice.revision + 1)
        )
        _said(app, "alert.untold", notice, why=why[:500])


def _said(app: App, action: str, notice: Notice, **more: str) -> None:
    detail = {"notice": notice.id, "channel": notice.channel, "alerts": list(notice.alerts)}
    app.store.audit.append(SYSTEM, action, f"project:{notice.subject}", detail | more)
