"""The interfaces between the rooms. Each has a conformance suite in ``headrace.testing``.

Every implementation is safe to call from several threads. ``get`` raises :class:`NotFound`,
``find`` returns ``None``, ``list`` is ordered oldest first unless it says otherwise. Writes are
idempotent by id: repeating one is no error and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from headrace.core.alerts import Message
from headrace.core.data import Artifact, ModelVersion, Point, Run, RunState, Snapshot
from headrace.core.identity import (
    MAIN,
    PLAIN,
    AuditEntry,
    Changing,
    Circumstance,
    Decision,
    Expiring,
    Principal,
    Resource,
    Seal,
    Sighting,
    Use,
)
from headrace.core.jobs import Job, JobState
from headrace.core.project import Project
from headrace.core.record import Alert, Finding
from headrace.core.release import Approval, Measurement, Release, ReleaseState, Rollout, Route, Verdict

Columns = Mapping[str, Any]
"""Column name to a numpy array of shape ``(n_rows,)``: float64 (NaN is null), object (text or
``None``), bool or ``datetime64[us]`` (UTC, NaT is null)."""


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """The present moment in UTC."""

    def monotonic_s(self) -> float:
        """Seconds that only grow."""

    def sleep(self, duration_s: float) -> None:
        """Block the calling thread."""


class ArtifactStore(Protocol):
    """Immutable bytes, named by SHA-256. What is read has been verified against its name."""

    def put(self, data: bytes, media_type: str) -> Artifact:
        """Keep ``data``; durable when it returns."""

    def put_file(self, path: Path, media_type: str) -> Artifact:
        """Keep a copy of a file without holding it in memory; durable when it returns."""

    def get(self, digest: str) -> bytes:
        """The bytes. Raises NotFound, or InternalError if they no longer match their digest."""

    def path(self, digest: str) -> Path:
        """A read-only local file with the bytes. Raises as :meth:`get` does."""

    def has(self, digest: str) -> bool:
        """Whether it is kept here."""

    def remove(self, digest: str) -> bool:
        """Delete it for good; whether it was there."""


class Transaction(NamedTuple):
    """A writer's own position, stored atomically with an append: makes appends exactly-once."""

    writer: str
    position: int


class TableStore(Protocol):
    """Versioned columnar tables. A table's name is a path such as ``cars/snapshots``."""

    def append(self, table: str, columns: Columns, *, transaction: Transaction | None = None) -> int:
        """Add rows (new columns are allowed) and return the version; durable when it returns."""

    def replace(self, table: str, columns: Columns) -> int:
        """Make these the table's rows; earlier versions stay readable. Returns the version."""

    def compact(self, table: str) -> int:
        """Merge small files into large ones, under the table's current key; returns the version. Rows stay,
        and so do earlier versions."""

    def remove(self, table: str, where: str, parameters: Sequence[Any] = ()) -> int:
        """Take out the rows for which ``where`` (DuckDB SQL) holds; returns how many. Earlier versions have
        them until they are forgotten; writers' positions stay. No table: nothing to take out."""

    def forget(self, table: str, keep: Collection[int] = ()) -> int:
        """Delete for good what neither the newest version nor those in ``keep`` consist of."""

    def query(
        self, sql: str, tables: Mapping[str, tuple[str, int | None]], parameters: Sequence[Any] = ()
    ) -> dict[str, Any]:
        """Run DuckDB SQL over ``{alias: (table, version or None for newest)}``; numpy columns.

        Raises NotFound if a table or version is missing."""

    def version(self, table: str) -> int | None:
        """The newest version, or None if there is no such table."""

    def position(self, table: str, writer: str) -> int:
        """The position that ``writer`` last stored with an append; 0 before the first."""


class DataKeys(Protocol):
    """Keys under which a project's streams and tables are kept. ``name`` is one's path: ``cars/outcomes``."""

    def current(self, name: str) -> str | None:
        """Id of the key (16 hexadecimal digits) for what is written from now on; None: in clear.

        Raises Unavailable if the key cannot be read."""

    def key(self, name: str, key_id: str, place: str) -> bytes:
        """32 bytes for what lies at ``place``, such as one file; another place has others.

        Raises Unavailable if the key is not there, or can be read by others."""


class Segment(NamedTuple):
    """One file of a stream, written by one process: its name and its committed size in bytes."""

    name: str
    size_bytes: int


