from __future__ import annotations

import base64

import pytest

from headrace.core.ports import Channel
from headrace.plugins.tickets import GitHubChannel, JiraChannel
from headrace.serving.callbacks import Callbacks
from headrace.testing import ChannelSuite, make_message
from tests.plugins.posted import documents
from tests.serving.receiver import Receiver

URL = "http://{}/issues"


def github(receiver: Receiver, callbacks: Callbacks) -> GitHubChannel:
    return GitHubChannel(URL.format(receiver.host), "t0ken", callbacks)


def jira(receiver: Receiver, callbacks: Callbacks) -> JiraChannel:
    return JiraChannel(
        URL.format(receiver.host), callbacks, user="ann", token="t0ken", project="OPS", kind="Bug"
    )


class TestGitHubChannel(ChannelSuite):
    @pytest.fixture
    def channel(self, receiver: Receiver, callbacks: Callbacks) -> Channel:
        return github(receiver, callbacks)


class TestJiraChannel(ChannelSuite):
    @pytest.fixture
    def channel(self, receiver: Receiver, callbacks: Callbacks) -> Channel:
        return jira(receiver, callbacks)


def test_an_issue_at_github_mentions_nobody(receiver: Receiver, callbacks: Callbacks) -> None:
    message = make_message(text="'@everyone' has shifted\n````\n@ann")
    github(receiver, callbacks).send(message)
    ((_, headers, _),) = receiver.had
    assert headers["authorization"] == "Bearer t0ken"
    (document,) = documents(receiver)
    before, inside, after = document["body"].split("````")
    assert "@everyone" in inside
    assert "@ann" in inside
    assert "@" not in before + after
    assert document["labels"] == ["headrace"]


def test_an_issue_in_jira_names_its_project_and_type(receiver: Receiver, callbacks: Callbacks) -> None:
    jira(receiver, callbacks).send(make_message(title="t" * 900))
    ((_, headers, _),) = receiver.had
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")) == b"ann:t0ken"
    fields = documents(receiver)[0]["fields"]
    assert (fields["project"], fields["issuetype"]) == ({"key": "OPS"}, {"name": "Bug"})
    assert len(fields["summary"]) <= 255
