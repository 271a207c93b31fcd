"""Reads ``headrace.yaml`` into a :class:`Project`; every mistake is named with line and column."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headrace.core.errors import InvalidInput, NotFound
from headrace.core.project import Project
from headrace.projects.intake import Intake, intake_mistakes
from headrace.projects.llm import Llm, llm_mistakes
from headrace.projects.proofs import Proofs, proof_mistakes
from headrace.projects.rules import BrokenRule, broken_rules
from headrace.projects.texts import read_typed

CHARTER = "headrace.yaml"
SECTIONS: dict[str, type] = {"intake": Intake, "llm": Llm, "proofs": Proofs}
"""Sections that the project keeps as they are written, and what each of them is."""


def load_project(folder: Path) -> Project:
    """The project declared in ``folder/headrace.yaml``.

    Raises:
        NotFound: there is no charter there.
        InvalidInput: it does not parse, a key is unknown or missing, or a value has the wrong type;
            the message lists each with line and column.

    Example:
        >>> load_project(Path("examples/flight_delay")).task
        'classification'
    """
    path = folder / CHARTER
    if not path.is_file():
        raise NotFound(
            f"There is no {CHARTER} in {folder}. Change to a project's folder, or make one with "
            "'headrace init NAME --data FILE --target COLUMN'."
        )
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read ({error.strerror}). Make it readable for you.") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path.name} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from error
    return read_typed(
        text,
        Project,
        CHARTER,
        broken=_mistakes,
        expected="a mapping with name, task, owner, data, ...",
        next_step="Mend it and run 'headrace check'.",
    )


def _mistakes(project: Project) -> Iterator[BrokenRule]:
    yield from broken_rules(project)
    yield from intake_mistakes(project)
    yield from llm_mistakes(project)
    yield from proof_mistakes(project)


def project_schema() -> dict[str, Any]:
    """The JSON schema of ``headrace.yaml``, for editors."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(Project).json_schema()
    for name, kind in SECTIONS.items():
        section = TypeAdapter(kind).json_schema()
        schema["$defs"] |= section.pop("$defs", {})
        schema["properties"][name] = section
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema
