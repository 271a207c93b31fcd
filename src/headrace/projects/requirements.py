"""Pins what a project needs to the versions that it was made with."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution

NEEDED = ("headrace[ml]", "pytest")
"""What a new project needs: to learn, to answer, and for its own tests."""


def pinned(needed: Iterable[str] = NEEDED) -> str:
    """A ``requirements.txt`` with ``needed`` and all that these need in turn, at the installed versions.

    What is not installed here is left out.

    >>> "headrace==" in pinned(["headrace"])
    True
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, str] = {}
    extras_of: dict[str, set[str]] = {}
    waiting = [Requirement(text) for text in needed]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name in found and one.extras <= extras_of[name]:
            continue
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue
        found[name] = installed.version
        extras = extras_of.setdefault(name, set())
        extras |= one.extras
        waiting += [
            inner
            for inner in map(Requirement, installed.requires or ())
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in ("", *extras))
        ]
    lines = [f"{name}{_extras(extras_of[name])}=={version}" for name, version in sorted(found.items())]
    head = "# What the project was made with; image, build server and your laptop install exactly this.\n"
    return head + "".join(f"{line}\n" for line in lines)


def _extras(names: set[str]) -> str:
    return f"[{','.join(sorted(names))}]" if names else ""
