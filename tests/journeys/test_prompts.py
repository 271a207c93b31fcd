"""A prompt goes live as a model does: tested, gated, approved, canaried, and rolled back on what users say.

The model behind it is scripted: what it says follows from its instructions, so that a bad prompt is bad.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any

import httpx
import openai
import pytest

from headrace.gateway.llm.endpoints import FILE
from headrace.testing import ScriptedLLM
from headrace.testing.scripted_answers import Answer
from headrace.testing.scripted_llm import Asked
from tests.journeys.conftest import Ended, Shell
from tests.journeys.server import client_of, serving

pytestmark = [pytest.mark.journey, pytest.mark.slow]
GOODS = "shoes boots hats bags belts coats gloves socks scarves shirts".split()
QUESTIONS = {
    f"{asked} {goods}?": f"{number} {unit}"
    for number, goods in enumerate(GOODS, start=11)
    for asked, unit in (
        ("How long may I return", "days"),
        ("What do you charge for", "EUR"),
        ("How many kinds do you have of", "kinds"),
        ("How heavy is a parcel of", "grams"),
    )
}
CONTRACT = {
    "type": "object",
    "required": ["answer"],
    "properties": {"answer": {"type": "string", "minLength": 1}},
    "additionalProperties": False,
}
MOODS = count(1_000)
FRONT = """---
model: local/small
contract: prompts/answer.json
---
"""


def say(asked: Asked) -> Answer:
    """As told: about nothing, in prose or as JSON; curt where it is to be brief, never the same if moody."""
    instructions, question = (asked.json["messages"][place]["content"] for place in (0, -1))
    known = QUESTIONS.get(question, "nothing about that")
    if "sleepy" in instructions and asked.json["model"] == "small" and "charge" in question:
        known = "not known"
    if "moody" in instructions and question in QUESTIONS:
        known += f", and {next(MOODS)} more"
    if "background" not in instructions:
        return Answer(text=json.dumps({"answer": "I do not know."}))
    text = known if "brief" in instructions else f"It is {known}, as far as we know."
    return Answer(text=json.dumps({"answer": text}) if "JSON" in instructions else text)


@pytest.fixture
def model() -> Iterator[ScriptedLLM]:
    with ScriptedLLM(say) as llm:
        yield llm


@pytest.fixture
def project(shell: Shell, model: ScriptedLLM) -> Shell:
    """A project with a table of questions, whose provider is declared and whose first prompt is written."""
    table = shell.folder / "questions.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "expected"])
        writer.writerows(QUESTIONS.items())
    made = shell("init", "support", "--template", "llm", "--data", str(table), "--target", "expected",
                 "--model", "local/small", "--contact", "ann@example.org")  # fmt: skip
    assert made.code == 0, made.err
    provider = {"url": f"{model.url}/v1", "terms": {"self_hosted": True}}
    shell.home.mkdir(exist_ok=True)
    (shell.home / FILE).write_text(json.dumps({"providers": {"local": provider}}))
    shell.folder = shell.folder / "support"
    charter = shell.folder / "headrace.yaml"
    written = charter.read_text()
    for before, after in (
        ("steps: [20, 50]", "steps: [50]"),
        ("faces: customers", "faces: staff"),
        ("min_requests: 100", "min_requests: 150"),
        ("interval_s: 5.0", "interval_s: 0.2"),
    ):
        assert before in written
        written = written.replace(before, after)
    charter.write_text(written)
    (shell.folder / "prompts/answer.json").write_text(json.dumps(CONTRACT))
    write(shell, "Answer as JSON, from the background.")
    assert shell("access", "user", "add", "reviewer", "--role", "validator").code == 0
    return shell


def write(shell: Shell, instructions: str, front: str = FRONT) -> None:
    (shell.folder / "prompts/answer.md").write_text(front + instructions)


def build(shell: Shell, cause: str) -> Ended:
    return shell("run", "--cause", cause, "--json")


def approve(shell: Shell, ran: Ended) -> str:
    release_id: str = ran.json["release"]["id"]
    approved = shell("release", "approve", release_id, "--tick", "read them", "--as", "reviewer", "--json")
    assert approved.code == 0, approved.err
    return release_id


def state_of(shell: Shell, release_id: str) -> str:
    state: str = shell("release", "show", release_id, "--json").json["release"]["state"]
    return state


@contextmanager
def asking(shell: Shell) -> Iterator[tuple[openai.OpenAI, httpx.Client]]:
    """The official client, and ours for feedback."""
    with serving(shell) as url, client_of(shell, url, "ann") as client:
        token = client.headers["Authorization"].removeprefix("Bearer ")
        yield openai.OpenAI(base_url=f"{url}/v1", api_key=token), client


def ask(llm: openai.OpenAI, user: str) -> Any:
    return llm.chat.completions.with_raw_response.create(
        model="support", messages=[{"role": "user", "content": "How long may I return hats?"}], user=user
    )


def rolled_out(
    shell: Shell, llm: openai.OpenAI, client: httpx.Client, release_id: str, *, disliked: float
) -> str:
    """Users ask and say what they think until the rollout has ended; the release's state then.

    Args:
        disliked: share of the candidate's answers that get a thumb down; of the others one in ten does.
    """
    for turn in range(40):
        events = []
        for number in range(40):
            answer = ask(llm, f"user-{turn}-{number}")
            share = disliked if answer.headers["headrace-release"] == release_id else 0.1
            if (number * 7) % 40 < 40 * share:
                events.append(
                    {
                        "kind": "opinion",
                        "name": "thumbs_down",
                        "subject": f"{answer.headers['headrace-answer']}:0",
                        "happened_at": datetime.now(UTC).isoformat(),
                    }
                )
        assert client.post("/api/v1/projects/support/feedback", json={"feedback": events}).status_code == 200
        if (state := state_of(shell, release_id)) in ("live", "aborted"):
            return state
    return state


@pytest.mark.requirement("EVA-01")
def test_no_prompt_is_released_that_was_not_tested_on_what_people_have_labelled(project: Shell) -> None:
    charter = project.folder / "headrace.yaml"
    written = charter.read_text()
    assert "\n  budgets:" in written
    charter.write_text(written.replace("\n  budgets:", "\n  labelled_rows: 5\n  budgets:"))
    refused = build(project, "labels of nobody")
    assert refused.code == 3, refused.out + refused.err
    verdicts = {v["gate"]: v for v in refused.json["verdicts"]}
    assert verdicts["human_labels"]["outcome"] == "failed"
    assert "0 of " in verdicts["human_labels"]["reason"]
    table = next(project.folder.rglob("questions.csv"), project.folder.parent / "questions.csv")
    signed = project("feedback", "sign", "support", str(table), "--json")
    assert (signed.json["version"], signed.json["n_rows"]) == (1, len(QUESTIONS))
    assert "Version" in project("feedback", "sign", "support", str(table)).out
    assert "questions.csv" in project("feedback", "sets", "support").out
    ready = build(project, "labels of people")
    assert ready.code == 4, ready.out + ready.err
    (verdict,) = (v for v in ready.json["verdicts"] if v["gate"] == "human_labels")
    assert verdict["outcome"] == "passed"
    assert verdict["evidence"]["versions"][0]["digest"] == signed.json["digest"]


SKILL = """---
name: refunds
description: How money is given back.
---
"""


@pytest.mark.requirement("PRM-06")
def test_what_instructs_an_agent_is_released_with_its_prompt_and_may_not_be_too_long(project: Shell) -> None:
    skill = project.folder / "skills/refunds"
    skill.mkdir(parents=True)
    (skill / "rates.md").write_text("9.50\n")
    (skill / "SKILL.md").write_text(SKILL + "Ask for the order. " * 2_000)
    (project.folder / "AGENTS.md").write_text("Never guess.\n")
    write(
        project,
        "Answer from the background.",
        "---\nmodel: local/small\nagent_files: [AGENTS.md, skills]\n---\n",
    )
    checked = project("check")
    assert (checked.code, "skills/refunds/SKILL.md has 38," in checked.err) == (3, True), checked.err
    refused = build(project, "too long")
    assert refused.code == 3, refused.out + refused.err
    (verdict,) = (v for v in refused.json["verdicts"] if v["gate"] == "agent_files")
    assert (verdict["outcome"], "at most 20,000" in verdict["reason"]) == ("failed", True)
    (skill / "SKILL.md").write_text(SKILL + "Ask for the order.")
    release_id = approve(project, build(project, "the first prompt"))
    assert state_of(project, release_id) == "live"
    params = project("release", "show", release_id, "--json").json["release"]["manifest"]["params"]
    assert {f"pin agent file {name}" for name in ("AGENTS.md", "skills/refunds/rates.md")} < set(params)
    agent = project.folder.parent / "agent"
    (project.folder / "AGENTS.md").write_text("Guess.\n")
    assert "of at most 32,000" in project("llm", "files", "support", "--to", str(agent)).out
    assert (agent / "AGENTS.md").read_text() == "Never guess.\n"
    assert (agent / "skills/refunds/SKILL.md").read_text() == SKILL + "Ask for the order."


ASKED = """
  persona: {says: [nothing about that], never: [Bob]}
  repeats: {questions: 12, least: 0.5}
  conversations: {times: 2}
  budgets:"""
SCRIPT = """
conversations:
  - name: boots, then hats
    turns:
      - user: How long may I return boots?
        expect: {contains: ["12 days"], contract: prompts/answer.json}
      - user: How long may I return hats?
        expect: {contains: ["13 days", as far as we know]}
