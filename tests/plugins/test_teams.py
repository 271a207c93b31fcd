from __future__ import annotations

import pytest

from headrace.core.ports import Channel
from headrace.plugins.teams import TeamsChannel
from headrace.serving.callbacks import Callbacks
from headrace.testing import ChannelSuite, make_message
from tests.plugins.posted import documents
from tests.serving.receiver import Receiver

URL = "http://{}/hook"


class TestTeamsChannel(ChannelSuite):
    @pytest.fixture
    def channel(self, receiver: Receiver, callbacks: Callbacks) -> Channel:
        return TeamsChannel(URL.format(receiver.host), callbacks)


def test_the_card_is_what_teams_takes(receiver: Receiver, callbacks: Callbacks) -> None:
    message = make_message(title="[link](https://evil.example)", text="long " * 20_000, severity="critical")
    TeamsChannel(URL.format(receiver.host), callbacks).send(message)
    (document,) = documents(receiver)
    (attachment,) = document["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}, "which knows no Markdown"
    assert [(one["type"], one["url"]) for one in card["actions"]] == [
        ("Action.OpenUrl", message.links[0].url)
    ]
    assert len(receiver.had[0][2]) < 28_000, "bytes that Teams takes"
