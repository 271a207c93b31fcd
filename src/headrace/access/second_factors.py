"""Second factors: which ones somebody has, and how they end."""

from __future__ import annotations

from dataclasses import replace

from headrace.access.codes import Codes
from headrace.access.incidents import Incidents
from headrace.access.memory import Memory
from headrace.access.passkeys import Passkeys
from headrace.access.pending import Pending
from headrace.access.vault import Vault
from headrace.core.errors import Conflict, NotFound
from headrace.core.identity import Credential, Proof
from headrace.core.ports import Clock, Epoch, ExpiringStore, RecordStore

PROOF_S = 600
"""For how long a second factor counts as fresh."""
_PROOFS: dict[str, Proof] = {"totp": "code", "passkey": "passkey"}


class SecondFactors:
    """Authenticator apps and passkeys by person.

    Attributes:
        keys: keys of apps that wait for their first code.
        challenges: what passkeys have been asked to sign; each counts once.

    Example::

        factors.codes.check("ann", "123456")
        factors.enrolled("ann")  # ("code", "passkey")
    """

    def __init__(
        self,
        credentials: RecordStore[Credential],
        incidents: Incidents,
        expiring: ExpiringStore,
        epoch: Epoch,
        vault: Vault,
        clock: Clock,
    ) -> None:
        self.codes = Codes(credentials, incidents, vault, clock)
        self.passkeys = Passkeys(credentials, incidents, clock)
        self.keys = Pending(expiring, vault, clock, kind="app-key", value=str)
        self.challenges = Pending(expiring, vault, clock, kind="challenge", value=bytes, ttl_s=300.0)
        self._credentials = credentials
        self._enrolled = Memory(self._find_enrolled, epoch, clock, edition=credentials.edition)

    def enrolled(self, name: str) -> tuple[Proof, ...]:
        """The kinds of second factor that ``name`` has."""
        return self._enrolled.get(name)

    def edition(self) -> object:
        """Equal as long as nobody's factors have changed."""
        return self._credentials.edition()

    def list(self, name: str) -> list[Credential]:
        """The factors of ``name``, oldest first."""
        live = self._credentials.list(subject=name, state="live")
        return [one for one in live if one.kind in _PROOFS]

    def get(self, name: str, factor_id: str) -> Credential:
        """One of the factors of ``name``.

        Raises:
            NotFound: they have no such factor.
        """
        for one in self.list(name):
            if one.id == factor_id:
                return one
        raise NotFound(f"{name!r} has no second factor {factor_id[:80]!r} any more.")

    def keep(self, factor: Credential) -> None:
        """From now on ``factor`` proves who its owner is.

        Raises:
            Conflict: there is one like it; also one that has ended, and one of somebody else.
        """
        kept = self._credentials.add(factor)
        if (kept.subject, kept.state, kept.data) != (factor.subject, "live", factor.data):
            raise Conflict("This second factor was added before. Make another one.")

    def end(self, factor: Credential) -> None:
        """From now on ``factor`` proves nothing."""
        self._credentials.change(replace(factor, state="revoked", revision=factor.revision + 1))

    def _find_enrolled(self, name: str) -> tuple[Proof, ...]:
        kinds = {_PROOFS[one.kind] for one in self.list(name)}
        return tuple(sorted(kinds))