class EventLog(Protocol):
    """Append-only streams of opaque records. A stream's name is a path such as ``cars/predictions``."""

    def append(self, stream: str, records: Sequence[bytes]) -> None:
        """Add records in order; they survive ``kill -9`` and power loss when it returns."""

    def segments(self, stream: str) -> list[Segment]:
        """The stream's segments, oldest first."""

    def read(self, stream: str, segment: str, offset: int, limit: int) -> tuple[list[bytes], int]:
        """Up to ``limit`` records from ``offset``, and the offset after them."""

    def count(self, stream: str) -> int:
        """How many records the stream holds."""

    def rewrite(self, stream: str, change: Callable[[bytes], bytes | None]) -> int:
        """Replace each record by what ``change`` makes of it (None: nothing); returns how many changed.

        No record becomes longer, and offsets of the others stay. What is written meanwhile is not lost. What
        is kept under another key than the stream's current one is kept under that one afterwards."""

    def close(self) -> None:
        """Flush and release files."""


class ProjectStore(Protocol):
    """Projects as last declared."""

    def save(self, project: Project, path: str, workspace: str = MAIN) -> None:
        """Insert or update; ``path`` is the project's folder. The first workspace stands."""

    def get(self, name: str) -> Project: ...

    def workspace(self, name: str) -> str:
        """The workspace that the project belongs to, for good."""

    def path(self, name: str) -> str:
        """The project's folder as last seen."""

    def placed(self) -> list[tuple[Project, str]]:
        """All of them, each with its workspace."""

    def list(self) -> list[Project]: ...

    def edition(self) -> object:
        """Equal to an earlier one as long as no project was declared anew, and the same releases answer."""


class SnapshotStore(Protocol):
    """Snapshots: immutable once added."""

    def add(self, snapshot: Snapshot) -> Snapshot:
        """Insert; returns the one that stands under this id."""

    def get(self, snapshot_id: str) -> Snapshot: ...

    def find(self, project: str, digest: str) -> Snapshot | None:
        """The snapshot with this content."""

    def erase(self, snapshot: Snapshot) -> None:
        """Replace where the rows are and what is left of them: the only change that a snapshot can have."""

    def list(self, project: str) -> list[Snapshot]: ...


class RunStore(Protocol):
    """Runs: ``running`` once, then finished or failed for good."""

    def save(self, run: Run) -> None:
        """Insert, or finish a running one. Raises Conflict when it has already ended differently."""

    def get(self, run_id: str) -> Run: ...

    def builds(self, run_ids: Collection[str]) -> list[Run]:
        """All runs of the builds that these runs belong to, in any order; some are not known here."""

    def find_finished(self, project: str, fingerprint: str) -> Run | None:
        """A finished run with the same data, code, environment and parameters."""

    def list(
        self, project: str, *, build_id: str | None = None, state: RunState | None = None, limit: int = 1000
    ) -> list[Run]:
        """Newest first."""


class ModelStore(Protocol):
    """Numbered model versions: immutable, one per run."""

    def add(self, model: ModelVersion) -> ModelVersion:
        """Give the next number (``version`` is ignored); a run already added keeps its number."""

    def adopt(self, model: ModelVersion) -> ModelVersion:
        """Keep one made elsewhere under its number there; raises Conflict where another run has it."""

    def get(self, project: str, version: int) -> ModelVersion: ...

    def list(self, project: str) -> list[ModelVersion]: ...

    def set_registry_version(self, project: str, version: int, registry_version: str) -> None:
        """Note the number under which MLflow knows it; the first note stands."""


class ReleaseStore(Protocol):
    """Releases and the state each is in."""

    def add(self, release: Release) -> Release:
        """Insert; returns the one that stands under this id."""

    def get(self, release_id: str) -> Release: ...

    def some(self, release_ids: Collection[str]) -> list[Release]:
        """Those of these ids that there are, in any order."""

    def list(self, project: str | None = None, *, state: ReleaseState | None = None) -> list[Release]:
        """Newest first."""

    def move(self, release_id: str, expected: ReleaseState, to: ReleaseState, reason: str = "") -> Release:
        """Change the state. Raises Conflict when it is not in ``expected``."""


