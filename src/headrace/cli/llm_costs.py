"""``headrace llm costs``: what calls have cost, beside other models and machines of one's own."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.app.llm.self_hosting import Comparison, Machine, Period, compare_costs
from headrace.cli.session import As, Json, print_json, print_table, say, session


def costs(
    project: Annotated[str, typer.Argument(help="Name of a project whose answers are texts.")],
    self_hosted: Annotated[str, typer.Option(help="Name of the model that would run on your machines.")],
    per_hour: Annotated[float, typer.Option(help="What a machine costs by the hour.")],
    tokens_per_s: Annotated[float, typer.Option(help="Tokens, in and out, that one gets through a second.")],
    days: Annotated[int, typer.Option(help="How many days to look back, today included.")] = 30,
    as_name: As = None,
    as_json: Json = False,
) -> None:
    """Compare what calls have cost with other models' prices and with hosting a model yourself."""
    machine = Machine(model=self_hosted, per_hour=per_hour, tokens_per_s=tokens_per_s)
    with session(as_name) as s:
        found = compare_costs(s.app, s.me, project, machine, days=days)
    if as_json:
        print_json(found)
        return
    others = sorted(found.total.others)
    heads = ("DAY", "CALLS", "TOKENS IN", "TOKENS OUT", "PAID", "SELF-HOSTED", "USED")
    rows = [*found.days, *found.months, found.total]
    print_table((*heads, *others), [_row(one, others) for one in rows], empty="")
    for text in _said(found):
        say(text)


def _row(one: Period, others: list[str]) -> tuple[object, ...]:
    paid = f"{one.cost:,.2f}" + (f" (+{one.n_unpriced:,} of unknown cost)" if one.n_unpriced else "")
    at = (one.others[name] for name in others)
    return (
        one.name,
        f"{one.n:,}",
        f"{one.tokens_in:,}",
        f"{one.tokens_out:,}",
        paid,
        f"{one.own:,.2f}",
        f"{one.utilisation:.1%}",
        *("no price" if cost is None else f"{cost:,.2f}" for cost in at),
    )


def _said(found: Comparison) -> list[str]:
    machine = found.machine
    even = found.break_even_tokens
    needed = (
        f"Money is in {found.currency}. The busiest hour had {found.peak_tokens:,} tokens, which takes "
        f"{found.n_machines:,} machine(s) for {machine.model} at {machine.per_hour:g} an hour."
    )
    pays = "At what a token has cost so far, as far as known, no volume makes self-hosting cheaper."
    if even is not None:
        pays = f"Self-hosting is cheaper from {even:,.0f} tokens a day on, at what a token has cost so far."
    return [needed, pays, "What this leaves out:", *(f"- {text}" for text in found.assumed)]
