"""``headrace init`` on tables good and bad: a whole project, or one clear error and nothing at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.access.privacy.fields import stated_basis
from headrace.app.llm.prompting import check_prompts
from headrace.app.starting import Made, start_project
from headrace.core.errors import Conflict, InvalidInput, NotFound
from headrace.core.project import Project
from headrace.data.sources import read_file, write_parquet
from headrace.projects.charter import load_project
from headrace.projects.flight import flight_check
from headrace.training.definition import load_definition

Start = Callable[..., Made]
N = 60


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """``start_project`` on the given bytes, in an empty folder that must stay empty when it fails."""

    def started(content: bytes, *, file: str = "table.csv", **arguments: Any) -> Made:
        data = tmp_path / file
        data.write_bytes(content)
        parent = tmp_path / "work"
        parent.mkdir(exist_ok=True)
        given = {"name": "cars", "target": "y", "time": None, "key": None, "forecasting": False} | arguments
        try:
            return start_project(parent, data=data, owner="ann", contact=None, **given)
        except Exception:
            assert list(parent.iterdir()) == [], "a failed start leaves something behind"
            assert not (tmp_path / "evil").exists()
            raise

    return started


def rows(header: str, make: Callable[[int], str], n: int = N, *, end: str = "\n") -> bytes:
    """A table with one line per row."""
    return end.join([header, *map(make, range(n)), ""]).encode()


def plain(i: int) -> str:
    """A row of key, day, number, word, target."""
    return f"k{i},2024-{1 + i // 28:02d}-{1 + i % 28:02d},{i * 1.5},{'abc'[i % 3]},{i * 2.25}"


HEADER = "id,day,x,fuel,y"
PLAIN = rows(HEADER, plain)


def whole(made: Made) -> Project:
    """The project as it reads back, once all that it promises has been found in place."""
    project = load_project(made.folder)
    table = read_file(made.folder / project.data.source)
    named = {column.name for column in project.data.columns} | {project.data.target}
    assert named <= set(table)
    assert [item.name for item in flight_check(project, made.folder) if not item.ticked] == []
    trainers = load_definition(made.folder).trainers
    assert {variant.trainer for variant in project.variants} <= set(trainers)
    return project


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "table.csv is empty. Expected a header line", id="empty"),
        pytest.param(b" \n\r\n", "table.csv is empty", id="blank"),
        pytest.param(b"x,y\n", "a header but no rows. Expected at least one row", id="header-only"),
        pytest.param("name,y\né,1\n".encode("latin-1"), "not UTF-8.*offset 7 is 0xe9.*Save it", id="latin-1"),
        pytest.param(PLAIN.decode().encode("utf-16"), "not UTF-8", id="utf-16"),
        pytest.param(b"PK\x03\x04rest", "compressed or a workbook. Expected CSV or Parquet", id="workbook"),
        pytest.param(b"PAR1 and then nothing", "cannot be read as Parquet", id="broken-parquet"),
        pytest.param(b"x,y\n1,2\n", "has 1 row. Expected at least 10", id="one-row"),
        pytest.param(rows("x,x,y", lambda i: f"{i},{i},{i}"), "column 'x' twice. Every", id="duplicate"),
        pytest.param(rows("x,X,y", lambda i: f"{i},{i},{i}"), "alike but for case. Rename", id="case"),
        pytest.param(rows("y", str), "no column but the target 'y'. Add columns", id="only-target"),
        pytest.param(rows("x,y", lambda i: f"{i},5"), "5.0 in every row.*Name a column", id="constant"),
        pytest.param(rows("x,y", lambda i: f"{i},"), "null in every row. Expected values", id="all-null"),
        pytest.param(rows("x,y", lambda i: f"{i},inf"), "never a finite number. Expected", id="infinite"),
        pytest.param(rows("x,y", lambda i: f"{i},v{i}"), "60 different values in 60 rows", id="unique-text"),
        pytest.param(rows("x,y", lambda i: f"{i},v{i}", 500), "500 different values, too", id="classes"),
        pytest.param(
            rows("x,y", lambda i: f"7,{i}"), "No column can be an input.*Add columns", id="no-input"
        ),
        pytest.param(
            rows("_row,y", lambda i: f"{i},{i}"), "a name that Headrace needs itself", id="our-name"
        ),
        pytest.param(PLAIN + b"1,2\n", "line 62 has 2 values. Expected 5.*Mend the row", id="ragged"),
        pytest.param(PLAIN + b'"1,2,3,4,5\n', "line 62 opens a quote.*Close it", id="open-quote"),
    ],
)
def test_a_table_that_cannot_be_learnt_from(start: Start, content: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        start(content)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "Fuels"}, r"no column 'Fuels' to be the target \(has: id, day.*Did you mean 'fuel'\?"),
        ({"target": ""}, "no column '' to be the target"),
        ({"time": "dya"}, "no column 'dya' to be the time.*Did you mean 'day'"),
        ({"key": "idd"}, "no column 'idd' to be the key.*Did you mean 'id'"),
        ({"target": "day", "time": "day"}, "cannot be both target and time"),
        ({"target": "day"}, "is a time. Expected a number, text"),
        ({"time": "x"}, "does not parse as a time: it holds numbers. Expected dates such as 2019-12-31"),
        ({"time": "fuel"}, "'fuel' does not parse as a time: row 1 is 'a', the first of 60 rows"),
        ({"forecasting": True}, "Forecasting needs a time column. Add --time COLUMN"),
        ({"forecasting": True, "time": "day", "target": "fuel"}, "is text. A forecast needs a number"),
    ],
)
def test_columns_that_cannot_play_their_part(start: Start, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        start(PLAIN, **arguments)


def test_a_time_that_stands_still_or_does_not_parse_once(start: Start) -> None:
    with pytest.raises(InvalidInput, match="'t' is 2024-01-01.* in every row.*Name another time column"):
        start(rows("t,x,y", lambda i: f"2024-01-01,{i % 7},{i}"), time="t")
    odd = rows("t,x,y", lambda i: f"2024-{'13' if i == 40 else '12'}-{1 + i % 28},{i % 7},{i}")
    with pytest.raises(InvalidInput, match="row 41 is '2024-13-13'. Expected dates"):
        start(odd, time="t")


@pytest.mark.parametrize(
    "name",
    ["Cars", "my cars", "..", ".", "../evil", "a/b", "", "-cars", "1st", "größe", "cars\n", "a\0b", "a" * 64],
)
def test_a_name_that_is_no_name(start: Start, name: str) -> None:
    with pytest.raises(InvalidInput, match="name cannot be .* Expected a lower-case letter, then up to 62"):
        start(PLAIN, name=name)


def test_a_place_that_is_taken(start: Start, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no file .*nothing.csv.*Give --data"):
        start_project(
            tmp_path, name="cars", data=tmp_path / "nothing.csv", target="y", time=None, key=None,
            forecasting=False, owner="ann", contact=None,
        )  # fmt: skip
    with pytest.raises(InvalidInput, match="named like code"):
        start(PLAIN, file="table.py")
    made = start(PLAIN)
    before = sorted(path.read_bytes() for path in made.folder.rglob("*") if path.is_file())
    for content, what in ((None, "is not empty"), (b"mine", "is a file")):
        if content is not None:
            (made.folder.parent / "taken").write_bytes(content)
        with pytest.raises(Conflict, match=f"exists and {what}. Choose another name"):
            start_project(
                made.folder.parent, name="cars" if content is None else "taken", data=tmp_path / "table.csv",
                target="y", time=None, key=None, forecasting=False, owner="ann", contact=None,
            )  # fmt: skip
    assert sorted(path.read_bytes() for path in made.folder.rglob("*") if path.is_file()) == before
    assert (made.folder.parent / "taken").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["yes", "no", "on", "null", "true", "y", "cars-2_b", "a" * 63])
def test_a_name_that_yaml_reads_as_something_else(start: Start, name: str) -> None:
    assert whole(start(PLAIN, name=name)).name == name


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(PLAIN, id="plain"),
        pytest.param(rows(HEADER, plain, end="\r\n"), id="windows"),
        pytest.param(rows(HEADER, plain, end="\r"), id="old-mac"),
        pytest.param(b"\xef\xbb\xbf" + PLAIN, id="byte-order-mark"),
        pytest.param(PLAIN.replace(b",", b";"), id="semicolons"),
        pytest.param(PLAIN.replace(b",", b";").replace(b".", b","), id="decimal-commas"),
        pytest.param(PLAIN.replace(b",", b"\t"), id="tabs"),
    ],
)
def test_the_same_table_in_other_clothes(start: Start, content: bytes) -> None:
    project = whole(start(content, key="id"))
    assert project.task == "regression"
    roles = {column.name: column.role for column in project.data.columns}
    assert roles == {"id": "ignored", "day": "ignored", "x": "numeric", "fuel": "categorical"}


ODD_NAMES = (
    "größe", "价格", "😀", "select", "from", "null", "#no", "a: {b}", "- a", "{{ 1 + 1 }}", "{% raw %}", "%s",
    "it's", 'say ""hi""',
    "a,b", "a/b", "../up", "C:\\x", "[0]", "=1+1", "tab\there", "two\nlines", " padded ",
    "del\x7f", "next\x85line", "para\u2029graph", "mark\ufeff", "x" * 3000,
)  # fmt: skip


def test_columns_with_names_that_mean_something_elsewhere(start: Start) -> None:
    header = ",".join([*(f'"{name}"' for name in ODD_NAMES), '"targét:\u2028{{y}}"'])
    table = rows(header, lambda i: ",".join(str(i * k % 17 + i / 8) for k in range(len(ODD_NAMES) + 1)))
    project = whole(start(table, target="targét:\u2028{{y}}", file="we 'ird\"; --{{x}}.csv"))
    names = [column.name for column in project.data.columns]
    assert names == [name.replace('""', '"').strip(" ") for name in ODD_NAMES]
    assert {column.role for column in project.data.columns} == {"numeric"}


@pytest.mark.parametrize(
    ("target", "task"),
    [
        (lambda i: "true" if i % 3 else "false", "classification"),
        (lambda i: "yes" if i % 3 else "no", "classification"),
        (lambda i: "abc"[i % 3], "classification"),
        (lambda i: "" if i % 10 == 0 else "abc"[i % 3], "classification"),
        (lambda i: "" if i % 10 == 0 else ("true" if i % 3 else "false"), "classification"),
        (lambda i: str(i % 4), "classification"),
        (lambda i: "inf" if i == 3 else "NaN" if i == 4 else str(i / 4), "regression"),
    ],
)
def test_targets_of_every_kind(start: Start, target: Callable[[int], str], task: str) -> None:
    made = start(rows("x,y", lambda i: f"{i},{target(i)}"))
    assert whole(made).task == made.task == task
    n_missing = sum(target(i) in ("", "NaN") for i in range(N))
    assert any(f"{n_missing} of {N} rows have no 'y'" in note for note in made.notes) == bool(n_missing)


def test_keys_that_repeat_or_are_missing_are_said(start: Start) -> None:
    made = start(rows("id,x,y", lambda i: f"{'' if i < 2 else f'k{i % 29}'},{i % 7},{i / 4}"), key="id")
    assert "2 rows have no key 'id': no label joins them by key." in made.notes
    assert any("Key 'id' repeats in 29 rows, first 'k2' in rows 3 and 32" in note for note in made.notes)


def test_a_parquet_file_with_nan_and_infinity(start: Start, tmp_path: Path) -> None:
    source = tmp_path / "source.csv"
    source.write_bytes(rows("x,y", lambda i: f"{['NaN', 'inf', '-inf', str(i)][i % 4]},{i % 2}"))
    write_parquet(read_file(source), tmp_path / "source.parquet")
    made = start((tmp_path / "source.parquet").read_bytes(), file="data without a suffix")
    assert whole(made).task == "classification"
    assert load_project(made.folder).data.columns[0].role == "numeric"


def test_two_thousand_columns(start: Start) -> None:
    names = [f"c{k}" for k in range(2000)]
    table = rows(",".join([*names, "y"]), lambda i: ",".join(str((i * k) % 23) for k in range(2001)))
    project = whole(start(table))
    assert len(project.data.columns) == 2000


@pytest.mark.requirement("PRV-08")
def test_a_table_about_people_asks_for_the_basis_before_anything_is_built(start: Start) -> None:
    table = rows("id,to,x,y", lambda i: f"k{i},ann{i}@example.org,{i % 7},{i * 2.25}")
    made = start(table)
    assert any("'to' (email)" in note for note in made.notes)
    project = load_project(made.folder)
    assert project.privacy.basis is None
    (item,) = (item for item in flight_check(project) if not item.ticked)
    assert item.name == "privacy"
    with pytest.raises(InvalidInput, match="does not say on which basis"):
        stated_basis(project.privacy, project.name)


def test_a_table_about_nobody_says_so(start: Start) -> None:
    assert load_project(start(PLAIN).folder).privacy.basis == "not_personal"


@pytest.mark.requirement("TPL-02")
def test_each_kind_has_a_template_of_its_own(tmp_path: Path) -> None:
    days = [f"2026-01-{1 + i // 2:02}" for i in range(60)]
    table = tmp_path / "table.csv"
    rows = [f"{day},{i % 7},{i % 5 * 10},What costs {i} shoes?" for i, day in enumerate(days)]
    table.write_text("\n".join(["day,amount,price,question", *rows]) + "\n")
    daily = tmp_path / "daily.csv"
    dates = (f"2026-{1 + i // 28:02}-{1 + i % 28:02},{i % 7}" for i in range(200))
    daily.write_text("\n".join(["day,visits", *dates]) + "\n")
    asked: dict[str, dict[str, Any]] = {
        "supervised": {"data": table, "target": "price"},
        "forecasting": {"data": daily, "target": "visits", "time": "day", "forecasting": True},
        "unsupervised": {"data": table, "target": None, "unsupervised": "anomaly_detection"},
        "llm": {"data": table, "target": "price", "model": "local/small"},
    }
    usual = {"time": None, "key": None, "forecasting": False, "owner": "Ada", "contact": "ada@example.org"}
    made = {name: start_project(tmp_path, name=name, **(usual | more)) for name, more in asked.items()}
    assert [one.task for one in made.values()] == [
        "classification", "forecasting", "anomaly_detection", "text_generation",
    ]  # fmt: skip
    charters = {name: load_project(one.folder) for name, one in made.items()}
    assert len({charter.gates.model.metric for charter in charters.values()}) == 4
    assert len({charter.rollout for charter in charters.values()}) == 4
    assert (made["llm"].folder / "prompts/answer.md").is_file()
    assert not (made["llm"].folder / "project.py").exists()
    check_prompts(charters["llm"], made["llm"].folder)
