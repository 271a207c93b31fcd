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
_ALL = "all"
_TURNS_UP_S = 43_200
"""For how long what has been ended may still turn up: a sign-in, or the browser session of a pasted token."""


@dataclass(frozen=True, kw_only=True)
class _Ended:
    """What of one principal has been ended.

    Attributes:
        generation: how often all was ended; what is of an earlier one is over, whatever the clock says.
        before_s: in epoch seconds, the last time that all was ended by the clock, before it was counted.
    """

    named: frozenset[tuple[str, str]]
    generation: int
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
        self._known = Memory(self._find, epoch, clock, edition=credentials.edition)

    def end(self, principal: Principal, what: What, name: str) -> None:
        """End one token (by its id), or all of a family or a run. Ending again is no error."""
        self._add(principal.name, principal.workspace, derived_id("revocation", what, name), {what: name})

    def end_family(self, credential: Credential) -> None:
        """End every token that came of ``credential``: of its family, or of a secret itself."""
        family = credential.family or credential.id
        record_id = derived_id("revocation", "family", family)
        self._add(credential.subject, credential.workspace, record_id, {"family": family})

    def end_all(self, principal: Principal) -> datetime:
        """End every token that ``principal`` has up to this moment, which is returned.

        Tokens are told apart by their generation, not by time: a clock that was put back since a token was
        issued neither saves it nor ends what is issued afterwards.
        """
        now = self._clock.now()
        # Its revision is the generation. It has no end, so that nobody's generation ever comes again.
        standing = self._credentials.add(
            Credential(
                id=derived_id("revocation", "all", principal.name),
                workspace=principal.workspace,
                subject=principal.name,
                kind="token",
                created_at=now,
                expires_at=None,
                state="revoked",
                data={_ALL: principal.name},
            )
        )
        # Who changes it at the same time ends the same tokens.
        with suppress(Conflict):
            self._credentials.change(replace(standing, used_at=now, revision=standing.revision + 1))
        self._epoch.advance()
        return now

    def edition(self) -> object:
        """Equal as long as nothing was ended."""
        return self._credentials.edition()

    def generation(self, name: str) -> int:
        """How often all tokens of ``name`` have been ended; what is issued now says it, to be told apart."""
        return self._known.get(name).generation

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

    def reaches(self, name: str, issued_s: float, generation: int, **names: str | None) -> bool:
        """Whether a credential of the principal ``name`` has been ended.

        Args:
            issued_s: when it was issued, in epoch seconds.
            generation: what :meth:`generation` said then; 0: it was issued before anybody counted.
            names: what it goes by: ``token``, ``family``, ``run``.
        """
        ended = self._known.get(name)
        return (
            generation < ended.generation
            or issued_s <= ended.before_s
            or not ended.named.isdisjoint(names.items())
        )

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
            record
            for record in self._credentials.list(subject=name, state="revoked")
            if record.kind == "token" and (record.expires_at is None or record.expires_at > now)
        ]
        before = [float(record.data["before"]) for record in found if "before" in record.data]
        return _Ended(
            named=frozenset(pair for record in found for pair in record.data.items()),
            generation=max((record.revision for record in found if _ALL in record.data), default=0),
            before_s=max(before, default=0.0),
        )
