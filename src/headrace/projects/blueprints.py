"""Turns a finished project into a template for the next: its names, data and owners become questions."""

from __future__ import annotations

import ast
import io
import json
import re
import shutil
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.core.canonical import digest_bytes
from headrace.core.errors import Conflict, InvalidInput
from headrace.core.project import Project
from headrace.projects.charter import CHARTER, load_project
from headrace.projects.expert_templates import ANSWERS
from headrace.projects.lessons import Incidence, Lesson, new_checks, write_lesson
from headrace.projects.rendered import RECORD
from headrace.projects.versioning import commit_all, git, is_versioned, uncommitted

QUESTIONS = {
    "name": "Name of the project",
    "owner": "Who answers for it",
    "contact": "How to reach the owner",
    "source": "File of the table, in the project",
    "documentation": "Where the data is from and what it means",
    "target": "Column to predict",
    "time": "Column that says when a row happened",
    "key": "Column that names the entity",
    "columns": "Inputs of the model",
    "governance": "Who is affected, and what could go wrong",
    "basis": "Why the data may be collected",
    "purpose": "What it is collected for",
    "intake": "Why it is taken on",
    "hypothesis": "Why the model is worth having",
    "kpi": "How that will be seen",
}
"""What a template of a project asks; 'headrace init' knows most of the answers."""
_STRUCTURED = {
    "time": "null",
    "key": "null",
    "basis": "null",
    "columns": "[]",
    "governance": "{}",
    "intake": "{}",
}
_PLACES = {
    ("name",): "name",
    ("owner", "name"): "owner",
    ("owner", "contact"): "contact",
    ("value", "hypothesis"): "hypothesis",
    ("value", "kpi"): "kpi",
    ("governance",): "governance",
    ("intake",): "intake",
    ("data", "source"): "source",
    ("data", "documentation"): "documentation",
    ("data", "target"): "target",
    ("data", "time"): "time",
    ("data", "key"): "key",
    ("data", "columns"): "columns",
    ("privacy", "basis"): "basis",
    ("privacy", "purpose"): "purpose",
}
_OPEN, _CLOSE = "[[=", "=]]"
_MARKS = (_OPEN, _CLOSE, "[[%", "%]]", "[[#", "#]]")
_HEAD = "# A template of a Headrace project: headrace init NAME --data FILE --target COLUMN --template THIS\n"
_TABLES = (".csv", ".tsv", ".parquet", ".arrow", ".feather", ".jsonl", ".xlsx", ".sqlite", ".db")
_MADE_ANEW = (".gitignore", "requirements.txt", RECORD, ANSWERS)


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """A template that was written.

    Attributes:
        version: its tag; None when nothing had changed since the newest one.
        files: what projects made from it get.
        mentions: ``FILE:LINE`` to a line that still names the old project, its owner, target or a column.
    """

    folder: str
    version: str | None
    files: list[str]
    mentions: dict[str, str]


def make_blueprint(project_folder: Path, folder: Path, *, lesson: Incidence | None = None) -> Blueprint:
    """Write the project as a template into ``folder``, or the next version of one that is there.

    Args:
        lesson: what has taught this version; it then brings a check that the one before had not.

    Raises:
        NotFound, InvalidInput: the charter cannot be read, the project is a forecast, a file holds what
            stands for a question here, or there is a lesson and no new check.
        Conflict: ``folder`` holds something else.
    """
    project = load_project(project_folder)
    if project.task == "forecasting":
        raise InvalidInput(
            f"{project.name!r} is a forecast: its lags depend on the table, and cannot be asked for yet. "
            "Expected a classification or a regression."
        )
    if folder.resolve().is_relative_to(project_folder.resolve()):
        raise InvalidInput(f"{folder} lies in the project. Name a folder outside, such as ../template.")
    if folder.exists() and any(folder.iterdir()):
        _check_ours(folder)
    texts = {path: _template(project, path, text) for path, text in _texts(project, project_folder)}
    checks = () if lesson is None else new_checks(_earlier(folder), texts)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "project", ignore_errors=True)
    for path, text in texts.items():
        _write(folder / "project" / f"{path}.jinja", text)
    _write(
        folder / "project" / f"{_asked('_copier_conf.answers_file')}.jinja",
        _asked("_copier_answers | to_nice_yaml"),
    )
    _write(folder / "copier.yml", _settings())
    if lesson is not None:
        version = _next_version(folder)
        learnt = Lesson(**vars(lesson), version=version, project=project.name, checks=checks)
        write_lesson(folder, learnt)
    return Blueprint(
        folder=str(folder),
        version=_published(folder, project.name),
        files=sorted(texts),
        mentions=dict(_mentions(project, texts)),
    )


