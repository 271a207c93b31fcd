"""A project's folder under git: the first commit, and what has not been committed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from headrace.core.errors import InvalidInput

_TIMEOUT_S = 120.0
_NO_HOOKS = (
    "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "commit.gpgsign=false",
    "-c", "core.quotepath=off",
)  # fmt: skip


def git(folder: Path, *arguments: str) -> str:
    """What git prints in ``folder``; nobody's hooks run.

    Raises:
        InvalidInput: there is no git, or it refuses; the message has what it says.
    """
    program = shutil.which("git")
    if program is None:
        raise InvalidInput("There is no git here. Install it, such as with: apt-get install git")
    try:
        done = subprocess.run(
            [program, "-C", str(folder), *_NO_HOOKS, *arguments],
            capture_output=True, text=True, errors="backslashreplace", timeout=_TIMEOUT_S,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InvalidInput(f"git {arguments[0]} did not end ({error}). Try it in {folder}.") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise InvalidInput(f"git {arguments[0]} refuses in {folder}: {said}")
    return done.stdout


def is_versioned(folder: Path) -> bool:
    """Whether ``folder`` lies in a repository of git."""
    try:
        return bool(git(folder, "rev-parse", "--show-toplevel").strip())
    except InvalidInput:
        return False


def commit_all(
    folder: Path, message: str, *, name: str = "headrace", mail: str = "headrace@localhost"
) -> str:
    """Commit what is in ``folder``, as the person that git knows, else as ``name``; returns the commit."""
    git(folder, "add", "--all", "--", ".")
    git(folder, *_author(folder, name, mail), "commit", "--quiet", "--message", message, "--", ".")
    return git(folder, "rev-parse", "HEAD").strip()


def first_commit(folder: Path, message: str, *, name: str, mail: str) -> bool:
    """Put a new folder under git; False if it lies in a repository already.

    Raises:
        InvalidInput: as :func:`git`.
    """
    if is_versioned(folder):
        return False
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit_all(folder, message, name=name, mail=mail)
    return True


def uncommitted(folder: Path) -> list[str]:
    """Files in ``folder`` that differ from the last commit, or are in none."""
    return [line[3:] for line in git(folder, "status", "--porcelain", "--", ".").splitlines()]


def _author(folder: Path, name: str, mail: str) -> tuple[str, ...]:
    try:
        git(folder, "config", "user.email")
    except InvalidInput:
        return ("-c", f"user.name={name}", "-c", f"user.email={mail}")
    return ()
