from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from headrace.access.key_ring import KeyRing
from headrace.core.errors import InvalidInput, Unavailable
from headrace.serving.callbacks import Callbacks
from headrace.testing import START, FakeClock
from tests.serving.receiver import Receiver

ID = "0198c0de-0000-7000-8000-000000000000"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys", "callbacks")


def _send(callbacks: Callbacks, url: str, body: bytes = b'{"state":"done"}') -> None:
    asyncio.run(callbacks.send(url, ID, body))


def test_what_is_sent_is_signed_with_its_time(ring: KeyRing, receiver: Receiver) -> None:
    callbacks = Callbacks(ring, FakeClock(), hosts=[receiver.host], private=True)
    _send(callbacks, f"http://{receiver.host}/answers?of=cars")
    ((path, headers, body),) = receiver.had
    assert (path, body) == ("/answers?of=cars", b'{"state":"done"}')
    assert headers["host"] == receiver.host
    assert headers["webhook-id"] == ID
    stamp = headers["webhook-timestamp"]
    assert int(stamp) == int(START.timestamp())
    kind, _, signature = headers["webhook-signature"].partition(",")
    assert kind == "v1a"
    key = load_pem_public_key(ring.public_keys()[0].pem.encode())
    assert isinstance(key, Ed25519PublicKey)
    key.verify(base64.b64decode(signature), f"{ID}.{stamp}.".encode() + body)
    with pytest.raises(InvalidSignature):
        key.verify(base64.b64decode(signature), f"{ID}.{int(stamp) + 1}.".encode() + body)


@pytest.mark.parametrize("status", [302, 404, 500])
def test_what_is_not_taken_can_be_sent_again(ring: KeyRing, receiver: Receiver, status: int) -> None:
    receiver.status = status
    callbacks = Callbacks(ring, FakeClock(), hosts=[receiver.host], private=True)
    with pytest.raises(Unavailable, match=str(status)):
        _send(callbacks, f"http://{receiver.host}/answers")
    assert len(receiver.had) == 1, "no redirect is followed"


def test_a_receiver_that_is_not_there(ring: KeyRing) -> None:
    def unknown(_host: str, _port: int) -> list[str]:
        raise OSError(-2, "Name or service not known")

    with pytest.raises(Unavailable, match="not reached"):
        _send(Callbacks(ring, FakeClock(), hosts=["127.0.0.1:1"], private=True), "http://127.0.0.1:1/")
    with pytest.raises(Unavailable, match="not known"):
        _send(
            Callbacks(ring, FakeClock(), hosts=["hooks.example"], resolve=unknown), "https://hooks.example/"
        )


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:127.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "fec0::1",
    ],
)
def test_a_host_with_an_address_within_is_not_told(ring: KeyRing, address: str) -> None:
    callbacks = Callbacks(
        ring, FakeClock(), hosts=["hooks.example"], resolve=lambda _host, _port: ["93.184.215.14", address]
    )
    callbacks.check("https://hooks.example/")
    with pytest.raises(InvalidInput, match="is not a public one"):
        _send(callbacks, "https://hooks.example/")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://elsewhere.example/", "not in HEADRACE_CALLBACK_HOSTS"),
        ("https://hooks.example.evil.example/", "not in HEADRACE_CALLBACK_HOSTS"),
        ("https://hooks.example:8443/", "not in HEADRACE_CALLBACK_HOSTS"),
        ("http://hooks.example/", "does not begin with https://"),
        ("ftp://hooks.example/", "does not begin with https://"),
        ("https://me:secret@hooks.example/", "a name, a password or a fragment"),
        ("https://hooks.example/#part", "a name, a password or a fragment"),
        ("https://hooks.example:port/", "is no address"),
        ("https://hooks.example/\r\nx: y", "printable"),
        (f"https://hooks.example/{'a' * 2048}", "at most 2048"),
        ("", "https://"),
    ],
)
def test_where_nobody_is_told(ring: KeyRing, url: str, why: str) -> None:
    callbacks = Callbacks(ring, FakeClock(), hosts=["hooks.example", "other.example:9443"])
    with pytest.raises(InvalidInput, match=why):
        callbacks.check(url)


def test_where_somebody_is_told(ring: KeyRing) -> None:
    callbacks = Callbacks(ring, FakeClock(), hosts=["hooks.example", "other.example:9443"])
    for url in ("https://hooks.example/a?b=c", "https://HOOKS.example:443", "https://other.example:9443/"):
        callbacks.check(url)
