"""Scripted models, and the upstream that asks them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec

from headrace.core.errors import InvalidInput
from headrace.gateway.llm.retrying import Retrying
from headrace.gateway.llm.upstream import (
    Endpoint,
    Question,
    Reply,
    Stream,
    Target,
    Upstreams,
)
from headrace.testing import FakeClock, ScriptedLLM
from headrace.testing.scripted_llm import Asked, Script

PATH = "/chat/completions"
_T = TypeVar("_T")
_DOWN = 1
"""A port where nobody listens."""


def body_of(model: str, **more: Any) -> bytes:
    return msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": "Hi"}], **more})


def stream_body_of(model: str) -> bytes:
    return body_of(model, stream=True)


class World:
    """Scripted models, and what asks them; nothing sleeps."""

    def __init__(self, scripts: Sequence[Script], **options: Any) -> None:
        self.models = [ScriptedLLM(script) for script in scripts]
        self.clock = FakeClock()
        self.waited: list[float] = []
        self.sleeps = asyncio.Event()
        self.keys_asked: list[str] = []
        self.no_key = ""
        self.options = options
        self.retrying = options.pop("retrying", Retrying(base_s=1.0))
        self.targets = [Target(f"m{i}", f"model-{i}") for i in range(len(scripts))]

    async def __aenter__(self) -> World:
        for model in self.models:
            await model.__aenter__()
        urls = [model.url for model in self.models]
        self.up = Upstreams(
            {
                f"m{i}": Endpoint(name=f"m{i}", base_url=f"{url}/v1", secret=f"key-{i}", **self.options)
                for i, url in enumerate(urls)
            }
            | {"down": Endpoint(name="down", base_url=f"http://127.0.0.1:{_DOWN}/v1")},
            self._key,
            self.clock,
            retrying=self.retrying,
            sleep=self._sleep,
            drawn=lambda: 1.0,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.up.close()
        for model in self.models:
            await model.__aexit__(None, None, None)

    async def call(self, *targets: Target, **options: Any) -> Reply:
        return await self.up.call(Question(targets or self.targets, PATH, body_of, **options))

    @asynccontextmanager
    async def opened(
        self, targets: Sequence[Target], path: str = PATH, **options: Any
    ) -> AsyncIterator[Stream]:
        stream = await self.up.begin(Question(targets, path, stream_body_of, **options))
        broken: Exception | None = None
        try:
            yield stream
        except Exception as error:
            broken = error
            raise
        finally:
            await self.up.end(stream, broken)

    async def stream(self, path: str = PATH) -> list[bytes]:
        async with self.opened(self.targets, path) as stream:
            return [data async for data in stream]

    async def _sleep(self, duration_s: float) -> None:
        self.waited.append(duration_s)
        self.clock.advance(duration_s)
        self.sleeps.set()
        await asyncio.sleep(0)

    def _key(self, name: str) -> str:
        self.keys_asked.append(name)
        if name and name == self.no_key:
            raise InvalidInput("There is none.")
        return f"secret-of-{name}" if name else ""

    def n_asked(self) -> list[int]:
        return [len(model.asked) for model in self.models]


def inside(world: World, work: Callable[[World], Coroutine[Any, Any, _T]]) -> _T:
    async def run() -> _T:
        async with world:
            return await work(world)

    return asyncio.run(run())


async def ended(asked: Asked) -> str:
    for _ in range(500):
        if asked.over.is_set():
            break
        await asyncio.sleep(0.01)
    return asked.ended
