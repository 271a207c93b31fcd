"""The files that instruct an agent, such as ``AGENTS.md`` and skills: when it reads each, how long each is.

A skill is a folder with a ``SKILL.md``. Of it an agent knows name and description from the start, reads the
``SKILL.md`` when it uses the skill, and the other files of the folder when that names them. Every other file
it reads at the start, in whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

import yaml

from headrace.core.errors import InvalidInput
from headrace.projects.llm import AgentFileLimits

Read = Literal["at start", "when used", "when named"]
SKILL = "SKILL.md"
_FENCE = "---"
_PER_TOKEN = 4
_LONGEST = {"name": 64, "description": 1_024}
"""Characters of what a skill says of itself: agents read no more."""


@dataclass(frozen=True, kw_only=True)
class AgentFile:
    """One file.

    Attributes:
        read: when an agent reads it; of a ``SKILL.md`` name and description are read before.
        characters: of all its text; ``at_start``: of what is read at the start.
    """

    path: str
    read: Read
    characters: int
    at_start: int

    @property
    def tokens(self) -> int:
        """About how many tokens its text is: what exactly depends on the model."""
        return -(-self.characters // _PER_TOKEN)


def over(one: AgentFile, limits: AgentFileLimits) -> int:
    """By how many characters one file alone is longer than it may be."""
    most = {"at start": limits.at_start, "when used": limits.skill}.get(one.read)
    return 0 if most is None else max(one.characters - most, 0)


def measured(files: Mapping[str, str]) -> tuple[AgentFile, ...]:
    r"""All files by path, each with when it is read and how long it is.

    Raises:
        InvalidInput: a skill does not say what it is for, so that no agent would use it.

    >>> skill = "---\nname: refunds\ndescription: How to refund.\n---\nAsk for the order."
    >>> found = measured({"AGENTS.md": "Be kind.", "r/SKILL.md": skill})
    >>> [(one.path, one.read, one.at_start) for one in found]
    [('AGENTS.md', 'at start', 8), ('r/SKILL.md', 'when used', 21)]
    """
    skills = {PurePosixPath(path).parent for path in files if PurePosixPath(path).name == SKILL}
    return tuple(_measured(path, files[path], skills) for path in sorted(files))


def _measured(path: str, text: str, skills: set[PurePosixPath]) -> AgentFile:
    place = PurePosixPath(path)
    if place.name == SKILL:
        said = _said_of(path, text)
        return AgentFile(path=path, read="when used", characters=len(text), at_start=len("".join(said)))
    if skills.intersection(place.parents):
        return AgentFile(path=path, read="when named", characters=len(text), at_start=0)
    return AgentFile(path=path, read="at start", characters=len(text), at_start=len(text))


def _said_of(path: str, text: str) -> list[str]:
    """Name and description of a skill."""
    head, found = _head(path, text), []
    for key, longest in _LONGEST.items():
        value = head.get(key)
        if not isinstance(value, str) or not 0 < len(value.strip()) <= longest:
            got = f"one of {len(value):,} characters" if isinstance(value, str) else "none"
            raise InvalidInput(
                f"{path!r} has no {key} that agents can read: got {got}. Write '{key}: ...' of 1 to "
                f"{longest:,} characters between two lines '{_FENCE}' at its top."
            )
        found.append(value.strip())
    return found


def _head(path: str, text: str) -> dict[str, Any]:
    lines = text.splitlines()
    ends = [place for place, line in enumerate(lines) if line.rstrip() == _FENCE][:2]
    if len(ends) < 2 or ends[0] != 0:
        return {}
    try:
        said = yaml.safe_load("\n".join(lines[1 : ends[1]]))
    except yaml.YAMLError as error:
        raise InvalidInput(f"{path!r} has no YAML at its top that can be read: {error}. Mend it.") from error
    return said if isinstance(said, dict) else {}
