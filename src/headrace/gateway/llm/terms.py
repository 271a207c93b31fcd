"""What a provider does with what it is sent, and whether data that demands more may go there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from headrace.projects.llm import Needs


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a provider does with what it is sent. What is not said is assumed to be the worst.

    Attributes:
        retains_days: how long it keeps it; None: nobody knows.
        trains_on_data: whether it learns from it.
        region: where it is processed, such as ``eu``.
        compliant_with: what it has agreed to in a contract, such as ``HIPAA``.
        self_hosted: whether it is our own, so that nothing leaves.
        stated_in: the contract or page that says so.
    """

    retains_days: int | None = None
    trains_on_data: bool = True
    region: str = ""
    compliant_with: tuple[str, ...] = ()
    self_hosted: bool = False
    stated_in: str = ""


def unmet(needs: Needs, terms: Terms, *, closed: bool = False) -> tuple[str, ...]:
    """What ``terms`` do not promise, one text each; empty: the data may go there.

    Args:
        closed: nothing at all may leave one's own machines.

    >>> unmet(Needs(compliant_with=("HIPAA",), untrained=True), Terms(compliant_with=("hipaa",)))
    ('it trains on what it is sent, or does not say',)
    """
    return tuple(_unmet(needs, terms, closed))


def _unmet(needs: Needs, terms: Terms, closed: bool) -> Iterator[str]:
    if closed and not terms.self_hosted:
        yield "it is not self-hosted, and nothing leaves here (HEADRACE_CLOSED)"
    kept, promised = terms.retains_days, {one.casefold() for one in terms.compliant_with}
    missing = [one for one in needs.compliant_with if one.casefold() not in promised]
    if missing and not terms.self_hosted:
        yield f"it is neither self-hosted nor marked compliant with {', '.join(missing)}"
    if needs.most_days is not None and not terms.self_hosted and (kept is None or kept > needs.most_days):
        said = "nobody knows how long" if kept is None else f"for {kept} days"
        yield f"it keeps what it is sent {said}; {needs.most_days} are allowed"
    if needs.untrained and terms.trains_on_data and not terms.self_hosted:
        yield "it trains on what it is sent, or does not say"
    if needs.regions and terms.region.casefold() not in {one.casefold() for one in needs.regions}:
        place = terms.region or "a place it does not name"
        yield f"it works in {place}, not in {', '.join(needs.regions)}"
