"""Codes of an authenticator app (RFC 6238): each works once, and guessing ends at the fifth."""

from __future__ import annotations

import hmac
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from headrace.access.incidents import Incidents
from headrace.access.vault import Vault
from headrace.core.errors import Conflict, Denied, InvalidInput
from headrace.core.identity import Credential, Principal
from headrace.core.ids import derived_id
from headrace.core.ports import Clock, RecordStore

STEP_S = 30
MAX_WRONG = 5
LOCK_S = 300
_AROUND = (-1, 0, 1)
"""A phone's clock may be one step late or early."""


class Codes:
    """One authenticator app per person; its key is kept sealed.

    Example::

        key = codes.new_key()
        factors.keep(codes.accept(ann, key, "123456"))  # the code that her app shows for this key
        codes.check("ann", "654321")  # the next one
    """

    def __init__(
        self,
        credentials: RecordStore[Credential],
        incidents: Incidents,
        vault: Vault,
        clock: Clock,
    ) -> None:
        self._credentials = credentials
        self._incidents = incidents
        self._vault = vault
        self._clock = clock

    def new_key(self) -> str:
        """160 random bits in base 32, as an app takes them."""
        import pyotp

        return pyotp.random_base32(32)

    def link(self, key: str, name: str) -> str:
        """``otpauth://...``: what apps read the key from."""
        import pyotp

        return pyotp.TOTP(key).provisioning_uri(name=name, issuer_name="Headrace")

    def accept(self, principal: Principal, key: str, code: str) -> Credential:
        """``key`` as a second factor of ``principal``, whose app has shown ``code`` for it; not kept yet.

        Raises:
            InvalidInput: ``code`` has another form.
            Denied: the code does not belong to the key.
            Conflict: there is an app already.
        """
        step = _step(key, _digits(code), self._now_s())
        if step is None:
            raise Denied("That is not the code that belongs to this key. Check the clock of your phone.")
        earlier = [one for one in self._credentials.list(subject=principal.name) if one.kind == "totp"]
        if any(one.state == "live" for one in earlier):
            raise Conflict(f"{principal.name!r} has an authenticator app already. Remove it first.")
        now = self._clock.now()
        return Credential(
            # Of two enrolments at the same moment one stands.
            id=derived_id("totp", principal.name, str(len(earlier))),
            workspace=principal.workspace,
            subject=principal.name,
            kind="totp",
            created_at=now,
            expires_at=None,
            used_at=now,
            data={
                "label": "Authenticator app",
                "sealed": self._vault.seal(key.encode(), owner=principal.name),
                "step": step,
                "wrong": 0,
                "locked_until": None,
            },
        )

    def check(self, name: str, code: str) -> None:
        """Return if ``code`` is what the app of ``name`` shows, one step early or late, for the first time.

        Raises:
            InvalidInput: ``code`` has another form, or there is no app.
            Denied: it is wrong, was used already, or the fifth wrong one has locked the app.
        """
        digits = _digits(code)
        live = [one for one in self._credentials.list(subject=name, state="live") if one.kind == "totp"]
        if not live:
            raise InvalidInput(f"{name!r} has no authenticator app. Add one on the page /security.")
        app, now = live[0], self._clock.now()
        locked_until = app.data["locked_until"]
        if locked_until is not None and now < datetime.fromisoformat(locked_until):
            raise Denied(_locked(datetime.fromisoformat(locked_until)))
        key = self._vault.open(app.data["sealed"], owner=name).decode()
        step = _step(key, digits, self._now_s())
        if step is not None and step <= app.data["step"]:
            raise Denied("That code was used already. Wait for the next one: a code works once.")
        if step is None:
            self._count_wrong(app, now)
            return
        self._change(app, used_at=now, step=step, wrong=0, locked_until=None)

    def _count_wrong(self, app: Credential, now: datetime) -> None:
        wrong = app.data["wrong"] + 1
        if wrong < MAX_WRONG:
            self._change(app, wrong=wrong)
            raise Denied(f"That code is wrong. Tries left: {MAX_WRONG - wrong}.")
        until = now + timedelta(seconds=LOCK_S)
        self._change(app, wrong=0, locked_until=until.isoformat())
        self._incidents.open(
            "code_guessing",
            app.subject,
            app.workspace,
            title=f"{MAX_WRONG} wrong codes in a row for {app.subject!r}",
            raised_by="rule:second-factor",
            evidence={"credential": app.id, "locked_until": until.isoformat()},
        )
        raise Denied(_locked(until))

    def _change(self, app: Credential, *, used_at: datetime | None = None, **data: Any) -> None:
        """Whoever comes second at the same moment learns nothing about the code."""
        changed = replace(
            app, revision=app.revision + 1, used_at=used_at or app.used_at, data={**app.data, **data}
        )
        try:
            self._credentials.change(changed)
        except Conflict as error:
            raise Denied("Another code arrived at the same moment. Try again with the next one.") from error

    def _now_s(self) -> int:
        return int(self._clock.now().timestamp())


def _digits(code: str) -> str:
    digits = "".join(code.split())
    if len(digits) != 6 or not (digits.isascii() and digits.isdigit()):
        raise InvalidInput("The code has another form. Expected the six digits that your app shows.")
    return digits


def _step(key: str, digits: str, now_s: int) -> int | None:
    """The step that ``digits`` belong to; every one is compared, so the time taken tells nothing."""
    import pyotp

    app, found = pyotp.TOTP(key, interval=STEP_S), None
    for step in (now_s // STEP_S + away for away in _AROUND):
        if hmac.compare_digest(app.generate_otp(step), digits):
            found = step
    return found


def _locked(until: datetime) -> str:
    return f"{MAX_WRONG} wrong codes: no more are taken until {until:%H:%M:%S} UTC. Wait until then."
