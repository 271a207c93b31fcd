"""An answer that is under way ends when its caller may do nothing any more, or nobody may ask."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import openai
import pytest

from headrace.app import llm_stops
from headrace.app.credentials import revoke_tokens
from headrace.core.identity import Principal
from headrace.testing.scripted_answers import Answer
from tests.pace import until
from tests.web.prompted import HELLO, PROJECT, USER, Desk, client, read


def freeze(desk: Desk, me: Principal) -> None:
    desk.app.identities.freeze(me.name, "its token has leaked", actor=me.name)


def expire(desk: Desk, me: Principal) -> None:
    desk.app.identities.set_expiry(me.name, desk.app.clock.now() - timedelta(seconds=1), actor=me.name)


def revoke_all(desk: Desk, me: Principal) -> None:
    desk.app.access.revocations.end_all(me)


def stop(desk: Desk, me: Principal) -> None:
    llm_stops.stop(desk.app, me, PROJECT, "it insults people")


ENDS = [
    (freeze, "its token has leaked"),
    (expire, "has expired"),
    (revoke_all, "has been revoked"),
    (stop, "it insults people"),
]


@pytest.mark.parametrize(("end", "said"), ENDS)
def test_a_stream_ends_with_its_callers_rights_and_is_no_failure_of_the_release(
    desk: Desk, end: Callable[[Desk, Principal], None], said: str
) -> None:
    desk.model.script = Answer(text="word " * 400, pause_s=0.01)
    stream = client(desk).chat.completions.create(model=PROJECT, messages=HELLO, stream=True)
    pieces = [next(stream) for _ in range(5)]
    end(desk, desk.app.identities.resolve(USER))
    desk.server.parts.gateway.refresh()
    with pytest.raises(openai.APIError, match=said):
        pieces.extend(stream)
    assert len(pieces) < 300, "it ends in the midst of it"
    until(desk.answers)
    (answer,) = desk.answers()
    assert answer.outputs["finish"] == ["broken off"]
    assert str(answer.outputs["predict"][0]).startswith("word word"), "what was given is on record"
    assert not desk.failures()


def test_a_whole_answer_is_paid_and_not_given_to_whoever_was_frozen_meanwhile(desk: Desk) -> None:
    desk.model.script = Answer(text="word", delay_s=0.5)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(client(desk).chat.completions.create, model=PROJECT, messages=HELLO)
        until(lambda: desk.model.asked)
        freeze(desk, desk.app.identities.resolve(USER))
        desk.server.parts.gateway.refresh()
        with pytest.raises(openai.AuthenticationError, match="its token has leaked"):
            asking.result()
    (answer,) = desk.answers()
    assert (answer.outputs["finish"], answer.outputs["predict"]) == (["broken off"], [""])
    assert answer.outputs["input_tokens"] == [10]
    assert not desk.failures()


def test_a_revoked_token_ends_what_it_began_and_nothing_else(desk: Desk) -> None:
    me = desk.app.identities.resolve(USER)
    issued = desk.app.tokens.mint(me)
    desk.model.script = Answer(text="word " * 150, pause_s=0.01)
    others = client(desk).chat.completions.create(model=PROJECT, messages=HELLO, stream=True)
    its_own = (
        client(desk)
        .with_options(api_key=issued.text)
        .chat.completions.create(model=PROJECT, messages=HELLO, stream=True)
    )
    next(its_own)
    revoke_tokens(desk.app, me, USER, token=issued.id)
    desk.server.parts.gateway.refresh()
    with pytest.raises(openai.APIError, match="has been revoked"):
        list(its_own)
    assert read(others) == "word " * 150
