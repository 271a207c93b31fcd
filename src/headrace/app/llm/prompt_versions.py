"""The versions of a project's prompt, with what was measured of each; and what differs between two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from headrace.app.composition import App
from headrace.app.overviews import reading
from headrace.core.errors import NotFound
from headrace.core.identity import Principal
from headrace.core.ids import Ref
from headrace.core.release import Release
from headrace.gateway.prompts import MEDIA_TYPE, Prompt


@dataclass(frozen=True, kw_only=True)
class PromptVersion:
    """One version.

    Attributes:
        evaluation: what was measured on the evaluation set, by name.
        failed: the gates that it did not pass.
        answers: whether callers get answers of it now.
    """

    version: str
    release: Release
    evaluation: dict[str, float]
    failed: list[str]
    answers: bool


class Both(NamedTuple):
    """Two versions in full."""

    before: Prompt
    after: Prompt


def prompt_versions(app: App, me: Principal, project: str) -> list[PromptVersion]:
    """All of a project, the newest first; none where its releases are no prompts.

    Raises:
        NotFound, Denied: there is no such project, or it is not for ``me`` to see.
    """
    reading.project(app, me, project)
    route = reading.route(app, me, project)
    asked = set() if route is None else {route.live, route.canary}
    found = []
    for release in reading.releases(app, me, project):
        if release.manifest.subject.package.media_type == MEDIA_TYPE:
            verdicts = app.store.evidence.verdicts(release.id)
            found.append(
                PromptVersion(
                    version=Ref.parse(release.manifest.subject.ref).version,
                    release=release,
                    evaluation=release.manifest.evaluation,
                    failed=[one.gate for one in verdicts if one.outcome in ("failed", "error")],
                    answers=release.id in asked,
                )
            )
    return found


def both_prompts(app: App, before: PromptVersion, after: PromptVersion) -> Both:
    """Two versions, to be compared; they come from :func:`prompt_versions`."""
    packages = (one.release.manifest.subject.package for one in (before, after))
    return Both(*(Prompt.from_bytes(app.store.artifacts.get(one.digest)) for one in packages))


def the_version(found: list[PromptVersion], version: str) -> PromptVersion:
    """The newest release of a version. Raises NotFound: there is none."""
    for one in found:
        if one.version == version:
            return one
    known = ", ".join(one.version for one in found[:20]) or "none"
    raise NotFound(f"There is no version {version[:20]!r} of this prompt. It has: {known}.")
