"""What a prompt is asked beside its evaluation set, by models that are scripted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from headrace.app.composition import App, open_app
from headrace.app.gates.gating import Gating
from headrace.app.llm.prompt_checks import (
    Ask,
    judge_agent_files,
    judge_conversations,
    judge_persona,
    judge_steadiness,
)
from headrace.app.llm.prompting import Prompting
from headrace.core.canonical import canonical_json
from headrace.core.data import Run
from headrace.core.errors import HeadraceError, Unavailable
from headrace.core.project import Project, Variant
from headrace.core.release import Route, Subject
from headrace.gateway.conversations import Script, read_script
from headrace.gateway.llm.chat import NOTHING, Answered, ChatRequest
from headrace.gateway.prompts import Prompt
from headrace.projects.llm import AgentFileLimits, Conversations, Persona, Repeats, llm_mistakes
from headrace.store.documents import to_plain
from headrace.testing import make_project, make_settings
from headrace.testing.factories import make_artifact, make_manifest, make_release, make_run
from headrace.training.pipeline import Recipe

PROJECT = make_project(name="support", task="text_generation")
KIND = ("Sure! I am Aria, happy to help!", "Hey! It is me, Aria!", "No worries! I am Aria, ask me!")
STIFF = ("This is Aria; kindly state the request.", "Aria, of the service desk, is noting it.",
         "The request is received by Aria: it is noted.")  # fmt: skip
HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello"}]
LIKE = ChatRequest(model="support", messages=HELLO, body={"model": "support", "messages": HELLO})


def prompt(name: str) -> Prompt:
    return Prompt(template=name, models=("local/small",))


def asks(voices: dict[str, tuple[str, ...]]) -> Ask:
    """Each prompt says its own in turn; what it has nothing for fails."""
    turns = count()

    def ask(_: Project, by: Prompt, requests: Sequence[ChatRequest]) -> list[Answered | HeadraceError]:
        said = voices.get(by.template, ())
        return [
            NOTHING._replace(text=said[next(turns) % len(said)]) if said else Unavailable("It is down.")
            for _ in requests
        ]

    return ask


@pytest.mark.requirement("PRM-04")
def test_a_change_of_the_prompt_that_alters_the_persona_is_detected() -> None:
    ask, spec = asks({"kind": KIND, "kind, and brief": KIND, "stiff": STIFF}), Persona(says=("Aria",))
    outcome, reason, evidence = judge_persona(ask, PROJECT, spec, prompt("stiff"), prompt("kind"), LIKE)
    assert outcome == "failed"
    assert "another one than that of the live prompt" in reason
    assert evidence["p_value"] <= 0.05
    same = judge_persona(ask, PROJECT, spec, prompt("kind, and brief"), prompt("kind"), LIKE)
    assert (same[0], same[2]["p_value"] > 0.05) == ("passed", True)


@pytest.mark.requirement("PRM-04")
@pytest.mark.parametrize(
    ("spec", "why"),
    [(Persona(says=("Bertha",)), "no answer says"), (Persona(never=("no worries",)), "an answer says")],
)
def test_a_persona_says_what_it_should_and_not_what_it_should_not(spec: Persona, why: str) -> None:
    outcome, reason, _ = judge_persona(asks({"kind": KIND}), PROJECT, spec, prompt("kind"), None, LIKE)
    assert outcome == "failed"
    assert why in reason


SCRIPT = """
conversations:
  - {name: greet, times: 2, turns: [{user: Hello, expect: {contains: [Aria]}},
                                    {user: Again, expect: {lacks: [kindly]}}]}
  - {name: note, turns: [{user: Hello, expect: {lacks: [Bertha]}}]}
