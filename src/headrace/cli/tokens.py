"""``headrace access token``, ``keys`` and ``revoke``: what speaks for an identity, and its end."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.app import credentials
from headrace.cli.session import As, Code, Json, Session, print_json, print_table, say, session

keys = typer.Typer(no_args_is_help=True, help="The keys that sign tokens.")


def token(
    as_name: As = None,
    run: Annotated[str | None, typer.Option("--run", help="The run that an agent's token is for.")] = None,
    tool: Annotated[
        list[str] | None, typer.Option("--tool", help="A tool that it may call; repeatable.")
    ] = None,
    minutes: Annotated[int, typer.Option(min=1, max=15, help="How long it lives.")] = 15,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Also a refresh token, good for 12 hours, for a program.")
    ] = False,
    code: Code = None,
    as_json: Json = False,
) -> None:
    """Print a bearer token for HTTP; it lives at most 15 minutes. An agent's is bound to a run and tools.

    With a code it carries the proof, for ten minutes.
    """
    with session(as_name, code) as s:
        if refresh:
            _print_refreshing(s)
            return
        asking, proof = _asking(s), s.me.session
        tools = tuple(tool) if tool is not None else (() if run is not None else None)
        issued = credentials.issue_token(
            s.app,
            asking.me,
            s.me.name,
            ttl_s=minutes * 60,
            run=run,
            tools=tools,
            proved_until=None if proof is None else proof.proved_until,
            proof=None if proof is None else proof.proof,
        )
    if as_json:
        print_json({"token": issued.text, "id": issued.id, "principal": s.me.name, "ttl_s": minutes * 60})
    else:
        typer.echo(issued.text)


def _print_refreshing(s: Session) -> None:
    """In the form in which OAuth libraries take tokens."""
    issued, begun = credentials.issue_refresh_token(s.app, s.me)
    print_json(
        {
            "access_token": issued.text,
            "token_type": "Bearer",
            "expires_at": int(issued.expires_at.timestamp()),
            "refresh_token": begun.text,
        }
    )


def _asking(s: Session) -> Session:
    """A person asks for themselves; for a service or an agent whoever runs the command does."""
    return s if s.me.kind == "person" else Session(app=s.app, me=s.app.me())


def revoke(
    name: Annotated[str, typer.Argument(help="Whose tokens.")],
    token: Annotated[str | None, typer.Option("--token", help="Only the token with this id (jti).")] = None,
    run: Annotated[str | None, typer.Option("--run", help="Only the tokens of this run.")] = None,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """End tokens before their time: all that an identity has, or one, or those of a run."""
    with session(as_name) as s:
        revoked = credentials.revoke_tokens(s.app, s.me, name, token=token, run=run)
    if as_json:
        print_json(revoked)
    else:
        what = f"Token {token}" if token else f"The tokens of run {run}" if run else "Every token so far"
        say(f"{what} of {name} is worth nothing from now on.")


@keys.command("rotate")
def rotate(as_name: As = None, as_json: Json = False) -> None:
    """Sign with a new key from now on; tokens that are out stay valid until they end."""
    with session(as_name) as s:
        kid = credentials.rotate_keys(s.app, s.me)
    if as_json:
        print_json({"signs": kid})
    else:
        say(f"{kid} signs from now on. The old key verifies until its last token has ended.")


@keys.command("ls")
def list_keys(as_name: As = None, as_json: Json = False) -> None:
    """List the keys that verify tokens."""
    with session(as_name) as s:
        signs, *retired = credentials.key_names(s.app, s.me)
    if as_json:
        print_json({"signs": signs, "verify": [signs, *retired]})
    else:
        rows = [(signs, "signs"), *((kid, "verifies") for kid in retired)]
        print_table(("KEY", "IT"), rows, empty="None yet.")
