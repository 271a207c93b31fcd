"""Incidents: something suspicious is raised once, looked into by somebody else, and closed with a result."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from headrace.access.identities import required_text
from headrace.core.errors import Conflict, Denied, IllegalTransition
from headrace.core.identity import Incident, Resource
from headrace.core.ids import derived_id
from headrace.core.ports import AuditLog, Clock, RecordStore
from headrace.core.text import printable

_log = logging.getLogger(__name__)
SYSTEM = "system:access"
"""Who raises what a rule has noticed."""
FLAGGED = "flagged"
"""The kind of what somebody has said looks wrong."""
MAX_NOTES = 500


@dataclass(frozen=True, kw_only=True)
class Step:
    """What ``by`` does about an incident: take it over, add a note, or close it with its result."""

    kind: Literal["take", "note", "close"]
    by: str
    at: datetime
    text: str = ""


def transition(incident: Incident, step: Step) -> Incident:
    """The incident after ``step``; the same one when the step changes nothing.

    Raises:
        Denied: the subject wants to take or close it.
        IllegalTransition: it is closed already, or is to be closed before anybody took it.
        InvalidInput: a note or a result is empty or too long.
        Conflict: it holds too many notes.
    """
    if incident.state == "closed":
        raise IllegalTransition(
            f"Incident {incident.id} is closed: its result stands. Flag {incident.subject!r} again if needed."
        )
    if step.kind != "note" and step.by == incident.subject:
        raise Denied(f"Incident {incident.id} is about {step.by!r}: somebody else has to look into it.")
    match step.kind:
        case "take":
            if incident.assignee == step.by:
                return incident
            return _noted(replace(incident, state="investigating", assignee=step.by), step, "takes it")
        case "note":
            return _noted(incident, step, required_text(step.text, "A note"))
        case "close":
            if incident.state != "investigating":
                raise IllegalTransition(
                    f"Incident {incident.id} has not been looked into yet. Take it first: "
                    f"headrace access incident take {incident.id}."
                )
            result = required_text(step.text, "What came of it")
            return _noted(replace(incident, state="closed", resolution=result), step, "closes it")


def _noted(incident: Incident, step: Step, text: str) -> Incident:
    if step.kind == "note" and len(incident.notes) >= MAX_NOTES:
        raise Conflict(f"Incident {incident.id} holds {MAX_NOTES} notes, the most there can be. Close it.")
    note = {"at": step.at.isoformat(), "by": step.by, "text": text}
    return replace(incident, notes=(*incident.notes, note), revision=incident.revision + 1)


def resource_of(incident: Incident) -> Resource:
    """What a rule may ask about an incident. Whoever was flagged by somebody is not to read about it."""
    hidden_from = (incident.subject,) if incident.kind == FLAGGED else ()
    return Resource(kind="incident", name=incident.id, workspace=incident.workspace, authors=hidden_from)


class Incidents:
    """Raises and changes incidents; each step is kept together with its audit entry.

    Example::

        raised = incidents.open("token_reuse", "bot", "main", title="One token from two networks")
        incidents.step(raised.id, Step(kind="take", by="ann", at=clock.now()))
    """

    def __init__(self, store: RecordStore[Incident], audit: AuditLog, clock: Clock) -> None:
        self._store = store
        self._audit = audit
        self._clock = clock

    def open(
        self,
        kind: str,
        subject: str,
        workspace: str,
        *,
        title: str,
        raised_by: str = SYSTEM,
        evidence: Mapping[str, Any] | None = None,
    ) -> Incident:
        """Raise an incident, unless one of this kind about this subject is still open: then that one."""
        before = [one for one in self._store.list(workspace=workspace, subject=subject) if one.kind == kind]
        for one in before:
            if one.state != "closed":
                return one
        incident = Incident(
            # The same in every process that notices the same thing.
            id=derived_id("incident", workspace, subject, kind, str(len(before))),
            workspace=workspace,
            subject=subject,
            kind=kind,
            title=title,
            raised_by=raised_by,
            at=self._clock.now(),
            evidence=dict(evidence or {}),
        )
        with self._audit.transaction():
            if self._store.find(incident.id) is None:
                self._audit.append(
                    raised_by, "incident.raise", f"incident:{incident.id}", {"kind": kind, "subject": subject}
                )
            kept = self._store.add(incident)
        _log.warning("Incident %s (%s) about %s", incident.id, printable(kind), printable(subject))
        return kept

    def step(self, incident_id: str, step: Step) -> Incident:
        """Apply one step.

        Raises:
            NotFound: there is no such incident.
            Conflict: somebody else has changed it at this moment.
            Denied, InvalidInput: as :func:`transition`.
        """
        before = self._store.get(incident_id)
        changed = transition(before, step)
        if changed is before:
            return before
        with self._audit.transaction():
            self._audit.append(
                step.by, f"incident.{step.kind}", f"incident:{before.id}", {"subject": before.subject}
            )
            return self._store.change(changed)
