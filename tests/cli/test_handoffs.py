from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headrace.app.composition import open_app
from headrace.app.llm import handoffs
from headrace.core.ids import new_id
from headrace.core.project import Column, DataSpec, PrivacySpec
from headrace.store.records import encode_prediction
from headrace.testing import START, make_prediction, make_project, make_settings
from tests.cli.conftest import Cli


@pytest.fixture
def answer(cli: Cli) -> str:
    """An answer of a language model that was given to ada, who works beside rita."""
    with open_app(make_settings(cli.home, user=cli.user)) as app:
        me = app.me()
        app.identities.add("rita", ["validator"], actor=me.name)
        columns = (Column(name="question", role="text"),)
        project = replace(
            make_project(name="support", task="text_generation"),
            data=DataSpec(source="q.csv", target="expected", columns=columns),
            privacy=PrivacySpec(basis="not_personal"),
        )
        app.store.projects.save(project, str(cli.home))
        made = make_prediction(
            id=new_id(START), project="support", release_id="r-1", at=START, event_time=START
        )
        said: dict[str, list[Any]] = {"predict": ["I cannot decide that."]}
        asked = replace(
            made, principal=me.name, columns={"question": ["A refund?"]}, outputs=said, keys=None, n_rows=1
        )
        app.store.events.append("support/predictions", [encode_prediction(asked)])
    return made.id


@pytest.mark.requirement("FBK-06")
def test_a_conversation_is_handed_over_taken_put_back_and_answered(cli: Cli, answer: str) -> None:
    made = cli(
        "feedback", "hand-over", "support", answer, "--why", "wants a refund", "--to", "rita", "--json"
    )
    assert made.code == 0, made.error
    handoff = made.json["id"]
    assert (made.json["state"], made.json["people"], "messages" in made.json) == ("asked", ["rita"], False)
    assert "it is for rita" not in cli("feedback", "handoffs", "support", "--as", "rita").out
    shown = cli("feedback", "handoff", handoff, "--as", "rita")
    assert all(text in shown.out for text in ("wants a refund", "A refund?", "I cannot decide that.", "ask"))
    assert cli("feedback", "take", handoff, "--as", "rita").out.splitlines() == [
        f"rita has taken {handoff}.",
        f"Next: headrace feedback reply {handoff} --text TEXT",
    ]
    back = cli("feedback", "put-back", handoff, "--to", "validator", "--note", "anybody", "--as", "rita")
    assert "waits for validator" in back.out
    assert cli("feedback", "take", handoff, "--as", "rita", "--json").json["by"] == "rita"
    replied = cli("feedback", "reply", handoff, "--text", "Within a week.", "--end", "--as", "rita", "--json")
    assert (replied.json["state"], replied.json["goes_on"]) == ("answered", False)
    whole = cli("feedback", "handoff", handoff, "--as", "rita", "--json").json
    assert (whole["text"], whole["why"]) == ("Within a week.", "wants a refund")
    assert "No hand-off is over." in cli("feedback", "handoffs", "support", "--over").out
    assert cli("feedback", "handoffs", "support", "--json").json[0]["id"] == handoff


def test_who_is_not_meant_is_told(cli: Cli, answer: str) -> None:
    made = cli("feedback", "hand-over", "support", answer, "--why", "a refund", "--json").json
    refused = cli("feedback", "take", made["id"])
    assert refused.code != 0
    nobody = cli("feedback", "hand-over", "support", answer, "--why", "a refund", "--to", "nobody")
    assert "no person, role or queue 'nobody'" in nobody.error


def test_hand_offs_are_listed_by_the_part(cli: Cli, answer: str) -> None:
    asked = ("feedback", "hand-over", "support", answer, "--why", "wants a refund", "--to", "rita", "--json")
    ids = [cli(*asked).json["id"] for _ in range(2)]
    listed = ("feedback", "handoffs", "support", "--as", "rita")
    first = cli(*listed, "--limit", "1").out
    assert [one in first.splitlines()[1] for one in ids] == [True, False]
    assert first.splitlines()[-1] == f"There are more: headrace feedback handoffs support --after {ids[0]}"
    then = cli(*listed, "--limit", "1", "--after", ids[0]).out
    assert ids[1] in then
    assert "There are more" not in then
    with open_app(make_settings(cli.home, user=cli.user)) as app:
        for one in ids:
            handoffs.withdraw(app, app.me(), one)
    over = cli(*listed, "--over", "--limit", "1").out.splitlines()[-1]
    assert over == f"There are more: headrace feedback handoffs support --over --after {ids[1]}"
