"""``headrace llm files``: what instructs an agent, as a release has it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace.app.llm.agent_files import agent_files, write_agent_files
from headrace.cli.session import As, Json, print_json, print_table, say, session


def files(
    project: Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="The live version unless named.")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Write them below this new folder.")
    ] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """List the files that instruct an agent in a release, such as AGENTS.md and skills, or write them out."""
    with session(as_name) as s:
        found = (
            agent_files(s.app, s.me, project) if to is None else write_agent_files(s.app, s.me, project, to)
        )
    release = found.version.release
    if as_json:
        about = {"release": release.id, "version": found.version.version, "state": release.state}
        sizes = {"at_start": found.at_start, "limits": found.limits, "files": found.files}
        print_json(about | sizes | ({} if to is None else {"folder": str(to)}))
        return
    print_table(
        ("FILE", "READ", "CHARACTERS", "TOKENS, ABOUT", ""),
        [
            (one.path, one.read, f"{one.characters:,}", f"{one.tokens:,}", "too long" * found.is_over(one))
            for one in found.files
        ],
        empty="No file instructs an agent. Name them in the prompt under 'agent_files', then headrace run.",
    )
    if found.files:
        say(
            f"Version {found.version.version} ({release.state}): {found.at_start:,} characters before the "
            f"first call, of at most {found.limits.at_start:,}."
        )
    if to is not None:
        say(f"They are in {to}. What differs from the live version: headrace release diff {release.id}")
