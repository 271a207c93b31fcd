"""Everything that a rule may ask about what somebody wants to act on."""

from __future__ import annotations

from headrace.access.memory import Memory
from headrace.core.errors import NotFound
from headrace.core.identity import MAIN, Principal, Resource
from headrace.core.ports import Clock, Epoch, PrincipalStore, ProjectStore, ReleaseStore


class Resources:
    """Finds the workspace, authors and risk tier of a resource that is given as ``kind:name``.

    What does not exist, and is not about to be made, belongs to the workspace ``main``: whoever asks from
    another workspace gets the same refusal as for what is there. Kinds that belong to nobody in particular
    (``audit:log``, ``tool:search``) belong to the workspace of whoever asks.

    Example::

        resources.describe("project:cars", ann).workspace
    """

    def __init__(
        self,
        projects: ProjectStore,
        releases: ReleaseStore,
        principals: PrincipalStore,
        epoch: Epoch,
        clock: Clock,
    ) -> None:
        self._projects = projects
        self._releases = releases
        self._principals = principals
        self._known = Memory(self._find, epoch, clock)

    def describe(self, text: str, asker: Principal) -> Resource:
        """The resource ``text`` (``kind:name``) as ``asker`` meets it."""
        return self._known.get((text, asker.workspace))

    def _find(self, asked: tuple[str, str]) -> Resource:
        text, workspace = asked
        kind, _, name = text.partition(":")
        try:
            match kind:
                case "project":
                    return self._project(name)
                case "release":
                    return self._release(name)
                case "principal":
                    found = self._principals.find(name)
                    owner = workspace if found is None else found.workspace
                    return Resource(kind=kind, name=name, workspace=owner, authors=(name,))
                case "workspace":
                    return Resource(kind=kind, name=name, workspace=name)
        except NotFound:
            return Resource(kind=kind, name=name, workspace=MAIN)
        return Resource(kind=kind, name=name, workspace=workspace)

    def _project(self, name: str) -> Resource:
        risk = self._projects.get(name).risk
        return Resource(kind="project", name=name, workspace=self._projects.workspace(name), risk=risk)

    def _release(self, release_id: str) -> Resource:
        release = self._releases.get(release_id)
        return Resource(
            kind="release",
            name=release_id,
            workspace=self._projects.workspace(release.project),
            authors=(release.author,),
            risk=release.manifest.risk,
        )
