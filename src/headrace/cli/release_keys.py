"""``headrace release keys``: the keys that sign releases, and those of other stages that are trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace.app.elsewhere.artefacts import release_keys, rotate_release_key
from headrace.app.governance.stage_keys import distrust_stage, own_key, stage_keys, trust_stage
from headrace.cli.session import As, Json, print_json, print_table, say, session
from headrace.core.errors import NotFound

keys = typer.Typer(no_args_is_help=True, help="The keys that sign releases, here and in stages before.")


@keys.command("ls")
def list_keys(as_name: As = None, as_json: Json = False) -> None:
    """List the public keys that releases are verified with, and those of other stages."""
    with session(as_name) as s:
        found = release_keys(s.app, s.me)
        stages = stage_keys(s.app, s.me)
    listed = [
        *(key._asdict() | {"stage": False} for key in found),
        *(key._asdict() | {"stage": True} for key in stages),
    ]
    if as_json:
        print_json(listed)
        return
    print_table(
        ("KEY", "SIGNS", "OF"),
        [
            (key["name"], "yes" if key["signs"] else "", "another stage" if key["stage"] else "here")
            for key in listed
        ],
        empty="No key yet.",
    )


@keys.command("show")
def show_key(as_name: As = None, as_json: Json = False) -> None:
    """Print the public key that verifies what is signed here, for the next stage to trust."""
    with session(as_name) as s:
        key = own_key(s.app, s.me)
    if as_json:
        print_json(key._asdict())
    else:
        typer.echo(key.pem, nl=False)


@keys.command("trust")
def trust(
    file: Annotated[Path, typer.Argument(help="What 'headrace release keys show' printed in that stage.")],
    note: Annotated[str, typer.Option(help="Whose key it is, and how you know; kept with your name.")] = "",
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Let releases be brought here that another stage has signed."""
    if not file.is_file():
        raise NotFound(f"There is no file {file}. Print it in that stage: headrace release keys show")
    with session(as_name) as s:
        name = trust_stage(s.app, s.me, file.read_bytes(), note)
    if as_json:
        print_json({"key": name})
    else:
        say(f"Releases signed by the key {name} may be brought here: headrace release import FILE")


@keys.command("distrust")
def distrust(
    name: Annotated[str, typer.Argument(help="The key's name, or its first letters.")],
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Let nothing more be brought here that a key of another stage signs; what was brought stays."""
    with session(as_name) as s:
        name = distrust_stage(s.app, s.me, name)
    if as_json:
        print_json({"key": name})
    else:
        say(f"Nothing more is brought here that the key {name} signs.")


@keys.command("rotate")
def rotate(as_name: As = None, as_json: Json = False) -> None:
    """Sign releases with a new key; those signed so far stay valid."""
    with session(as_name) as s:
        name = rotate_release_key(s.app, s.me)
    if as_json:
        print_json({"key": name})
    else:
        say(f"Releases are signed with the key {name} from now on.")
