"""A ticket in the team's tracker, with its text drafted: GitHub issues, or Jira."""

from __future__ import annotations

import base64
from typing import Any

from headrace.core.alerts import Message
from headrace.serving.callbacks import Callbacks

_MOST_TITLE, _MOST_TEXT = 250, 30_000
_LABEL = "headrace"
_FENCE = "````"


class GitHubChannel:
    """Implements ``Channel``: opens an issue.

    Args:
        url: such as ``https://api.github.com/repos/OWNER/NAME/issues``.
        token: may write issues there.
    """

    personal = False

    def __init__(self, url: str, token: str, callbacks: Callbacks) -> None:
        self._url = url
        self._headers = {"authorization": f"Bearer {token}", "accept": "application/vnd.github+json"}
        self._callbacks = callbacks

    def send(self, message: Message) -> None:
        self._callbacks.tell(self._url, message.id, issue(message), self._headers)


class JiraChannel:
    """Implements ``Channel``: creates an issue.

    Args:
        url: such as ``https://example.atlassian.net/rest/api/2/issue``.
        user, token: of whoever may create issues there.
        project: the key of the Jira project.
        kind: name of the issue type.
    """

    personal = False

    def __init__(
        self, url: str, callbacks: Callbacks, *, user: str, token: str, project: str, kind: str = "Task"
    ) -> None:
        self._url = url
        self._headers = {"authorization": f"Basic {base64.b64encode(f'{user}:{token}'.encode()).decode()}"}
        self._callbacks = callbacks
        self._project = project
        self._kind = kind

    def send(self, message: Message) -> None:
        fields = {
            "project": {"key": self._project},
            "issuetype": {"name": self._kind},
            "summary": message.title[:_MOST_TITLE],
            "description": _described(message, "{noformat}", "* [{title}|{url}]"),
            "labels": [_LABEL],
        }
        self._callbacks.tell(self._url, message.id, {"fields": fields}, self._headers)


def issue(message: Message) -> dict[str, Any]:
    """The document that GitHub takes.

    >>> from headrace.testing.factories import make_message
    >>> issue(make_message(title="'year' has shifted"))["title"]
    "'year' has shifted"
    """
    body = _described(message, _FENCE, "* [{title}]({url})")
    return {"title": message.title[:_MOST_TITLE], "body": body, "labels": [_LABEL]}


def _described(message: Message, fence: str, link: str) -> str:
    """What was found stands verbatim: a column's name mentions nobody and links nowhere."""
    found = message.text[:_MOST_TEXT].replace(fence, "")
    links = [link.format(title=one.title, url=one.url) for one in message.links]
    said = f"Project {message.project}, found at {message.at:%Y-%m-%d %H:%M} UTC. Notice {message.id}."
    return "\n".join([said, "", fence, found, fence, "", *links])
