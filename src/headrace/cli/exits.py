"""The one table from errors to exit codes."""

from __future__ import annotations

from typing import NoReturn

import typer

from headrace.core.errors import GateFailed, UserError, WaitsForPerson

DONE, OUR_FAULT, USAGE, GATE_FAILED, WAITS = 0, 1, 2, 3, 4


def exit_code(error: BaseException) -> int:
    """What the process ends with after ``error``."""
    if isinstance(error, GateFailed):
        return GATE_FAILED
    if isinstance(error, WaitsForPerson):
        return WAITS
    return USAGE if isinstance(error, UserError) else OUR_FAULT


def end_with(error: UserError, *, as_json: bool) -> NoReturn:
    """End with the error's code; where JSON was printed it has said everything already."""
    if as_json:
        raise typer.Exit(exit_code(error))
    raise error
