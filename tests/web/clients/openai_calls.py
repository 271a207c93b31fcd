"""What an application does with OpenAI's client, whichever version runs this; ends with 0 if all holds.

Arguments: address of the server, token, project.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from typing import Any

from pydantic import BaseModel

openai: Any = importlib.import_module("openai")
HI: Any = [{"role": "user", "content": "May I return it?"}]
SCHEMA = {"type": "object", "properties": {"id": {"type": "string"}}}
TOOL: Any = {"type": "function", "function": {"name": "find", "parameters": SCHEMA}}


class Days(BaseModel):
    days: int


def chats(llm: Any, model: str) -> None:
    ask = llm.chat.completions
    said = ask.create(model=model, messages=HI)
    assert said.choices[0].message.content == "Within thirty days.", said
    assert said.usage.prompt_tokens == 10, said
    chunks = list(ask.create(model=model, messages=HI, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Within thirty days."
    assert chunks[-1].usage.completion_tokens == 3, chunks[-1]
    called = ask.create(model=model, messages=HI, tools=[TOOL]).choices[0].message
    assert called.tool_calls[0].function.name == "find", called
    told = [*HI, called, {"role": "tool", "tool_call_id": called.tool_calls[0].id, "content": "found"}]
    assert ask.create(model=model, messages=told, tools=[TOOL]).choices[0].message.content, told
    parse = getattr(ask, "parse", None) or llm.beta.chat.completions.parse
    assert parse(model=model, messages=HI, response_format=Days).choices[0].message.parsed == Days(days=30)
    for wrong, error in (
        (llm.with_options(api_key="sk-1"), openai.AuthenticationError),
        (llm, openai.NotFoundError),
    ):
        try:
            wrong.chat.completions.create(model="other", messages=HI)
        except error:
            continue
        raise AssertionError(f"expected {error.__name__}")


def responses(llm: Any, model: str) -> None:
    ask = llm.responses
    assert ask.create(model=model, input="May I return it?").output_text == "Within thirty days."
    with ask.stream(model=model, input="May I return it?") as pieces:
        kinds = [event.type for event in pieces]
        assert pieces.get_final_response().output_text == "Within thirty days."
    assert kinds[-1] == "response.completed", kinds
    tool = {"type": "function", "name": "find", "parameters": SCHEMA}
    (called,) = ask.create(model=model, input="May I return it?", tools=[tool]).output
    assert (called.type, called.name) == ("function_call", "find"), called
    told = [
        *HI,
        called.to_dict(),
        {"type": "function_call_output", "call_id": called.call_id, "output": "found"},
    ]
    assert ask.create(model=model, input=told, tools=[tool]).output_text == "Within thirty days."
    assert ask.parse(model=model, input="May I return it?", text_format=Days).output_parsed == Days(days=30)


async def together(url: str, token: str, model: str) -> None:
    async with openai.AsyncOpenAI(base_url=url, api_key=token, max_retries=0) as llm:
        said = await asyncio.gather(
            *(llm.chat.completions.create(model=model, messages=HI) for _ in range(5))
        )
        assert {one.choices[0].message.content for one in said} == {"Within thirty days."}
        stream = await llm.chat.completions.create(model=model, messages=HI, stream=True)
        pieces = [c.choices[0].delta.content or "" async for c in stream if c.choices]
        assert "".join(pieces) == "Within thirty days."
        async with llm.responses.stream(model=model, input="May I return it?") as events:
            assert (await events.get_final_response()).output_text == "Within thirty days."


def main(address: str, token: str, model: str) -> None:
    url = f"{address}/v1"
    llm = openai.OpenAI(base_url=url, api_key=token, max_retries=0)
    assert model in [one.id for one in llm.models.list()]
    chats(llm, model)
    responses(llm, model)
    vectors = llm.embeddings.create(model=model, input=["May I return it?", "How much?"]).data
    assert len(vectors) == 2
    asyncio.run(together(url, token, model))
    print(openai.__version__)  # noqa: T201


main(*sys.argv[1:])
