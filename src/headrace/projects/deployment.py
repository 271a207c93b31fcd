"""Where releases are meant to answer: plans that cannot be carried out."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.core.project import Project

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
