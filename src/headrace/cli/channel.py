"""``headrace monitor channel``: the ways by which people are told of alerts."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.app.alerting import telling
from headrace.cli.session import As, Json, print_json, print_table, say, session

app = typer.Typer(no_args_is_help=True, help="The ways by which people are told of alerts.")


@app.command("ls")
def list_channels(as_name: As = None, as_json: Json = False) -> None:
    """List the channels that projects can name; the environment variables HEADRACE_CHANNEL_NAME set them."""
    with session(as_name) as s:
        found = telling.ways(s.app, s.me)
    if as_json:
        print_json(found)
        return
    print_table(
        ("NAME", "TELLS"),
        [(way.name, "persons" if way.personal else "who reads there") for way in found],
        empty="Nobody can be told yet. Set HEADRACE_CHANNEL_EMAIL, for example.",
    )


@app.command("try")
def try_channel(
    name: Annotated[str, typer.Argument(help="Name of the channel.")],
    to: Annotated[str, typer.Option(metavar="ADDRESS", help="Whom to tell, for e-mail.")] = "",
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Send a message that says it is a test."""
    with session(as_name) as s:
        sent = telling.try_channel(s.app, s.me, name, to)
    if as_json:
        print_json(sent)
    else:
        say(f"The channel {name} has taken the message {sent.id}.")
