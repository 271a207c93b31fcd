"""``headrace access policy``: propose, review and take back what is allowed to whom."""

from __future__ import annotations

import typer

from headrace.app.governance.policies import POLICY
from headrace.cli.reviewed_texts import OneVersion, add_changing, add_looking
from headrace.cli.session import As, Json, print_json, session

app = typer.Typer(no_args_is_help=True, help="The policy: propose, review, take back.")


@app.command("show")
def show(version: OneVersion = None, as_name: As = None, as_json: Json = False) -> None:
    """Print a version's text: redirect it into a file, change it, propose it."""
    with session(as_name) as s:
        shown = POLICY.show(s.app, s.me, version)
    if as_json:
        print_json(shown)
    else:
        typer.echo(shown.text, nl=False)


add_looking(app, POLICY, empty="The default policy is in force, and nothing else was proposed.")
add_changing(app, POLICY, kind="policy")
