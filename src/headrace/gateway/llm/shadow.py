"""What callers want that nobody has approved, counted on the way and written down later."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from datetime import datetime
from typing import NamedTuple

from headrace.access.privacy.redacting import builtin, redactor, secrets
from headrace.core.errors import NotFound
from headrace.core.ports import Clock
from headrace.core.text import printable
from headrace.gateway.llm.hosts import of_key
from headrace.store.shadow import ShadowKind

MOST = 2_000
"""Of one kind in one turn; what else comes counts together, so that nobody fills the memory with names."""
MOST_KEYS = 200
"""Fewer of them: unknown keys are shown by whoever likes to, and each is a row to be written."""
OTHERS = "others"
_NAMED, _READ = 80, 2_000
_redact = redactor([builtin, secrets])


class Wanted(NamedTuple):
    """What is counted together."""

    kind: ShadowKind
    what: str
    who: str
    team: str
    project: str = ""
    note: str = ""

    def folded(self) -> Wanted:
        """What it is counted as where there is no room for it by itself."""
        return self._replace(what=OTHERS, who=OTHERS, project="", note="")


class Counted(NamedTuple):
    """How often, and from when until when."""

    n: int
    first_at: datetime
    last_at: datetime

    def plus(self, other: Counted) -> Counted:
        """Both together.

        >>> morning, noon = datetime(2026, 3, 4, 9), datetime(2026, 3, 4, 12)
        >>> Counted(1, noon, noon).plus(Counted(2, morning, morning)) == Counted(3, morning, noon)
        True
        """
        return Counted(self.n + other.n, min(self.first_at, other.first_at), max(self.last_at, other.last_at))


class ShadowCounts:
    """Safe to use from several threads; a call never waits for it.

    Example::

        counts.note(Wanted("model", "gpt-4o", "ann", "main"))
        counts.take()
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: dict[Wanted, Counted] = {}
        self._kinds: Counter[ShadowKind] = Counter()

    def note(self, wanted: Wanted) -> None:
        """Count one."""
        now = self._clock.now()
        with self._lock:
            self._add(wanted, Counted(1, now, now))

    def key(self, shown: str) -> None:
        """Count a key that nobody knows. Of it a short hash is kept, and whose it looks like."""
        if shown:
            self.note(Wanted("key", short(shown), "", "main", note=of_key(shown)))

    def model(self, name: str, who: str, team: str) -> None:
        """Count a name that was asked for and stands for nothing that the caller may ask."""
        shown = "".join(c if c.isprintable() else "?" for c in told(name)[:_NAMED])
        self.note(Wanted("model", shown, who, team))

    def take(self) -> dict[Wanted, Counted]:
        """All that was counted since it was last taken."""
        with self._lock:
            found, self._counts = self._counts, {}
            self._kinds.clear()
        return found

    def put_back(self, found: dict[Wanted, Counted]) -> None:
        """What could not be written down, to be taken again; in no more memory than what is counted anew."""
        with self._lock:
            for wanted, counted in found.items():
                self._add(wanted, counted)

    def _add(self, wanted: Wanted, counted: Counted) -> None:
        most = MOST_KEYS if wanted.kind == "key" else MOST
        if wanted not in self._counts and self._kinds[wanted.kind] >= most:
            wanted = wanted.folded()
        before = self._counts.get(wanted)
        if before is None:
            self._kinds[wanted.kind] += 1
        self._counts[wanted] = counted if before is None else before.plus(counted)


def told(name: str) -> str:
    """A name that stands for nothing, as it may be said and kept: callers send keys and addresses as one.

    >>> told("gpt-4o"), told("ada@example.org")
    ('gpt-4o', '<EMAIL>')
    """
    return _redact(name[:_READ])


def require_a_name(name: str) -> None:
    """Raises NotFound where what should name a project is a secret or about a person: never repeat it."""
    if (shown := told(name)) != name:
        raise NotFound(f"There is no project {printable(shown[:_NAMED])!r}; 'model' names a project.")


def short(key: str) -> str:
    """Twelve hexadecimal digits, by which one key is told from another and not found again.

    >>> short("sk-1") == short("sk-1") != short("sk-2")
    True
    """
    return hashlib.sha256(b"headrace-unknown-key\0" + key.encode("utf-8", "surrogatepass")).hexdigest()[:12]
