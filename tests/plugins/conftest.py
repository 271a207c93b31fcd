from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.access.key_ring import KeyRing
from headrace.serving.callbacks import Callbacks
from headrace.testing import FakeClock
from tests.plugins.posted import refusing, texts
from tests.serving.receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody who takes webhooks."""
    made = Receiver()
    made.status = 200
    yield made
    made.close()


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    """The key that webhooks are signed with."""
    return KeyRing(tmp_path / "keys", "callbacks")


@pytest.fixture
def callbacks(ring: KeyRing) -> Callbacks:
    """Tells any host, this machine too."""
    return Callbacks(ring, FakeClock(), hosts=None, private=True)


@pytest.fixture
def arrived(receiver: Receiver) -> Callable[[], list[str]]:
    """What the receiver has taken."""
    return texts(receiver)


@pytest.fixture
def refuse(receiver: Receiver) -> Callable[[bool], None]:
    """Whether the receiver takes nothing."""
    return refusing(receiver)
