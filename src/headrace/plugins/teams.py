"""Microsoft Teams: an adaptive card by an incoming webhook or workflow."""

from __future__ import annotations

from typing import Any

from headrace.core.alerts import Message
from headrace.serving.callbacks import Callbacks

_MOST_TEXT = 6_000
_COLOURS = {"critical": "attention", "warning": "warning", "info": "accent"}


class TeamsChannel:
    """Implements ``Channel``.

    Args:
        url: of the webhook; whoever has it can write there.
    """

    personal = False

    def __init__(self, url: str, callbacks: Callbacks) -> None:
        self._url = url
        self._callbacks = callbacks

    def send(self, message: Message) -> None:
        self._callbacks.tell(self._url, message.id, card(message))


def card(message: Message) -> dict[str, Any]:
    """The document that Teams takes: text runs, in which no character has a meaning.

    >>> from headrace.testing.factories import make_message
    >>> card(make_message())["attachments"][0]["content"]["type"]
    'AdaptiveCard'
    """
    colour = _COLOURS[message.severity]
    body = [
        _said(message.title, size="medium", weight="bolder", color=colour),
        _said(message.text[:_MOST_TEXT]),
        _said(f"{message.project} · {message.id}", size="small", isSubtle=True),
    ]
    actions = [{"type": "Action.OpenUrl", "title": one.title, "url": one.url} for one in message.links]
    content = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "actions": actions,
    }
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "content": content}]}


def _said(text: str, **style: Any) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **style}]}
