"""Drafts on the command line, and what an erasure leaves of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import openai
import pytest
from typer.testing import CliRunner, Result

from headrace.app.llm import drafts
from headrace.cli.main import app as command_line
from headrace.core.errors import Conflict, Denied, InvalidInput, NotFound
from tests.app.erased import erase
from tests.web.prompted import HELLO, PROJECT, PROMPT, USER, Desk, client
from tests.web.test_drafts import FACING, asked, many, reviewer

SAID = "Within thirty days."
Run = Callable[..., Result]


@pytest.fixture
def run(desk: Desk) -> Run:
    """Runs ``headrace feedback``, as rita unless somebody else is named."""
    reviewer(desk)
    environment = {"HEADRACE_HOME": str(desk.app.settings.home), "HEADRACE_USER": USER, "COLUMNS": "200"}

    def run(*words: str, by: str = "rita") -> Result:
        return CliRunner().invoke(command_line, ["feedback", *words, "--as", by], env=environment)

    return run


@pytest.mark.requirement("FBK-07")
def test_a_draft_is_found_read_and_approved(desk: Desk, run: Run) -> None:
    assert "No draft waits." in run("drafts", PROJECT).output
    held = asked(desk)
    listed = run("drafts", PROJECT)
    assert f"Next: headrace feedback draft {held.id}" in listed.output
    assert "may decide" in listed.output
    row = next(line for line in listed.output.splitlines() if line.startswith(held.id))
    assert [one in row for one in (PROJECT, USER, "May I return it?")] == [True] * 3
    assert SAID not in listed.output
    (one,) = json.loads(run("drafts", PROJECT, "--json").stdout)
    assert (one["id"], one["state"], one["question"]) == (held.id, "waiting", "May I return it?")
    assert not {"asked", "said", "final", "user"} & one.keys()
    shown = run("draft", held.id)
    assert "May I return it?" in shown.output
    assert SAID in shown.output
    assert "It is waiting." in shown.output
    assert json.loads(run("draft", held.id, "--json").stdout)["text"] == SAID
    ended = run("decide", held.id, "approve")
    assert ended.exit_code == 0, ended.output
    assert f"{held.id} is approved, by rita." in ended.output
    assert client(desk).chat.completions.retrieve(held.id).choices[0].message.content == SAID
    assert "No draft waits." in run("drafts", PROJECT).output
    (one,) = json.loads(run("drafts", PROJECT, "--decided", "--json").stdout)
    assert (one["state"], one["by"]) == ("approved", "rita")


def test_a_list_of_drafts_gives_nothing_away_in_bulk_and_one_hides_no_others(desk: Desk, run: Run) -> None:
    desk.release(PROMPT, llm=FACING)
    said = "My password=Tr0ub4dor-3xy-9, may I return it?"
    held = client(desk).chat.completions.create(model=PROJECT, messages=[{"role": "user", "content": said}])
    kept = desk.app.store.drafts.get(held.id)
    lost = desk.app.store.drafts.add(replace(kept, id=f"{kept.id}-2", asked=f"sealed:gone:{'A' * 40}"))
    listed = run("drafts", PROJECT)
    assert listed.exit_code == 0, listed.output
    assert "may I return it?" in listed.output
    assert "Tr0ub4dor" not in listed.output
    assert lost.id in listed.output
    asked = {one["id"]: one["question"] for one in json.loads(run("drafts", PROJECT, "--json").stdout)}
    assert asked[lost.id] == ""
    assert "may I return it?" in asked[kept.id]


def test_drafts_are_listed_by_the_part(desk: Desk, run: Run) -> None:
    ids = many(desk, 2)
    first = run("drafts", PROJECT, "--limit", "2").output
    assert [one in first for one in ids] == [True, True, False]
    assert f"There are more: headrace feedback drafts {PROJECT} --after {ids[1]}" in first
    then = run("drafts", PROJECT, "--limit", "2", "--after", ids[1]).output
    assert f"Next: headrace feedback draft {ids[2]}" in then
    assert "There are more" not in then
    assert run("decide", ids[0], "approve").exit_code == run("decide", ids[1], "approve").exit_code == 0
    decided = run("drafts", PROJECT, "--decided", "--limit", "1").output
    assert f"There are more: headrace feedback drafts {PROJECT} --decided --after {ids[1]}" in decided


@pytest.mark.requirement("FBK-07")
@pytest.mark.parametrize("from_file", [False, True])
def test_a_draft_is_edited_with_a_text_or_a_file(
    desk: Desk, run: Run, tmp_path: Path, from_file: bool
) -> None:
    held, text, path = asked(desk), "Within fourteen days – gladly.", tmp_path / "answer.txt"
    path.write_text(text, encoding="utf-8")
    how = ("--file", str(path)) if from_file else ("--text", text)
    made = json.loads(run("decide", held.id, "edit", *how, "--json").stdout)
    assert (made["id"], made["state"], made["by"]) == (held.id, "edited", "rita")
    assert client(desk).chat.completions.retrieve(held.id).choices[0].message.content == text
    shown = run("draft", held.id)
    assert text in shown.output
    assert "It is edited, by rita." in shown.output


@pytest.mark.requirement("FBK-07")
def test_a_rejection_says_why_and_stands(desk: Desk, run: Run) -> None:
    held = asked(desk)
    assert isinstance(run("decide", held.id, "reject").exception, InvalidInput)
    assert run("decide", held.id, "reject", "--reason", "Not ours to promise.").exit_code == 0
    again = run("decide", held.id, "approve").exception
    assert isinstance(again, Conflict)
    assert "by rita" in str(again)


def test_what_cannot_be_decided_so_is_refused(desk: Desk, run: Run, tmp_path: Path) -> None:
    held = asked(desk)
    both = run("decide", held.id, "edit", "--text", "x", "--file", "y").exception
    assert isinstance(both, InvalidInput)
    assert "Both --text and --file" in str(both)
    assert isinstance(run("decide", held.id, "edit", "--file", str(tmp_path / "no")).exception, NotFound)
    assert isinstance(run("decide", held.id, "edit").exception, InvalidInput)
    assert run("decide", held.id, "shrug").exit_code == 2
    assert isinstance(run("decide", held.id, "approve", by=USER).exception, Denied), "it is who asked"
    assert isinstance(run("decide", "nothing", "approve").exception, NotFound | Denied)
    assert desk.app.store.drafts.get(held.id).revision == 0


@pytest.mark.requirement("PRV-02")
def test_an_erasure_takes_the_texts_of_its_subjects_drafts_and_no_others(desk: Desk, run: Run) -> None:
    desk.release(PROMPT, llm=FACING, basis="consent")
    ask = client(desk).chat.completions.create
    made = {name: ask(model=PROJECT, messages=HELLO, user=name).id for name in ("jane", "jane ", "bob")}
    decided = ask(model=PROJECT, messages=HELLO, user="jane").id
    assert run("decide", decided, "edit", "--text", "No.").exit_code == 0
    app = desk.app
    erase(app, app.me(), "jane", project=PROJECT)
    waiting, done = app.store.drafts.get(made["jane"]), app.store.drafts.get(decided)
    assert (waiting.asked, waiting.said, waiting.user, waiting.state) == ("", "", None, "expired")
    assert (done.asked, done.said, done.final, done.user) == ("", "", None, None)
    assert (done.state, done.by) == ("edited", "rita"), "who decided what stays"
    assert app.store.drafts.get(made["bob"]).said
    assert drafts.question(app, waiting) == ""
    with pytest.raises(openai.ConflictError, match="not kept any more"):
        client(desk).chat.completions.retrieve(made["jane"])
    assert isinstance(run("draft", decided).exception, Conflict)
    assert drafts.opened(app, app.identities.resolve("rita"), made["bob"]).messages
