"""Templates that experts author: filled by Copier, versioned by git tags, upgraded in their projects."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.core.errors import Conflict, InvalidInput, NotFound
from headrace.projects.deployment_files import render_deployment
from headrace.projects.versioning import commit_all, git, is_versioned, uncommitted

ANSWERS = ".copier-answers.yml"
"""Where a project remembers its template, the version, and what was answered."""
_BEGINS, _ENDS = "<" * 7 + " ", ">" * 7 + " "
"""Git's marks around a conflict."""


@dataclass(frozen=True, kw_only=True)
class Upgrade:
    """What an upgrade did, or would do.

    Attributes:
        before, after: versions of the template.
        changed: files that differ.
        conflicts: files in which the template and somebody here have changed the same lines, with both
            versions between conflict marks; nothing is taken over as long as there are some.
        marked: the conflicts were written into the files, for somebody to settle.
    """

    before: str
    after: str
    changed: list[str]
    conflicts: dict[str, str]
    marked: bool = False


def fill_template(source: str, folder: Path, known: Mapping[str, Any], *, ask: bool = False) -> str:
    """Write a template's files into ``folder``, over those that are there; returns the template's version.

    Args:
        source: a folder or an address of git.
        known: what its questions are answered with, by their names; those it does not ask are left out.
        ask: on the terminal, for what is not known.

    Raises:
        NotFound: there is no such template.
        InvalidInput: it is no template, cannot be filled, wants to run commands, or could never be upgraded.
    """
    copier = _copier()
    if source.startswith("-") or not source.strip():
        raise InvalidInput(f"{source!r} names no template. Expected a folder, or an address that git knows.")
    if "://" not in source and "@" not in source and not Path(source).is_dir():
        raise NotFound(f"There is no template {source!r}. Expected a folder, or an address that git knows.")
    place = str(Path(source).absolute()) if Path(source).is_dir() else source
    with tempfile.TemporaryDirectory() as scratch, _refused(source):
        options: dict[str, Any] = {"quiet": True, "overwrite": True}
        copier.run_copy(place, scratch, user_defaults=dict(known), defaults=True, **options)
        _without_git(Path(scratch), source)
        if not (Path(scratch) / ANSWERS).is_file():
            raise InvalidInput(
                f"The template {source!r} does not say what it was filled with, so that its projects could "
                f"never be upgraded. Add a file '{{{{_copier_conf.answers_file}}}}.jinja' with the line "
                "'{{ _copier_answers | to_nice_yaml }}'."
            )
        # Only what it asks is remembered. What it uses without asking would be known now, and gone when it is
        # upgraded: it is left out from the start.
        asked = {name: known[name] for name in known.keys() & _remembered(Path(scratch)).keys()}
        copier.run_copy(place, folder, user_defaults=asked, defaults=not ask, exclude=(".git",), **options)
    return _version(folder)


def upgrade_project(folder: Path, *, version: str | None = None, mark: bool = False) -> Upgrade:
    """Take a newer version of its template into a project, as a commit of its own.

    All work is done in another folder, so that this one is either as it was or upgraded. Where the template
    and somebody here have changed the same lines, nothing is taken over and both are shown; with ``mark``
    they are written into the files instead, uncommitted, for somebody to settle.

    Args:
        version: a tag; the newest when not given.

    Raises:
        InvalidInput: the project has no template, is not under git, or the template cannot be used.
        Conflict: something is not committed yet.
    """
    copier = _copier()
    if not (folder / ANSWERS).is_file():
        raise InvalidInput(
            f"There is no {ANSWERS} in {folder}: the project was not made from a template that can be "
            "upgraded. Make one with: headrace init NAME --data FILE --target COLUMN --template FOLDER"
        )
    if not is_versioned(folder):
        raise InvalidInput(
            f"{folder} is not under git. Put it there first: git init && git add . && git commit"
        )
    if changes := uncommitted(folder):
        raise Conflict(f"Not committed yet: {', '.join(changes)}. Commit it first: an upgrade is a commit.")
    before = _version(folder)
    with _elsewhere(folder) as place:
        with _refused("of this project"):
            copier.run_update(
                place, vcs_ref=version, defaults=True, overwrite=True, quiet=True, exclude=(".git",)
            )
        unmerged = set(git(place, "diff", "--name-only", "--diff-filter=U", "--relative").splitlines())
        if not unmerged:
            render_deployment(place)
        after = _version(place)
        changed = uncommitted(place)
        if not changed:
            return Upgrade(before=before, after=after, changed=[], conflicts={})
        commit = commit_all(place, f"Template {before} to {after}")
        changed = git(place, "diff", "--name-only", "--relative", f"{commit}~1", commit).splitlines()
        conflicts = {path: _conflict(place / path) for path in sorted(unmerged)}
        made = Upgrade(before=before, after=after, changed=changed, conflicts=conflicts, marked=mark)
        if not conflicts:
            git(folder, "merge", "--quiet", "--ff-only", commit)
        elif mark:
            git(folder, "restore", f"--source={commit}", "--staged", "--worktree", "--", ".")
            git(folder, "reset", "--quiet", "--", ".")
    return made