def _check_ours(folder: Path) -> None:
    """Only a template that was written here, and has nothing uncommitted, is written anew."""
    settings = folder / "copier.yml"
    is_ours = settings.is_file() and settings.read_text(encoding="utf-8", errors="replace").startswith(_HEAD)
    if not is_ours or not (folder / ".git").exists():
        raise Conflict(
            f"{folder} exists and is no template of a project. Name an empty folder, or remove it first."
        )
    if changes := uncommitted(folder):
        raise Conflict(f"Not committed in {folder}: {', '.join(changes)}. Commit it, or take it away, first.")


def _texts(project: Project, folder: Path) -> Iterator[tuple[str, str]]:
    """Path and text of what a project is made of; neither data nor what is rendered from the charter."""
    known = json.loads((folder / RECORD).read_text()) if (folder / RECORD).is_file() else {}
    data = {project.data.source, *(one.source for one in project.data.features)} - {"project.py"}
    if not is_versioned(folder):
        raise InvalidInput(
            f"{folder} is not under git. A template is what is committed: git init && git add . && git commit"
        )
    # What nobody has committed may be a key or somebody's table, and what is published stays published.
    if changes := uncommitted(folder):
        raise Conflict(f"Not committed yet: {', '.join(changes)}. Commit it, or add it to .gitignore, first.")
    for path in git(folder, "ls-files", "--cached").splitlines():
        file = folder / path
        parts = Path(path).parts
        if (
            path in _MADE_ANEW
            or path in data
            or parts[0] == "data"
            or file.suffix.lower() in _TABLES
            or file.name.startswith(".env")
            or not file.is_file()
            or file.is_symlink()
        ):
            continue
        if known.get(path) == digest_bytes(file.read_bytes()):
            continue
        try:
            yield path, file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InvalidInput(
                f"{path} is no text, and a template has only texts. Take it out of git, or move it to data/."
            ) from error


def _template(project: Project, path: str, text: str) -> str:
    if found := [mark for mark in _MARKS if mark in text]:
        raise InvalidInput(
            f"{path} holds {found[0]!r}, which stands for a question in templates. Write it otherwise."
        )
    if path == CHARTER:
        return _charter(text)
    return _code(project, text) if path.endswith(".py") else text


def _charter(text: str) -> str:
    """The charter, comments and order kept, with questions where names, data and owners were."""
    import yaml

    nodes = dict(_nodes(yaml.compose(text, Loader=yaml.SafeLoader), ()))
    name_of = nodes["name",].value
    changes = [
        (node.start_mark.index, _end(node), _value(_PLACES[place], node))
        for place, node in nodes.items()
        if place in _PLACES
    ]
    if ("team",) in nodes:
        changes.append((nodes["team",].start_mark.index, _end(nodes["team",]), "[]"))
    target = nodes["data", "target"]
    # What this table does not have, the next one may: a line of its own, if so.
    before = text[: target.start_mark.index].rpartition("\n")[2]
    indent = before[: len(before) - len(before.lstrip())]
    for name in ("time", "key"):
        if ("data", name) not in nodes:
            line = f"\n{indent}{name}: {_asked(_json(name))}"
            changes.append(
                (target.end_mark.index, target.end_mark.index, f"[[% if {name} %]]{line}[[% endif %]]")
            )
    for start, end, new in sorted(changes, reverse=True):
        text = text[:start] + new + text[end:]
    return re.sub(
        r"(?m)^#.*", lambda comment: comment[0].replace(f'"{name_of}"', f'"{_asked("name")}"'), text
    )


