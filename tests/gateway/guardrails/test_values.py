"""Prices in an answer are those of the system of record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from headrace.core.errors import InvalidInput
from headrace.gateway.guardrails.guards import Context
from headrace.gateway.guardrails.pipeline import Pipeline
from headrace.gateway.guardrails.values import Values, amounts_in

OUTPUT = Context(layer="output")
RECORD = {"Basic plan": ["9.90 EUR", "99 EUR"], "Team plan": ["1,290.00 EUR"], "Setup": ["$50"]}
PIPELINE = Pipeline([Values(RECORD)])

RIGHT = [
    "The Basic plan costs 9.90 EUR a month or €99 a year.",
    "Der Basic plan kostet 9,90 € im Monat.",
    "For 1.290,00 EUR you get the Team plan.",
    "The team plan is 1290 euros. Setup is $50.00, once.",
    "The Basic plan has 5 seats, 20 GB and opens in 3 days.",
    "No prices here, but version 9.90 and chapter 12.",
]
WRONG = [
    "The Basic plan costs 8.90 EUR a month.",
    "The Basic plan costs 9.90 USD a month.",
    "The Team plan costs 129 EUR, the Basic plan 99 EUR.",
    "For 99 EUR you get the Team plan.",
    "The Basic plan is great. It costs only €1.",
    "Setup costs 9.90 EUR.",
]


@pytest.mark.requirement("EVA-08")
@pytest.mark.parametrize("text", RIGHT)
def test_an_answer_with_the_prices_of_the_record_passes(text: str) -> None:
    checked = PIPELINE.check(text, OUTPUT)
    assert (checked.text, checked.hits) == (text, ())


@pytest.mark.requirement("EVA-08")
@pytest.mark.parametrize("text", WRONG)
def test_a_price_that_the_record_does_not_have_for_its_item_is_stopped(text: str) -> None:
    checked = PIPELINE.check(text, OUTPUT)
    assert checked.blocked
    assert [hit.rule for hit in checked.hits if hit.action == "block"] == ["values.wrong"]


def test_a_price_of_nothing_that_is_known_is_flagged() -> None:
    checked = PIPELINE.check("Delivery is 4.90 EUR.", OUTPUT)
    assert [hit.rule for hit in checked.hits] == ["values.unknown"]
    assert checked.verdict == "flag"


@pytest.mark.requirement("EVA-08")
def test_the_record_is_asked_when_the_text_is_checked() -> None:
    now: dict[str, Sequence[str]] = {"Basic plan": ["9.90 EUR"]}
    pipeline = Pipeline([Values(lambda: now)])
    assert not pipeline.check("The Basic plan is 9.90 EUR.", OUTPUT).blocked
    now["Basic plan"] = ["10.90 EUR"]
    assert pipeline.check("The Basic plan is 9.90 EUR.", OUTPUT).blocked


def test_nothing_passes_when_the_record_cannot_be_read() -> None:
    def down() -> Mapping[str, Sequence[str]]:
        raise TimeoutError

    checked = Pipeline([Values(down)]).check("The Basic plan is 9.90 EUR.", OUTPUT)
    assert [hit.rule for hit in checked.hits] == ["values.error"]
    assert checked.blocked


def test_a_wrong_price_can_be_masked() -> None:
    pipeline = Pipeline([Values(RECORD, wrong="mask")])
    assert pipeline.check("The Basic plan is 8 EUR.", OUTPUT).text == "The Basic plan is <AMOUNT>."


@pytest.mark.parametrize(
    ("text", "value", "currency"),
    [
        ("$1,234.50", "1234.50", "USD"),
        ("1.234,50 €", "1234.50", "EUR"),
        ("CHF 1'234.50", "1234.50", "CHF"),
        ("12 345 zł", "12345", "PLN"),
        ("20 dollars", "20", "USD"),
        ("£3", "3", "GBP"),
    ],
)
def test_an_amount_is_read_as_it_is_written(text: str, value: str, currency: str) -> None:
    (amount,) = amounts_in(f"It is {text}.")
    assert (f"{amount.value:.2f}", amount.currency) == (f"{float(value):.2f}", currency)


def test_a_record_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'nine' for 'Basic plan'"):
        Values({"Basic plan": ["nine"]})
