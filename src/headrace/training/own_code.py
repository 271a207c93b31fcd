"""Packages whose model needs code of its own: what is in them, and what it would run.

Such a package keeps the estimator as a pickle that names what is not on the list of what is trusted, and the
project's modules beside it. It is loaded in a process of its own and nowhere else, and a person decides.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import packages_distributions, version
from pathlib import Path

from headrace.checks.artefacts import Threat, scan_bytes
from headrace.checks.pickles import read_pickles
from headrace.checks.trusted import Global
from headrace.core.canonical import digest_bytes
from headrace.core.errors import InvalidInput
from headrace.training.archives import unpack_files

MODEL, CODE = "model.pkl", "code/"
_LEFT_OUT = ("tests",)
_LARGEST_BYTES = 10_000_000
_NEVER = frozenset(
    "_ctypes _posixsubprocess asyncio code codeop commands ctypes headrace http importlib marshal "
    "multiprocessing nt os pip platform posix posixpath pty runpy shutil signal socket subprocess sys urllib "
    "webbrowser".split()
)
"""Modules that no estimator is made of: to name one is to do something else than to answer."""
_BUILTINS = frozenset("complex getattr slice super type".split())


@dataclass(frozen=True, kw_only=True)
class Ran:
    """One name that is not trusted, and whose code it is.

    Attributes:
        origin: a file of the project, or a package with its version.
        digest: of that file; empty for a package.
    """

    name: str
    origin: str
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class PackageScan:
    """What speaks against a package, and whose code runs when it is loaded, where there is any."""

    threats: tuple[Threat, ...]
    code: tuple[Ran, ...] = ()


def modules_of(folder: Path) -> dict[str, bytes]:
    """The project's modules by their path, without its tests.

    Raises:
        InvalidInput: they are larger than 10 MB together.
    """
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*.py"))
        if path.relative_to(folder).parts[0] not in _LEFT_OUT
    }
    if sum(map(len, found.values())) > _LARGEST_BYTES:
        raise InvalidInput("The project's modules are larger than 10 MB. Move data out of the code.")
    return found


def scan_package(data: bytes, name: str) -> PackageScan:
    """As :func:`headrace.checks.artefacts.scan_bytes`, of a package; its own code is named and no threat.

    All its modules are named, as any of them may run: a person decides about each such package. What stays a
    threat: modules by which a pickle reaches for the system, and not for an estimator, and modules that would
    stand in for Python's own or for installed ones.
    """
    try:
        files = unpack_files(data, name)
        own = json.loads(files["package.json"]).get("engine") == "own"
    except (InvalidInput, ValueError, KeyError, AttributeError):
        own = False
    if not own:
        return PackageScan(threats=tuple(scan_bytes(data, name)))
    threats = [
        one
        for one in scan_bytes(data, name)
        if one.path != f"{name}!{MODEL}" and not (one.kind == "user_code" and _is_module(one.path, name))
    ]
    reading = read_pickles(io.BytesIO(files.get(MODEL, b"")))
    threats += [
        Threat(path=MODEL, kind=one.kind, detail=one.detail)
        for one in reading.suspicions
        if one.kind != "code"
    ]
    modules = {
        path.removeprefix(CODE): content
        for path, content in files.items()
        if path.startswith(CODE) and path.endswith(".py")
    }
    tops = {path.partition("/")[0].removesuffix(".py") for path in modules}
    installed = packages_distributions()  # looks into every package
    threats += [
        Threat(path=CODE + top, kind="code", detail=f"it stands in for the module {top!r}: rename it")
        for top in sorted(tops & (sys.stdlib_module_names | installed.keys() | {"headrace"}))
    ]
    code = []
    for found in reading.unlisted:
        ran = _origin(found, modules, installed)
        if ran is None:
            threats.append(
                Threat(path=MODEL, kind="code", detail=f"it would load {found}, which no estimator needs")
            )
        else:
            code.append(ran)
    named = {one.origin for one in code}
    code += [
        Ran(name=path, origin=path, digest=digest_bytes(content))
        for path, content in modules.items()
        if path not in named
    ]
    return PackageScan(threats=tuple(threats), code=tuple(code))


def _is_module(path: str, name: str) -> bool:
    return path.startswith(f"{name}!{CODE}") and path.endswith(".py")


def _origin(
    found: Global, modules: Mapping[str, bytes], installed: Mapping[str, Sequence[str]]
) -> Ran | None:
    """Whose a name is, as Python finds it: its own modules first, then installed ones, then the project's."""
    top, path = found.module.split(".")[0], found.module.replace(".", "/")
    if top in _NEVER:
        return None
    if top in ("builtins", "__builtin__"):
        return Ran(name=str(found), origin="Python") if found.name in _BUILTINS else None
    if top in sys.stdlib_module_names:
        return Ran(name=str(found), origin="Python")
    if packages := installed.get(top):
        return Ran(name=str(found), origin=f"{packages[0]} {version(packages[0])}")
    for file in (f"{path}.py", f"{path}/__init__.py"):
        if file in modules:
            return Ran(name=str(found), origin=file, digest=digest_bytes(modules[file]))
    return None
