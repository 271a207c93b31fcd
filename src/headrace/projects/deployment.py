"""Where releases are meant to answer: plans that cannot be carried out, and those that were not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from headrace.core.project import Project
from headrace.core.release import Rollout

Place = tuple[str | int, ...]


def wrong_deployment(project: Project) -> Iterator[tuple[Place, str]]:
    """What is declared of the deployment and cannot be, with its place in the charter.

    >>> from headrace.core.project import DeploymentSpec
    >>> from headrace.testing import make_project
    >>> list(wrong_deployment(make_project(deployment=DeploymentSpec(servers=2))))
    [(('deployment', 'servers'), 'servers is 2: several share a database, so that it has to be postgres')]
    """
    plan = project.deployment
    if plan is None:
        return
    for name in ("servers", "processes"):
        if not 1 <= getattr(plan, name) <= 256:
            yield ("deployment", name), f"{name} is {getattr(plan, name)}: expected 1 to 256"
    if plan.servers > 1 and plan.database == "sqlite":
        text = f"servers is {plan.servers}: several share a database, so that it has to be postgres"
        yield ("deployment", "servers"), text


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """What is there, as the servers say themselves.

    Attributes:
        target: ``kubernetes``; else ``server`` where others can reach it, and ``laptop`` where they cannot.
        database: ``sqlite`` or ``postgres``.
        processes: of each server, in any order.
    """

    target: str
    database: str
    processes: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What was declared, and what was found in its place."""

    key: str
    planned: str
    found: str

    def __str__(self) -> str:
        return f"{self.key} is {self.found}, planned {self.planned}"


def differences(project: Project, deployed: Deployed | None, rollout: Rollout | None) -> list[Difference]:
    """Where what is deployed is not what the charter declares; nothing of what is not there.

    Args:
        deployed: None while no server is up.
        rollout: of the live release.

    >>> from headrace.core.project import DeploymentSpec
    >>> from headrace.testing import make_project
    >>> project = make_project(deployment=DeploymentSpec(target="kubernetes"))
    >>> found = Deployed(target="laptop", database="sqlite", processes=(1,))
    >>> [str(one) for one in differences(project, found, None)]
    ['deployment.target is laptop, planned kubernetes']
    """
    pairs: list[tuple[str, object, object]] = []
    plan = project.deployment
    if plan is not None and deployed is not None:
        pairs += [
            ("deployment.target", plan.target, deployed.target),
            ("deployment.database", plan.database, deployed.database),
            ("deployment.servers", plan.servers, len(deployed.processes)),
        ]
        odd = sorted(set(deployed.processes) - {plan.processes})
        pairs += [("deployment.processes", plan.processes, found) for found in odd]
    # The first release meets nobody, so that it is live at once; a fallback is there for want of better.
    if rollout is not None and rollout.champion_id is not None:
        taken = "none: it stands in" if rollout.stands_in else _shares(rollout.steps)
        pairs.append(("rollout.steps", _shares(project.rollout.steps), taken))
    return [
        Difference(key=key, planned=str(planned), found=str(found))
        for key, planned, found in pairs
        if planned != found
    ]


def _shares(steps: tuple[int, ...]) -> str:
    return ", ".join(f"{step} %" for step in steps)