class EvidenceStore(Protocol):
    """Verdicts, approvals and measurements: added, never changed."""

    def add_verdict(self, verdict: Verdict) -> None: ...

    def verdicts(self, subject_id: str) -> list[Verdict]: ...

    def verdicts_of(self, subject_ids: Collection[str]) -> list[Verdict]:
        """Those of several subjects together, the oldest first."""

    def approve(self, approval: Approval, *, needed: int = 1) -> Approval:
        """Record a decision on a waiting release, in one transaction with these checks.

        While fewer than ``needed`` people have approved, somebody else may still reject. Raises Denied
        when the approver is the author, Conflict when the digest is not the release's, the release is
        not waiting, or it was decided otherwise before."""

    def approvals(self, release_id: str) -> list[Approval]: ...

    def approvals_of(self, release_ids: Collection[str]) -> list[Approval]:
        """Those of several releases together, the oldest first."""

    def measure(self, measurements: Sequence[Measurement]) -> None: ...

    def measurements(
        self,
        project: str,
        *,
        name: str | None = None,
        release_id: str | None = None,
        since: datetime | None = None,
    ) -> list[Measurement]:
        """Ordered by window, then time; with ``since`` only windows that start then or later."""

    def newest(self, projects: Collection[str], names: Collection[str], windows: int) -> list[Measurement]:
        """Of each project and name what lies in the newest ``windows`` windows, in the same order."""


class RolloutStore(Protocol):
    """Rollouts and routes."""

    def save(self, rollout: Rollout, route: Route | None = None) -> None:
        """Insert at revision 0, or replace revision ``n - 1`` by ``n``; the route in the same
        transaction. Repeating the stored revision is no error. Raises Conflict otherwise."""

    def get(self, release_id: str) -> Rollout: ...

    def some(self, release_ids: Collection[str]) -> list[Rollout]:
        """Those of these releases, in any order; some have none."""

    def find_active(self, project: str) -> Rollout | None:
        """The rollout that is pending or in canary."""

    def route(self, project: str) -> Route | None: ...

    def routes(self) -> list[Route]: ...

    def set_route(self, route: Route) -> Route:
        """Write a route outside a rollout; ``revision`` must be one above the present (0: none)."""


class FindingStore(Protocol):
    """Findings and the alerts raised on them."""

    def add(self, finding: Finding) -> bool:
        """Whether it is new."""

    def save_alert(self, alert: Alert) -> None:
        """Insert or update by id."""

    def alerts(self, project: str) -> list[Alert]: ...

    def about(self, release_ids: Collection[str], newest: int) -> list[Finding]:
        """Of each of these releases and of each kind, the ``newest`` so many."""

    def last(self, projects: Collection[str]) -> list[Finding]:
        """The newest of each kind of each of these projects."""

    def open(self, also: Collection[str] = (), project: str | None = None) -> list[tuple[Alert, Finding]]:
        """Alerts (of one project, or of all) that are not closed, or have one of these ids; each with what it
        was raised on, the oldest first."""

    def list(self, project: str) -> list[Finding]: ...


class PrincipalStore(Protocol):
    """Identities."""

    def save(
        self,
        principal: Principal,
        guard: Callable[[Principal | None, Sequence[Principal]], None] | None = None,
    ) -> None:
        """Insert, or replace everything but kind, workspace and first day of the one with this name.

        Changes come one after the other, over all processes. ``guard`` is told what stands under the name
        and who is known at all before it is replaced; what it raises leaves everything as it is."""

    def get(self, name: str) -> Principal: ...

    def find(self, name: str) -> Principal | None: ...

    def list(self) -> list[Principal]: ...

    def edition(self) -> object:
        """Equal as long as nobody was added or changed; costs less than reading them."""


class Head(NamedTuple):
    """How far the audit log goes: number and hash of its newest entry; 0 and ``""`` while it is empty."""

    sequence: int
    hash: str


class AuditLog(Protocol):
    """A chain of entries; each hash covers the one before."""

    def append(self, actor: str, action: str, resource: str, detail: Mapping[str, Any]) -> None:
        """Add an entry; serialised over all processes. It is durable when this returns; inside
        :meth:`transaction`, together with what is written there."""

    def transaction(self) -> AbstractContextManager[None]:
        """All that this thread writes to the metadata inside, and its entries: kept together and durable at
        the end, or not at all. What other processes are told by the epoch follows then.

        One inside another joins it. Raises Conflict, and keeps nothing, when somebody else changes the same
        at this moment. Nothing that is kept elsewhere belongs inside: it would not be taken back."""

    def search(self, text: str = "", *, before: int | None = None, limit: int = 100) -> list[AuditEntry]:
        """Entries before number ``before`` that hold ``text`` anywhere (upper and lower case alike,
        where ASCII), newest first."""

    def list(self, *, after: int = 0, limit: int = 1000) -> list[AuditEntry]: ...

    def head(self) -> Head:
        """How far it goes, without looking at the entries."""

    def verify(self, marks: Mapping[int, str] = ..., *, after: Head = ...) -> Head:
        """Recompute the chain, or what follows the entry ``after``; returns how far it goes.

        Raises InternalError naming the first entry that was edited, deleted, reordered or added, or whose
        hash is not the one in ``marks``, a map from numbers of entries."""


class SealStore(Protocol):
    """Signed statements of how far the audit log went: added, never changed."""

    def add(self, seal: Seal) -> None: ...

    def last(self) -> Seal | None:
        """The newest one."""

    def list(self) -> list[Seal]: ...


class Uptime(NamedTuple):
    """A time over which a process was heard of without a silence of more than 60 s.

    ``ended``: it said that it ends; otherwise it goes on, or it has died."""

    executor_id: str
    address: str | None
    started_at: datetime
    seen_at: datetime
    ended: bool


class ExecutorStore(Protocol):
    """Live processes: who may own unfinished work."""

    def register(self, executor_id: str, role: str, address: str | None) -> None:
        """Announce this process (host, process id and its start time are noted)."""

    def heartbeat(self, executor_id: str) -> None: ...

    def release(self, executor_id: str) -> None:
        """This process has ended its work cleanly."""

    def dead(self) -> list[str]:
        """Ids of executors that no longer live: released, process gone, or heartbeat over 60 s old."""

    def claim(self, executor_id: str, by: str) -> bool:
        """Whether ``by`` alone may take over what a dead executor left (also if a claimer died)."""

    def forget(self, executor_id: str) -> None:
        """Everything it left has been taken over: it is no longer listed as dead."""

    def living(self, role: str) -> list[tuple[str, str | None]]:
        """Ids and addresses of the live executors in this role, the newest first."""

    def uptime(self, role: str, since: datetime) -> list[Uptime]:
        """When executors of this role were there, as far as that reaches into the time since a moment; the
        earliest first. Kept for 400 days, also of those that are forgotten."""


class Policy(Protocol):
    """Who may do what."""

    def decide(
        self, principal: Principal, action: str, resource: Resource, circumstance: Circumstance = PLAIN
    ) -> Decision:
        """Whether ``principal`` may do ``action`` (such as ``release.approve``) on ``resource``."""


_Record = TypeVar("_Record", bound=Changing)


class RecordStore(Protocol[_Record]):
    """Records that change by revision: grants, credentials, incidents, policy texts, waivers."""

    def add(self, record: _Record) -> _Record:
        """Insert at revision 0; returns the one that stands under this id."""

    def get(self, record_id: str) -> _Record: ...

    def find(self, record_id: str) -> _Record | None: ...

    def list(
        self, *, workspace: str | None = None, subject: str | None = None, state: str | None = None
    ) -> list[_Record]: ...

    def change(self, record: _Record) -> _Record:
        """Replace revision ``n - 1`` by ``n``; the stored revision again is no error. Raises Conflict
        when somebody else has changed it meanwhile, NotFound when it is not there."""

    def edition(self) -> object:
        """Equal as long as no record was added or changed; costs less than reading them."""


class UseStore(Protocol):
    """Which rights were used."""

    def add(self, uses: Sequence[Use]) -> None:
        """Add counts, and widen first and last, by principal, action and resource."""

    def list(self, principal: str | None = None) -> list[Use]:
        """Newest use first."""


class ExpiringStore(Protocol):
    """Values that are over by themselves. What is over is as if it were not there."""

    def find(self, kind: str, key: str) -> Expiring | None: ...

    def take(self, kind: str, key: str) -> Expiring | None:
        """Find and remove; of several at the same instant one gets it."""

    def change(
        self,
        kind: str,
        key: str,
        update: Callable[[Expiring | None], Expiring | None],
        *,
        most: int | None = None,
    ) -> Expiring | None:
        """Replace what is there by what ``update`` makes of it, alone; None removes it.

        Of more than ``most`` of this kind and subject, those that would end first make room."""

    def remove(self, kind: str, subject: str) -> int:
        """Remove all of somebody's; returns how many there were."""

    def clean(self) -> int:
        """Delete what is over; returns how many there were."""


