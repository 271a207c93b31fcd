"""What people have said becomes data to train on: masked, once, and never what the project is tested on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.app.composition import App, open_app
from headrace.app.labels.labelling import Judgement, judge
from headrace.app.labels.opinions import Said, say_of
from headrace.app.labels.preferences import export
from headrace.core.errors import Conflict, Denied, InvalidInput
from headrace.data.snapshots import archive, take_snapshot
from headrace.testing import FakeClock, make_settings
from tests.app.labels.test_labelling import NAME, QUIET, answered, declare


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with open_app(make_settings(tmp_path / "home"), FakeClock()) as app:
        app.me()
        declare(app, QUIET)
        yield app


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.requirement("TRN-13")
def test_each_format_has_what_its_trainers_read(app: App, tmp_path: Path) -> None:
    good, bad, liked, poor, unsure = answered(app, 5)
    me, bea = app.me(), app.identities.add("bea", ["developer"], actor=app.me().name)
    judge(app, me, NAME, good, Judgement(verdict="good"))
    judge(app, me, NAME, bad, Judgement(verdict="bad", correction="ask bob@example.org"))
    say_of(app, me, NAME, liked, Said(thumbs="up"))
    say_of(app, me, NAME, poor, Said(thumbs="down", correction="a user's own, which nobody has confirmed"))
    for one, verdict in ((me, "good"), (bea, "bad")):
        judge(app, one, NAME, unsure, Judgement(verdict="good" if verdict == "good" else "bad"))
    prompt = [[{"role": "user", "content": f"question {number}"}] for number in range(4)]
    said = [[{"role": "assistant", "content": f"answer {number}"}] for number in range(4)]
    better = [{"role": "assistant", "content": "ask <EMAIL>"}]
    expected: dict[str, list[Any]] = {
        "sft": [{"messages": prompt[0] + said[0]}, {"messages": prompt[1] + better}],
        "dpo": [{"prompt": prompt[1], "chosen": better, "rejected": said[1]}],
        "kto": [
            {"prompt": prompt[at], "completion": said[at], "label": label}
            for at, label in enumerate((True, False, True, False))
        ],
    }
    for form in ("sft", "dpo", "kto"):
        path = tmp_path / f"{form}.jsonl"
        made = export(app, me, NAME, form, path)
        assert lines(path) == expected[form], form
        lineage = json.loads(Path(made.lineage).read_text())
        assert (lineage["digest"], lineage["by"]) == (made.digest, me.name)
        assert len(lineage["lines"]) == made.n_lines == len(expected[form])
    assert lineage["lines"][0] == {"answer": f"{good}:0", "release": "r-1", "judged_by": [me.name]}
    assert made.n_masked == 0
    entries = [entry for entry in app.store.audit.list() if entry.action == "feedback.export"]
    assert [entry.detail["form"] for entry in entries] == ["sft", "dpo", "kto"]
    with pytest.raises(Conflict, match="exists"):
        export(app, me, NAME, "kto", path)


@pytest.mark.requirement("TRN-13")
def test_what_is_said_twice_or_tested_on_is_left_out(app: App, tmp_path: Path) -> None:
    made = answered(app, 3) + answered(app, 2)  # of the same questions and answers
    for one in made:
        say_of(app, app.me(), NAME, one, Said(thumbs="down"))
    source = tmp_path / "q.csv"
    source.write_text("question,expected\n QUESTION 2 ?,x\n")
    take_snapshot(
        project=NAME,
        columns={"question": [" QUESTION 2 ?"], "expected": ["x"]},
        raw=archive(source, app.store.artifacts),
        source="q.csv",
        privacy=app.store.projects.get(NAME).privacy,
        tables=app.store.tables,
        snapshots=app.store.snapshots,
        clock=app.clock,
    )
    found = export(app, app.me(), NAME, "kto", tmp_path / "kto.jsonl")
    assert (found.n_lines, found.n_repeated, found.n_tested) == (2, 2, 1)


def test_nothing_to_write_and_nobody_who_may(app: App, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="headrace feedback queue support"):
        export(app, app.me(), NAME, "dpo", tmp_path / "x.jsonl")
    with pytest.raises(InvalidInput, match="no format 'ppo'. Expected one of sft, dpo, kto"):
        export(app, app.me(), NAME, "ppo", tmp_path / "x.jsonl")  # type: ignore[arg-type]
    viewer = app.identities.add("vic", ["viewer"], actor=app.me().name)
    with pytest.raises(Denied):
        export(app, viewer, NAME, "kto", tmp_path / "x.jsonl")
    assert list(tmp_path.glob("*.jsonl")) == []
