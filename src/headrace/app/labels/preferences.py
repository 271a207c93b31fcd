"""What people have said of answers as data to train a model on: what to say, what to prefer, what is liked.

Of each line the record keeps which answer it is of, which release gave that, and who judged it; the lines
themselves hold nothing that is recognised as personal or secret, and nothing that the project is tested on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from headrace.access.privacy.recognisers import mask
from headrace.app.composition import App
from headrace.app.labels.judged import Judged, judged
from headrace.checks.answers import words_of
from headrace.core.canonical import canonical_json, digest_bytes
from headrace.core.errors import Conflict, InvalidInput
from headrace.core.identity import Principal
from headrace.data.snapshots import load_snapshot, snapshots_of
from headrace.training.training_set import input_columns

Form = Literal["sft", "dpo", "kto"]
FORMS: tuple[Form, ...] = ("sft", "dpo", "kto")


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written.

    Attributes:
        n_lines: of the file; ``n_masked``: of these, lines of which something was taken out.
        n_repeated: left out, because another line says the same.
        n_tested: left out, because the project is tested on this question.
        digest: SHA-256 of the file; ``lineage``: the file that says where each line comes from.
    """

    form: Form
    path: str
    lineage: str
    n_lines: int
    n_masked: int
    n_repeated: int
    n_tested: int
    digest: str


def export(app: App, me: Principal, project: str, form: Form, path: Path) -> Exported:
    """Write JSON Lines as TRL and others read them, and beside it ``PATH.lineage.json``.

    ``sft``: ``messages``, of answers that were found good, or of what they should have been. ``dpo``:
    ``prompt``, ``chosen`` (the correction) and ``rejected`` (the answer). ``kto``: ``prompt``,
    ``completion`` and ``label``, of every answer that people have judged, or else users by thumbs.

    Raises:
        Denied: ``me`` may not read the project's record.
        NotFound: there is no such project.
        Conflict: a file exists.
        InvalidInput: there is no such form, or nothing to write.
    """
    if form not in FORMS:
        raise InvalidInput(f"There is no format {form[:40]!r}. Expected one of {', '.join(FORMS)}.")
    found = judged(app, me, project)
    tested, seen = _tested(app, project), set[str]()
    lines, origins, n_masked, n_repeated, n_tested = [], [], 0, 0, 0
    for one, example in [(said, example) for said in found for example in _examples(said, form)]:
        if tuple(words_of(one.question)) in tested:
            n_tested += 1
            continue
        masked = _masked(example)
        line = canonical_json(masked)
        same = " ".join(words_of(line.decode()))
        if same in seen:
            n_repeated += 1
            continue
        seen.add(same)
        n_masked += masked != example
        lines.append(line)
        origins.append({"answer": one.subject, "release": one.release_id, "judged_by": list(one.by)})
    if not lines:
        raise InvalidInput(
            f"Nothing that was said of answers of {project!r} makes a line of {form!r}"
            + (f"; {n_tested} are questions that it is tested on" if n_tested else "")
            + f". Judge answers first: headrace feedback queue {project}"
        )
    data = b"".join(line + b"\n" for line in lines)
    made = Exported(
        form=form, path=str(path), lineage=f"{path}.lineage.json", n_lines=len(lines), n_masked=n_masked,
        n_repeated=n_repeated, n_tested=n_tested, digest=digest_bytes(data),
    )  # fmt: skip
    about = {
        "project": project,
        "form": form,
        "by": me.name,
        "at": app.clock.now().isoformat(),
        "digest": made.digest,
        "lines": origins,
    }
    app.store.audit.append(
        me.name, "feedback.export", f"project:{project}",
        {"form": form, "digest": made.digest, "lines": len(lines)},
    )  # fmt: skip
    _write(path, data)
    _write(Path(made.lineage), canonical_json(about) + b"\n")
    return made


def _examples(one: Judged, form: Form) -> Iterator[dict[str, Any]]:
    if not one.question:
        return
    prompt = [{"role": "user", "content": one.question}]
    said = [{"role": "assistant", "content": one.answer}]
    good = one.good if one.by else one.liked
    # A user's correction counts once somebody has judged the answer bad: users may be wrong, or mean harm.
    better = one.correction if one.good is False and one.correction != one.answer else None
    if form == "sft" and (better or one.good):
        yield {"messages": [*prompt, {"role": "assistant", "content": better or one.answer}]}
    elif form == "dpo" and better:
        chosen = [{"role": "assistant", "content": better}]
        yield {"prompt": prompt, "chosen": chosen, "rejected": said}
    elif form == "kto" and good is not None:
        yield {"prompt": prompt, "completion": said, "label": good}


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {name: _masked(one) for name, one in value.items()}
    return [_masked(one) for one in value] if isinstance(value, list) else value


def _tested(app: App, project: str) -> set[tuple[str, ...]]:
    """Questions of the project's tables, by their words."""
    declared = app.store.projects.get(project)
    texts = [column.name for column in input_columns(declared) if column.role == "text"]
    return {
        tuple(words_of(str(question)))
        for snapshot in snapshots_of(app.store.snapshots, project)
        for name, values in load_snapshot(snapshot, app.store.tables).items()
        if name in texts[:1]
        for question in values
    }


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing, for its owner alone."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise Conflict(f"{str(path)!r} exists. Name another file; it was not touched.") from error
    except OSError as error:
        raise InvalidInput(
            f"{str(path)!r} cannot be written ({error.strerror}). Name another file."
        ) from error
    with os.fdopen(number, "wb") as file:
        file.write(data)
