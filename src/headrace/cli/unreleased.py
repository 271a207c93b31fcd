"""Settings of a project that wait for a release, as commands say them."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.cli.session import say
from headrace.projects.sections import ChangedLine


def print_unreleased(project: str, changed: Sequence[ChangedLine]) -> None:
    """Settings that do not hold yet, and how they come to."""
    for one in changed:
        say(f"  not released: {one}")
    if changed:
        say(f"      next: headrace run --settings in the folder of {project}")
