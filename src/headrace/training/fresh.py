"""Makes a recorded environment again, in a folder of its own, from its lock and the user's package index."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from headrace.core.errors import InternalError, InvalidInput, NotFound
from headrace.training.launch import run_tied
from headrace.training.lock import environment_differences, machine_kind

INSTALL_TIMEOUT_S = 3600.0
_ASK_TIMEOUT_S = 120.0
_OURS = "headrace"
_PACKAGE = Path(__file__).resolve().parents[1]
_BROUGHT = ("setuptools", "wheel", "pip")
"""What a new environment has by itself; pip comes last, because it takes the others away."""
_GONE = re.compile(r"No matching distribution found for (\S+)")
_OFFERED = re.compile(r"\(from versions: ([^)]*)\)")
_SHOWN = 5
_HERE = "or rebuild in this environment as it is, with --here"
_VERSION = "import platform, sys; print(platform.python_version(), sys.implementation.name)"
_DIFFERENCES = (
    "import json, sys; from headrace.training.lock import environment_differences as differences; "
    "print(json.dumps(differences(sys.stdin.buffer.read())))"
)


def make_environment(recorded: bytes, folder: Path, *, timeout_s: float = INSTALL_TIMEOUT_S) -> Path:
    """Make the environment that a lock describes in ``folder``, which must not exist; returns its Python.

    The packages come from where pip is configured to look. Headrace itself is the one that runs, when that
    has the recorded version.

    Args:
        recorded: what :func:`headrace.training.lock.environment_lock` kept.

    Raises:
        InvalidInput: it was another kind of machine, or pip could not install.
        NotFound: the recorded Python is not on this machine, or the index has a package no more.
    """
    lock = json.loads(recorded)
    base = _interpreter(lock)
    _run([base, "-I", "-m", "venv", str(folder)], folder, "make an environment", timeout_s)
    python = str(folder / "bin" / "python")
    packages = dict(lock["packages"])
    linked = packages.get(_OURS) == _our_version()
    if linked:
        packages.pop(_OURS)
    listed = folder / "lock.txt"
    listed.write_text("".join(f"{name}=={version}\n" for name, version in sorted(packages.items())))
    pip = [python, "-I", "-m", "pip", "--disable-pip-version-check", "--no-input"]
    # The lock is whole, so nothing is resolved again: what it lists is what was there.
    install = [*pip, "install", "--no-deps", "--no-compile", "--requirement", str(listed)]
    _run(install, folder, "install what the lock lists", timeout_s)
    superfluous = [name for name in _BROUGHT if name not in packages]
    if superfluous:
        _run([*pip, "uninstall", "--yes", *superfluous], folder, "take away the installer", timeout_s)
    if linked:
        _link_ours(folder)
    return Path(python)


def differences_in(python: Path, recorded: bytes) -> list[str]:
    """How the environment of ``python`` differs from a lock, as it says itself; empty when it does not."""
    if python == Path(sys.executable):
        return environment_differences(recorded)
    done = subprocess.run(
        [python, "-I", "-c", _DIFFERENCES],
        input=recorded,
        capture_output=True,
        timeout=_ASK_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise InternalError(f"The new environment cannot load Headrace: {_last(done.stderr.decode())}")
    found: list[str] = json.loads(done.stdout)
    return found


def _interpreter(lock: Mapping[str, Any]) -> str:
    wanted = f"{lock['python']} {lock['implementation']}"
    then, now = machine_kind(lock), machine_kind()
    if then != now:
        raise InvalidInput(
            f"The version was made on {then}, and this is {now}: its environment cannot be made here. "
            f"Rebuild on such a machine, {_HERE}."
        )
    short = ".".join(lock["python"].split(".")[:2])
    for name in (sys.executable, f"python{short}", "python3"):
        found = shutil.which(name)
        if found is not None and _says(found) == wanted:
            return found
    raise NotFound(
        f"The version was made with Python {lock['python']} ({lock['implementation']}), and no python{short} "
        f"on PATH is that one. Install it and put it on PATH, {_HERE}."
    )


def _says(python: str) -> str:
    asked = [python, "-I", "-c", _VERSION]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=_ASK_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _run(command: list[str], folder: Path, what: str, timeout_s: float) -> None:
    log = folder.with_suffix(".log")
    code = run_tied(command, log, timeout_s=timeout_s)
    if code == 0:
        return
    said = log.read_text(errors="replace")
    gone = _GONE.search(said)
    if gone is not None:
        offered = _OFFERED.findall(said)
        versions = [] if not offered or offered[-1] == "none" else offered[-1].split(", ")
        has = f"it has {', '.join(versions[-_SHOWN:])}" if versions else "it has no version of it"
        raise NotFound(
            f"The lock lists {gone[1]}, which the package index does not offer ({has}). Point pip at an "
            f"index that has it (PIP_INDEX_URL, PIP_FIND_LINKS or pip.conf), {_HERE}."
        )
    why = f"within {timeout_s:.0f} s" if code is None else f"(exit code {code}): {_last(said)}"
    raise InvalidInput(f"It was not possible to {what} {why}. Put that right and try again, {_HERE}.")


def _last(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return " ".join((errors or lines)[-2:]) or "it said nothing"


def _our_version() -> str | None:
    try:
        return distribution(_OURS).version
    except PackageNotFoundError:
        return None


def _link_ours(folder: Path) -> None:
    """Only our package and its record are put there, and not what else lies beside them."""
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / _OURS).symlink_to(_PACKAGE)
    record = f"{_OURS}-{_our_version()}.dist-info"
    found = Path(str(distribution(_OURS).locate_file(record)))
    if found.is_dir():
        (packages / record).symlink_to(found.resolve())