class SightingStore(Protocol):
    """Who was seen where, for an hour or so; each process adds its own and reads those of the others."""

    def add(self, sightings: Sequence[Sighting]) -> None: ...

    def since(self, position: int) -> list[Sighting]:
        """Those after ``position``, in the order in which they came; none is ever added before another."""

    def forget(self, before: datetime) -> int:
        """Delete those before a moment; returns how many there were."""


class Epoch(Protocol):
    """A number that grows whenever anybody's rights change: whoever remembers a right compares it first."""

    def read(self) -> int:
        """The present number; cheap enough for every request."""

    def advance(self) -> None:
        """Every process of this home sees another number from now on."""


class Tracker(Protocol):
    """The experiment tracker and model registry that users already have."""

    def log_run(self, run: Run, series: Mapping[str, Sequence[Point]] | None = None) -> str:
        """Record a finished run with parameters and metrics; the same run gives the same id.

        ``series`` has the values of metrics by step, where they are known, instead of the last ones."""

    def register(self, model: ModelVersion, package: Path) -> str:
        """Register a version; the same run gives the same number."""

    def fetch(self, project: str, model: str, version: str, folder: Path) -> None:
        """Copy the files of a registered version of ``model``, in the project's workspace, into ``folder``.

        Raises Conflict when there is no such version."""

    def annotate(self, project: str, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of a registered version of ``model``, in the project's workspace.

        Raises Conflict when there is no such version."""

    def set_live(self, project: str, registry_version: str) -> None:
        """Point the alias that production follows at this version."""


class JobStore(Protocol):
    """Requests that are answered later."""

    def add(self, job: Job) -> Job:
        """Insert; returns the one that stands under this id."""

    def get(self, job_id: str) -> Job: ...

    def change(self, job: Job) -> Job:
        """Replace revision ``n - 1`` by ``n``; repeating the stored revision is no error. Raises Conflict
        otherwise."""

    def about(self, project: str, subject: str) -> list[Job]:
        """All of a project that name ``subject``, a hash, among their subjects."""

    def list(
        self, *, project: str | None = None, state: JobState | None = None, limit: int = 1000
    ) -> list[Job]: ...

    def remove(self, job_id: str) -> bool:
        """Delete it for good; whether it was there."""

    def clean(self, before: datetime) -> int:
        """Delete those that ended before; returns how many."""


class Taken(NamedTuple):
    """An item that was lent: from which lane, for the how manieth time, and what it is given back with."""

    lane: str
    item: str
    attempt: int
    receipt: str


class Queue(Protocol):
    """Items that wait to be worked on, each in a lane; lanes take turns, so that a long one starves no other.

    An item may be given more than once, also to two at the same time: who takes one looks whether it is still
    to be done. An item is a short text, such as an id."""

    def put(self, lane: str, item: str) -> None:
        """Add an item; durable when it returns."""

    def take(self, most: int, lease_s: float) -> list[Taken]:
        """Up to ``most`` items; never waits for one. What is not given back within ``lease_s``, or belongs to
        a process that has ended, is given to another."""

    def done(self, taken: Taken) -> None:
        """It never comes again. Giving back what was lent to another meanwhile changes nothing."""

    def again(self, taken: Taken, after_s: float) -> None:
        """It comes again after ``after_s`` at the earliest."""

    def bury(self, taken: Taken) -> None:
        """Set it aside: it comes again only when it is revived."""

    def revive(self, lane: str, items: Collection[str]) -> None:
        """Add items that may have been buried: they are not any more, and come as if for the first time."""

    def waiting(self) -> dict[str, int]:
        """By lane, how many are not done: waiting or lent. Lanes without any may be left out."""

    def buried(self) -> dict[str, int]:
        """By lane, how many were set aside."""

    def close(self) -> None:
        """Release connections; what was lent comes back."""


class Scorer(Protocol):
    """A loaded model package."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Output names, the prediction first."""

    @property
    def classes(self) -> tuple[str | float | bool, ...] | None:
        """The labels in the order of the probabilities; None unless it classifies."""

    def score(self, columns: Columns) -> dict[str, Any]:
        """Predict rows: raw input columns in, output name to array ``(n_rows,)`` out."""


class Channel(Protocol):
    """A way by which people are told."""

    @property
    def personal(self) -> bool:
        """Whether a message goes to one person, at its address ``to``; otherwise to whoever reads there."""

    def send(self, message: Message) -> None:
        """Hand the message over; the other side has taken it when this returns.

        However long it is, its links arrive. Raises Unavailable when it was not taken now and may be later,
        InvalidInput when it never will be."""
