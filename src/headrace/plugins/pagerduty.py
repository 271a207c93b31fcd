"""PagerDuty, and what takes its events: Events API v2."""

from __future__ import annotations

from typing import Any

from headrace.core.alerts import Message
from headrace.serving.callbacks import Callbacks

_MOST_SUMMARY, _MOST_TEXT = 1_024, 100_000


class PagerDutyChannel:
    """Implements ``Channel``: each message triggers an incident, and the same one does so once.

    Args:
        url: such as ``https://events.pagerduty.com/v2/enqueue``.
        routing_key: of the integration; whoever has it can call somebody.
    """

    personal = False

    def __init__(self, url: str, routing_key: str, callbacks: Callbacks) -> None:
        self._url = url
        self._routing_key = routing_key
        self._callbacks = callbacks

    def send(self, message: Message) -> None:
        self._callbacks.tell(self._url, message.id, {"routing_key": self._routing_key, **event(message)})


def event(message: Message) -> dict[str, Any]:
    """The event, without its key. ``dedup_key`` is the message's id: a repeated one opens nothing new.

    >>> from headrace.testing.factories import make_message
    >>> event(make_message(severity="critical"))["payload"]["severity"]
    'critical'
    """
    return {
        "event_action": "trigger",
        "dedup_key": message.id,
        "client": "Headrace",
        "payload": {
            "summary": message.title[:_MOST_SUMMARY],
            "source": "headrace",
            "severity": message.severity,
            "timestamp": message.at.isoformat(),
            "component": message.project,
            "custom_details": {"text": message.text[:_MOST_TEXT], "alerts": list(message.details)[:100]},
        },
        "links": [{"href": one.url, "text": one.title} for one in message.links],
    }
