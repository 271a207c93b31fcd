"""What a webhook's receiver was sent, as somebody there would read it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.serving.receiver import Receiver


def documents(receiver: Receiver) -> list[dict[str, Any]]:
    """What it has taken."""
    return [json.loads(body) for _, _, body in receiver.had]


def texts(receiver: Receiver) -> Callable[[], list[str]]:
    """Every text in what it has taken, one document each."""
    return lambda: ["\n".join(_strings(document)) for document in documents(receiver)]


def refusing(receiver: Receiver) -> Callable[[bool], None]:
    """Lets it be out of order, and in order again."""

    def refuse(out_of_order: bool) -> None:
        receiver.status = 503 if out_of_order else 200

    return refuse


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
