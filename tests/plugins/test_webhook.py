from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from headrace.access.key_ring import KeyRing
from headrace.core.errors import InvalidInput
from headrace.core.ports import Channel
from headrace.plugins.webhook import WebhookChannel
from headrace.serving.callbacks import Callbacks
from headrace.testing import ChannelSuite, FakeClock, make_message
from tests.plugins.posted import documents
from tests.serving.receiver import Receiver

URL = "http://{}/hook"


class TestWebhookChannel(ChannelSuite):
    @pytest.fixture
    def channel(self, receiver: Receiver, callbacks: Callbacks) -> Channel:
        return WebhookChannel(URL.format(receiver.host), callbacks)


def test_the_message_is_signed(receiver: Receiver, callbacks: Callbacks, ring: KeyRing) -> None:
    message = make_message()
    WebhookChannel(URL.format(receiver.host), callbacks).send(message)
    ((_, headers, body),) = receiver.had
    key = load_pem_public_key(ring.public_keys()[0].pem.encode())
    assert isinstance(key, Ed25519PublicKey)
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key.verify(base64.b64decode(headers["webhook-signature"].removeprefix("v1a,")), signed)
    assert headers["webhook-id"] == message.id
    (document,) = documents(receiver)
    assert (document["title"], document["severity"]) == (message.title, "warning")
    assert document["details"] == [dict(message.details[0])]


def test_an_address_within_is_refused_by_default(receiver: Receiver, ring: KeyRing) -> None:
    def inside(_host: str, _port: int) -> list[str]:
        return ["169.254.169.254"]

    callbacks = Callbacks(ring, FakeClock(), hosts=None, resolve=inside)
    with pytest.raises(InvalidInput, match="not a public one"):
        WebhookChannel("https://hooks.example/", callbacks).send(make_message())
    with pytest.raises(InvalidInput, match="does not begin with https"):
        WebhookChannel(URL.format(receiver.host), callbacks).send(make_message())
    assert receiver.had == []
