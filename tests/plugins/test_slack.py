from __future__ import annotations

import pytest

from headrace.core.ports import Channel
from headrace.plugins.slack import SlackChannel, blocks
from headrace.serving.callbacks import Callbacks
from headrace.testing import ChannelSuite, make_message
from tests.plugins.posted import documents
from tests.serving.receiver import Receiver

URL = "http://{}/hook"


class TestSlackChannel(ChannelSuite):
    @pytest.fixture
    def channel(self, receiver: Receiver, callbacks: Callbacks) -> Channel:
        return SlackChannel(URL.format(receiver.host), callbacks)


def test_a_name_of_a_column_calls_nobody() -> None:
    said = str(blocks(make_message(title="<!channel> & co", text="<!here>")))
    assert "<!channel>" not in said
    assert "&lt;!channel&gt; &amp; co" in said
    plain = [b["text"] for b in blocks(make_message(text="<!here>"))["blocks"] if "text" in b]
    assert {text["type"] for text in plain if "here" in text["text"]} == {"plain_text"}


def test_no_part_is_longer_than_slack_takes(receiver: Receiver, callbacks: Callbacks) -> None:
    message = make_message(title="&" * 9_000, text="<" * 9_000)
    SlackChannel(URL.format(receiver.host), callbacks).send(message)
    (document,) = documents(receiver)
    assert max(len(block["text"]["text"]) for block in document["blocks"] if "text" in block) <= 3_000
