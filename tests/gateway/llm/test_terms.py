from __future__ import annotations

import pytest

from headrace.gateway.llm.terms import Terms, unmet
from headrace.projects.llm import Needs

_HEALTH = Needs(compliant_with=("HIPAA", "SOC2"))


@pytest.mark.parametrize(
    ("terms", "n_unmet"),
    [
        (Terms(compliant_with=("hipaa", "SOC2", "ISO27001")), 0),
        (Terms(self_hosted=True), 0),
        (Terms(compliant_with=("SOC2",)), 1),
        (Terms(), 1),
    ],
)
def test_health_data_goes_to_marked_and_self_hosted_models_only(terms: Terms, n_unmet: int) -> None:
    assert len(unmet(_HEALTH, terms)) == n_unmet


@pytest.mark.parametrize(
    ("needs", "terms", "said"),
    [
        (Needs(most_days=0), Terms(retains_days=0), ""),
        (Needs(most_days=0), Terms(retains_days=30), "30 days"),
        (Needs(most_days=30), Terms(), "nobody knows"),
        (Needs(untrained=True), Terms(trains_on_data=False), ""),
        (Needs(untrained=True), Terms(), "trains"),
        (Needs(untrained=True), Terms(self_hosted=True), ""),
        (Needs(regions=("eu",)), Terms(region="EU"), ""),
        (Needs(regions=("eu",)), Terms(region="us"), "us, not in eu"),
        (Needs(regions=("eu",)), Terms(self_hosted=True), "does not name"),
        (Needs(), Terms(), ""),
    ],
)
def test_what_is_not_promised_is_refused(needs: Needs, terms: Terms, said: str) -> None:
    found = unmet(needs, terms)
    assert len(found) == bool(said)
    assert said in "".join(found)


def test_everything_that_is_unmet_is_told() -> None:
    needs = Needs(compliant_with=("A",), most_days=1, untrained=True, regions=("eu",))
    assert len(unmet(needs, Terms())) == 4
    assert len(unmet(needs, Terms(), closed=True)) == 5
