"""``headrace model provider``: the language models that may be called, and the keys for them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from headrace.app.llm import providers
from headrace.app.llm.providers import Offered
from headrace.cli.session import As, Json, print_json, print_table, say, session

app = typer.Typer(no_args_is_help=True, help="Language models that may be called, and the keys for them.")
Name = Annotated[str, typer.Argument(help="Name of the key, as providers.yaml says it.")]


@app.command("ls")
def list_models(as_name: As = None, as_json: Json = False) -> None:
    """List the language models of providers.yaml: version, how old what they know is, terms, price."""
    with session(as_name) as s:
        found = providers.offered(s.app, s.me)
    if as_json:
        print_json(found)
        return
    print_table(
        ("MODEL", "VERSION", "KNOWS UNTIL", "TERMS", "PRICE IN/OUT", "OWNER", "SERVICE LEVEL", "LACKS"),
        [
            (
                f"{one.provider}/{one.model or '*'}",
                "" if not one.model else "alias, may change" if one.is_alias else "exact",
                _known_until(one),
                _terms(one),
                "unknown" if one.price_in is None else f"{one.price_in:g} / {one.price_out:g}",
                one.owner or "nobody",
                one.service_level or "none stated",
                ", ".join(one.lacks),
            )
            for one in found
        ],
        empty="No language model may be called yet. Declare one in providers.yaml in the home.",
    )


@app.command("keys")
def list_keys(as_name: As = None, as_json: Json = False) -> None:
    """List the names of the keys in the vault; the keys themselves are never shown."""
    with session(as_name) as s:
        names = providers.key_names(s.app, s.me)
    if as_json:
        print_json(names)
    else:
        print_table(("KEY",), [(name,) for name in names], empty="No key yet.")


@app.command("set-key")
def set_key(name: Name, as_name: As = None, as_json: Json = False) -> None:
    """Put a key into the vault; it is asked for, or read from standard input: no list of commands has it."""
    shown = not sys.stdin.isatty()
    key = typer.get_text_stream("stdin").readline() if shown else typer.prompt("Key", hide_input=True)
    with session(as_name) as s:
        providers.put_key(s.app, s.me, name, key.strip())
    if as_json:
        print_json({"key": name})
    else:
        say(f"The key {name} is in the vault. Write 'secret: {name}' below its provider in providers.yaml.")


@app.command("remove-key")
def remove_key(name: Name, as_name: As = None, as_json: Json = False) -> None:
    """Take a key out of the vault."""
    with session(as_name) as s:
        removed = providers.remove_key(s.app, s.me, name)
    if as_json:
        print_json({"key": name, "removed": removed})
    else:
        say(f"The key {name} is gone." if removed else f"There was no key {name}.")


def _known_until(one: Offered) -> str:
    if one.trained_until is None:
        return "nobody says"
    return f"{one.trained_until} ({one.days_behind} days{', stale' if one.is_stale else ''})"


def _terms(one: Offered) -> str:
    terms = one.terms
    if terms.self_hosted:
        return "self-hosted"
    kept = "kept for ever" if terms.retains_days is None else f"kept {terms.retains_days} days"
    said = [kept, "trained on" if terms.trains_on_data else "not trained on", terms.region]
    return ", ".join(filter(None, [*said, *terms.compliant_with]))
