"""Slack: a message by an incoming webhook, as Block Kit blocks."""

from __future__ import annotations

from typing import Any

from headrace.core.alerts import Message
from headrace.serving.callbacks import Callbacks

_MOST_TITLE, _MOST_TEXT, _MOST_LINKS = 300, 2_900, 20
_MARKS = {"critical": ":red_circle:", "warning": ":large_orange_circle:", "info": ":large_blue_circle:"}


class SlackChannel:
    """Implements ``Channel``.

    Args:
        url: of the incoming webhook; whoever has it can write there.
    """

    personal = False

    def __init__(self, url: str, callbacks: Callbacks) -> None:
        self._url = url
        self._callbacks = callbacks

    def send(self, message: Message) -> None:
        self._callbacks.tell(self._url, message.id, blocks(message))


def blocks(message: Message) -> dict[str, Any]:
    """The document that Slack takes.

    >>> from headrace.testing.factories import make_message
    >>> blocks(make_message(title="a < b"))["text"]
    'a &lt; b'
    """
    title = _escaped(message.title[:_MOST_TITLE])
    parts: list[dict[str, Any]] = [
        {"type": "section", "text": {"type": "mrkdwn", "text": f"{_MARKS[message.severity]} *{title}*"}},
        {"type": "section", "text": {"type": "plain_text", "text": message.text[:_MOST_TEXT] or " "}},
    ]
    if message.links:
        links = "\n".join(f"<{one.url}|{_escaped(one.title)}>" for one in message.links[:_MOST_LINKS])
        parts.append({"type": "section", "text": {"type": "mrkdwn", "text": links}})
    said = f"{message.project} · {message.id}"
    parts.append({"type": "context", "elements": [{"type": "plain_text", "text": said}]})
    return {"text": title, "blocks": parts}


def _escaped(text: str) -> str:
    """Three characters have a meaning there: with them a column's name could call everybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
