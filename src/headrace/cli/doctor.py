"""``headrace doctor``: check this machine and this home."""

from __future__ import annotations

import typer

from headrace.app.health import examine
from headrace.cli.exits import end_with
from headrace.cli.session import As, Json, print_json, say, session
from headrace.core.errors import GateFailed

app = typer.Typer(add_completion=False)


@app.command()
def doctor(as_name: As = None, as_json: Json = False) -> None:
    """Check this machine and this home: libraries, disk, stores, audit chain."""
    with session(as_name) as s:
        findings = examine(s.app)
    if as_json:
        print_json(findings)
    else:
        for finding in findings:
            say(f"  {'ok ' if finding.healthy else '-- '} {finding.name:<12} {finding.detail}")
    ill = [finding.name for finding in findings if not finding.healthy]
    if ill:
        end_with(GateFailed(f"Not healthy: {', '.join(ill)}."), as_json=as_json)
