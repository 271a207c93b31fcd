"""What every project store promises."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.core.errors import NotFound
from headrace.core.ports import ProjectStore
from headrace.testing.factories import make_project


class ProjectStoreSuite:
    """Fixture ``projects``: an empty store."""

    def test_a_project_comes_back(self, projects: ProjectStore) -> None:
        project = make_project()
        projects.save(project, "/home/ada/cars")
        assert projects.get("cars") == project
        assert projects.path("cars") == "/home/ada/cars"

    def test_saving_again_replaces(self, projects: ProjectStore) -> None:
        project = make_project()
        projects.save(project, "/old")
        changed = replace(project, risk="high")
        projects.save(changed, "/new")
        assert projects.get("cars") == changed
        assert projects.path("cars") == "/new"
        assert projects.list() == [changed]

    def test_the_list_is_oldest_first(self, projects: ProjectStore) -> None:
        assert projects.list() == []
        for name in ("zebra", "ant", "mole"):
            projects.save(make_project(name=name), f"/{name}")
        projects.save(make_project(name="zebra"), "/moved")
        assert [project.name for project in projects.list()] == ["zebra", "ant", "mole"]

    def test_each_is_listed_with_its_workspace(self, projects: ProjectStore) -> None:
        here, there = make_project(), make_project(name="boats")
        projects.save(here, "/cars")
        projects.save(there, "/boats", "north")
        assert projects.placed() == [(here, "main"), (there, "north")]

    def test_another_declaration_is_another_edition(self, projects: ProjectStore) -> None:
        editions = [projects.edition()]
        for project in (make_project(), make_project(risk="high"), make_project(name="vans")):
            projects.save(project, "/here")
            assert projects.edition() == projects.edition()
            editions.append(projects.edition())
        assert all(one != other for at, one in enumerate(editions) for other in editions[:at])

    def test_an_absent_project_is_not_found(self, projects: ProjectStore) -> None:
        with pytest.raises(NotFound, match="absent"):
            projects.get("absent")
        with pytest.raises(NotFound, match="absent"):
            projects.path("absent")
