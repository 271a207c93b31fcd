"""What was learnt from an incident on one model, as a check in the template of all that are made from it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from headrace.core.canonical import plain
from headrace.core.errors import InvalidInput
from headrace.projects.charter import CHARTER
from headrace.store.documents import convert

LESSONS = "lessons.yaml"
"""Beside ``copier.yml`` in a template: its lessons, oldest first."""
_CHECKS = ("fairness", "gates", "metrics", "monitors", "outputs", "rollout", "triggers")
"""Sections of a charter in which a new line is a check."""


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """One lesson.

    Attributes:
        version: of the template that first has the check.
        project: on whose model something happened; ``incident``: the alert or incident, by its id.
        happened: what that was; ``learnt``: what follows from it, in the words of whoever published it.
        checks: the lines that are new, as ``FILE: LINE``.
    """

    version: str
    project: str
    incident: str
    happened: str
    learnt: str
    checks: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Incidence:
    """What happened, before there is a check; see :class:`Lesson`."""

    incident: str
    happened: str
    learnt: str


def new_checks(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    """Lines of the template's files after a change that are checks and were not there before.

    Args:
        before, after: text of each file by its path in a project.

    Raises:
        InvalidInput: none is: what was learnt would be words alone.

    >>> new_checks({}, {"tests/test_price.py": "def test_a(): ..."})
    ('tests/test_price.py: def test_a(): ...',)
    """
    found = []
    for path in sorted(after):
        if path == CHARTER:
            found += [f"{path}: {line}" for line in _added_checks(before.get(path, ""), after[path])]
        elif path.startswith("tests/"):
            found += [
                f"{path}: {line}" for line in _added(before.get(path, ""), after[path]) if "def " in line
            ]
    if not found:
        raise InvalidInput(
            "A lesson is a check, and this version of the project brings none. Add a rule to data.rules, a "
            f"limit under {', '.join(_CHECKS)}, or a test under tests/, commit it, and publish again."
        )
    return tuple(found)


def lessons_of(template: Path) -> list[Lesson]:
    """The lessons of a template in a folder, oldest first; none where it has none.

    Raises:
        InvalidInput: the file of lessons cannot be read.
    """
    import yaml

    path = template / LESSONS
    if not path.is_file():
        return []
    try:
        listed = yaml.safe_load(path.read_text(encoding="utf-8")) or []
        return convert(listed, list[Lesson])
    except (yaml.YAMLError, msgspec.ValidationError, OSError, ValueError) as error:
        raise InvalidInput(f"{path} holds no lessons that can be read ({error}). Mend it.") from error


def write_lesson(template: Path, lesson: Lesson) -> None:
    """Add a lesson to those of the template."""
    import yaml

    kept = [plain(one) for one in (*lessons_of(template), lesson)]
    text = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=100)
    (template / LESSONS).write_text(text, encoding="utf-8")


def number_of(version: str) -> int:
    """``v3`` as 3; 0 of what is no such version, which is before all of them."""
    digits = version.removeprefix("v").partition("-")[0]
    return int(digits) if version.startswith("v") and digits.isdecimal() else 0


def _added(before: str, after: str) -> Iterator[str]:
    for line in difflib.ndiff(before.splitlines(), after.splitlines()):
        if line.startswith("+ ") and line[2:].strip():
            yield line[2:].strip()


def _added_checks(before: str, after: str) -> Iterator[str]:
    """New lines below a section of checks, or below ``rules`` of ``data``."""
    added, section, inner = set(_added(before, after)), "", ""
    for line in after.splitlines():
        if line[:1].isalpha():
            section, inner = line.partition(":")[0], ""
        elif line.startswith("  ") and line[2:3].isalpha():
            inner = line.strip().partition(":")[0]
        is_check = section in _CHECKS or (section == "data" and inner == "rules")
        if is_check and line.strip() in added and not line.strip().startswith("#"):
            yield line.strip()
