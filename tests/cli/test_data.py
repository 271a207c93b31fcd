"""Commands about what may be kept."""

from __future__ import annotations

import pytest

from headrace.app.composition import open_app
from headrace.core.project import PrivacySpec
from headrace.store.records import encode_prediction
from headrace.testing import START, make_prediction, make_project, make_settings
from tests.cli.conftest import Cli


@pytest.fixture
def offers(cli: Cli) -> Cli:
    """A home with two answers of long ago."""
    with open_app(make_settings(cli.home, user=cli.user)) as app:
        app.me()
        spec = PrivacySpec(basis="contract", fields={"key": "keep"}, retention_days=1)
        app.store.projects.save(make_project(name="offers", privacy=spec), "")
        for key in ("4711", "4712"):
            made = make_prediction(
                id=f"p-{key}", n_rows=1, keys=[key], at=START, columns={}, outputs={"predict": [1.0]}
            )
            app.store.events.append("offers/predictions", [encode_prediction(made)])
    return cli


@pytest.mark.requirement("PRV-02")
def test_a_subject_is_erased_and_the_key_is_not_printed_as_proof(offers: Cli) -> None:
    asked = ("data", "erase", "offers", "--subject", "4711", "--reason", "ticket 88")
    said = offers(*asked).out
    assert "Erased from offers: 1 events, 1 rows of answers and labels." in said
    assert "not searched: snapshots and archives: the project names no data.key" in said
    assert "4711" not in said
    again = offers(*asked, "--json").json
    assert (again["events"], again["rows"]) == (0, 0)
    assert offers("data", "erase", "offers", "--subject", "x", "--reason", " ").code == 2


@pytest.mark.requirement("PRV-02")
def test_what_is_too_old_is_deleted(offers: Cli) -> None:
    assert "2 events, 2 rows" in offers("data", "retain", "offers").out
    assert offers("data", "retain", "offers", "--json").json["events"] == 0
    assert offers("data", "retain", "nothing").code == 2


@pytest.mark.requirement("PRV-01")
def test_tokens_are_made_and_read_back(offers: Cli) -> None:
    made = offers("data", "tokenise", "offers", given="to ada@example.org\n").out
    assert "ada" not in made
    assert offers("data", "restore", "offers", given=made).out == "to ada@example.org\n"
    assert offers("data", "restore", "offers", "--json", given=made).json == {"text": "to ada@example.org\n"}