def _without_git(filled: Path, source: str) -> None:
    """What lies in ``.git`` is run by git, such as ``core.fsmonitor``: no template may write there."""
    found = [path for path in filled.rglob("*") if path.name.lower() in (".git", ".gitmodules")]
    if found:
        name = found[0].relative_to(filled).as_posix()
        raise InvalidInput(f"The template {source!r} writes {name!r}, which git would run. Take it out.")


@contextmanager
def _elsewhere(folder: Path) -> Iterator[Path]:
    """The project's last commit in a folder of its own, which is gone afterwards."""
    top = Path(git(folder, "rev-parse", "--show-toplevel").strip())
    kept = Path(git(folder, "rev-parse", "--path-format=absolute", "--git-common-dir").strip())
    tree = kept / "headrace-upgrade"
    shutil.rmtree(tree, ignore_errors=True)  # of an upgrade that was killed
    git(folder, "worktree", "prune")
    git(folder, "worktree", "add", "--quiet", "--detach", str(tree), "HEAD")
    try:
        yield tree / folder.resolve().relative_to(top.resolve())
    finally:
        git(folder, "worktree", "remove", "--force", str(tree))


def _remembered(folder: Path) -> dict[str, Any]:
    """What a template was filled with, and which."""
    import yaml

    try:
        found = yaml.safe_load((folder / ANSWERS).read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError, ValueError) as error:
        raise InvalidInput(
            f"{folder / ANSWERS} cannot be read ({error}). Take it from the project's last commit."
        ) from error
    return found if isinstance(found, dict) else {}


def template_of(folder: Path) -> tuple[str, str]:
    """Where the template of a project is, and which version of it the project has.

    Raises:
        InvalidInput: what the project remembers of it cannot be read.
    """
    return str(_remembered(folder).get("_src_path", "unknown")), _version(folder)


def _version(folder: Path) -> str:
    return str(_remembered(folder).get("_commit", "unversioned"))


def _conflict(path: Path) -> str:
    """The lines of a file between conflict marks; a removed file has none."""
    if not path.is_file():
        return "removed on one side, changed on the other"
    kept, inside = [], False
    for line in path.read_text(encoding="utf-8", errors="backslashreplace").splitlines():
        inside = inside or line.startswith(_BEGINS)
        if inside:
            kept.append(line)
        inside = inside and not line.startswith(_ENDS)
    return "\n".join(kept)


@contextmanager
def _refused(source: str) -> Iterator[None]:
    """Copier's refusals in our words; its warnings are about the author's own working copy."""
    from copier.errors import CopierError, UnsafeTemplateError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UnsafeTemplateError as error:
        raise InvalidInput(
            f"The template {source} wants to run commands of its own, which no template may ({error}). "
            "Take out its tasks, migrations and extensions."
        ) from error
    except (CopierError, ValueError, OSError) as error:
        raise InvalidInput(f"The template {source} cannot be used: {error}") from error


def _copier() -> Any:
    try:
        import copier
    except ImportError as error:
        raise InvalidInput(
            "Templates of your own need the extra [scaffold]. Install it: pip install 'headrace[scaffold]'"
        ) from error
    return copier
