"""Reads ``headrace.yaml`` into a :class:`Project`; every mistake is named with line and column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headrace.core.errors import InvalidInput, NotFound
from headrace.core.project import Project
from headrace.projects.rules import broken_rules
from headrace.projects.texts import read_typed

CHARTER = "headrace.yaml"


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
        broken=broken_rules,
        expected="a mapping with name, task, owner, data, ...",
        next_step="Mend it and run 'headrace check'.",
    )


def project_schema() -> dict[str, Any]:
    """The JSON schema of ``headrace.yaml``, for editors."""
    from pydantic import TypeAdapter

    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | TypeAdapter(Project).json_schema()
