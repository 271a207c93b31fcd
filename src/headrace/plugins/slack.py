"""Slack: a message by an incoming webhook, as Block Kit blocks; and what is answered by its buttons."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from headrace.core.alerts import Message
from headrace.core.errors import Unauthenticated
from headrace.serving.callbacks import Callbacks

_MOST_TITLE, _MOST_TEXT, _MOST_LINKS = 300, 2_900, 20
_MARKS = {"critical": ":red_circle:", "warning": ":large_orange_circle:", "info": ":large_blue_circle:"}


ASKED = "asked"
"""In the details of a message: what its buttons send back."""
_FRESH_S = 300
_HOST = "hooks.slack.com"


class SlackChannel:
    """Implements ``Channel``.

    Args:
        url: of the incoming webhook; whoever has it can write there.
        secret: Slack's signing secret of the app; without it there are no buttons, as nobody could tell
            whether it is Slack that answers.
    """

    personal = False

    def __init__(self, url: str, callbacks: Callbacks, secret: str = "") -> None:
        self._url = url
        self._callbacks = callbacks
        self._secret = secret

    @property
    def answers(self) -> bool:
        """Whether what it is answered can be trusted to be Slack's."""
        return bool(self._secret)

    def send(self, message: Message) -> None:
        self._callbacks.tell(self._url, message.id, blocks(message, buttons=self.answers))

    def check(self, body: bytes, timestamp: str, signature: str, now: datetime) -> None:
        """Whether Slack has sent this request, within the last five minutes (signature ``v0``).

        Raises:
            Unauthenticated: it has not, or that cannot be told.
        """
        fresh = timestamp.isdecimal() and len(timestamp) < 16
        fresh = fresh and abs(now.timestamp() - int(timestamp)) <= _FRESH_S
        signed = b"v0:" + timestamp.encode("latin-1", "replace") + b":" + body
        expected = "v0=" + hmac.new(self._secret.encode(), signed, hashlib.sha256).hexdigest()
        if not (self._secret and fresh and hmac.compare_digest(expected.encode(), signature.encode())):
            raise Unauthenticated("This request is not signed by Slack, or is older than five minutes.")

    def reply(self, url: str, message_id: str, text: str) -> None:
        """Say to whoever has pressed a button what became of it; only at Slack's own address.

        Raises:
            Unavailable: it was not taken.
        """
        own = {_HOST, urlsplit(self._url).hostname}
        if urlsplit(url).hostname in own:
            said = {"response_type": "ephemeral", "replace_original": False, "text": _escaped(text)}
            self._callbacks.tell(url, message_id, said)


def blocks(message: Message, *, buttons: bool = False) -> dict[str, Any]:
    """The document that Slack takes; with ``buttons`` where the message asks for a decision.

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
    tokens = [one[ASKED] for one in message.details if ASKED in one]
    if buttons and tokens:
        choices = (("approved", "Approve", "primary"), ("rejected", "Reject", "danger"))
        parts.append(
            {
                "type": "actions",
                "elements": [
                    {
                        "type": "button",
                        "action_id": decision,
                        "style": style,
                        "text": {"type": "plain_text", "text": label},
                        "value": tokens[0],
                    }
                    for decision, label, style in choices
                ],
            }
        )
    said = f"{message.project} · {message.id}"
    parts.append({"type": "context", "elements": [{"type": "plain_text", "text": said}]})
    return {"text": title, "blocks": parts}


def _escaped(text: str) -> str:
    """Three characters have a meaning there: with them a column's name could call everybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
