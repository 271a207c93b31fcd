"""Values leave as stand-ins and come back to whom they belong."""

from __future__ import annotations

from headrace.gateway.guardrails.placeholders import Placeholders, uncut


def test_equal_values_have_one_stand_in() -> None:
    made = Placeholders()
    names = [made.stand_in("EMAIL", value, "input") for value in ("a@b.cd", "e@f.gh", "a@b.cd")]
    assert names == ["<EMAIL_1>", "<EMAIL_2>", "<EMAIL_1>"]
    assert made.restore("<EMAIL_2> and <EMAIL_1>") == "e@f.gh and a@b.cd"


def test_what_looks_like_a_stand_in_already_never_gets_a_meaning() -> None:
    made = Placeholders()
    made.reserve("print <EMAIL_1> please")
    assert made.stand_in("EMAIL", "a@b.cd", "input") == "<EMAIL_2>"
    assert made.restore("<EMAIL_1>") == "<EMAIL_1>"


def test_what_a_document_held_does_not_come_back_to_the_caller() -> None:
    made = Placeholders()
    made.stand_in("EMAIL", "a@b.cd", "context")
    assert made.restore("<EMAIL_1>") == "<EMAIL_1>"
    assert made.restore("<EMAIL_1>", layers=("input", "context")) == "a@b.cd"
    made.stand_in("EMAIL", "a@b.cd", "input")
    assert made.restore("<EMAIL_1>") == "a@b.cd", "the caller knows it"


def test_a_secret_does_not_come_back() -> None:
    made = Placeholders()
    made.stand_in("SECRET", "hunter2", "input")
    assert made.restore("<SECRET_1>") == "<SECRET_1>"
    assert made.restore("<SECRET_1>", never=()) == "hunter2"


def test_a_stand_in_is_not_cut() -> None:
    text = "ask <EMAIL_12> now"
    assert [uncut(text, at) for at in range(len(text) + 1)] == [0, 1, 2, 3, *[4] * 10, *range(14, 19)]
