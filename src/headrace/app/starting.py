"""Starts a project from somebody's table: read, infer, write down."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headrace.access.privacy.columns import personal_columns
from headrace.checks.metrics import default_metric
from headrace.core.canonical import digest_bytes
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.ports import Columns
from headrace.core.project import DataSpec, Risk, Task
from headrace.data.frames import n_rows
from headrace.data.inference import infer
from headrace.data.sources import read_file
from headrace.projects.charter import load_project
from headrace.projects.guidance import Choice, choices, read_answers
from headrace.projects.questions import answered, promised
from headrace.projects.rules import is_reachable
from headrace.projects.scaffold import Outline, Trees, scaffold
from headrace.projects.starters import STARTERS
from headrace.projects.versioning import first_commit
from headrace.training.resampling import suggested_clusters


@dataclass(frozen=True, kw_only=True)
class Made:
    """A new project; ``notes`` say what was inferred and why, ``choices`` what was chosen and why."""

    folder: Path
    task: Task
    metric: str
    notes: list[str]
    choices: list[Choice]


def start_project(
    parent: Path,
    *,
    name: str,
    data: Path,
    target: str | None,
    time: str | None,
    key: str | None,
    forecasting: bool,
    unsupervised: Task | None = None,
    model: str | None = None,
    owner: str,
    contact: str | None,
    risk: Risk = "medium",
    answers: Mapping[str, str] | None = None,
    worth: Mapping[str, str] | None = None,
    guided: Mapping[str, str] | None = None,
    template: str | None = None,
    ask: bool = False,
    trees: Trees = "lightgbm",
) -> Made:
    """Infer what the table is and write the project's folder.

    Args:
        target: the column to predict; None where ``unsupervised`` says what is done without one.
        model: the one that answers, as ``PROVIDER/MODEL``: the project is a prompt, and ``target`` says what
            a good answer is.
        answers: to the questions of ``governance`` in the charter, by name; what has none is assumed, and
            noted as assumed.
        worth: what the model is to be worth, and why one is needed, by the names of
            :data:`headrace.projects.questions.WORTH` and ``NEEDED``.
        guided: answers that change what is chosen, by the names of
            :data:`headrace.projects.guidance.GUIDED`.
        template: an expert's, as a folder or an address of git; its files take the place of ours.
        ask: on the terminal what such a template asks and nobody has answered.
        trees: library of the boosted trees among its variants.

    Raises:
        NotFound: there is no such file.
        InvalidInput: the table cannot be learnt from, or an answer cannot be used; the message says why.
        Conflict: the folder exists.
    """
    _check_given(data, target=target, time=time, forecasting=forecasting, unsupervised=unsupervised)
    _check_contact(contact)
    subject = target or str(unsupervised).replace("_", " ")
    is_prompt = bool(model)
    of: dict[str, Any] = {"target": subject, "risk": risk, "is_prompt": is_prompt}
    governance = answered(answers or {}, contact_given=contact is not None, **of)
    columns = read_file(data)
    kind: dict[str, Any] = {"forecasting": forecasting, "unsupervised": unsupervised}
    found = infer(columns, target=target, time=time, key=key, generating=is_prompt, **kind)
    metric = default_metric(found.task)
    promise = promised(worth or {}, metric=metric, labelled=unsupervised is None, **of)
    governance = replace(governance, assumed=promise.assumed + governance.assumed)
    spec, digest = _kept(found.data, data, columns)
    personal = personal_columns(columns)
    n_clusters = suggested_clusters(columns, spec.columns) if found.task == "clustering" else 0
    outline = Outline(
        name=name,
        task=found.task,
        data=spec,
        split=found.split,
        metric=metric,
        n_clusters=n_clusters,
        trees=trees,
        model=model,
        owner=owner,
        contact=contact or _at_this_machine(owner),
        n_rows=n_rows(columns),
        digest=digest,
        personal=tuple(personal),
        governance=governance,
        promise=promise,
        answers=read_answers(dict(guided or {})),
        risk=risk,
    )
    folder = scaffold(parent, outline, data, template=template, ask=ask)
    to_confirm = _to_confirm(governance.assumed, personal, n_clusters)
    return _made(folder, outline, [*found.notes, *_versioned(folder, outline), *to_confirm])


def _made(folder: Path, outline: Outline, notes: list[str]) -> Made:
    chosen = choices(load_project(folder))
    return Made(folder=folder, task=outline.task, metric=outline.metric, notes=notes, choices=chosen)


def _kept(spec: DataSpec, data: Path, columns: Columns) -> tuple[DataSpec, str]:
    """The data as it is kept in the project, and the digest of the file."""
    digest = digest_bytes(data.read_bytes())
    documentation = (
        f"{data.name} as given at the start: {n_rows(columns):,} rows, {len(columns)} columns, "
        f"SHA-256 {digest[:16]}; kept in data/."
    )
    return replace(spec, source=f"data/{data.name}", documentation=documentation), digest


def start_starter(parent: Path, starter: str, **given: Any) -> Made:
    """Write the folder of one of :data:`headrace.projects.starters.STARTERS`, with a made-up table.

    Args:
        given: as :func:`start_project` takes, but for what the table itself says.

    Raises:
        InvalidInput, Conflict: as :func:`start_project`, or what it learns with is not installed.
    """
    one = STARTERS[starter]
    with tempfile.TemporaryDirectory() as scratch:
        return start_project(
            parent,
            data=one.write(Path(scratch)),
            target=one.target,
            time=one.time,
            key=one.key,
            forecasting=one.forecasting,
            trees=one.trees,
            **given,
        )


def _check_contact(contact: str | None) -> None:
    if contact is not None and not is_reachable(contact):
        raise InvalidInput(
            f"The contact {contact!r} cannot be called. Give --contact an e-mail address, a URL or a "
            "telephone number."
        )


def _check_given(
    data: Path, *, target: str | None, time: str | None, forecasting: bool, unsupervised: Task | None
) -> None:
    if not data.is_file():
        raise NotFound(f"There is no file {str(data)!r}. Give --data a CSV or Parquet file.")
    if forecasting and time is None:
        raise InvalidInput("Forecasting needs a time column. Add --time COLUMN.")
    if (target is None) == (unsupervised is None):
        raise InvalidInput(
            "Name the column to predict with --target; only --template unsupervised goes without one."
        )
    if data.suffix == ".py":
        raise InvalidInput(f"{data.name} is named like code. Give --data a CSV or Parquet file.")


def _at_this_machine(owner: str) -> str:
    return f"{re.sub('[^A-Za-z0-9._+-]+', '.', owner)}@localhost"


def _to_confirm(assumed: Sequence[str], personal: Mapping[str, str], n_clusters: int) -> Iterator[str]:
    """What a person still has to say."""
    if n_clusters:
        yield f"{n_clusters} clusters hold together best, of 2 to 8 tried; outputs.classes has them."
    if assumed:
        listed = ", ".join(assumed)
        yield f"Assumed until you confirm it in headrace.yaml under governance: {listed}."
    if personal:
        listed = ", ".join(f"{name!r} ({kind})" for name, kind in personal.items())
        yield f"About people, it seems: {listed}. Say in privacy.basis why they may be collected."


def _versioned(folder: Path, outline: Outline) -> list[str]:
    """Put the project under git; a note where that did not work, which stops nothing else."""
    notes = []
    ignored = folder / ".gitignore"
    if ignored.is_file() and "data/" in ignored.read_text(encoding="utf-8").splitlines():
        notes.append(
            "data/ stays out of git, for it is about people or large: a build server has to be given it, or "
            "data.source as a function in project.py that fetches it."
        )
    try:
        is_first = first_commit(folder, "Made by headrace init", name=outline.owner, mail=outline.contact)
    except InvalidInput as error:
        return [*notes, f"Not under version control: {error}"]
    if not is_first:
        notes.append("In a repository already: commit the new folder there.")
    return notes
