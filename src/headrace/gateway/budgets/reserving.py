"""Reserving and settling: in memory while this process holds enough, and from the shared accounts when not.

What a process holds is counted as spent by all others. So the sum over all processes never exceeds a limit,
and a process that is killed takes with it only what was counted already. What it held without having spent it
is lost until the period ends: about what it spends in a second, or a few calls of somebody who asks seldom,
and a fiftieth of a limit at most, beside its calls under way.

A call that takes more than was reserved for it is counted in full, whatever the limit says.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import inf

from headrace.core.errors import Busy, HeadraceError
from headrace.core.ports import Clock
from headrace.gateway.budgets.limits import NOTHING, Amount, Limit, Measure, OverBudget, window
from headrace.store.budgets import Account, Back, BudgetStore, Granted, Standing, Want

IDLE_S = 1.0
"""What nobody has needed for so long is given back, if it is more than a few calls."""
FEW, FEW_IDLE_S = 4, 60.0
"""Calls that somebody who asks seldom may have ahead, and for how long: else with many callers almost every
call would ask the accounts, and give back what it got."""
_REFUSED_S = 0.2
"""For so long a refusal stands without the accounts being looked at again."""
_TRIES = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Held:
    """What this process holds of an account: ``room`` is free, ``used`` is spent but not yet reported,
    ``owed`` is spent beyond what was held."""

    account: Account
    starts_at: datetime
    ends_at: datetime
    room: int = 0
    reserved: int = 0
    used: int = 0
    owed: int = 0
    touched_s: float = 0.0
    need: int = 0
    ahead: int = 0
    asked_s: float = -inf
    spent: int = 0
    refused: int = 0
    refused_until_s: float = 0.0

    def want(self, need: int, most: int, now_s: float) -> Want:
        """Ask for more each time that the last time was just now: a busy process comes once a second, and one
        that is killed takes little with it."""
        recently = now_s - self.asked_s < IDLE_S
        self.ahead = min(2 * self.ahead + need, most) if recently else max(self.ahead // 2, FEW * need)
        self.need = need
        self.asked_s = now_s
        return Want(self.account, need, self.ahead, most)

    def is_idle(self, now_s: float, idle_s: float) -> bool:
        """Whether nobody has needed it for so long; a few calls are kept longer."""
        kept_s = max(idle_s, FEW_IDLE_S) if idle_s and self.room <= FEW * self.need else idle_s
        return now_s - self.touched_s >= kept_s

    @property
    def is_empty(self) -> bool:
        return not (self.room or self.reserved or self.used or self.owed)


@dataclass(slots=True, eq=False)
class _Need:
    held: _Held
    limit: Limit
    amount: int


@dataclass(slots=True, eq=False)
class Reservation:
    """What is held for one call until it is settled or released; either one counts once."""

    amount: Amount
    _parts: list[tuple[_Held, Measure, int]] = field(repr=False)
    _open: bool = True

    @property
    def is_open(self) -> bool:
        """Whether it still holds something."""
        return self._open

    def covers(self, actual: Amount) -> bool:
        """Whether no budget was held back less for it than ``actual``."""
        return all(actual.of(measure) <= reserved for _, measure, reserved in self._parts)


class Budgets:
    """Budgets, as one process sees them. Safe to use from several threads and event loops.

    Args:
        owner: id of this process, under which it is registered as a live one
            (:class:`headrace.core.ports.ExecutorStore`): what it holds is lost when it is not.

    Example::

        reservation = await budgets.reserve(limits, Amount(micro=2_000, tokens=900))
        ...
        budgets.settle(reservation, Amount(micro=1_300, tokens=612))
    """

    def __init__(self, store: BudgetStore, clock: Clock, owner: str) -> None:
        self._store = store
        self._clock = clock
        self._owner = owner
        self._lock = threading.Lock()
        self._filling = threading.Lock()
        self._current: dict[str, _Held] = {}
        self._past: list[_Held] = []

    async def reserve(self, limits: Sequence[Limit], estimate: Amount) -> Reservation:
        """Take the most that a call may cost out of every limit, or out of none.

        Waits for the shared accounts only where this process does not hold enough.

        Raises:
            OverBudget: a limit has not so much left.
            Unavailable: the accounts do not answer, so that nobody knows what is left.
        """
        found = self._try(limits, estimate)
        if found is not None:
            return found
        filling = asyncio.ensure_future(asyncio.to_thread(self._fill, limits, estimate))
        try:
            return await asyncio.shield(filling)
        except asyncio.CancelledError:
            filling.add_done_callback(self._abandon)  # whoever asked is gone, and nobody would release it
            raise

    def reserve_now(self, limits: Sequence[Limit], estimate: Amount) -> Reservation:
        """The same, blocking this thread while it waits."""
        return self._try(limits, estimate) or self._fill(limits, estimate)

    def settle(self, reservation: Reservation, actual: Amount) -> None:
        """Count what a call has taken, and free the rest. Done again it changes nothing.

        Blocks only where a call has taken more than this process holds: that is written down at once.
        """
        owing = []
        now_s = self._clock.monotonic_s()
        with self._lock:
            if not reservation._open:  # noqa: SLF001  one file, one lock
                return
            reservation._open = False  # noqa: SLF001
            for held, measure, reserved in reservation._parts:  # noqa: SLF001
                taken = actual.of(measure)
                held.reserved -= reserved
                held.room += reserved - taken
                held.touched_s = now_s
                if held.room < 0:
                    held.owed -= held.room
                    taken += held.room
                    held.room = 0
                    owing.append(held)
                held.used += taken
        for held in owing:
            self._pay(held)

    def release(self, reservation: Reservation) -> None:
        """Free all of it: the call was not made, or cost nothing."""
        self.settle(reservation, NOTHING)

    def give_back(self, idle_s: float = IDLE_S) -> None:
        """Give back what was not needed for ``idle_s``, and report what was spent: to be called every second,
        and with 0 before the process ends.

        Raises:
            Unavailable: the accounts do not answer; nothing has changed.
        """
        now, now_s = self._clock.now(), self._clock.monotonic_s()
        backs: list[tuple[_Held, Back]] = []
        with self._lock:
            everything = [*self._past, *self._current.values()]
            for held in everything:
                idle = now >= held.ends_at or held.is_idle(now_s, idle_s)
                back = Back(held.account, held.room if idle else 0, held.used)
                if back.unused or back.used:
                    held.room -= back.unused
                    held.used = 0
                    backs.append((held, back))
        for held in everything:
            self._pay(held)
        if backs:
            try:
                self._store.give_back(self._owner, [back for _, back in backs])
            except HeadraceError:
                with self._lock:
                    for held, back in backs:
                        held.room += back.unused
                        held.used += back.used
                raise
        if self._filling.acquire(blocking=False):  # else somebody is being given something for what is empty
            try:
                self._forget(now_s, idle_s)
            finally:
                self._filling.release()

    def _forget(self, now_s: float, idle_s: float) -> None:
        """Accounts that this process holds nothing of, and asks for nothing."""
        with self._lock:
            self._past = [held for held in self._past if not held.is_empty]
            for key, held in list(self._current.items()):
                if held.is_empty and now_s - held.touched_s >= max(idle_s, IDLE_S):
                    del self._current[key]

    def standing(self, limits: Sequence[Limit]) -> list[Standing]:
        """How each stands in its present period, over all processes."""
        now = self._clock.now()
        return self._store.standing([account_of(limit, now) for limit in limits])

    def _try(self, limits: Sequence[Limit], estimate: Amount) -> Reservation | None:
        """Out of what this process holds; None where that is not enough."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            needs = self._needs(limits, estimate)
            lacking = [need for need in needs if need.held.room < need.amount]
            for need in lacking:
                if need.amount - need.held.room >= need.held.refused and now_s < need.held.refused_until_s:
                    raise _over(need)
            return None if lacking else self._take(needs, estimate, now_s)

    def _fill(self, limits: Sequence[Limit], estimate: Amount) -> Reservation:
        """Out of the shared accounts; one thread at a time, as others may find that enough is here then."""
        with self._filling:
            for _ in range(_TRIES):
                found = self._try(limits, estimate)
                if found is not None:
                    return found
                with self._lock:
                    lacking = [n for n in self._needs(limits, estimate) if n.held.room < n.amount]
                    now_s = self._clock.monotonic_s()
                    wants = [n.held.want(n.amount - n.held.room, n.limit.most, now_s) for n in lacking]
                granted = self._store.hold(self._owner, wants)
                self._granted(lacking, wants, granted)
        raise Busy("So many calls share a budget that this one found nothing left each time. Try again.")

    def _granted(self, needs: Sequence[_Need], wants: Sequence[Want], granted: Sequence[Granted]) -> None:
        now_s = self._clock.monotonic_s()
        refused = None
        with self._lock:
            for need, want, one in zip(needs, wants, granted, strict=True):
                held = need.held
                held.room += one.amount
                held.spent = one.spent
                held.touched_s = now_s
                if not one.amount:
                    held.refused, held.refused_until_s = want.need, now_s + _REFUSED_S
                    refused = refused or need
        if refused is not None:
            raise _over(refused)

    def _needs(self, limits: Sequence[Limit], estimate: Amount) -> list[_Need]:
        """What a call needs of each account; of two limits on the same one the lower holds."""
        now = self._clock.now()
        needs: dict[str, _Need] = {}
        for limit in limits:
            known = needs.get(limit.key)
            if known is None:
                amount = max(0, estimate.of(limit.measure))
                needs[limit.key] = _Need(self._held(limit, now), limit, amount)
            elif limit.most < known.limit.most:
                known.limit = limit
        return list(needs.values())

    def _held(self, limit: Limit, now: datetime) -> _Held:
        found = self._current.get(limit.key)
        if found is not None and found.starts_at <= now < found.ends_at:
            return found
        if found is not None:
            self._past.append(found)
        starts_at, ends_at = window(limit.period, now)
        account = _account(limit.key, starts_at, ends_at)
        held = self._current[limit.key] = _Held(account, starts_at, ends_at)
        return held

    @staticmethod
    def _take(needs: Sequence[_Need], estimate: Amount, now_s: float) -> Reservation:
        for need in needs:
            need.held.room -= need.amount
            need.held.reserved += need.amount
            need.held.touched_s = now_s
        return Reservation(estimate, [(need.held, need.limit.measure, need.amount) for need in needs])

    def _pay(self, held: _Held) -> None:
        """Write down what was spent beyond what was held; where that fails it is tried again each second."""
        with self._lock:
            owed, held.owed = held.owed, 0
        if not owed:
            return
        try:
            self._store.owe(held.account, owed)
        except HeadraceError:
            with self._lock:
                held.owed += owed
            _log.exception("What was spent of %s beyond its reservation is not written yet", held.account.key)

    def _abandon(self, filling: asyncio.Future[Reservation]) -> None:
        if not filling.cancelled() and filling.exception() is None:
            self.release(filling.result())


def account_of(limit: Limit, now: datetime) -> Account:
    """What counts for a limit in the period that ``now`` is in."""
    return _account(limit.key, *window(limit.period, now))


def _account(key: str, starts_at: datetime, ends_at: datetime) -> Account:
    return Account(key, _microseconds(starts_at), _microseconds(ends_at))


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _over(need: _Need) -> OverBudget:
    held = need.held
    return OverBudget(need.limit, spent=held.spent, needed=need.amount, resets_at=held.ends_at)