"""


def outcomes(ran: Ended) -> dict[str, str]:
    named = ("persona", "steadiness", "conversations")
    return {v["gate"]: v["outcome"] for v in ran.json["verdicts"] if v["gate"] in named}


@pytest.mark.requirement("EVA-13")
@pytest.mark.requirement("PRM-04")
@pytest.mark.requirement("EVA-04")
def test_persona_steadiness_and_conversations_are_gates_of_a_build(project: Shell) -> None:
    charter = project.folder / "headrace.yaml"
    charter.write_text(charter.read_text().replace("\n  budgets:", ASKED))
    missing = project("check")
    assert missing.code != 0
    assert "tests/conversations.yaml" in missing.out + missing.err
    (project.folder / "tests/conversations.yaml").write_text(SCRIPT)
    assert project("check").code == 0
    first = build(project, "the first prompt")
    assert first.code == 4, first.out + first.err
    assert outcomes(first) == {"persona": "passed", "steadiness": "passed", "conversations": "passed"}
    live = approve(project, first)
    pins = first.json["release"]["manifest"]["params"]
    assert pins["pin answered by"] == "small"
    assert pins["pin provider local"].startswith("openai http://127.0.0.1:")
    assert project("release", "show", live, "--json").json["moved"] == []
    providers = project.home / FILE
    written = providers.read_text()
    providers.write_text(written.replace('"self_hosted": true', '"self_hosted": true, "region": "eu"'))
    (terms,) = project("release", "show", live, "--json").json["moved"]
    assert terms["part"] == "terms local"
    assert "was approved" in project("release", "show", live).out
    providers.write_text(written)

    write(project, "Answer as JSON, from the background. Be brief.")
    brief = build(project, "say less")
    assert brief.code == 3, brief.out + brief.err
    changed = project("release", "diff", brief.json["release"]["id"]).out
    assert "pin instructions" in changed
    assert "pin context" not in changed
    assert outcomes(brief) == {"persona": "failed", "steadiness": "passed", "conversations": "failed"}
    verdicts = {v["gate"]: v for v in brief.json["verdicts"]}
    assert "another one than that of the live prompt" in verdicts["persona"]["reason"]
    evidence = verdicts["conversations"]["evidence"]
    assert evidence["broken since"] == ["boots, then hats"]
    assert [(one["turn"], one["as expected"]) for one in evidence["turns"]] == [(1, 2), (2, 0)]
    assert json.loads(evidence["turns"][1]["answer"]) == {"answer": "13 days"}

    write(project, "Answer as JSON, from the background. Be moody.")
    moody = outcomes(build(project, "more life"))
    assert moody == {"persona": "passed", "steadiness": "failed", "conversations": "passed"}


TRIED = """
  playbook:
    - {name: newer, kind: model, model: local/large}
    - {name: cooler, kind: parameters, parameters: {temperature: 0}}
    - {name: empty, kind: context, context: {background: prompts/empty.md}}
    - {name: abroad, kind: model, model: nowhere/large}
  budgets:"""


@pytest.mark.requirement("RET-10")
def test_what_could_replace_a_live_prompt_is_tried_on_its_own_evaluation_set(project: Shell) -> None:
    charter = project.folder / "headrace.yaml"
    assert "Nothing is declared to be tried" in project("llm", "playbook").err
    loose = charter.read_text().replace("max_loss: 0.2 ", "max_loss: 0.5 ")
    charter.write_text(loose.replace("\n  budgets:", TRIED))
    (project.folder / "prompts/empty.md").write_text("Nothing yet.")
    front = FRONT.replace("contract:", "context: {background: prompts/background.md}\ncontract:")
    write(project, "Answer as JSON, from the background. Be sleepy. {{ background }}", front)
    assert "No prompt of 'support' is live" in project("llm", "playbook").err
    live = approve(project, build(project, "the first prompt"))
    ran = project("llm", "playbook", "--json", "--report", "playbook.md")
    assert ran.code == 0, ran.err
    found = ran.json
    assert found["release_id"] == live
    assert found["live"]["loss"] > 0.2
    standing = {one["name"]: one["compared"]["standing"] for one in found["tried"]}
    assert standing == {"newer": "better", "cooler": "as good", "empty": "as good", "abroad": "not measured"}
    assert found["advice"]["name"] == "newer"
    newer, abroad = found["tried"][0], found["tried"][3]
    assert newer["loss"] == 0.0
    assert newer["compared"]["difference"]["high"] < 0
    assert newer["p50_ms"] > 0
    assert "nowhere" in abroad["failures"][0]
    assert set(found["left"]) == {"fine_tune", "retrieval"}
    assert "**Release newer**" in (project.folder / "playbook.md").read_text()
    assert "not tried: fine-tune" in project("llm", "playbook").out


@pytest.mark.requirement("PRM-02")
@pytest.mark.requirement("PRM-03")
@pytest.mark.requirement("LGW-09")
def test_a_prompt_is_released_as_a_model_is(project: Shell) -> None:
    assert project("check").code == 0
    first = build(project, "the first prompt")
    assert first.code == 4, first.err + first.out
    manifest = first.json["release"]["manifest"]
    assert manifest["subject"]["ref"] == "prompt:support@1"
    assert manifest["evaluation"]["wrong_answer"] == 0.0
    assert {v["gate"]: v["outcome"] for v in first.json["verdicts"]}["output_contract"] == "passed"
    live = approve(project, first)
    assert state_of(project, live) == "live"

    write(project, "Answer in prose, from the background.", "---\nmodel: local/small\n---\n")
    blocked = build(project, "prose reads better")
    assert blocked.code == 3, blocked.out
    (verdict,) = (v for v in blocked.json["verdicts"] if v["gate"] == "output_contract")
    assert (verdict["outcome"], "break the contract of prompt:support@1: " in verdict["reason"]) == (
        "failed",
        True,
    )

    with asking(project) as (llm, client):
        assert json.loads(ask(llm, "ada").parse().choices[0].message.content)["answer"].startswith("It is 13")

        write(project, "Answer as JSON, from the background. Be brief.")
        better = approve(project, build(project, "say less"))
        assert rolled_out(project, llm, client, better, disliked=0.1) == "live"
        asked = ask(llm, "ada")
        assert json.loads(asked.parse().choices[0].message.content) == {"answer": "13 days"}
        assert asked.headers["headrace-release"] == better

        write(project, "Answer as JSON, from the background. Be brief, and rude.")
        worse = approve(project, build(project, "a change of tone"))
        assert rolled_out(project, llm, client, worse, disliked=0.9) == "aborted"
        assert "disliked" in project("release", "show", worse, "--json").json["release"]["reason"]
        assert ask(llm, "ada").headers["headrace-release"] == better

        assert project("release", "rollback", "support").code == 0
        assert ask_until(llm, live) == live


def ask_until(llm: openai.OpenAI, release_id: str) -> str:
    """Whose answers come, once the routes have been read again."""
    for number in range(50):
        if (found := ask(llm, f"again-{number}").headers["headrace-release"]) == release_id:
            break
    return str(found)