def _nodes(node: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value in mappings, with the keys that lead to it."""
    if isinstance(node.value, list) and node.id == "mapping":
        for key, value in node.value:
            yield (*place, key.value), value
            yield from _nodes(value, (*place, key.value))


def _value(question: str, node: Any) -> str:
    """The answer in place of a value: a block line by line, as somebody would write it."""
    if node.id == "scalar" or node.flow_style:
        return _asked(_json(question))
    begin, line = (
        (f"[[% for one in {question} %]]", f"- {_asked(_json('one'))}")
        if node.id == "sequence"
        else (f"[[% for name, one in {question}.items() %]]", f"{_asked('name')}: {_asked(_json('one'))}")
    )
    between = f"[[% if not loop.last %]]\n{' ' * node.start_mark.column}[[% endif %]]"
    empty = f"[[% else %]]{'[]' if node.id == 'sequence' else '{}'}[[% endfor %]]"
    return begin + line + between + empty


def _end(node: Any) -> int:
    """Where a value ends. A block's own mark is after the comments that follow it."""
    if node.id == "scalar" or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if node.id == "mapping" else last)


def _code(project: Project, text: str) -> str:
    """Python with questions where a text is the project's name or its target."""
    words = {project.name: "name", project.data.target: "target"}
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    changes = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.STRING:
            continue
        start, end = (starts[row - 1] + column for row, column in (token.start, token.end))
        try:
            said = ast.literal_eval(token.string)
        except (SyntaxError, ValueError):  # an f-string
            continue
        if said in words:
            changes.append((start, end, _asked(_json(words[said]))))
        else:  # as in a docstring that names the project
            new = token.string.replace(f'"{project.name}"', f'"{_asked("name")}"')
            changes.append((start, end, new))
    for start, end, new in reversed(changes):
        text = text[:start] + new + text[end:]
    return text


def _asked(expression: str) -> str:
    return f"{_OPEN} {expression} {_CLOSE}"


def _json(name: str) -> str:
    return f"{name} | to_json(ensure_ascii=False)"


def _settings() -> str:
    """What Copier reads: how questions are marked, and which there are."""
    import yaml

    names = ("variable_start_string", "variable_end_string", "block_start_string", "block_end_string",
             "comment_start_string", "comment_end_string")  # fmt: skip
    settings: dict[str, Any] = {
        "_min_copier_version": "9.4.0",
        "_subdirectory": "project",
        "_envops": dict(zip(names, _MARKS, strict=True)) | {"keep_trailing_newline": True},
    }
    for name, text in QUESTIONS.items():
        kind = (
            {"type": "yaml", "default": "null"}
            if name in _STRUCTURED
            else {"type": "str", "default": "unnamed"}
        )
        settings[name] = {"help": text, **kind}
    return _HEAD + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=100)


def _earlier(folder: Path) -> dict[str, str]:
    """The files of the version that is there, by their paths in a project."""
    kept = folder / "project"
    return {
        path.relative_to(kept).as_posix().removesuffix(".jinja"): path.read_text(encoding="utf-8")
        for path in kept.rglob("*.jinja")
    }


def _numbers(folder: Path) -> list[int]:
    """The versions that are published."""
    if not (folder / ".git").exists():
        return []
    return [int(tag[1:]) for tag in git(folder, "tag", "--list").split() if re.fullmatch(r"v\d+", tag)]


def _next_version(folder: Path) -> str:
    return f"v{max(_numbers(folder), default=0) + 1}"


def _published(folder: Path, name: str) -> str | None:
    """Commit the template and tag it with the next version; None where nothing has changed."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--initial-branch=main")
    tags, version = _numbers(folder), _next_version(folder)
    if uncommitted(folder):
        commit_all(folder, f"{version}, from the project {name}")
    elif tags and git(folder, "tag", "--points-at", "HEAD").split():
        return None
    git(folder, "tag", version)
    return version


def _mentions(project: Project, texts: dict[str, str]) -> Iterator[tuple[str, str]]:
    named = {project.name, project.owner.name, project.owner.contact, project.data.target}
    words = "|".join(map(re.escape, sorted(named, key=len, reverse=True)))
    # A column may be called like any word; in quotes it is one.
    columns = "|".join(re.escape(column.name) for column in project.data.columns)
    found = re.compile(rf"(?<!\w)(?:{words})(?!\w)" + (rf"|(['\"])(?:{columns})\1" if columns else ""))
    for path, text in sorted(texts.items()):
        for number, line in enumerate(re.sub(r"\[\[=.*?=\]\]", "", text).splitlines(), start=1):
            if found.search(line):
                yield f"{path}:{number}", line.strip()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
