"""What an answer says in numbers, dates and names stands in its sources."""

from __future__ import annotations

import pytest

from headrace.core.errors import InvalidInput
from headrace.gateway.guardrails.figures import figures_in
from headrace.gateway.guardrails.guards import Context
from headrace.gateway.guardrails.pipeline import Pipeline
from headrace.gateway.guardrails.streams import CheckedStream
from headrace.gateway.guardrails.support import Support

SOURCE = (
    "The Harbour Bridge in Newcastle was opened on 12 June 1931 by Jane Porter. It is 1,280 metres long, "
    "cost 4.2 million pounds, and 35% of the traffic are lorries. A second bridge followed in 1987."
)
CONTEXT = Context(layer="output", sources=(SOURCE, "How long is the bridge, and who opened it?"))

SUPPORTED = [
    "The bridge is 1280 metres long and was opened by Jane Porter on 1931-06-12.",
    "It was opened on June 12, 1931. In 1987 a second one followed.",
    "The Harbour Bridge cost 4,200,000 pounds; lorries are 35 % of the traffic.",
    "1. It is long.\n2. It is old.\n3. Lorries use it.",
    "However, there are two reasons to like Newcastle. Porter opened it.",
    "I do not know. The text does not say it.",
]
UNSUPPORTED = [
    ("The bridge is 1380 metres long.", ["support.number"]),
    ("It was opened on 21 June 1931.", ["support.date"]),
    ("It was opened by Jane Foster.", ["support.name"]),
    ("It cost 42 million pounds.", ["support.number"]),
    ("It is near the Tyne Theatre and carries 45% lorries.", ["support.name", "support.number"]),
    ("Lorries are 3% of the traffic.", ["support.number"]),
]


@pytest.mark.parametrize("text", SUPPORTED)
def test_what_stands_in_the_sources_passes(text: str) -> None:
    assert Support().check(text, CONTEXT) == []


@pytest.mark.parametrize(("text", "rules"), UNSUPPORTED)
def test_what_stands_in_none_is_flagged(text: str, rules: list[str]) -> None:
    checked = Pipeline([Support()]).check(text, CONTEXT)
    assert [hit.rule for hit in checked.hits] == rules
    assert (checked.text, checked.verdict) == (text, "flag")


def test_an_answer_with_too_much_of_it_is_withheld() -> None:
    pipeline = Pipeline([Support(withhold_at=2)])
    assert pipeline.check("It is 1380 metres long.", CONTEXT).verdict == "flag"
    assert pipeline.check("It is 1380 metres long, and 77 wide.", CONTEXT).blocked


def test_without_sources_nothing_is_said() -> None:
    assert Support().check("It is 1380 metres long.", Context(layer="output", sources=(" ",))) == []


def test_a_stream_is_told_at_its_end_and_waits_only_where_it_may_be_withheld() -> None:
    stream = CheckedStream(Pipeline([Support()]), CONTEXT)
    assert stream.feed("It is 1380 metres long.").text == "It is 1380 metres long."
    assert [hit.rule for hit in stream.close().hits] == ["support.number"]
    held = CheckedStream(Pipeline([Support(withhold_at=1)]), CONTEXT)
    assert held.feed("It is 1380 metres long.").text == ""
    assert held.close().blocked


def test_a_threshold_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="withhold_at is 0"):
        Support(withhold_at=0)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("03/04/2024", {"2024-03-04", "2024-04-03"}),
        ("3rd of March 2024", {"2024-03-03"}),
        ("1.234.567,8", {"1234567.8"}),
        ("0.125", {"0.125"}),
        ("2k", {"2000"}),
    ],
)
def test_figures_come_to_one_form(text: str, values: set[str]) -> None:
    (figure,) = figures_in(text)
    assert figure.values == values
