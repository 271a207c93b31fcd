"""When an endpoint that fails is left alone for a while: a state and its transitions, without clock or lock.

Closed, it is asked. After so many failures in a row it is open: nobody asks until a wait is over. Then one
call tries it; further ones wait for as long again. If it answers, the breaker is closed; if it fails, the
next wait is twice as long, up to a limit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Rule:
    """After ``failures`` in a row it opens for ``wait_s``, twice as long each time up to ``most_wait_s``."""

    failures: int = 5
    wait_s: float = 5.0
    most_wait_s: float = 60.0

    def wait_after_s(self, n_opened: int) -> float:
        """How long it stays open, the ``n_opened``-th time in succession (from 1)."""
        return min(self.most_wait_s, self.wait_s * 2.0 ** min(n_opened - 1, 32))


USUAL = Rule()


@dataclass(frozen=True, kw_only=True)
class Breaker:
    """The state of one endpoint.

    Attributes:
        n_failed: failures in a row.
        n_opened: how often it has opened since it last answered; 0: it is closed.
        until_s: until when nobody asks, where it is open.
        is_tried: whether a call has asked it since it last opened.

    >>> breaker = Breaker()
    >>> for _ in range(5):
    ...     breaker = breaker.failed(10.0)
    >>> breaker.allows(14.9), breaker.allows(15.0), breaker.asked(15.0).allows(16.0)
    (False, True, False)
    """

    n_failed: int = 0
    n_opened: int = 0
    until_s: float = 0.0
    is_tried: bool = False

    @property
    def is_open(self) -> bool:
        """Whether calls are kept from it, except for one now and then."""
        return self.n_opened > 0

    def allows(self, now_s: float) -> bool:
        """Whether a call may ask it."""
        return not self.n_opened or now_s >= self.until_s

    def asked(self, now_s: float, rule: Rule = USUAL) -> Breaker:
        """A call that was allowed asks it: others wait for what becomes of it."""
        if not self.n_opened:
            return self
        return replace(self, until_s=now_s + rule.wait_after_s(self.n_opened), is_tried=True)

    def answered(self) -> Breaker:
        """It has answered."""
        return CLOSED

    def failed(self, now_s: float, rule: Rule = USUAL) -> Breaker:
        """It has failed. Calls that were under way as it opened change nothing."""
        if self.n_opened and not self.is_tried:
            return self
        n_failed = self.n_failed + 1
        if not self.n_opened and n_failed < rule.failures:
            return replace(self, n_failed=n_failed)
        n_opened = self.n_opened + 1
        return Breaker(n_failed=n_failed, n_opened=n_opened, until_s=now_s + rule.wait_after_s(n_opened))


CLOSED = Breaker()
