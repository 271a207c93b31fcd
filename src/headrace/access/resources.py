"""Everything that a rule may ask about what somebody wants to act on."""

from __future__ import annotations

from dataclasses import replace

from headrace.access.memory import Memory
from headrace.core.errors import NotFound
from headrace.core.identity import MAIN, Grant, Incident, PolicyText, Principal, Resource
from headrace.core.ids import derived_id
from headrace.core.ports import Clock, Epoch, PrincipalStore, ProjectStore, RecordStore, ReleaseStore
from headrace.core.project import Project
from headrace.core.release import Waiver
from headrace.store.drafts import Draft
from headrace.store.handoffs import Handoff

PLACED = frozenset(
    {
        "project",
        "release",
        "principal",
        "agent",
        "grant",
        "incident",
        "policy",
        "waiver",
        "draft",
        "handoff",
        "workspace",
    }
)
"""Kinds that belong to a workspace, whoever asks."""


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
        *,
        projects: ProjectStore,
        releases: ReleaseStore,
        principals: PrincipalStore,
        grants: RecordStore[Grant],
        policies: RecordStore[PolicyText],
        incidents: RecordStore[Incident],
        waivers: RecordStore[Waiver],
        drafts: RecordStore[Draft],
        handoffs: RecordStore[Handoff],
        epoch: Epoch,
        clock: Clock,
    ) -> None:
        self._projects = projects
        self._releases = releases
        self._principals = principals
        self._grants = grants
        self._policies = policies
        self._incidents = incidents
        self._waivers = waivers
        self._drafts = drafts
        self._handoffs = handoffs
        self._known = Memory(self._find, epoch, clock)
        # Apart, because requests are about them, of a hundred in turn perhaps.
        self._known_projects = Memory(self._find_project, epoch, clock, edition=projects.edition)

    def describe(self, text: str, asker: Principal) -> Resource:
        """The resource ``text`` (``kind:name``) as ``asker`` meets it."""
        kind, _, name = text.partition(":")
        return (
            self._known_projects.get(name) if kind == "project" else self._known.get((text, asker.workspace))
        )

    def edition(self) -> object:
        """Equal as long as no project, identity, grant or rule was added or changed."""
        return [one.edition() for one in (self._projects, self._principals, self._grants, self._policies)]

    def makers(self, author: str) -> tuple[str, ...]:
        """``author``, who answers for it and who ever did: the work of a service is its owner's work."""
        found = self._principals.find(author)
        owners = () if found is None else (found.owner, *found.earlier_owners)
        return author, *(name for name in owners if name not in (None, author))

    def _find(self, asked: tuple[str, str]) -> Resource:
        text, workspace = asked
        kind, _, name = text.partition(":")
        try:
            match kind:
                case "release":
                    return self._release(name)
                case "principal":
                    found = self._principals.find(name)
                    owner = workspace if found is None else found.workspace
                    return Resource(kind=kind, name=name, workspace=owner, authors=(name,))
                case "agent":
                    found = self._principals.find(name)
                    return Resource(
                        kind=kind, name=name, workspace=MAIN if found is None else found.workspace
                    )
                case "grant":
                    grant = self._grants.get(name)
                    return Resource(
                        kind=kind,
                        name=name,
                        workspace=grant.workspace,
                        authors=(*self.makers(grant.asked_by), *self.makers(grant.subject)),
                    )
                case "incident":
                    incident = self._incidents.get(name)
                    return Resource(
                        kind=kind, name=name, workspace=incident.workspace, authors=(incident.subject,)
                    )
                case "waiver":
                    waiver = self._waivers.get(name)
                    return Resource(
                        kind=kind, name=name, workspace=waiver.workspace, authors=self.makers(waiver.asked_by)
                    )
                case "draft":
                    return self._draft(name)
                case "handoff":
                    handoff = self._handoffs.get(name)
                    found_project = self._find_project(handoff.subject)
                    return replace(found_project, kind=kind, name=name, authors=(handoff.asked_by,))
                case "policy":
                    return self._policy(name)
                case "workspace":
                    return Resource(kind=kind, name=name, workspace=name)
        except NotFound:
            return Resource(kind=kind, name=name, workspace=MAIN)
        return Resource(kind=kind, name=name, workspace=workspace)

    def _find_project(self, name: str) -> Resource:
        try:
            return resource_of(self._projects.get(name), self._projects.workspace(name))
        except NotFound:
            return Resource(kind="project", name=name, workspace=MAIN)

    def _policy(self, name: str) -> Resource:
        """``WORKSPACE@VERSION``, or ``WORKSPACE`` for the policy; other kinds have ``KIND:`` before."""
        subject, _, version = name.partition("@")
        workspace = subject.rpartition(":")[2]
        text = self._policies.find(policy_id(subject, version))
        authors = () if text is None else self.makers(text.author)
        return Resource(kind="policy", name=name, workspace=workspace, authors=authors)

    def _draft(self, draft_id: str) -> Resource:
        """Whoever asked for it is its author; where duties are separate, so is who is behind it."""
        draft = self._drafts.get(draft_id)
        authors: tuple[str, ...] = (draft.principal,)
        if draft.separate:
            authors = (
                *self.makers(draft.principal),
                *self.makers(self._releases.get(draft.release_id).author),
            )
        project = self._find_project(draft.subject)
        return replace(project, kind="draft", name=draft_id, authors=authors)

    def _release(self, release_id: str) -> Resource:
        release = self._releases.get(release_id)
        return Resource(
            kind="release",
            name=release_id,
            workspace=self._projects.workspace(release.project),
            authors=self.makers(release.author),
            risk=release.manifest.risk,
            project=release.project,
        )


def resource_of(project: Project, workspace: str) -> Resource:
    """A project as rules ask about it; for who lists all of them, and reads each once."""
    name = project.name
    return Resource(kind="project", name=name, workspace=workspace, risk=project.risk, project=name)


def policy_id(workspace: str, version: str) -> str:
    """The id of one version of a workspace's policy: no two texts have the same."""
    return derived_id("policy", workspace, version)
