"""Guards, budgets, needs of data and traces in the path of a call to a language model, over a real socket."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from headrace.app.llm import traces
from headrace.app.rollouts.comparing import difference
from headrace.gateway.llm.steps import ANSWER, RELEASE
from headrace.gateway.prompts import Prompt
from headrace.testing.scripted_answers import Answer, Refusal
from headrace.web.server import Server
from tests.pace import until
from tests.web.conftest import aside
from tests.web.prompted import HELLO, PROJECT, PROMPT, USER, Desk, client, prompted, read


@pytest.mark.requirement("GRD-03")
@pytest.mark.requirement("GRD-08")
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_about_people_leaves_as_a_stand_in_and_comes_back(desk: Desk, stream: bool) -> None:
    desk.release(PROMPT, basis="consent", purpose="answers")
    mail, card, key = "bob@example.org", "4111 1111 1111 1111", "sk-" + "a1B2c3D4e5F6g7H8" * 3
    desk.model.script = lambda asked: Answer(text=f"Noted: {asked.json['messages'][-1]['content']}")
    asked = client(desk).chat.completions.create(
        model=PROJECT,
        messages=[{"role": "user", "content": f"I am {mail}, card {card}, key {key}"}],
        stream=stream,
    )
    text = read(asked)
    sent = json.dumps(desk.model.asked[-1].json)
    assert not [value for value in (mail, card, key) if value in sent], sent
    assert mail in text
    assert card in text
    assert key not in text, "a secret comes back to nobody"
    (answer,) = desk.answers()
    assert "personal.email input mask" in answer.outputs["guards"][0]
    home = desk.app.settings.home
    written = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert not [value for value in (mail, card, key) if value.encode() in written]


@pytest.mark.parametrize("stream", [False, True])
def test_a_blocked_answer_says_which_rule_and_is_no_failure(desk: Desk, stream: bool) -> None:
    desk.release(Prompt(template="", models=("local/small",), guardrails={"personal": {"action": "block"}}))
    with pytest.raises(openai.BadRequestError, match="personal.email") as refused:
        client(desk).chat.completions.create(
            model=PROJECT, messages=[{"role": "user", "content": "I am bob@example.org"}], stream=stream
        )
    assert refused.value.code == "blocked"
    assert not desk.model.asked
    desk.model.script = Answer(text="Write to ada@example.org now. " + "More. " * 60)
    with pytest.raises(openai.APIError, match="personal.email"):
        read(client(desk).chat.completions.create(model=PROJECT, messages=HELLO, stream=stream))
    until(lambda: len(desk.answers()) == 2)
    assert [answer.outputs["finish"] for answer in desk.answers()] == [["blocked"]] * 2
    assert not desk.failures()


@pytest.mark.requirement("LGW-04")
def test_a_budget_holds_whatever_is_asked_at_once(desk: Desk) -> None:
    budgets = [{"per": "principal", "of": "requests", "most": 10, "period": "day"}]
    desk.release(PROMPT, llm={"budgets": budgets})

    async def ask() -> list[int]:
        async with httpx.AsyncClient(timeout=60) as http:
            asked = (
                http.post(
                    f"{desk.url}/v1/chat/completions",
                    json={"model": PROJECT, "messages": HELLO, "stream": number % 2 == 0},
                    headers={"authorization": f"Bearer {desk.token()}"},
                )
                for number in range(60)
            )
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    with asyncio.Runner() as runner:
        statuses = runner.run(ask())
    assert sorted(statuses) == [200] * 10 + [429] * 50
    assert len(desk.model.asked) == 10
    with pytest.raises(openai.RateLimitError, match="budget of principal") as refused:
        client(desk, retries=3).chat.completions.create(model=PROJECT, messages=HELLO)
    assert refused.value.code == "insufficient_quota"
    assert refused.value.response.headers["x-should-retry"] == "false"


def test_tokens_are_held_back_and_settled_by_what_the_provider_says(desk: Desk) -> None:
    budgets = [{"per": "project", "of": "tokens", "most": 700, "period": "day"}]
    desk.release(PROMPT, llm={"budgets": budgets, "answer_tokens": 500})
    desk.model.script = Answer(prompt_tokens=20, completion_tokens=5)
    for _ in range(5):
        client(desk).chat.completions.create(model=PROJECT, messages=HELLO)
    assert desk.model.asked[-1].json["max_completion_tokens"] == 500
    with pytest.raises(openai.RateLimitError, match="This call may take"):
        client(desk).chat.completions.create(model=PROJECT, messages=HELLO, max_tokens=650)


@pytest.mark.parametrize("unpriced", ["refuse", "flag"])
def test_a_model_without_a_price_is_refused_or_flagged(desk: Desk, unpriced: str) -> None:
    desk.release(PROMPT, llm={"budgets": [{"of": "money", "most": 1.0}], "unpriced": unpriced})
    ask = client(desk).chat.completions
    if unpriced == "refuse":
        with pytest.raises(openai.BadRequestError, match="Nobody knows what local/small costs"):
            ask.create(model=PROJECT, messages=HELLO)
        return
    ask.create(model=PROJECT, messages=HELLO)
    assert desk.answers()[-1].outputs["cost"] == [None]


@pytest.mark.requirement("TRC-07")
def test_a_call_is_a_step_of_its_callers_trace_and_leads_to_its_prompt(desk: Desk) -> None:
    trace, step = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    raw = client(desk).chat.completions.with_raw_response.create(
        model=PROJECT,
        messages=HELLO,
        user="customer-7",
        extra_headers={"traceparent": f"00-{trace}-{step}-01"},
    )
    me = desk.app.identities.resolve(USER)
    until(lambda: desk.app.store.events.count(f"{PROJECT}/spans"))
    (found,) = traces.trace(desk.app, me, PROJECT, trace).steps
    span = found.span
    assert (span.parent_id, span.name) == (step, f"chat {PROJECT}")
    assert span.attributes["gen_ai.request.model"] == "small"
    assert span.attributes["user.id"] == "customer-7"
    answer_id, release_id = (span.attributes[name] for name in (ANSWER, RELEASE))
    assert (answer_id, release_id) == (raw.headers["headrace-answer"], raw.headers["headrace-release"])
    (answer,) = desk.answers()
    assert (answer.id, answer.trace_id) == (answer_id, trace)
    package = desk.app.store.releases.get(release_id).manifest.subject.package
    assert Prompt.from_bytes(desk.app.store.artifacts.get(package.digest)) == PROMPT


@pytest.mark.requirement("GRD-02")
def test_guards_look_at_every_layer_and_say_at_which(desk: Desk) -> None:
    desk.release(PROMPT, basis="consent", purpose="answers")
    call: Any = {
        "id": "c1",
        "type": "function",
        "function": {"name": "find", "arguments": '{"of": "bob@example.org"}'},
    }
    desk.model.script = Answer(text="Ask eve@example.org.")
    answer = client(desk).chat.completions.create(
        model=PROJECT,
        messages=[
            {"role": "user", "content": "Who is cat@example.org?"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": '{"boss": "dan@example.org"}'},
        ],
    )
    assert "@example.org" not in json.dumps(desk.model.asked[-1].json)
    assert "eve@" not in str(answer.choices[0].message.content)
    said = desk.answers()[-1].outputs["guards"][0]
    for layer in ("input", "tool_arguments", "tool_result", "output"):
        assert f"personal.email {layer} mask" in said


@pytest.mark.requirement("GRD-11")
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_rests_on_nothing_is_withheld(desk: Desk, stream: bool) -> None:
    rules = {"support": {"withhold_at": 1}}
    desk.release(
        Prompt(template="A return is free within 30 days.", models=("local/small",), guardrails=rules)
    )
    ask = client(desk).chat.completions
    desk.model.script = Answer(text="Within 30 days.")
    assert read(ask.create(model=PROJECT, messages=HELLO, stream=stream)) == "Within 30 days."
    desk.model.script = Answer(text="Within 45 days, for 9.95 EUR.")
    with pytest.raises(openai.APIError, match="support"):
        read(ask.create(model=PROJECT, messages=HELLO, stream=stream))


@pytest.mark.requirement("LGW-06")
@pytest.mark.requirement("PRV-05")
@pytest.mark.parametrize(
    ("needs", "said"),
    [
        ({"compliant_with": ["HIPAA"]}, "neither self-hosted nor marked compliant with HIPAA"),
        ({"most_days": 0}, "for 30 days; 0 are allowed"),
        ({"regions": ["eu"]}, "works in us, not in eu"),
        ({"untrained": True}, ""),
    ],
)
def test_data_goes_only_where_its_needs_are_promised(desk: Desk, needs: dict[str, Any], said: str) -> None:
    ask = client(desk).chat.completions
    desk.release(Prompt(template="", models=("abroad/small", "local/own")), llm={"needs": needs})
    ask.create(model=PROJECT, messages=HELLO)
    assert desk.model.asked[-1].json["model"] == ("own" if said else "small")
    desk.release(Prompt(template="", models=("abroad/small",)), llm={"needs": needs})
    n_asked = len(desk.model.asked)
    if not said:
        ask.create(model=PROJECT, messages=HELLO)
        return
    with pytest.raises(openai.PermissionDeniedError, match=said):
        ask.create(model=PROJECT, messages=HELLO)
    assert len(desk.model.asked) == n_asked


@pytest.mark.requirement("PRV-06")
def test_in_closed_mode_nothing_leaves(tmp_path: Path, listen: Callable[[Server], str]) -> None:
    with aside(prompted(tmp_path / "home", listen, HEADRACE_CLOSED="yes")) as desk:
        client(desk).chat.completions.create(model=PROJECT, messages=HELLO)
        desk.release(Prompt(template="", models=("abroad/small",)))
        with pytest.raises(openai.PermissionDeniedError, match="nothing leaves here"):
            client(desk).chat.completions.create(model=PROJECT, messages=HELLO)
    assert len(desk.model.asked) == 1


def test_a_caller_cannot_raise_what_the_prompt_limits(desk: Desk) -> None:
    desk.release(Prompt(template="", models=("local/small",), parameters={"max_tokens": 300}))
    client(desk).chat.completions.create(
        model=PROJECT, messages=HELLO, max_completion_tokens=100_000, max_tokens=9_000
    )
    asked = desk.model.asked[-1].json
    assert (asked["max_tokens"], "max_completion_tokens" in asked) == (300, False)
    with pytest.raises(openai.BadRequestError, match="service_tier"):
        client(desk).chat.completions.create(model=PROJECT, messages=HELLO, service_tier="priority")


def test_what_was_left_before_it_was_counted_costs_all_that_was_held_back(desk: Desk) -> None:
    desk.release(PROMPT, llm={"budgets": [{"of": "tokens", "most": 1_000}], "answer_tokens": 600})
    desk.model.script = Answer(is_endless=True, pause_s=0.01)
    with httpx.stream(
        "POST",
        f"{desk.url}/v1/chat/completions",
        json={"model": PROJECT, "messages": HELLO, "stream": True},
        headers={"authorization": f"Bearer {desk.token()}"},
    ) as answer:
        next(answer.iter_bytes())
    until(desk.answers)
    with pytest.raises(openai.RateLimitError, match="This call may take"):
        client(desk).chat.completions.create(model=PROJECT, messages=HELLO)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_a_provider_says_of_our_key_is_nobodys_business(desk: Desk, status: int, stream: bool) -> None:
    desk.model.script = Refusal(status=status, message="Incorrect API key provided: sk-ab***cd.")
    with pytest.raises(openai.InternalServerError) as refused:
        client(desk).chat.completions.create(model=PROJECT, messages=HELLO, stream=stream)
    assert refused.value.status_code == 503
    assert "sk-ab" not in str(refused.value)


def test_no_secret_is_written_down_whoever_the_data_is_about(desk: Desk) -> None:
    key = "sk-" + "a1B2c3D4e5F6g7H8" * 3
    desk.model.script = Answer(text=f"Your key is {key}.")
    asked: list[Any] = [{"role": "user", "content": f"Is {key} mine? Write to ada@example.org"}]
    client(desk).chat.completions.create(model=PROJECT, messages=asked)
    (answer,) = desk.answers()
    assert key not in repr(answer)
    assert "ada@example.org" in answer.columns["question"][0]


@pytest.mark.requirement("PRM-01")
def test_versions_of_a_prompt_have_an_author_a_history_and_a_diff_by_line(desk: Desk) -> None:
    first = desk.release(Prompt(template="Be kind.\nNever guess.", models=("local/small",)))
    desk.release(Prompt(template="Be brief.\nNever guess.", models=("local/large",)))
    me = desk.app.identities.resolve(USER)
    listed = desk.app.store.releases.list(PROJECT)
    assert [one.manifest.subject.ref for one in listed] == [f"prompt:support@{n}" for n in (3, 2, 1)]
    assert all(one.author for one in listed)
    found = difference(desk.app, me, first).prompt
    assert found is not None
    assert "Be brief." in found.before
    assert "Be kind." in found.after
    page = httpx.get(f"{desk.url}/releases/{first}", headers={"authorization": f"Bearer {desk.token()}"})
    assert page.status_code == 200
    assert re.search(r"<del>.*Be brief\.</del>", page.text)
    assert re.search(r"<ins>.*Be kind\.</ins>", page.text)
    assert not re.search(r"<(ins|del)>.*Never guess", page.text)


@pytest.mark.requirement("LGW-10")
def test_parameters_and_token_weights_are_versioned_and_the_releases(desk: Desk) -> None:
    ask = client(desk).chat.completions
    for weight in (-100, 5):
        parameters = {"temperature": 0.1, "logit_bias": {"50256": weight}}
        desk.release(Prompt(template="", models=("local/small",), parameters=parameters))
        ask.create(model=PROJECT, messages=HELLO, temperature=1.5, logit_bias={"50256": 90})
        asked = desk.model.asked[-1].json
        assert (asked["temperature"], asked["logit_bias"]) == (0.1, {"50256": weight})


def test_what_a_caller_says_beside_the_messages_is_looked_at_too(desk: Desk) -> None:
    desk.release(PROMPT, basis="consent", purpose="answers")
    client(desk).chat.completions.create(
        model=PROJECT,
        messages=HELLO,
        prediction={"type": "content", "content": "Dear bob@example.org"},
        extra_body={"headrace": {"variables": {"tone": "kind to cat@example.org"}}},
    )
    assert "@example.org" not in json.dumps(desk.model.asked[-1].json)
