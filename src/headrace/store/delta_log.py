"""Makes versions of a Delta table survive a power failure; the library that commits them does not sync.

Each version is synced before the next is committed, so that a power failure can spoil only the newest one,
which nobody was told of. On the first use after a new start of the machine the newest version is examined,
and taken back if it is not whole: its rows, and the writer's position that came with them.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from headrace.store.disk import locked, sync_file, sync_folder, write_file

_MARK = ".headrace-boot"
_ENDINGS = (b"PAR1", b"PARE")
"""Of a file in clear, and of one whose footer is encrypted."""


def sync_version(folder: Path, version: int) -> None:
    """Sync a committed version: its files, its log entry, their folders."""
    entry = _entry(folder, version)
    try:
        actions = _actions(entry)
    except FileNotFoundError:
        return  # another tool has cleaned its log; what is in a checkpoint is no longer new
    for action in actions:
        if "add" in action:
            sync_file(_file(folder, action))
    sync_folder(folder)
    sync_file(entry)
    sync_folder(entry.parent)


def is_newest(folder: Path, version: int) -> bool:
    """Whether no version follows this one: two looks at the folder, instead of reading the log."""
    return not _entry(folder, version + 1).exists() and _entry(folder, version).exists()


def take_back_torn(folder: Path, boot: str) -> None:
    """Once per start of the machine: remove the newest version if the power failed while it was written."""
    if not (folder / "_delta_log").is_dir() or _read(folder / _MARK) == boot != "":
        return
    with locked(folder):
        newest = max((folder / "_delta_log").glob("[0-9]*.json"), default=None)
        if newest is not None and not _is_whole(folder, newest):
            for checkpoint in newest.parent.glob(f"{newest.stem}.checkpoint*"):
                checkpoint.unlink()
                (newest.parent / "_last_checkpoint").unlink(missing_ok=True)
            newest.unlink()
            sync_folder(newest.parent)
            logging.getLogger("headrace.store").warning(
                "table %s: version %s was not whole after the machine restarted and was taken back; "
                "nobody had been told that it was kept",
                folder,
                int(newest.stem),
            )
        mark_whole(folder, boot)


def forget_statistics(folder: Path, version: int) -> None:
    """Take smallest and largest values out of the log, and older checkpoints, which hold some too.

    Every file is replaced as a whole; doing it again does what is left. ``version`` has a checkpoint.
    """
    log = folder / "_delta_log"
    for entry in sorted(log.glob("[0-9]*.json")):
        actions = _actions(entry)
        if any(action.get("add", {}).pop("stats", None) is not None for action in actions):
            draft = entry.with_suffix(".rewriting")
            write_file(draft, b"".join(json.dumps(action).encode() + b"\n" for action in actions))
            draft.replace(entry)
    for checkpoint in log.glob("*.checkpoint*.parquet"):
        if int(checkpoint.name.split(".")[0]) < version:
            checkpoint.unlink()
    sync_folder(log)


def mark_whole(folder: Path, boot: str) -> None:
    """Note that in this boot there is nothing left to take back."""
    (folder / _MARK).write_text(boot)


def _entry(folder: Path, version: int) -> Path:
    return folder / "_delta_log" / f"{version:020}.json"


def _actions(entry: Path) -> list[dict[str, Any]]:
    # Not splitlines(): a text value in the statistics may hold characters that it takes for line ends.
    return [json.loads(line) for line in entry.read_bytes().split(b"\n") if line]


def _file(folder: Path, action: dict[str, Any]) -> Path:
    return folder / unquote(action["add"]["path"])


def _is_whole(folder: Path, entry: Path) -> bool:
    """Whether the log entry can be read, and each file it adds has its size and its last bytes."""
    try:
        actions = _actions(entry)
        added = [action for action in actions if "add" in action and "://" not in action["add"]["path"]]
        return bool(actions) and all(_is_whole_file(_file(folder, a), int(a["add"]["size"])) for a in added)
    except (OSError, ValueError):
        return False


def _is_whole_file(path: Path, size_bytes: int) -> bool:
    with path.open("rb") as file:
        if path.stat().st_size != size_bytes:
            return False
        file.seek(-len(_ENDINGS[0]), 2)
        return file.read() in _ENDINGS


def _read(mark: Path) -> str | None:
    try:
        return mark.read_text()
    except OSError:
        return None
