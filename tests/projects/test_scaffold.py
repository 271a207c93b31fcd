"""What ``headrace init`` writes: a charter that reads back as it was meant, code and tests that run."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.errors import Conflict, InvalidInput
from headrace.core.project import Column, DataSpec, SplitSpec, Task, Value
from headrace.gateway.guardrails.rules import guardrails_of
from headrace.projects.charter import load_project
from headrace.projects.flight import flight_check
from headrace.projects.guidance import Answers
from headrace.projects.intake import Alternative, Need, ValueCase, intake_of
from headrace.projects.llm import llm_of
from headrace.projects.questions import Promise, promised
from headrace.projects.scaffold import Outline, scaffold
from headrace.releases.observing import FEWEST_IN_ARM
from headrace.releases.pace import calls_needed
from headrace.testing import make_governance
from headrace.training.definition import load_definition

NEED = Need(
    why="List prices miss.", complexity="low",
    alternatives=(Alternative(name="list price", kind="rule", reached="MAE 2100"),),
)  # fmt: skip
PROMISE = Promise(
    hypothesis="Fair prices sell.", kpi="days to sell price", expected=None, need=NEED, assumed=()
)
METRICS: dict[Task, str] = {"classification": "log_loss", "regression": "mae", "forecasting": "mae"}


def outline(task: Task = "regression", **changes: Any) -> Outline:
    columns = (Column(name="year", role="numeric"), Column(name="fuel type", role="categorical"),
               Column(name="id", role="ignored", why="names the row"))  # fmt: skip
    data = DataSpec(
        source="data/cars.csv", target="price", key="id", columns=columns, documentation="120 rows"
    )
    split = SplitSpec()
    if task == "forecasting":
        data = replace(data, columns=(), time="date", key=None, lags_days=(7, 14), horizon_days=7)
        split = SplitSpec(policy="sequential", test_fraction=0.2)
    made = Outline(
        name="cars", task=task, data=data, split=split, metric=METRICS.get(task, ""), owner="ann",
        contact="ann@localhost", n_rows=120, digest="0" * 64,
        governance=make_governance(), promise=PROMISE,
    )  # fmt: skip
    return replace(made, **changes)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "given.csv"
    path.write_text("id,year,fuel type,price\n1,2017,petrol,9000\n", encoding="utf-8")
    return path


@pytest.mark.requirement("TRN-03")
@pytest.mark.parametrize("task", ["classification", "regression", "forecasting"])
def test_a_new_project_is_what_was_inferred_and_ready_to_fly(tmp_path: Path, table: Path, task: Task) -> None:
    given = outline(task)
    folder = scaffold(tmp_path, given, table)
    project = load_project(folder)
    assert (project.name, project.task, project.data, project.split) == (
        "cars",
        task,
        given.data,
        given.split,
    )
    assert project.gates.model.metric == given.metric
    assert project.approval == "manual"
    assert [item.name for item in flight_check(project, folder) if not item.ticked] == []
    trainers = load_definition(folder).trainers
    assert [variant.trainer for variant in project.variants] == ["baseline", "linear", "lightgbm"]
    assert {variant.trainer for variant in project.variants} <= set(trainers)
    assert (folder / "data" / "cars.csv").read_bytes() == table.read_bytes()


def test_its_own_tests_pass(tmp_path: Path, table: Path) -> None:
    folder = scaffold(tmp_path, outline(), table)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    assert "2 passed" in ended.stdout


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


@settings(max_examples=25)
@given(
    st.fixed_dictionaries(
        dict.fromkeys(("owner", "documentation", "why", "target", "unit", "value", "need"), words)
    ),
    st.lists(words, min_size=1, max_size=4, unique=True),
)
def test_any_name_that_a_table_may_have_is_written_so_that_it_reads_back(
    tmp_path_factory: pytest.TempPathFactory, said: dict[str, str], names: list[str]
) -> None:
    parent, target = tmp_path_factory.mktemp("parent"), said["target"]
    table = parent / "given.csv"
    table.write_text("a\n1\n")
    columns = tuple(Column(name=name, role="numeric") for name in names if name != target)
    columns += (
        Column(name=f"{target}?", role="numeric"),
        Column(name=f"{target}!", role="ignored", why=said["why"]),
    )
    if len({column.name for column in columns}) < len(columns):
        return
    data = DataSpec(
        source="data/cars.csv", target=target, columns=columns, documentation=said["documentation"]
    )
    promise = replace(
        promised({"value": said["value"], "why": said["need"]}, target=target, metric="mae", risk="low"),
        expected=ValueCase(expected=120.5, unit=said["unit"] + ".", months=6),
    )
    given_outline = outline(data=data, owner=said["owner"], promise=promise)
    project = load_project(scaffold(parent, given_outline, table))
    assert project.data == data
    assert project.owner.name == said["owner"]
    assert project.value == Value(hypothesis=promise.hypothesis, kpi=promise.kpi)
    assert target in promise.kpi
    assert intake_of(project).value == promise.expected
    assert intake_of(project).need == promise.need


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path, table: Path) -> None:
    (tmp_path / "cars").mkdir()
    (tmp_path / "cars" / "notes.txt").write_text("mine")
    with pytest.raises(Conflict, match="exists and is not empty"):
        scaffold(tmp_path, outline(), table)
    assert [path.name for path in (tmp_path / "cars").iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_taken(tmp_path: Path, table: Path) -> None:
    (tmp_path / "cars").mkdir()
    assert load_project(scaffold(tmp_path, outline(), table)).name == "cars"


def test_a_name_that_cannot_be_used_makes_nothing(tmp_path: Path, table: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be '../cars'"):
        scaffold(tmp_path, outline(name="../cars"), table)
    assert list(tmp_path.iterdir()) == [table]


def test_the_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be made"):
        scaffold(tmp_path, outline(), tmp_path / "gone.csv")
    assert list(tmp_path.iterdir()) == []


def test_small_tables_get_gates_that_they_can_pass(tmp_path: Path, table: Path) -> None:
    project = load_project(scaffold(tmp_path, outline(n_rows=24), table))
    assert project.gates.data.min_rows == 12


def test_a_prompt_says_that_its_contract_is_a_gate_and_which_guard_holds_at_run_time(
    tmp_path: Path, table: Path
) -> None:
    columns = (Column(name="question", role="text"),)
    data = DataSpec(source="data/q.csv", target="price", columns=columns, documentation="120 rows")
    declared = outline("text_generation", data=data, metric="wrong_answer", model="local/small")
    said = (scaffold(tmp_path, declared, table) / "prompts/answer.md").read_text(encoding="utf-8")
    about = said[said.index("# contract:") : said.index("\n---\n", 4)]
    assert "a gate" in about
    example = about[about.index("guardrails: ") :]
    assert guardrails_of(yaml.safe_load(example)["guardrails"]).schema is not None


@pytest.mark.parametrize("a_day", [None, 40.0, 200.0, 5_000.0, 1e6])
def test_a_second_prompt_gets_through_within_budgets_and_time(
    tmp_path: Path, table: Path, a_day: float | None
) -> None:
    columns = (Column(name="question", role="text"),)
    data = DataSpec(source="data/q.csv", target="price", key="id", columns=columns, documentation="120 rows")
    folder = scaffold(
        tmp_path,
        outline(
            "text_generation", data=data, metric="wrong_answer", model="local/small",
            answers=Answers(answers_a_day=a_day),
        ),
        table,
    )  # fmt: skip
    project = load_project(folder)
    assert project.privacy.fields == {"question": "redact"}, "no caller's address stays in the record"
    spec, calls = project.rollout, calls_needed(project.rollout)
    (hourly,) = (one.most for one in llm_of(project).budgets if one.of == "requests")
    assert calls <= max(hourly, (a_day or 0.0) / 24), "one caller's hour is enough for all of it"
    assert hourly >= (a_day or 0.0) / 24, "and what is expected is not refused"
    assert spec.min_requests >= FEWEST_IN_ARM, "with fewer, what users think is not compared"
    slowest = spec.min_requests * 100 / spec.steps[0]
    assert slowest / (a_day or 100.0) <= spec.timeout_s / 86_400, "in days"
