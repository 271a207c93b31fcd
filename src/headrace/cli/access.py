"""``headrace access``: identities and tokens."""

from __future__ import annotations

import typer

from headrace.cli import explain, factor, grant, incident, inventory, policy, secret, sign_in, tokens, user

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Identities, tokens, policy and grants.")
app.add_typer(user.app, name="user")
user.app.command("link")(factor.link)
user.app.command("unlink")(factor.unlink)
app.add_typer(factor.app, name="factor")
app.add_typer(incident.app, name="incident")
app.add_typer(secret.app, name="secret")
app.add_typer(tokens.keys, name="keys")
app.command("flag")(incident.flag)
app.command("inventory")(inventory.list_everybody)
app.command("unused")(inventory.list_unused)
app.add_typer(policy.app, name="policy")
app.add_typer(grant.app, name="grant")
app.command("test")(explain.try_examples)
app.command("explain")(explain.explain_decision)
app.command("may")(explain.list_reach)
app.command("token")(tokens.token)
app.command("sign-in")(sign_in.sign_in)
app.command("revoke")(tokens.revoke)
