"""The privacy rules of every project, found when they are needed."""

from __future__ import annotations

from headrace.access.memory import Memory
from headrace.access.privacy.fields import FieldRules
from headrace.access.privacy.keys import WorkspaceKeys
from headrace.core.ports import Clock, Epoch, ProjectStore


class Privacy:
    """Finds a project's rules; a project that is declared anew is followed at once.

    Example::

        privacy.rules("cars").prediction(prediction)
    """

    def __init__(self, projects: ProjectStore, keys: WorkspaceKeys, epoch: Epoch, clock: Clock) -> None:
        self._projects = projects
        self.keys = keys
        self._known = Memory(self._find, epoch, clock)

    def rules(self, project: str) -> FieldRules:
        """The field rules of ``project``.

        Raises:
            NotFound: there is no such project.
            Unavailable: the workspace's key file cannot be used.
        """
        return self._known.get(project)

    def _find(self, name: str) -> FieldRules:
        key = self.keys.key(self._projects.workspace(name), "hash")
        return FieldRules(self._projects.get(name), key)
