from __future__ import annotations

import pytest

from tests.cli.conftest import Cli
from tests.plugins.posted import documents
from tests.serving.receiver import Receiver


def test_a_channel_can_be_tried(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = ("monitor", "channel")
    assert "Nobody can be told yet" in cli(*channel, "ls").out
    assert "Set HEADRACE_CHANNEL_OPS" in cli(*channel, "try", "ops").error
    receiver = Receiver()
    monkeypatch.setenv("HEADRACE_CHANNEL_OPS", f"slack+http://{receiver.host}/S3CRET")
    monkeypatch.setenv("HEADRACE_CHANNEL_EMAIL", "smtp://mail.example?from=headrace@example.org")
    monkeypatch.setenv("HEADRACE_CHANNELS_PRIVATE", "yes")
    listed = cli(*channel, "ls", "--json")
    assert listed.json == [{"name": "email", "personal": True}, {"name": "ops", "personal": False}]
    assert "Say whom" in cli(*channel, "try", "email").error
    tried = cli(*channel, "try", "ops", "--json")
    receiver.close()
    assert documents(receiver)[0]["text"] == tried.json["title"] == "Test: Headrace can tell you"
    assert "S3CRET" not in listed.out + tried.out
    assert [
        e["detail"]["channel"] for e in cli("audit", "ls", "--json").json if "channel" in e["action"]
    ] == ["ops"]
    assert cli("access", "user", "add", "vera", "--role", "viewer").code == 0
    assert "may not monitor.run" in cli(*channel, "try", "ops", "--as", "vera").error
