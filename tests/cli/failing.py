"""The command line with one more command, ``fail KIND``, which raises: ``python failing.py fail KIND``."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli import main
from headrace.core import errors

app = typer.Typer()


@app.command()
def fail(
    kind: Annotated[str, typer.Argument()], as_json: Annotated[bool, typer.Option("--json")] = False
) -> None:
    """Raise an error of this kind; ``none`` ends well."""
    if kind == "none":
        return
    if kind == "ZeroDivisionError":
        print(1 / 0)  # noqa: T201 - never reached
    raise getattr(errors, kind)("What, got, expected, next step.")


if __name__ == "__main__":
    main.COMMANDS["fail"] = main.Entry("tests.cli.failing", "Raises.")
    main.main()
