"""What callers may rely on, and what the last test of it said."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.app.gates.load_test import GATE
from headrace.app.overviews.reading import ReleaseReport
from headrace.core.project import Project, ServiceLevel
from headrace.core.release import Verdict

_WORDS = {
    "passed": "holds",
    "failed": "does not hold",
    "inconclusive": "is not clear",
    "error": "was not tested",
}


@dataclass(frozen=True, kw_only=True)
class Level:
    """A declared level; ``tested``: the newest test of the release that is shown, if there is one."""

    declared: ServiceLevel
    tested: Verdict | None

    @property
    def words(self) -> str:
        """What the test said, in short."""
        return "not tested yet" if self.tested is None else _WORDS[self.tested.outcome]


def level_of(project: Project, report: ReleaseReport | None) -> Level | None:
    """The level of a project, and the newest test of a release; none where none is declared."""
    if project.serving.level is None:
        return None
    tests = [verdict for verdict in (report.verdicts if report else []) if verdict.gate == GATE]
    return Level(declared=project.serving.level, tested=tests[-1] if tests else None)
