"""Opens all that is kept, at the addresses that the settings name."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from headrace.core.alerts import Case, Notice, Period
from headrace.core.errors import InternalError, InvalidInput, Unavailable
from headrace.core.identity import Credential, Grant, Incident, PolicyText
from headrace.core.ids import new_id
from headrace.core.ports import (
    ArtifactStore,
    AuditLog,
    Clock,
    DataKeys,
    Epoch,
    EventLog,
    EvidenceStore,
    ExecutorStore,
    ExpiringStore,
    FindingStore,
    JobStore,
    ModelStore,
    PrincipalStore,
    ProjectStore,
    Queue,
    RecordStore,
    ReleaseStore,
    RolloutStore,
    RunStore,
    SealStore,
    SightingStore,
    SnapshotStore,
    TableStore,
    UseStore,
)
from headrace.core.release import Review, Waiver
from headrace.core.settings import Settings
from headrace.store._sql import tables as sql
from headrace.store._sql.audit import SqlAudit
from headrace.store._sql.backlog import SqlBacklog
from headrace.store._sql.budgets import SqlBudgets
from headrace.store._sql.changing import SqlRecords
from headrace.store._sql.engine import Database, reason
from headrace.store._sql.evidence import SqlEvidence
from headrace.store._sql.executors import SqlExecutors
from headrace.store._sql.expiring import SqlExpiring, SqlSightings
from headrace.store._sql.findings import SqlFindings
from headrace.store._sql.jobs import SqlJobs
from headrace.store._sql.migrations import migrate
from headrace.store._sql.models import SqlModels
from headrace.store._sql.principals import SqlPrincipals
from headrace.store._sql.projects import SqlProjects
from headrace.store._sql.queue import SqlQueue
from headrace.store._sql.releases import SqlReleases
from headrace.store._sql.rollouts import SqlRollouts
from headrace.store._sql.runs import SqlRuns
from headrace.store._sql.seals import SqlSeals
from headrace.store._sql.shadow import SqlShadowUses
from headrace.store._sql.snapshots import SqlSnapshots
from headrace.store._sql.uses import SqlUses
from headrace.store.artifacts import FolderArtifacts
from headrace.store.backlog import BacklogStore
from headrace.store.budgets import BudgetStore
from headrace.store.disk import locked, make_folder
from headrace.store.drafts import Draft
from headrace.store.epoch import EpochAfterwards, SharedEpoch
from headrace.store.events import SegmentLog
from headrace.store.handoffs import Handoff
from headrace.store.llm_batches import LlmBatch, LlmFile
from headrace.store.llm_decisions import Acknowledgement, Stop
from headrace.store.paging import PagedStore
from headrace.store.processes import MachineProcesses
from headrace.store.shadow import ShadowStore
from headrace.store.tables import DeltaTables

_MACHINE = MachineProcesses()


@dataclass(frozen=True, kw_only=True)
class Store:
    """All that is kept, one attribute per port; ``storage`` is the folder of files. Safe to use from several
    threads. Inside ``alone(*topic)`` there is one thread of one process at a time."""

    artifacts: ArtifactStore
    tables: TableStore
    events: EventLog
    projects: ProjectStore
    snapshots: SnapshotStore
    runs: RunStore
    models: ModelStore
    releases: ReleaseStore
    evidence: EvidenceStore
    rollouts: RolloutStore
    findings: FindingStore
    principals: PrincipalStore
    grants: RecordStore[Grant]
    credentials: RecordStore[Credential]
    incidents: RecordStore[Incident]
    policies: RecordStore[PolicyText]
    waivers: RecordStore[Waiver]
    notices: RecordStore[Notice]
    cases: RecordStore[Case]
    periods: RecordStore[Period]
    reviews: RecordStore[Review]
    drafts: PagedStore[Draft]
    handoffs: PagedStore[Handoff]
    backlog: BacklogStore
    llm_stops: RecordStore[Stop]
    acknowledgements: RecordStore[Acknowledgement]
    llm_files: RecordStore[LlmFile]
    llm_batches: RecordStore[LlmBatch]
    shadow: ShadowStore
    uses: UseStore
    expiring: ExpiringStore
    sightings: SightingStore
    epoch: Epoch
    audit: AuditLog
    seals: SealStore
    jobs: JobStore
    queue: Queue
    executors: ExecutorStore
    budgets: BudgetStore
    alone: Callable[..., AbstractContextManager[object]]
    storage: Path
    on_close: Callable[[], None] = field(default=lambda: None, repr=False)

    def transaction(self) -> AbstractContextManager[None]:
        """A change to the metadata and its audit entry: kept together or not at all.

        See :meth:`headrace.core.ports.AuditLog.transaction`.

        Example::

            with store.transaction():
                store.waivers.change(moved)
                store.audit.append("ann", "waiver.end", "project:cars", {"waiver": moved.id})
        """
        return self.audit.transaction()

    def close(self) -> None:
        """Release files and connections. All that was acknowledged is durable already."""
        self.events.close()
        self.on_close()


def open_store(
    settings: Settings,
    clock: Clock,
    *,
    clean: Callable[[Any], Any] = lambda detail: detail,
    keys: Callable[[ProjectStore, ReleaseStore, RolloutStore, Epoch], DataKeys] | None = None,
) -> Store:
    """Open the store, creating the home (readable by its owner only) and the tables where they are absent.

    Args:
        clean: takes out of an audit entry's detail what no log may hold.
        keys: makes the keys that projects' data is encrypted with; without it none is, and none is read.

    >>> import tempfile
    >>> from headrace.core.clock import SystemClock
    >>> from headrace.core.settings import read_settings
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = open_store(read_settings({"HEADRACE_HOME": folder}), SystemClock())
    ...     store.projects.list()
    ...     store.close()
    []

    Raises:
        InvalidInput: the home is a file or cannot be written to, or the database does not answer.
        Conflict: a newer Headrace has written the database, or another process is changing it.
    """
    _prepare_folders(settings)
    database, storage = _opened(settings.database_url), settings.storage_path
    epoch, projects = SharedEpoch(settings.home / "access.epoch"), SqlProjects(database)
    releases, rollouts = SqlReleases(database), SqlRollouts(database)
    executors = SqlExecutors(database, clock, _MACHINE)
    data_keys = None if keys is None else keys(projects, releases, rollouts, epoch)

    def close() -> None:
        epoch.close()
        database.close()

    return Store(
        artifacts=FolderArtifacts(storage / "artifacts"),
        tables=DeltaTables(storage / "tables", clock, data_keys),
        events=SegmentLog(storage / "events", new_id(clock.now()), keys=data_keys),
        projects=projects,
        snapshots=SqlSnapshots(database),
        runs=SqlRuns(database),
        models=SqlModels(database),
        releases=releases,
        evidence=SqlEvidence(database),
        rollouts=rollouts,
        findings=SqlFindings(database),
        principals=SqlPrincipals(database),
        grants=SqlRecords(database, sql.grants, Grant, "grant"),
        credentials=SqlRecords(database, sql.credentials, Credential, "credential"),
        incidents=SqlRecords(database, sql.incidents, Incident, "incident"),
        policies=SqlRecords(database, sql.policies, PolicyText, "policy"),
        waivers=SqlRecords(database, sql.waivers, Waiver, "waiver"),
        notices=SqlRecords(database, sql.notices, Notice, "notice"),
        cases=SqlRecords(database, sql.cases, Case, "case"),
        periods=SqlRecords(database, sql.periods, Period, "period"),
        reviews=SqlRecords(database, sql.reviews, Review, "review"),
        drafts=SqlRecords(database, sql.drafts, Draft, "draft"),
        handoffs=SqlRecords(database, sql.handoffs, Handoff, "hand-off"),
        backlog=SqlBacklog(database),
        llm_stops=SqlRecords(database, sql.llm_stops, Stop, "stop"),
        acknowledgements=SqlRecords(database, sql.acknowledgements, Acknowledgement, "acknowledgement"),
        llm_files=SqlRecords(database, sql.llm_files, LlmFile, "file"),
        llm_batches=SqlRecords(database, sql.llm_batches, LlmBatch, "batch"),
        shadow=SqlShadowUses(database),
        uses=SqlUses(database),
        expiring=SqlExpiring(database, clock),
        sightings=SqlSightings(database),
        epoch=EpochAfterwards(epoch, database.afterwards),
        audit=SqlAudit(database, clock, clean=clean),
        seals=SqlSeals(database),
        jobs=SqlJobs(database),
        queue=SqlQueue(database, clock, _MACHINE),
        executors=executors,
        budgets=SqlBudgets(database, executors),
        alone=database.write,
        storage=storage,
        on_close=close,
    )


def write_ahead(url: str) -> None:
    """Give a SQLite database that is still to be made a write-ahead log, which it keeps: each commit then
    waits for the disk once, and no reader for a writer. Any other database is left as it is.

    Args:
        url: SQLAlchemy address of tables that another library makes and writes.
    """
    address = make_url(url)
    if address.get_backend_name() != "sqlite" or not address.database:
        return
    path = Path(address.database)
    with locked(path.parent):
        if not path.exists() or path.stat().st_size == 0:
            database = Database(url)
            with database.read():
                pass
            database.close()


def _opened(url: str) -> Database:
    """The database, with its tables as this version knows them."""
    database = Database(url)
    try:
        migrate(database)
    except (Unavailable, InternalError) as error:
        database.close()
        raise InvalidInput(
            f"The database {database.name} cannot be opened: {reason(error.__cause__ or error)}. Start it, "
            "or correct HEADRACE_DATABASE_URL. Unset, Headrace keeps a database of its own in HEADRACE_HOME."
        ) from error
    except Exception:
        database.close()
        raise
    return database


def _prepare_folders(settings: Settings) -> None:
    _prepare(settings.home, "HEADRACE_HOME")
    if settings.storage_path != settings.home:
        _prepare(settings.storage_path, "HEADRACE_STORAGE_URL")


def _prepare(folder: Path, setting: str) -> None:
    """Make sure that ``folder`` is there and takes a file."""
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(
            f"{setting} is {folder}, which is a file. Expected a folder: set {setting} to one."
        )
    try:
        make_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, Unavailable) as error:
        raise InvalidInput(
            f"{setting} is {folder}, where nothing can be written ({error.__cause__ or error}). "
            f"Make it writable for this user, or set {setting} to a folder of your own."
        ) from error
