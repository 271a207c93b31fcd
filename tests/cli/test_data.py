"""Commands about what may be kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.app.composition import open_app
from headrace.core.project import PrivacySpec
from headrace.data.sources import read_file
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
    assert "Erased from offers: 1 events, 1 rows of tables." in said
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


@pytest.fixture
def cars(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """A project of 60 cars, entered; one has a negative price, one is written in another case."""
    lines = [f"{1000 + 10 * i},{'Gas' if i % 2 else 'Diesel'},{9000 - i}" for i in range(60)]
    lines[4], lines[9] = "1040,Diesel,-5", "1090,GAS,8991"
    Path("cars.csv").write_text("\n".join(["km,fuel,price", *lines]) + "\n", encoding="utf-8")
    assert cli("init", "cars", "--data", "cars.csv", "--target", "price").code == 0
    monkeypatch.chdir("cars")
    charter = Path("headrace.yaml")
    text = charter.read_text(encoding="utf-8")
    assert "data:\n" in text
    charter.write_text(text.replace("data:\n", "data:\n  rules: [price > 0]\n", 1), encoding="utf-8")
    return cli


@pytest.mark.requirement("DAT-08")
def test_suspect_rows_are_listed_and_exported_with_their_reasons(cars: Cli) -> None:
    said = cars("data", "check", "--to", "suspect.csv").out
    assert "breaks the rule price > 0" in said
    assert "2 of 60 rows are wrong or dirty." in said
    found = cars("data", "check", "--json", "--to", "suspect.parquet").json
    assert {(x["row"], x["kind"], x["value"]) for x in found["rows"] if x["kind"] != "outlier"} == {
        (5, "wrong", "-5.0"),
        (10, "dirty", "GAS"),
    }
    exported = Path("suspect.csv").read_text(encoding="utf-8").splitlines()
    assert exported[0] == "row,column,kind,value,reason"
    assert len(exported) - 1 == sum(x["rows"] for x in found["reasons"])
    read = read_file(Path("suspect.parquet"))
    assert read["reason"].tolist() == [x["reason"] for x in found["rows"]]
    assert cars("data", "check", "--to", "suspect.xlsx").code == 2


@pytest.mark.requirement("DAT-08")
def test_another_table_is_held_against_the_same_rules_and_the_same_limit(cars: Cli) -> None:
    Path("new.csv").write_text("km,fuel,price\n1,Gas,5\n2,Diesel,6\n", encoding="utf-8")
    assert "Nothing suspect in 2 rows." in cars("data", "check", "new.csv").out
    Path("odd.csv").write_text("km,price\n1,5\n", encoding="utf-8")
    assert "no column 'fuel'" in cars("data", "check", "odd.csv").error
    charter = Path("headrace.yaml")
    text = charter.read_text(encoding="utf-8")
    charter.write_text(text.replace("max_null_fraction", "max_unfit_fraction: 0.01\n    max_null_fraction"))
    refused = cars("data", "check")
    assert (refused.code, "2 of 60 rows are wrong or dirty, more than 1.0%" in refused.error) == (3, True)
    assert cars("data", "check", "new.csv").code == 0
    charter.write_text(text.replace("price > 0", "price above 0"))
    assert "is no rule" in cars("data", "check").error


@pytest.mark.requirement("DAT-21")
def test_doubtful_labels_are_listed_and_exported(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 200 cars that cost what their mileage says has a digit too many."""
    lines = [f"{100 * i},{30_000 - 100 * i + 7 * (i % 13)}" for i in range(200)]
    lines[49] = f"{100 * 49},{10 * (30_000 - 4_900)}"
    Path("cars.csv").write_text("\n".join(["km,price", *lines]) + "\n", encoding="utf-8")
    assert cli("init", "cars", "--data", "cars.csv", "--target", "price").code == 0
    monkeypatch.chdir("cars")
    found = cli("data", "labels", "--json", "--to", "doubtful.csv").json
    assert (found["n_rows"], found["rows"][0]["row"]) == (200, 50)
    assert found["rows"][0]["reason"] == "is far above what rows like it have"
    assert found["n_doubtful"] == sum(one["rows"] for one in found["reasons"])
    exported = Path("doubtful.csv").read_text(encoding="utf-8").splitlines()
    assert exported[0] == "row,given,likely,score,reason"
    assert exported[1].startswith("50,251000")
    said = cli("data", "labels").out
    assert "of 200 rows are in doubt" in said