"""


def scripted(folder: Path) -> Script:
    (folder / "tests").mkdir(exist_ok=True)
    (folder / "tests/conversations.yaml").write_text(SCRIPT)
    return read_script(folder, "tests/conversations.yaml")


@pytest.mark.requirement("EVA-13")
def test_a_candidate_holds_the_conversations_or_it_is_said_which_it_breaks(tmp_path: Path) -> None:
    ask, script, spec = (
        asks({"kind": ("I am Aria.",), "stiff": ("Kindly, Aria.",)}),
        scripted(tmp_path),
        Conversations(),
    )
    outcome, reason, evidence = judge_conversations(
        ask, PROJECT, spec, script, prompt("stiff"), prompt("kind")
    )
    assert outcome == "failed"
    assert reason == (
        "1 of 2 conversations hold; the live prompt holds 2. 'greet', turn 2: it contains 'kindly'"
    )
    assert evidence["broken since"] == ["greet"]
    assert evidence["conversations"][0] == {
        "conversation": "greet", "times": 2, "held": 0.0, "held by the live prompt": 1.0,
    }  # fmt: skip
    assert [(one["turn"], one["played"], one["as expected"]) for one in evidence["turns"]] == [
        (1, 2, 2), (2, 2, 0), (1, 1, 1),
    ]  # fmt: skip
    assert evidence["turns"][1]["answer"] == "Kindly, Aria."
    same = judge_conversations(ask, PROJECT, spec, script, prompt("kind"), prompt("stiff"))
    assert (same[0], same[2]["held"], same[2]["held by the live prompt"]) == ("passed", 2, 1)
    first = judge_conversations(ask, PROJECT, spec, script, prompt("kind"), None)
    assert (first[0], first[2]["held by the live prompt"]) == ("passed", None)


@pytest.mark.requirement("EVA-13")
def test_a_share_of_the_times_may_be_enough(tmp_path: Path) -> None:
    texts = ("I am Aria.", "I am Aria.", "I am Aria.", "I am Aria.", "Kindly, Aria.")
    for least, outcome in ((0.5, "passed"), (1.0, "failed")):
        judged = judge_conversations(
            asks({"kind": texts}),
            PROJECT,
            Conversations(least=least),
            scripted(tmp_path),
            prompt("kind"),
            None,
        )
        assert (judged[0], judged[2]["conversations"][0]["held"]) == (outcome, 0.5)


def test_models_that_do_not_answer_are_no_verdict(tmp_path: Path) -> None:
    ask = asks({"kind": KIND})
    talk = judge_conversations(ask, PROJECT, Conversations(), scripted(tmp_path), prompt("down"), None)
    assert (talk[0], "It is down." in talk[1]) == ("error", True)
    for ours, live in (("down", "kind"), ("kind", "down")):
        assert judge_persona(ask, PROJECT, Persona(), prompt(ours), prompt(live), LIKE)[0] == "error"
    assert judge_steadiness(ask, PROJECT, Repeats(), prompt("down"), [LIKE] * 30)[0] == "error"


@pytest.mark.requirement("EVA-04")
def test_other_wording_passes_and_other_facts_do_not() -> None:
    said = (
        "You may return it within 30 days.",
        "Within 30 days you can return it.",
        "Return the shoes within 30 days!",
    )
    other = (said[0], "It has to come back within 14 days.", "It cannot be returned.")
    ask, questions = asks({"steady": said, "unsteady": other}), [LIKE] * 30
    outcome, reason, evidence = judge_steadiness(ask, PROJECT, Repeats(), prompt("steady"), questions)
    assert (outcome, evidence["steady"]) == ("passed", 30)
    assert "within" in reason
    assert 0 < evidence["likeness"] < 1
    assert judge_steadiness(ask, PROJECT, Repeats(), prompt("unsteady"), questions)[0] == "failed"
    few = judge_steadiness(ask, PROJECT, Repeats(), prompt("steady"), questions[:5])
    assert few[0] == "inconclusive", "five questions show little"


@pytest.mark.parametrize(
    ("llm", "said"),
    [
        ({"persona": {"times": 1}}, "3 to 50 times"),
        ({"persona": {"probes": []}}, "1 to 50 probes"),
        ({"repeats": {"times": 1}}, "2 to 20 times"),
        ({"conversations": {"file": "talk.yaml"}}, "below tests/ or prompts/"),
        ({"conversations": {"times": 0}}, "expected 1 to 20"),
        ({"conversations": {"least": 0}}, "a share up to 1"),
        ({"repeats": {"least": 1.5}}, "a share from 0 to 1"),
    ],
)
def test_a_declaration_that_cannot_be_is_named(llm: dict[str, Any], said: str) -> None:
    (broken,) = llm_mistakes(replace(PROJECT, llm=llm))
    assert said in broken.text
    assert list(llm_mistakes(replace(PROJECT, llm={"persona": {}, "repeats": {}}))) == []


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with open_app(make_settings(tmp_path)) as found:
        yield found


def answering(build: str, variant: str, text: str, loss: float = 1.0) -> Run:
    """A run whose prompt says ``text`` and is wrong in so many of its answers."""
    return make_run(
        id=f"{build}-{variant}", build_id=build, project="support", variant=variant,
        package=make_artifact(text.encode()), metrics={"wrong_answer": loss},
    )  # fmt: skip


def go_live(app: App, *runs: Run) -> None:
    """Release the last one of a build."""
    for run in runs:
        app.store.runs.save(run)
    subject = Subject(ref="prompt:support@1", package=make_artifact(b"package"))
    manifest = make_manifest(project="support", run_id=runs[-1].id, subject=subject, charter=PROJECT)
    live = app.store.releases.add(make_release(manifest=manifest)).id
    app.store.rollouts.set_route(Route(project="support", live=live, revision=0))


@pytest.mark.requirement("PRM-02")
def test_of_prompts_that_fail_alike_the_one_that_somebody_edited_is_judged(app: App) -> None:
    prompting = Prompting(app, Gating(app), asks({}))
    plain, answer, brief = (answering("2", name, name) for name in ("plain", "answer", "brief"))
    assert prompting.best([plain, answer, brief], "wrong_answer") == answer, "nothing is live"
    better = answering("2", "plain", "plain", 0.5)
    assert prompting.best([better, answer], "wrong_answer") == answer, "its wrong answers are of use"
    assert prompting.best([better], "wrong_answer") == better
    go_live(app, answering("1", "plain", "plain"), answering("1", "answer", "answer"))
    assert prompting.best([plain, answer, brief], "wrong_answer") == brief
    assert prompting.best([plain, answering("2", "answer", "edited")], "wrong_answer").variant == "answer"
    edited = answering("2", "plain", "edited")
    assert prompting.best([edited, answer], "wrong_answer") == edited
    assert prompting.best([edited, brief], "wrong_answer") == brief
    assert prompting.best([better, answering("2", "answer", "edited")], "wrong_answer").variant == "answer"
    assert prompting.best([plain, answer], "wrong_answer") == answer, "nothing was edited"


@pytest.mark.requirement("PRM-02")
@pytest.mark.parametrize(("simplest", "loss"), [(1.0, 1.0), (0.0, 0.0), (0.25, 0.5)])
def test_a_prompt_that_is_no_better_than_the_simplest_does_not_beat_it(
    app: App, simplest: float, loss: float
) -> None:
    plain, answer = answering("1", "plain", "plain", simplest), answering("1", "answer", "answer", loss)
    variant = Variant(name="answer", trainer="a.md")
    recipe = Recipe(project=PROJECT, variant=variant, training_set=make_artifact())
    made = app.store.artifacts.put(canonical_json(recipe), "application/json")
    for run in (plain, answer):
        app.store.runs.save(replace(run, outputs={"recipe": made}))
    gate = replace(PROJECT.gates.model, metric="wrong_answer", max_loss=1.0)
    state = {
        "declared": to_plain(replace(PROJECT, gates=replace(PROJECT.gates, model=gate))),
        "project": "support", "build_id": "1", "author": "ann", "judged_id": "release-1",
        "run_id": answer.id, "baseline_run_id": plain.id,
    }  # fmt: skip
    Gating(app).model(state)
    (judged,) = (one for one in app.store.evidence.verdicts("release-1") if one.gate == "baseline")
    assert judged.outcome == "failed"
    assert "the simplest prompt answers at least as well as this one" in judged.reason
    assert f"{simplest:g} against {loss:g} wrong_answer" in judged.reason
    assert "headrace run --baseline" in judged.reason


def test_what_is_declared_is_a_gate_of_the_build(tmp_path: Path) -> None:
    with open_app(make_settings(tmp_path)) as app:
        prompting = Prompting(app, Gating(app), asks({}))
        declared: list[tuple[dict[str, Any], list[str]]] = [
            ({}, []),
            (
                {"persona": {}, "repeats": {}, "conversations": {}},
                ["persona", "steadiness", "conversations"],
            ),
        ]
        for llm, own in declared:
            state = {"declared": to_plain(replace(PROJECT, llm=llm))}
            assert [name for name, _ in prompting.gates(state)][3:] == [*own, "agent_files"]


@pytest.mark.requirement("PRM-06")
def test_files_for_agents_that_are_too_long_fail_and_are_named() -> None:
    skill = "---\nname: refunds\ndescription: How money is given back.\n---\n" + "Ask for the order. " * 20
    ours = replace(
        prompt("kind"),
        agent_files={
            "AGENTS.md": "Be kind. " * 10,
            "CLAUDE.md": "See AGENTS.md.",
            "skills/refunds/SKILL.md": skill,
            "skills/refunds/rates.md": "9.50 EUR. " * 500,
        },
    )
    outcome, reason, evidence = judge_agent_files(AgentFileLimits(), ours)
    assert (outcome, reason) == ("passed", "135 characters at start, of at most 32,000")
    outcome, reason, evidence = judge_agent_files(AgentFileLimits(at_start=134, skill=400), ours)
    assert outcome == "failed"
    assert reason == (
        "an agent reads 135 characters before its first call: at most 134 (llm.agent_files.at_start); the "
        f"most, 90, of AGENTS.md; skills/refunds/SKILL.md has {len(skill)} characters: at most 400 "
        "(llm.agent_files.skill)"
    )
    assert [(one["file"], one["read"], one["over"]) for one in evidence["files"]] == [
        ("AGENTS.md", "at start", None),
        ("CLAUDE.md", "at start", None),
        ("skills/refunds/SKILL.md", "when used", len(skill) - 400),
        ("skills/refunds/rates.md", "when named", None),
    ]
    assert sum(one["at start"] for one in evidence["files"]) == evidence["characters at start"] == 135
    _, _, evidence = judge_agent_files(AgentFileLimits(at_start=30), ours)
    assert [one["over"] for one in evidence["files"]] == [60, None, None, None], "as the list of files has it"
