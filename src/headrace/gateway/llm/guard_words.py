"""What guards found, in words for somebody who reads it for the first time.

It is not among the guards, whose code every release pins: words for people change without a new approval.
"""

from __future__ import annotations

MEANS: dict[str, str] = {
    "canary.leak": "a line of the prompt",
    "egress.image": "an image on a host that is not declared",
    "egress.link": "an address on a host that is not declared",
    "hygiene.hidden": "characters that nobody sees",
    "hygiene.size": "a text that is too long to be looked at",
    "injection.action": "an order to act without leave, or unseen",
    "injection.data": "an order to give away secrets, or somebody else's data",
    "injection.forged": "marks that make a text pass for another role's",
    "injection.leak": "an order to tell the prompt",
    "injection.likely": "a text that reads like an order to the model",
    "injection.override": "an order to set instructions aside",
    "personal.secret": "a secret, such as a key or a password",
    "pins.guard": "a guard that is not set as it was approved",
    "pins.guards": "guards whose code is not as it was approved",
    "pins.model": "an answer by a model that has not answered the evaluation",
    "pins.terms": "terms of a provider that are not as they were approved",
    "schema.invalid": "an answer that does not keep its JSON schema",
    "schema.json": "an answer that is no JSON",
    "support.date": "a date that stands in no source",
    "support.name": "a name that stands in no source",
    "support.number": "a number that stands in no source",
    "values.unknown": "an amount of no item that the record has",
    "values.wrong": "an amount that the record does not have for its item",
}
WHERE: dict[str, str] = {
    "input": "what callers write",
    "context": "background",
    "tool_arguments": "what tools are given",
    "tool_result": "what tools give back",
    "output": "answers",
}
DONE: dict[str, str] = {"block": "blocked", "mask": "masked", "flag": "flagged", "pass": "let through"}


def meaning(rule: str) -> str:
    """What a rule is about; empty where nobody has said it.

    >>> meaning("personal.email"), meaning("values.error")
    ('data about people: email', 'something that the guard values could not look at')
    """
    guard, _, kind = rule.partition(".")
    if rule in MEANS:
        return MEANS[rule]
    if kind == "error":
        return f"something that the guard {guard} could not look at"
    kinds = {
        "personal": f"data about people: {kind.replace('_', ' ')}",
        "pins": f"a {kind} that is not as it was approved",
        "wording": f"words of the topic {kind!r}",
    }
    return kinds.get(guard, "")


def parts_of(found: str) -> tuple[str, str, str]:
    """Rule, layer and action of a hit as it is recorded; a rule may be of several words, as topics are.

    >>> parts_of("wording.legal advice output flag")
    ('wording.legal advice', 'output', 'flag')
    """
    rule, layer, action = [*found.rsplit(" ", 2), "", ""][:3]
    return rule, layer, action


def told(found: str) -> str:
    """A hit as it is recorded, its rule, layer and action, in plain words and by its rule.

    >>> told("injection.override input block")
    'blocked: an order to set instructions aside, in what callers write (injection.override)'
    """
    rule, layer, action = parts_of(found)
    means = meaning(rule)
    if layer not in WHERE or action not in DONE or not means:
        return found
    place = where(rule, layer)
    return f"{DONE[action]}: {means}{f', in {place}' if place else ''} ({rule})"


def where(rule: str, layer: str) -> str:
    """In what a rule found something; nothing for a release that has moved, which is no text."""
    return "" if rule.startswith("pins.") else WHERE.get(layer, layer)
