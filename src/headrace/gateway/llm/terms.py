"""What a provider does with what it is sent, and what data demands of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


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


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What data demands of whoever is sent it; nothing by default.

    Attributes:
        compliant_with: all of these, unless it is self-hosted.
        most_days: that it may be kept.
        untrained: nobody may learn from it.
        regions: where it may be processed; anywhere if empty.
    """

    compliant_with: tuple[str, ...] = ()
    most_days: int | None = None
    untrained: bool = False
    regions: tuple[str, ...] = ()

    def unmet(self, terms: Terms) -> tuple[str, ...]:
        """What ``terms`` do not promise, one text each; empty: the data may go there.

        >>> Needs(compliant_with=("HIPAA",), untrained=True).unmet(Terms(compliant_with=("hipaa",)))
        ('it trains on what it is sent, or does not say',)
        """
        return tuple(self._unmet(terms))

    def _unmet(self, terms: Terms) -> Iterator[str]:
        kept, promised = terms.retains_days, {one.casefold() for one in terms.compliant_with}
        missing = [one for one in self.compliant_with if one.casefold() not in promised]
        if missing and not terms.self_hosted:
            yield f"it is neither self-hosted nor marked compliant with {', '.join(missing)}"
        if self.most_days is not None and not terms.self_hosted and (kept is None or kept > self.most_days):
            said = "nobody knows how long" if kept is None else f"for {kept} days"
            yield f"it keeps what it is sent {said}; {self.most_days} are allowed"
        if self.untrained and terms.trains_on_data and not terms.self_hosted:
            yield "it trains on what it is sent, or does not say"
        if self.regions and terms.region.casefold() not in {one.casefold() for one in self.regions}:
            place = terms.region or "a place it does not name"
            yield f"it works in {place}, not in {', '.join(self.regions)}"
