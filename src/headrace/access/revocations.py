"""What has been ended before its time: single tokens, a sign-in's family, a run's, or all of somebody's."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from headrace.access.memory import Memory
from headrace.core.errors import Conflict
from headrace.core.identity import Credential, Principal
from headrace.core.ids import derived_id
from headrace.core.ports import Clock, Epoch, RecordStore

What = Literal["token", "family", "run"]
_TURNS_UP_S = 43_200
"""For how long what has been ended may still turn up: a sign-in, or the browser session of a pasted token."""


@dataclass(frozen=True, kw_only=True)
class _Ended:
    """What of one principal has been ended; ``before_s`` in epoch seconds."""

    named: frozenset[tuple[str, str]]
    before_s: float


class Revocations:
    """Ends tokens; every process of the home refuses them at its next request.

    Example::

        revocations.end(ann, "token", jti)
        revocations.end_all(ann)
    """

    def __init__(self, credentials: RecordStore[Credential], epoch: Epoch, clock: Clock) -> None:
        self._credentials = credentials
        self._epoch = epoch
        self._clock = clock
        self._known = Memory(self._find, epoch, clock)

    def end(self, principal: Principal, what: What, name: str) -> None:
        """End one token (by its id), or all of a family or a run. Ending again is no error."""
        self._add(principal.name, principal.workspace, derived_id("revocation", what, name), {what: name})

    def end_family(self, credential: Credential) -> None:
        """End every token that came of ``credential``: of its family, or of a secret itself."""
        family = credential.family or credential.id
        record_id = derived_id("revocation", "family", family)
        self._add(credential.subject, credential.workspace, record_id, {"family": family})

    def end_all(self, principal: Principal) -> datetime:
        """End every token that ``principal`` has up to this moment, which is returned."""
        now = self._clock.now()
        text = str(now.timestamp())
        record_id = derived_id("revocation", principal.name, text)
        self._add(principal.name, principal.workspace, record_id, {"before": text})
        return now

    def set_aside(self) -> int:
        """Take what is over out of the way: revocations that nothing is left to meet, refresh tokens past
        their end. Else every change of rights would have us read all there ever were. Returns how many.
        """
        now, n_set = self._clock.now(), 0
        for state in ("revoked", "live"):
            for record in self._credentials.list(state=state):
                over = record.expires_at is not None and record.expires_at <= now
                if over and record.kind in ("token", "refresh"):
                    with suppress(Conflict):
                        self._credentials.change(replace(record, state="used", revision=record.revision + 1))
                        n_set += 1
        return n_set

    def reaches(self, name: str, issued_s: float, **names: str | None) -> bool:
        """Whether a credential of the principal ``name`` has been ended.

        Args:
            issued_s: when it was issued, in epoch seconds.
            names: what it goes by: ``token``, ``family``, ``run``.
        """
        ended = self._known.get(name)
        return issued_s <= ended.before_s or not ended.named.isdisjoint(names.items())

    def _add(self, name: str, workspace: str, record_id: str, data: dict[str, str]) -> None:
        now = self._clock.now()
        self._credentials.add(
            Credential(
                id=record_id,
                workspace=workspace,
                subject=name,
                kind="token",
                created_at=now,
                expires_at=now + timedelta(seconds=_TURNS_UP_S),
                state="revoked",
                family=data.get("family", ""),
                data=data,
            )
        )
        self._epoch.advance()

    def _find(self, name: str) -> _Ended:
        now = self._clock.now()
        found = [
            record.data
            for record in self._credentials.list(subject=name, state="revoked")
            if record.kind == "token" and (record.expires_at is None or record.expires_at > now)
        ]
        return _Ended(
            named=frozenset(pair for data in found for pair in data.items()),
            before_s=max((float(data["before"]) for data in found if "before" in data), default=0.0),
        )
