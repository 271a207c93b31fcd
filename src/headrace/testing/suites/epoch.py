"""What every epoch promises."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from headrace.core.ports import Epoch


class EpochSuite:
    """Fixtures ``epoch`` and ``same_epoch``: the same number, opened twice."""

    def test_an_advance_is_seen_at_once_everywhere(self, epoch: Epoch, same_epoch: Epoch) -> None:
        before = same_epoch.read()
        assert epoch.read() == before
        epoch.advance()
        assert same_epoch.read() == epoch.read() > before

    def test_no_advance_is_lost(self, epoch: Epoch, same_epoch: Epoch) -> None:
        before = epoch.read()
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda n: (epoch if n % 2 else same_epoch).advance(), range(40)))
        assert epoch.read() == before + 40
