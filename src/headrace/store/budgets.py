"""What has been spent of each budget, shared by all processes: the records, and what keeps them promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Account(NamedTuple):
    """What is spent by one whose spending is counted, in one period; times in microseconds since 1970.

    ``key`` says who, of what and for how long, such as ``project:cars/money/day``.
    """

    key: str
    start_us: int
    ends_us: int


class Want(NamedTuple):
    """What a process wants to take out of an account for its own spending.

    Attributes:
        need: the least; less is of no use.
        ahead: what would be of use beside it, so that it need not ask again soon.
        most: that may be spent in all.
    """

    account: Account
    need: int
    ahead: int
    most: int


class Granted(NamedTuple):
    """What a process may spend from now on, 0 if not what it needs; and what is spent in all by then, with
    all that processes hold."""

    amount: int
    spent: int


class Back(NamedTuple):
    """Of what a process holds of an account: ``unused`` is given back, ``used`` has been spent."""

    account: Account
    unused: int
    used: int


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How an account stands.

    Attributes:
        spent: for good, or held by a process that may spend it.
        held: of that, by processes.
        lost: of that, what processes held that ended without a word. It may have been spent, so it counts.
    """

    account: Account
    spent: int
    held: int
    lost: int


class BudgetStore(Protocol):
    """Accounts. What a process holds counts as spent until it is given back, so that one that is killed can
    neither hide what it has spent nor have others spend it again."""

    def hold(self, owner: str, wants: Sequence[Want]) -> list[Granted]:
        """Take out what each needs, or nothing of it; and of what it would take ahead as much as leaves
        plenty for the others."""

    def give_back(self, owner: str, backs: Sequence[Back]) -> list[bool]:
        """Whether each was still held: what was taken for lost stays spent."""

    def owe(self, account: Account, amount: int) -> None:
        """Add what was spent beyond what was held, whatever the limit says."""

    def standing(self, accounts: Sequence[Account]) -> list[Standing]:
        """How these stand; one that nobody has spent of has zeros."""

    def find(self, begins: str, ends: str, at_us: int) -> list[Account]:
        """Accounts of the period that ``at_us`` is in, by how their key begins and ends; by key."""

    def lose(self, owner: str) -> int:
        """A process has ended: what it held stays spent. Returns how many accounts it held of."""

    def lose_dead(self) -> int:
        """The same for all that hold something and are no registered, living processes."""

    def clean(self, before_us: int) -> int:
        """Forget accounts whose period ended before; returns how many."""
