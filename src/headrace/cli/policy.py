"""``headrace access policy``: propose, review and take back what is allowed to whom."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace.access.rules import LARGEST
from headrace.app.policies import POLICY
from headrace.cli.session import As, Json, print_json, print_table, session
from headrace.core.errors import InvalidInput
from headrace.core.identity import PolicyText

app = typer.Typer(no_args_is_help=True, help="The policy: propose, review, take back.")
Version = Annotated[
    int, typer.Argument(min=0, max=2**31, help="Its number; see 'headrace access policy ls'.")
]
Comment = Annotated[str, typer.Option(help="Why; kept with the version.")]
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A Cedar text.")]


def read_policy(file: Path) -> str:
    """The text of a policy file.

    Raises:
        InvalidInput: it is too large, cannot be read, or is not UTF-8.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(4 * LARGEST + 1)
        if len(data) > 4 * LARGEST:
            raise InvalidInput(f"{file} is too large for a policy: at most {LARGEST:,} characters are taken.")
        return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read as a policy: {error}. Expected UTF-8 text.") from error


@app.command("show")
def show(
    version: Annotated[
        int | None, typer.Argument(min=0, max=2**31, help="The one in force if absent.")
    ] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Print a version's text: redirect it into a file, change it, propose it."""
    with session(as_name) as s:
        shown = POLICY.show(s.app, s.me, version)
    if as_json:
        print_json(shown)
    else:
        typer.echo(shown.text, nl=False)


@app.command("ls")
def list_versions(as_name: As = None, as_json: Json = False) -> None:
    """List all versions, oldest first."""
    with session(as_name) as s:
        found = POLICY.versions(s.app, s.me)
    if as_json:
        print_json(found)
        return
    print_table(
        ("VERSION", "STATE", "AUTHOR", "DECIDED BY", "SINCE", "COMMENT"),
        [(t.version, t.state, t.author, t.approver, f"{t.at:%Y-%m-%d %H:%M}", t.comment) for t in found],
        empty="The default policy is in force, and nothing else was proposed.",
    )


@app.command("diff")
def diff(version: Version, as_name: As = None, as_json: Json = False) -> None:
    """What a version would change of the policy in force."""
    with session(as_name) as s:
        changes = POLICY.difference(s.app, s.me, version)
    if as_json:
        print_json({"version": version, "diff": changes})
    else:
        typer.echo(changes or "Nothing.", nl=not changes)


@app.command("propose")
def propose(file: File, comment: Comment = "", as_name: As = None, as_json: Json = False) -> None:
    """Put a text up for review; it holds once somebody else has approved it."""
    text = read_policy(file)
    with session(as_name) as s:
        _print(POLICY.propose(s.app, s.me, text, comment), as_json)


@app.command("approve")
def approve(version: Version, comment: Comment = "", as_name: As = None, as_json: Json = False) -> None:
    """Put a waiting version into force, on every process at once; never one's own."""
    with session(as_name) as s:
        _print(POLICY.decide(s.app, s.me, version, "approved", comment).text, as_json)


@app.command("reject")
def reject(version: Version, comment: Comment = "", as_name: As = None, as_json: Json = False) -> None:
    """Refuse a waiting version; never one's own."""
    with session(as_name) as s:
        _print(POLICY.decide(s.app, s.me, version, "rejected", comment).text, as_json)


@app.command("revert")
def revert(comment: Comment = "", as_name: As = None, as_json: Json = False) -> None:
    """Propose the text that was in force before this one."""
    with session(as_name) as s:
        _print(POLICY.revert(s.app, s.me, comment), as_json)


def _print(text: PolicyText, as_json: bool) -> None:
    if as_json:
        print_json(text)
        return
    what = {"waiting": "waits for somebody else to approve it", "live": "is in force"}
    typer.echo(f"Version {text.version} {what.get(text.state, f'is {text.state}')}.")
    if text.state == "waiting":
        typer.echo(f"Look at it: headrace access policy diff {text.version}")
