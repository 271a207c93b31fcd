"""Releases as they were signed: the check that comes before an approval and before anything is loaded."""

from __future__ import annotations

from pathlib import Path

from headrace.access.incidents import Incidents
from headrace.access.signing import Signatures
from headrace.core.errors import Conflict, InternalError, NotFound
from headrace.core.release import Release
from headrace.store import Store

BAD_SIGNATURE = "bad_signature"
"""The kind of incident that a release raises when it is not what was signed."""


class SignedReleases:
    """Verifies releases and their packages; what is not as it was signed is refused and raises an incident.

    Example::

        package = signed.package(store.releases.get(release_id))  # verified, with the release that names it
    """

    def __init__(self, store: Store, signatures: Signatures, incidents: Incidents) -> None:
        self._store = store
        self._signatures = signatures
        self._incidents = incidents

    def check(self, release: Release) -> str:
        """The name of the key that signed the release.

        Raises:
            Conflict: it is not what was signed.
        """
        try:
            return self._signatures.verify(release)
        except Conflict as error:
            self._raise_incident(release, str(error))
            raise

    def package(self, release: Release) -> Path:
        """A file with the release's package, both as they were signed.

        Raises:
            Conflict: the release or the bytes of its package are not what was signed.
            NotFound: the package is not kept any more.
        """
        self.check(release)
        digest = release.manifest.subject.package.digest
        try:
            return self._store.artifacts.path(digest)
        except InternalError as error:
            reason = (
                f"The package of release {release.id} is not what was signed: it does not have the SHA-256 "
                f"{digest[:12]}. Nothing was loaded from it. Restore it from a backup, or roll back with "
                f"headrace release rollback {release.project}."
            )
            self._raise_incident(release, reason)
            raise Conflict(reason) from error

    def _raise_incident(self, release: Release, reason: str) -> None:
        try:
            workspace = self._store.projects.workspace(release.project)
        except NotFound:
            workspace = "main"
        self._incidents.open(
            BAD_SIGNATURE,
            f"release:{release.id}",
            workspace,
            title=f"Release {release.id} of {release.project} is not what was signed",
            evidence={"release": release.id, "digest": release.digest, "reason": reason},
        )
