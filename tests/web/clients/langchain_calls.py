"""What an application does with LangChain's models of OpenAI; ends with 0 if all holds.

Arguments: address of the server, token, project.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import sys
from typing import Any

from pydantic import BaseModel

langchain: Any = importlib.import_module("langchain_openai")
HI = "May I return it?"


class Days(BaseModel):
    """How many days."""

    days: int


class Find(BaseModel):
    """Finds an order."""

    id: str


async def together(models: list[Any]) -> None:
    for llm in models:
        answers = await llm.abatch([HI] * 3)
        assert {one.text for one in answers} == {"Within thirty days."}, answers
        assert "".join([piece.text async for piece in llm.astream(HI)]) == "Within thirty days."


def main(address: str, token: str, model: str) -> None:
    reached: Any = {"base_url": f"{address}/v1", "api_key": token, "model": model, "max_retries": 0}
    models = [langchain.ChatOpenAI(**reached, use_responses_api=uses) for uses in (False, True)]
    for llm in models:
        said = llm.invoke(HI)
        assert said.text == "Within thirty days.", said
        assert said.usage_metadata["input_tokens"] == 10, said
        assert "".join(piece.text for piece in llm.stream(HI)) == "Within thirty days."
        (call,) = llm.bind_tools([Find]).invoke(HI).tool_calls
        assert (call["name"], call["args"]) == ("Find", {"id": "7"}), call
        assert llm.with_structured_output(Days).invoke(HI) == Days(days=30)
    asyncio.run(together(models))
    vectors = langchain.OpenAIEmbeddings(**reached, check_embedding_ctx_length=False)
    assert len(vectors.embed_documents([HI, "How much?"])) == 2
    assert len(vectors.embed_query(HI)) == 8
    print(importlib.metadata.version("langchain-openai"))  # noqa: T201


main(*sys.argv[1:])
