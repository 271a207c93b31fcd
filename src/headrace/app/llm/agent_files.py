"""The files that instruct an agent, as a release of a prompt has them: listed, compared, and written out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Literal

from headrace.app.composition import App
from headrace.app.llm.prompt_versions import PromptVersion, prompt_versions, the_version
from headrace.core.errors import Conflict, InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.gateway.agent_files import AgentFile, measured, over
from headrace.gateway.prompts import Prompt
from headrace.projects.llm import AgentFileLimits, llm_of
from headrace.store.disk import disk_refused

Since = Literal["new", "changed", "same", "gone"]


@dataclass(frozen=True, kw_only=True)
class Instructed:
    """What instructs an agent in one version.

    Attributes:
        limits: that its charter declares.
    """

    version: PromptVersion
    files: tuple[AgentFile, ...]
    limits: AgentFileLimits

    @property
    def at_start(self) -> int:
        """Characters that an agent reads before its first call."""
        return sum(one.at_start for one in self.files)

    def is_over(self, one: AgentFile) -> bool:
        """Whether one file alone is longer than it may be."""
        return over(one, self.limits) > 0


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One file in two versions; as it was where it is gone."""

    file: AgentFile
    since: Since
    grown: int


def instructed(app: App, version: PromptVersion, prompt: Prompt) -> Instructed:
    """What a version of :func:`headrace.app.llm.prompt_versions.prompt_versions` says to agents."""
    manifest = version.release.manifest
    declared = manifest.charter or app.store.projects.get(version.release.project)
    return Instructed(
        version=version, files=measured(prompt.agent_files), limits=llm_of(declared).agent_files
    )


def compared(before: Prompt, after: Prompt) -> list[Compared]:
    """What became of each file, by path."""
    old = {one.path: one for one in measured(before.agent_files)}
    new = {one.path: one for one in measured(after.agent_files)}
    found = []
    for path in sorted(old | new):
        file, then = new.get(path) or old[path], old.get(path)
        texts = [one.agent_files.get(path) for one in (before, after)]
        since: Since = "same" if texts[0] == texts[1] else "changed"
        if None in texts:
            since = "new" if texts[0] is None else "gone"
        grown = len(texts[1] or "") - (0 if then is None else then.characters)
        found.append(Compared(file=file, since=since, grown=grown))
    return found


def agent_files(app: App, me: Principal, reference: str) -> Instructed:
    """What instructs an agent in ``NAME``, whose live version it is, or in ``NAME@VERSION``.

    Raises:
        NotFound, Denied: there is no such version that ``me`` may see, or nothing is live.
    """
    version = _version(app, me, reference)
    return instructed(app, version, _prompt(app, version))


def write_agent_files(app: App, me: Principal, reference: str, folder: Path) -> Instructed:
    """Write them below the new ``folder``, once they are what was signed.

    Raises:
        NotFound, Denied: as :func:`agent_files`; or no file instructs an agent.
        Conflict: the folder is there already, or the prompt is not what was signed with its release.
        Unavailable: the disk refuses.
    """
    version = _version(app, me, reference)
    prompt = Prompt.from_bytes(app.signed.package(version.release).read_bytes())
    if not prompt.agent_files:
        raise NotFound(
            f"No file instructs an agent in {reference}. Name them in its prompt under 'agent_files', then "
            "headrace run."
        )
    if folder.exists():
        raise Conflict(f"{folder} is there already. Name a folder that is not.")
    for path in prompt.agent_files:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise InvalidInput(f"{path!r} would be written outside of {folder}. Build the release again.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
            whole = Path(beside) / folder.name
            for path, text in prompt.agent_files.items():
                place = whole / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text, encoding="utf-8", newline="")
            whole.rename(folder)
    except OSError as error:
        raise disk_refused("write", folder, error) from error
    return instructed(app, version, prompt)


def _version(app: App, me: Principal, reference: str) -> PromptVersion:
    name, _, version = reference.partition("@")
    found = prompt_versions(app, me, name)
    if version:
        return the_version(found, version)
    route = app.store.rollouts.route(name)
    live = None if route is None else route.live
    for one in found:
        if one.release.id == live:
            return one
    raise NotFound(f"No prompt of {name!r} is live. Name a version, such as {name}@1.")


def _prompt(app: App, version: PromptVersion) -> Prompt:
    return Prompt.from_bytes(app.store.artifacts.get(version.release.manifest.subject.package.digest))
