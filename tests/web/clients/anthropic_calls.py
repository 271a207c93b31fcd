"""What an application does with Anthropic's client, whichever version runs this; ends with 0 if all holds.

Arguments: address of the server, token, project.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from typing import Any

anthropic: Any = importlib.import_module("anthropic")
HI: Any = [{"role": "user", "content": "May I return it?"}]
TOOL: Any = {"name": "find", "input_schema": {"type": "object", "properties": {"id": {"type": "string"}}}}


def text(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def messages(llm: Any, model: str) -> None:
    usual = {"model": model, "max_tokens": 300, "messages": HI}
    said = llm.messages.create(**usual)
    assert (text(said), said.stop_reason) == ("Within thirty days.", "end_turn"), said
    with llm.messages.stream(**usual) as pieces:
        assert "".join(pieces.text_stream) == "Within thirty days."
        used = pieces.get_final_message().usage
    assert (used.input_tokens, used.output_tokens) in ((10, 3), (0, 3)), used
    events = list(llm.messages.create(**usual, stream=True))
    assert [events[0].type, events[-1].type] == ["message_start", "message_stop"], events
    for called in (llm.messages.create(**usual, tools=[TOOL]), streamed(llm, usual | {"tools": [TOOL]})):
        (use,) = (block for block in called.content if block.type == "tool_use")
        assert (use.name, use.input, called.stop_reason) == ("find", {"id": "7"}, "tool_use"), called
        result = {"type": "tool_result", "tool_use_id": use.id, "content": "found"}
        told = [*HI, {"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
        assert text(llm.messages.create(**usual | {"messages": told}, tools=[TOOL])) == "Within thirty days."
    for wrong, error in (
        (llm.with_options(api_key="sk-1"), anthropic.AuthenticationError),
        (llm, anthropic.NotFoundError),
    ):
        try:
            wrong.messages.create(**usual | {"model": "other"})
        except error:
            continue
        raise AssertionError(f"expected {error.__name__}")


def streamed(llm: Any, asked: dict[str, Any]) -> Any:
    with llm.messages.stream(**asked) as pieces:
        return pieces.get_final_message()


async def together(address: str, token: str, model: str) -> None:
    async with anthropic.AsyncAnthropic(base_url=address, api_key=token, max_retries=0) as llm:
        usual = {"model": model, "max_tokens": 300, "messages": HI}
        said = await asyncio.gather(*(llm.messages.create(**usual) for _ in range(5)))
        assert {text(one) for one in said} == {"Within thirty days."}
        async with llm.messages.stream(**usual) as pieces:
            assert text(await pieces.get_final_message()) == "Within thirty days."


def main(address: str, token: str, model: str) -> None:
    llm = anthropic.Anthropic(base_url=address, api_key=token, max_retries=0)
    assert model in [one.id for one in llm.models.list()]
    messages(llm, model)
    asyncio.run(together(address, token, model))
    print(anthropic.__version__)  # noqa: T201


main(*sys.argv[1:])
