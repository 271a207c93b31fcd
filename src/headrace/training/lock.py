"""What a run was made with: an archive of the project's code, its git commit, the environment's lock."""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from headrace.core.canonical import canonical_json, digest_bytes
from headrace.core.data import Artifact
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.ports import ArtifactStore
from headrace.training.archives import pack_files, unpack_files

CODE = "application/vnd.headrace.code+zip"
ENVIRONMENT = "application/vnd.headrace.environment+json"
_SUFFIXES = (".py", ".sql")
_CHARTER = "headrace.yaml"
CHANGES = "+changes"
"""After a commit: the code is not quite what it holds."""
_INSTRUCTIONS = ("AGENTS.md", "CLAUDE.md", "GEMINI.md")
_NAMES = (_CHARTER, "pyproject.toml", "requirements.txt", "constraints.txt", *_INSTRUCTIONS)
_WHOLE = ("tests", "prompts", "skills")
"""Folders of which every file belongs to the code."""
_SKIPPED = ("__pycache__", "node_modules")
_ENVIRONMENT_MARK = "pyvenv.cfg"
_LARGEST_BYTES = 1_000_000
_GIT_TIMEOUT_S = 10.0


def archive_code(folder: Path, artifacts: ArtifactStore) -> Artifact:
    """Keep the project's code: ``.py`` and ``.sql`` files, charter, requirements, prompts, tests, and what
    instructs agents; no data.

    The same files always give the same artefact.

    Raises:
        NotFound: there is no such folder, or no code in it.
        InvalidInput: a file is larger than 1 MB.
    """
    return artifacts.put(pack_code(folder), CODE)


def with_charter(code: Artifact, folder: Path, artifacts: ArtifactStore) -> Artifact:
    """Keep archived code with the charter that ``folder`` has now in place of its own."""
    files = unpack_files(artifacts.get(code.digest), "The code archive")
    return artifacts.put(pack_files(files | {_CHARTER: _read(folder / _CHARTER)}), CODE)


def code_digest(folder: Path) -> str | None:
    """Digest that :func:`archive_code` would give; None if there is no code any more."""
    try:
        return digest_bytes(pack_code(folder))
    except NotFound:
        return None


def pack_code(folder: Path) -> bytes:
    """The archive's bytes. Raises as :func:`archive_code` does."""
    files = {str(path.relative_to(folder).as_posix()): _read(path) for path in _code_files(folder)}
    if not files:
        raise NotFound(f"There is no code in {folder}. Expected a project's folder with project.py.")
    return pack_files(files)


def unpack_code(data: bytes, folder: Path) -> None:
    """Write an archive's files under ``folder``. Raises InvalidInput if it is damaged."""
    for name, content in unpack_files(data, "The code archive").items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def is_code(path: Path) -> bool:
    """Whether a file is code by its name, wherever in a project it lies."""
    return path.suffix in _SUFFIXES or path.name in _NAMES


def is_passed_over(path: Path) -> bool:
    """Whether it is neither code nor data: what is hidden, caches, virtual environments."""
    return path.name.startswith(".") or path.name in _SKIPPED or (path / _ENVIRONMENT_MARK).exists()


def is_archived(folder: Path, path: Path) -> bool:
    """Whether a file below a project's folder belongs to its code, as :func:`archive_code` keeps it."""
    steps = path.relative_to(folder).parts
    above = [folder.joinpath(*steps[: n + 1]) for n in range(len(steps))]
    whole = any(step in _WHOLE for step in steps[:-1])
    return (whole or is_code(path)) and not any(is_passed_over(one) or one.is_symlink() for one in above)


def git_commit(folder: Path) -> str | None:
    """The commit that is checked out, with ``+changes`` when files differ from it; None without git."""
    git = shutil.which("git")
    if git is None:
        return None
    commit = _git(git, folder, "rev-parse", "HEAD")
    if not commit:
        return None
    changes = _git(git, folder, "status", "--porcelain", "--", ".")
    return f"{commit}{CHANGES}" if changes else commit


def environment_lock(artifacts: ArtifactStore) -> Artifact:
    """Keep the interpreter, the platform and every installed package with its version."""
    return artifacts.put(_environment(), ENVIRONMENT)


def environment_differences(recorded: bytes) -> list[str]:
    """How the present environment differs from a recorded lock; empty when it does not.

    >>> environment_differences(_environment())
    []
    """
    then, now = json.loads(recorded), json.loads(_environment())
    differences = [
        f"{what}: {then[what]} then, {now[what]} now"
        for what in ("python", "implementation", "machine", "system")
        if then[what] != now[what]
    ]
    names = sorted(set(then["packages"]) | set(now["packages"]))
    for name in names:
        before, present = then["packages"].get(name, "absent"), now["packages"].get(name, "absent")
        if before != present:
            differences.append(f"{name}: {before} then, {present} now")
    return differences


def machine_kind(lock: Mapping[str, Any] | None = None) -> str:
    """The kind of machine of a lock, or of this one, such as ``Linux x86_64``."""
    named = {"system": platform.system(), "machine": platform.machine()} if lock is None else lock
    return f"{named['system']} {named['machine']}"


@lru_cache(maxsize=1)
def _environment() -> bytes:
    packages: dict[str, str] = {}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if name:
            # The first of two with the same name is the one that is imported.
            packages.setdefault(re.sub(r"[-_.]+", "-", name).lower(), distribution.version)
    return canonical_json(
        {
            "format": 1,
            "python": platform.python_version(),
            "implementation": sys.implementation.name,
            "machine": platform.machine(),
            "system": platform.system(),
            "packages": packages,
        }
    )


def _code_files(folder: Path) -> Iterator[Path]:
    return _below(folder, whole=False) if folder.is_dir() else iter(())


def _below(folder: Path, *, whole: bool) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if is_passed_over(path) or path.is_symlink():
            continue
        if path.is_dir():
            yield from _below(path, whole=whole or path.name in _WHOLE)
        elif whole or is_code(path):
            yield path


def _read(path: Path) -> bytes:
    size_bytes = path.stat().st_size
    if size_bytes > _LARGEST_BYTES:
        raise InvalidInput(
            f"{path} has {size_bytes:,} bytes. Code files and tests may have {_LARGEST_BYTES:,}; "
            "move data to a 'data' folder."
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read ({error.strerror}). Make it readable for you.") from error


def _git(git: str, folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            [git, "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
