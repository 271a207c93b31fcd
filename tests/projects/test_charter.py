"""Reading ``headrace.yaml``: every mistake is named with its place."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from headrace.core.errors import InvalidInput, NotFound
from headrace.core.project import ReferenceDays
from headrace.projects.charter import CHARTER, load_project, project_schema

GOOD = """\
name: cars
task: regression
owner: {name: Ann, contact: ann@localhost}
value: {hypothesis: fair prices, kpi: margin}
data:
  source: data/cars.csv
  target: price
  columns:
    - {name: year, role: numeric}
gates:
  data: {min_rows: 10}
  model: {metric: mae}
variants:
  - {name: linear, trainer: linear}
governance:
  {affected: sellers, harms: a price too low, fairness: only cars are described, security: none known,
   automation: recommends, impact: minor, scale: few, reversible: at_once, personal_data: none}
"""


def write(folder: Path, text: str) -> Path:
    (folder / CHARTER).write_text(text, encoding="utf-8")
    return folder


def test_a_good_charter_is_typed_and_has_defaults(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, GOOD))
    assert project.name == "cars"
    assert project.data.columns[0].role == "numeric"
    assert project.split.test_fraction == 0.3
    assert project.approval == "manual"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("min_rows: 10", "min_rows: ten", r"line 11, column 10: gates.data.min_rows: .*integer, got 'ten'"),
        ("task: regression", "task: guessing", r"line 2, column 1: task: .*'regression'.*got 'guessing'"),
        ("role: numeric", "roll: numeric", r"line 9, column 20: unknown key 'data.columns.0.roll'"),
        ("  target: price\n", "", r"line 5, column 1: data.target: field required"),
        ("metric: mae", "metric: log_loss", r"'log_loss' is no loss for regression \(known: mae, mse, smape"),
        ("name: year", "name: price", "the target 'price' is listed as an input"),
        ("name: cars", "name: My Cars", "name: cannot be|cannot be 'My Cars'"),
        ("role: numeric", "role: ignored", "no column is an input"),
        (
            "task: regression",
            "task: regression\ntask: regression",
            "line 3, column 1: task: the key is here twice",
        ),
        ("trainer: linear", "trainer: linear, trainer: l", "line 14, column 37: variants.0.trainer: .*twice"),
        ("  target: price", "  target: price\n  key: price", "line 8, column 3: .*cannot be the key too"),
        ("min_rows: 10", "min_rows: -5", "line 11, column 10: gates.data.min_rows is -5: expected 1 or more"),
        (
            "metric: mae",
            "metric: mae, confidence: 95",
            r"confidence is 95.0: expected a number between 0 and 1",
        ),
        ("metric: mae", "metric: mae, max_loss: .nan", "gates.model.max_loss is nan: expected a number"),
        (
            "task: regression",
            "task: regression\nseed: -1",
            r"line 3, .* seed is -1: expected a number between 0",
        ),
        (
            "gates:",
            "split: {test_fraction: 1.0}\ngates:",
            r"line 10, .*test_fraction is 1.0: .*neither of them",
        ),
        (
            "gates:",
            "rollout: {interval_s: 0.0}\ngates:",
            "rollout.interval_s is 0.0: expected a number above 0",
        ),
        ("gates:", "rollout: {timeout_s: .inf}\ngates:", "rollout.timeout_s is inf"),
        ("gates:", "triggers: [{when: drift, every_s: 0}]\ngates:", "triggers.0.every_s is 0: expected"),
        (
            "trainer: linear",
            "trainer: linear, params: {alpha: .inf}",
            "params.alpha is inf: expected a finite",
        ),
        (
            "  - {name: linear, trainer: linear}",
            "  - {name: linear, trainer: linear}\n  - {name: linear, trainer: other}",
            "line 15, column 6: 'linear' is the name of another variant",
        ),
    ],
)
def test_a_mistake_is_named_with_line_and_column(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    assert before in GOOD
    with pytest.raises(InvalidInput, match=message):
        load_project(write(tmp_path, GOOD.replace(before, after, 1)))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "outputs: {lowest: 10.0, highest: 10.0}",
            r"line 10, .*outputs.highest is 10.0: expected more than lowest, which is 10.0",
        ),
        ("outputs: {lowest: -.inf}", "outputs.lowest is -inf: expected a finite number"),
        ("outputs: {classes: [cat]}", "regression answers with numbers: give lowest"),
        ("monitors: {calls_change: 0.0}", "monitors.calls_change is 0.0: expected a number"),
        (
            "monitors: {reference: {first_day: 2026-03-02, last_day: 2026-03-01}}",
            "last_day 2026-03-01 is before first_day 2026-03-02",
        ),
        ("monitors: {reference: {first_day: soon, last_day: 2026-03-01}}", "first_day: .*got 'soon'"),
    ],
)
def test_what_cannot_be_watched_is_refused(tmp_path: Path, lines: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        load_project(write(tmp_path, GOOD.replace("gates:", f"{lines}\ngates:", 1)))


@pytest.mark.requirement("MON-24")
def test_days_of_reference_are_read_as_dates(tmp_path: Path) -> None:
    lines = "monitors: {reference: {first_day: 2026-03-01, last_day: 2026-03-31}}\ngates:"
    days = load_project(write(tmp_path, GOOD.replace("gates:", lines, 1))).monitors.reference
    assert days == ReferenceDays(first_day=date(2026, 3, 1), last_day=date(2026, 3, 31))


@pytest.mark.requirement("PRV-07")
@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("gates:", "privacy: {basis: because}\ngates:", r"privacy.basis: .*not_personal.*got 'because'"),
        ("gates:", "privacy: {retention_days: 0}\ngates:", "privacy.retention_days is 0: expected 1 or"),
        (
            "gates:",
            "privacy: {fields: {yaer: drop}}\ngates:",
            r"line 10, column 20: 'yaer' is no input and no key \(known: key, price, year\)",
        ),
        ("gates:", "privacy: {fields: {price: hash}}\ngates:", "'price' is the target, .* only be kept"),
        ("gates:", "privacy: {fields: {key: mask}}\ngates:", "by a 'key' that is not whole: hash it"),
        (
            "gates:",
            "privacy: {fields: {year: mask}}\nrollout: {min_labels: 5}\ngates:",
            "min_labels is 5, but no canary can be judged by labels: .*'year' as it came",
        ),
    ],
)
def test_privacy_rules_that_cannot_hold_are_refused(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        load_project(write(tmp_path, GOOD.replace(before, after, 1)))


def test_every_mistake_is_listed_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("min_rows: 10", "min_rows: ten").replace("task: regression", "task: guessing")
    with pytest.raises(InvalidInput) as caught:
        load_project(write(tmp_path, text))
    assert "min_rows" in str(caught.value)
    assert "guessing" in str(caught.value)


def test_what_is_no_yaml_says_where(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not YAML.*line 2"):
        load_project(write(tmp_path, "name: cars\n  task: [regression"))
    with pytest.raises(InvalidInput, match="not YAML: line 2, column 7: an anchor holds itself"):
        load_project(write(tmp_path, "task: regression\nname: &a [*a]"))


def test_an_empty_file_and_an_unreadable_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is empty"):
        load_project(write(tmp_path, ""))
    for odd in ("name: 2024-13-45", "? 2024-01-01\n: b", "a: " + "[" * 3000):
        with pytest.raises(InvalidInput, match="cannot be used: .* Write plain keys and values"):
            load_project(write(tmp_path, odd))
    (tmp_path / CHARTER).write_bytes(b"name: caf\xe9")
    with pytest.raises(InvalidInput, match="not UTF-8"):
        load_project(tmp_path)


def test_no_charter_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="headrace init"):
        load_project(tmp_path)


def test_the_schema_names_every_part() -> None:
    schema = project_schema()
    assert {"owner", "data", "gates", "variants"} <= set(schema["required"])


@pytest.mark.requirement("GOV-11")
@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("affected: sellers, ", "", "governance.affected has no answer: who is affected"),
        ("harms: a price too low", "harms: To be filled in", "governance.harms has no answer: what could go"),
        ("security: none known", "security: ' '", "governance.security has no answer: how could it be"),
        ("scale: few, ", "", "governance.scale has no answer: expected one of few, thousands, millions"),
        ("impact: minor", "impact: small", "governance.impact: .*'minor'.*got 'small'"),
        ("scale: few", "scale: few, assumed: [mood]", "'mood' is no answer"),
    ],
)
def test_a_charter_without_its_answers_makes_no_project(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    assert before in GOOD
    with pytest.raises(InvalidInput, match=message):
        load_project(write(tmp_path, GOOD.replace(before, after)))


@pytest.mark.requirement("GOV-12")
@pytest.mark.parametrize(
    ("contact", "reachable"),
    [
        ("ann@example.org", True), ("mailto:ann@example.org", True), ("https://example.org/oncall", True),
        ("+44 20 7946 0018", True), ("tel:+442079460018", True), ("ask around", False), ("", False),
        ("ann", False), ("112 or so", False), ("http://", False), ("a@b c", False),
    ],
)  # fmt: skip
def test_the_owner_can_be_called(tmp_path: Path, contact: str, reachable: bool) -> None:
    charter = write(tmp_path, GOOD.replace("ann@localhost", f"'{contact}'"))
    if reachable:
        assert load_project(charter).owner.contact == contact
    else:
        with pytest.raises(InvalidInput, match="owner.contact is .* telephone number"):
            load_project(charter)


def test_only_classes_have_a_positive_one(tmp_path: Path) -> None:
    text = GOOD.replace("  target: price", "  target: price\n  positive: 1")
    with pytest.raises(InvalidInput, match=r"line 8, .*data.positive is of two classes: regression has none"):
        load_project(write(tmp_path, text))
    text = text.replace("task: regression", "task: classification").replace("metric: mae", "metric: log_loss")
    assert load_project(write(tmp_path, text)).data.positive == 1
