"""What other scanners say, where ``headrace[security]`` is installed: a threat by anyone refuses."""

from __future__ import annotations

import logging
from pathlib import PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from headrace.checks.trusted import Global, trust_of


class Opinion(NamedTuple):
    """What a scanner found."""

    scanner: str
    detail: str


def scanners() -> list[str]:
    """Which scanners are asked beside ours."""
    from importlib.util import find_spec

    return [name for name in ("picklescan", "skops") if find_spec(name) is not None]


def opinions(file: BinaryIO, name: str) -> list[Opinion]:
    """Ask those that are installed and know files of this kind; ``file`` stays at its beginning."""
    asked = [_picklescan(file, name)]
    if PurePosixPath(name).suffix.lower() == ".skops":
        asked.append(_skops(file))
    file.seek(0)
    return [opinion for opinion in asked if opinion is not None]


def _picklescan(file: BinaryIO, name: str) -> Opinion | None:
    try:
        from picklescan import scanner
    except ImportError:
        return None
    # It reports on its standard error stream what is not a pickle at all, which ours has found out already.
    logging.getLogger("picklescan").setLevel(logging.CRITICAL)
    file.seek(0)
    try:
        result: Any = scanner.scan_bytes(_Reader(file), name, PurePosixPath(name).suffix.lower())
    except Exception:  # noqa: BLE001 - another's parser on a file that it cannot follow: no opinion
        return None
    if not result.issues_count:
        return None
    named = [f"{g.module}.{g.name}" for g in result.globals if g.safety == scanner.SafetyLevel.Dangerous]
    return Opinion("picklescan", f"dangerous: {', '.join(sorted(named)[:5])}")


def _skops(file: BinaryIO) -> Opinion | None:
    try:
        from skops.io import get_untrusted_types
    except ImportError:
        return None
    file.seek(0)
    try:
        named = get_untrusted_types(data=file.read())
    except Exception as error:  # noqa: BLE001 - another's parser on a hostile file raises whatever it likes
        return Opinion("skops", f"it cannot read this file: {type(error).__name__}: {str(error)[:100]}")
    untrusted = [text for text in named if trust_of(_parsed(text)) is None]
    return Opinion("skops", f"untrusted: {', '.join(untrusted[:5])}") if untrusted else None


def _parsed(text: str) -> Global:
    module, _, name = text.rpartition(".")
    return Global(module, name)


class _Reader:
    """A file that picklescan may seek in and that stays open when it is done."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def close(self) -> None:
        """Keep it open."""

    def seekable(self) -> bool:
        """It is."""
        return True
