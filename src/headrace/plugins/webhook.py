"""Any receiver of one's own: the message as a JSON document, signed in the form of Standard Webhooks."""

from __future__ import annotations

from headrace.core.alerts import Message
from headrace.serving.callbacks import Callbacks


class WebhookChannel:
    """Implements ``Channel``: the document is the message itself; ``headrace serve queue key`` prints the key
    that it is signed with."""

    personal = False

    def __init__(self, url: str, callbacks: Callbacks) -> None:
        self._url = url
        self._callbacks = callbacks

    def send(self, message: Message) -> None:
        self._callbacks.tell(self._url, message.id, message)
