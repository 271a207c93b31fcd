"""The privacy rules of every project, found when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from headrace.access.memory import Memory
from headrace.access.privacy.charters import Charters
from headrace.access.privacy.fields import FieldRules, dropped
from headrace.access.privacy.keys import WorkspaceKeys
from headrace.access.privacy.recognisers import mask
from headrace.access.privacy.redacting import Recogniser, Redactor, builtin, redactor
from headrace.core.ports import Clock, Epoch, ProjectStore
from headrace.core.project import Project

_NONE: Mapping[str, Callable[[], Recogniser]] = {}


class Privacy:
    """Finds the rules that hold for a project; a tighter declaration and an approval are followed at once.

    Args:
        plugins: makes further recognisers, by the name that projects ask for them.
        measure: what is recorded of an image in its place.

    Example::

        privacy.rules("cars").prediction(prediction)
    """

    def __init__(
        self,
        projects: ProjectStore,
        charters: Charters,
        keys: WorkspaceKeys,
        epoch: Epoch,
        clock: Clock,
        plugins: Mapping[str, Callable[[], Recogniser]] = _NONE,
        *,
        measure: Callable[[Any], Any] = dropped,
    ) -> None:
        self._projects = projects
        self._charters = charters
        self.keys = keys
        self._plugins = plugins
        self._measure = measure
        self._known = Memory(self._find, epoch, clock, edition=projects.edition)

    def rules(self, project: str) -> FieldRules:
        """The field rules of ``project``.

        Raises:
            NotFound: there is no such project.
            Unavailable: the workspace's key file cannot be used, or a recogniser is not installed.
        """
        return self._known.get(project)

    def _find(self, name: str) -> FieldRules:
        key = self.keys.key(self._projects.workspace(name), "hash")
        project = self._charters.in_force(name)
        return FieldRules(project, key, self.redactor(project), self._measure)

    def redactor(self, project: Project) -> Redactor:
        """What takes recognised values out of the texts of ``project``; Headrace's own recognisers always do.

        Raises:
            Unavailable: a recogniser is not installed; the message has the command.
        """
        others = [name for name in project.privacy.recognisers if name in self._plugins]
        return redactor([builtin, *(self._plugins[name]() for name in others)]) if others else mask
