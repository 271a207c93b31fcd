"""Scoring a table: in parts, so that a killed run goes on where it stopped, with no row twice or missing.

Beside the output lies a folder while it is made: ``plan.json``, a copy of the rows, and one file per part. A
part's record is written before its file gets its name, under ids that follow from the run and the row; what
was recorded and not named is found by those ids, so that a repeated part is not recorded again.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from math import floor
from pathlib import Path
from typing import Any

from headrace.app.answers.batch_part import (
    REASON,
    ROW,
    ROWS_PER_PART,
    Done,
    PartScorer,
    Plan,
    begin_process,
    begin_scoring,
    part_name,
    score_in_process,
)
from headrace.app.composition import App
from headrace.core.data import Snapshot
from headrace.core.errors import Conflict, InvalidInput, NotFound, Unavailable
from headrace.core.identity import Principal
from headrace.core.ids import Ref, new_id
from headrace.core.ports import Columns, Segment
from headrace.core.project import Project
from headrace.data.engine import ROW as PLACE
from headrace.data.row_copies import RowCopy, copy_chunks, copy_file
from headrace.monitoring.ingest import predictions_table
from headrace.plugins.ray import RayExecutor
from headrace.store.columns import literal, parquet_rows, quoted
from headrace.store.disk import locked, make_folder, sync_file, sync_folder, write_file
from headrace.store.documents import SCHEMA_VERSION, dump, load
from headrace.store.engines import open_engine, own_engine
from headrace.store.records import decode_prediction

FORMATS = {".parquet": "FORMAT parquet", ".csv": "FORMAT csv, HEADER"}
SNAPSHOT = "snapshot:"
_ANSWERING = ("live", "rolling_out", "superseded")
_CHUNK_ROWS = 100_000
_BATCH = 1000
Tell = Callable[[int, int, int], None]
"""Told rows done, rows in all, and rows refused."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be scored, and how.

    Attributes:
        source: path of a CSV or Parquet file, or ``snapshot:ID``.
        out: the new file, ``.parquet`` or ``.csv``.
        release: a release or model version that is live, on trial, or was live; the live one when not given.
        query: DuckDB SQL over the table ``source``, whose rows are scored instead of the source's own.
        keep: columns for the output beside the project's key and time column.
        max_refused: share of the rows that may go without an answer.
        recorded: whether the answers enter the project's record, which monitoring reads.
    """

    project: str
    source: str
    out: Path
    release: str | None = None
    query: str | None = None
    keep: Sequence[str] = ()
    max_refused: float = 0.01
    processes: int = 1
    recorded: bool = True


@dataclass(frozen=True, kw_only=True)
class BatchReport:
    """What a finished run did; the same is in the audit log.

    Attributes:
        source_digest, out_digest: SHA-256 of the source's bytes (or the snapshot's digest) and of the output.
        n_refused: rows without an answer; the output says why in its column ``refused``.
        recorded: whether monitoring sees these answers.
    """

    id: str
    project: str
    release: str
    version: str
    principal: str
    source: str
    source_digest: str
    out: str
    out_digest: str
    n_rows: int
    n_refused: int
    recorded: bool


def score_table(
    app: App, me: Principal, request: Request, *, tell: Tell = lambda _done, _all, _refused: None
) -> BatchReport:
    """Score every row of a table into a new file; interrupted, the same call goes on where it stopped.

    Raises:
        Denied: ``me`` may not predict with the project.
        NotFound: there is no such source or release, or nothing is live.
        InvalidInput: the table is not what the model expects, or more rows are refused than allowed.
        Conflict: the output is there already, or a run to the same output has another source or release.

    Example::

        score_table(app, me, Request(project="cars", source="cars.csv", out=Path("prices.parquet")))
    """
    app.gatekeeper.require(me, "predict", f"project:{request.project}")
    if request.out.suffix not in FORMATS:
        raise InvalidInput(f"The output {request.out.name!r} has no known form. Expected .parquet or .csv.")
    if not 0 <= request.max_refused <= 1:
        raise InvalidInput(f"max_refused is {request.max_refused}. Expected a share between 0 and 1.")
    folder = request.out.absolute().with_name(f"{request.out.name}.parts")
    if request.out.exists() and not folder.exists():
        raise Conflict(f"{request.out} is there already. Name a file that is not.")
    make_folder(folder)
    with locked(folder, wait=False):
        run = _Run(app, me, request, folder)
        try:
            run.begin()
        except Exception:
            run.forget()
            raise
        run.score(tell)
        return run.finish()


class _Run:
    def __init__(self, app: App, me: Principal, request: Request, folder: Path) -> None:
        self._app = app
        self._me = me
        self._request = request
        self._folder = folder
        self._rows = folder / "rows.duckdb"
        self._file = folder / "plan.json"
        self._resource = f"project:{request.project}"
        self.plan: Plan

    def begin(self) -> None:
        """Fix what is scored by what; of a run that was interrupted, check that it is the same."""
        project = self._app.store.projects.get(self._request.project)
        digest = self._digest()
        if self._file.exists():
            self.plan = load(Plan, self._file.read_text(), SCHEMA_VERSION)
            self._check_same(digest)
            return
        release_id, version = self._release()
        self._copy(digest)
        with RowCopy(self._rows) as rows:
            names, n_rows = rows.names, rows.n_rows
        plan = Plan(
            id=new_id(self._app.clock.now()),
            project=project.name,
            release_id=release_id,
            version=version,
            principal=self._me.name,
            source=self._request.source,
            digest=digest,
            query=self._request.query,
            kept=_kept(project, self._request.keep, names),
            key=project.data.key if project.data.key in names else None,
            time=project.data.time if project.data.time in names else None,
            recorded=self._request.recorded,
            n_rows=n_rows,
            ends={one.name: one.size_bytes for one in self._segments(project.name)},
        )
        with closing(PartScorer(self._app, plan, self._rows, self._folder)) as scorer:
            scorer.check()
        self._app.store.audit.append(self._me.name, "batch.start", self._resource, _told(plan))
        written = self._file.with_suffix(".new")
        write_file(written, dump(plan).encode())
        written.replace(self._file)
        sync_folder(self._folder)
        self.plan = plan

    def forget(self) -> None:
        """Leave nothing of a run that never began."""
        if not self._file.exists():
            shutil.rmtree(self._folder)

    def score(self, tell: Tell) -> None:
        """Score the parts that are left.

        Raises:
            InvalidInput: more rows are refused than the request allows.
        """
        n_parts = -(-self.plan.n_rows // ROWS_PER_PART)
        left = [part for part in range(n_parts) if not (self._folder / part_name(part)).exists()]
        allowed = floor(self._request.max_refused * self.plan.n_rows)
        n_done = self.plan.n_rows - sum(self._length(part) for part in left)
        n_refused = self._refused(n_parts, left)
        known = self._recorded_already() if left and self.plan.recorded else set()
        tell(n_done, self.plan.n_rows, n_refused)
        if n_refused > allowed:
            self._refuse(n_refused, allowed, [])
        for done in self._scored(left, allowed):
            self._keep(done, known)
            n_done += done.n_rows
            n_refused += done.n_refused
            tell(n_done, self.plan.n_rows, n_refused)
            if n_refused > allowed:
                self._refuse(n_refused, allowed, done.reasons)

    def finish(self) -> BatchReport:
        """Put the parts together; the output is whole as soon as it is there."""
        out = self._request.out.absolute()
        parts = sorted(self._folder.glob("[0-9]*.parquet"))
        written = self._folder / f"whole{out.suffix}"
        with own_engine() as engine:
            engine.execute("SET memory_limit = '512MB'")
            engine.execute(f"SET temp_directory = {literal(str(self._folder / 'spill'))}")
            table = parquet_rows(parts)
            found = engine.execute(f"SELECT count({quoted(REASON)}), count(*) FROM {table}").fetchone() or (
                0,
                0,
            )
            selection = f"SELECT * REPLACE (CAST({quoted(ROW)} AS BIGINT) AS {quoted(ROW)}) FROM {table}"
            engine.execute(f"COPY ({selection}) TO {literal(str(written))} ({FORMATS[out.suffix]})")
        sync_file(written)
        report = BatchReport(
            id=self.plan.id,
            project=self.plan.project,
            release=self.plan.release_id,
            version=self.plan.version,
            principal=self._me.name,
            source=self.plan.source,
            source_digest=self.plan.digest,
            out=str(self._request.out),
            out_digest=_sha256(written),
            n_rows=int(found[1]),
            n_refused=int(found[0]),
            recorded=self.plan.recorded,
        )
        written.replace(out)
        sync_folder(out.parent)
        self._note_finished(report)
        shutil.rmtree(self._folder)
        return report

    def _note_finished(self, report: BatchReport) -> None:
        noted = self._app.store.audit.search(self.plan.id)
        if not any(entry.action == "batch.finish" for entry in noted):
            detail = _told(self.plan) | {"refused": report.n_refused, "out_digest": report.out_digest}
            self._app.store.audit.append(self._me.name, "batch.finish", self._resource, detail)

    def _scored(self, left: Sequence[int], allowed: int) -> Iterator[Done]:
        """The parts as they are done, by this process or by several."""
        arguments = (self.plan, self._rows, self._folder)
        if (self._request.processes == 1 and not self._app.settings.ray_address) or len(left) < 2:
            with closing(PartScorer(self._app, *arguments)) as scorer:
                yield from (scorer.score(part, allowed) for part in left)
            return
        with self._pool(min(self._request.processes, len(left)), arguments) as pool:
            yield from _in_turn(pool, left, allowed, 2 * self._request.processes)

    def _pool(self, n_workers: int, arguments: tuple[Any, ...]) -> Executor:
        """On the cluster, where one is named; else on this machine."""
        given, address = (self._app.settings, *arguments), self._app.settings.ray_address
        if address:
            return RayExecutor(address, n_workers, begin_scoring, given)
        return ProcessPoolExecutor(
            n_workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=begin_process,
            initargs=given,
        )

    def _keep(self, done: Done, known: set[str]) -> None:
        """Record a part's answers, then give its file its name."""
        path = self._folder / part_name(done.part)
        if self.plan.recorded:
            records = [record for name, record in done.records.items() if name not in known]
            self._app.store.events.append(predictions_table(self.plan.project), records)
        path.with_suffix(".new").replace(path)
        sync_folder(self._folder)

    def _recorded_already(self) -> set[str]:
        """Ids of this run's answers that are in the record; they lie behind where it ended when it began."""
        stream, wanted = predictions_table(self.plan.project), f"batch:{self.plan.id}"
        found: set[str] = set()
        for segment in self._segments(self.plan.project):
            offset = self.plan.ends.get(segment.name, 0)
            while offset < segment.size_bytes:
                records, offset = self._app.store.events.read(stream, segment.name, offset, _BATCH)
                if not records:
                    break
                found.update(one.id for one in map(decode_prediction, records) if one.request_id == wanted)
        return found

    def _segments(self, project: str) -> list[Segment]:
        return self._app.store.events.segments(predictions_table(project))

    def _refused(self, n_parts: int, left: Sequence[int]) -> int:
        done = [self._folder / part_name(part) for part in sorted(set(range(n_parts)) - set(left))]
        if not done:
            return 0
        with open_engine() as engine:
            found = engine.execute(f"SELECT count({quoted(REASON)}) FROM {parquet_rows(done)}").fetchone()
        return int(found[0]) if found else 0

    def _length(self, part: int) -> int:
        return min(ROWS_PER_PART, self.plan.n_rows - part * ROWS_PER_PART)

    def _refuse(self, n_refused: int, allowed: int, reasons: Sequence[str]) -> None:
        examples = f" Such as: {' | '.join(reasons)}." if reasons else ""
        raise InvalidInput(
            f"{n_refused} of {self.plan.n_rows} rows cannot be answered so far, and {allowed} may be "
            f"(--max-refused {self._request.max_refused:g}).{examples} Mend the rows and remove "
            f"{self._folder}, or allow more: the same command with a larger --max-refused goes on."
        )

    def _check_same(self, digest: str) -> None:
        """Raises Conflict when the run that was begun here is another."""
        plan, asked = self.plan, self._request
        wanted = asked.release
        differs = [
            what
            for what, differ in (
                ("project", plan.project != asked.project),
                ("source", plan.digest != digest),
                ("query", plan.query != asked.query),
                ("release", self._release()[0] != plan.release_id if wanted or self._live_moved() else False),
                ("columns to keep", not set(asked.keep) <= set(plan.kept)),
                ("choice of --no-record", plan.recorded != asked.recorded),
            )
            if differ
        ]
        if differs:
            raise Conflict(
                f"A run to {asked.out} was begun with another {' and another '.join(differs)}. Go on "
                f"with what it began with (release {plan.release_id}: --release {plan.version}), or remove "
                f"{self._folder} to begin anew."
            )

    def _live_moved(self) -> bool:
        route = self._app.store.rollouts.route(self.plan.project)
        return route is None or route.live != self.plan.release_id

    def _release(self) -> tuple[str, str]:
        """Id and model version of the release that answers."""
        name, wanted = self._request.project, self._request.release
        if wanted is None:
            route = self._app.store.rollouts.route(name)
            if route is None:
                raise NotFound(f"Nothing of {name!r} is live. Make a release live, or name one by --release.")
            wanted = route.live
        for release in self._app.store.releases.list(name):
            version = Ref.parse(release.manifest.subject.ref).version
            if wanted in (release.id, version):
                if release.state not in _ANSWERING:
                    raise Conflict(
                        f"Release {release.id} of {name!r} is {release.state.replace('_', ' ')}. Expected "
                        "one that is live, on trial, or was live."
                    )
                return release.id, version
        raise NotFound(f"{name!r} has no release or model version {wanted!r}. See: headrace model ls {name}.")

    def _digest(self) -> str:
        if self._request.source.startswith(SNAPSHOT):
            return self._snapshot().digest
        path = Path(self._request.source)
        if not path.is_file():
            raise NotFound(
                f"There is no file {self._request.source!r}. Expected a CSV or Parquet file, or {SNAPSHOT}ID."
            )
        return _sha256(path)

    def _copy(self, digest: str) -> None:
        query = self._request.query
        if self._request.source.startswith(SNAPSHOT):
            snapshot = self._snapshot()
            self._app.gatekeeper.require(self._me, "data.read", f"project:{snapshot.project}")
            copy_chunks(self._chunks(snapshot), self._rows, query=query)
            return
        copy_file(Path(self._request.source), self._rows, query=query)
        if self._digest() != digest:
            raise Conflict(f"{self._request.source} changed while it was read. Try again when it is at rest.")

    def _snapshot(self) -> Snapshot:
        return self._app.store.snapshots.get(self._request.source.removeprefix(SNAPSHOT))

    def _chunks(self, snapshot: Snapshot) -> Iterator[Columns]:
        left, place = snapshot.n_rows - snapshot.n_erased, quoted(PLACE)
        for start in range(0, left, _CHUNK_ROWS):
            yield self._app.store.tables.query(
                f"SELECT * EXCLUDE ({place}) FROM t WHERE {place} >= ? AND {place} < ? ORDER BY {place}",
                {"t": (snapshot.table, snapshot.table_version)},
                [start, start + _CHUNK_ROWS],
            )


def _in_turn(pool: Executor, parts: Sequence[int], allowed: int, most: int) -> Iterator[Done]:
    """Parts as they are done; never more than ``most`` wait, so that memory does not grow with the table."""
    waiting: set[Future[Done]] = set()
    left = iter(parts)
    try:
        while True:
            for part in left:
                waiting.add(pool.submit(score_in_process, part, allowed))
                if len(waiting) >= most:
                    break
            if not waiting:
                return
            ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in ended:
                yield future.result()
    except BrokenExecutor as error:
        raise Unavailable(
            "A process that scored has been killed; too little memory is the usual cause. What was done is "
            "kept: the same command goes on, with fewer --processes if need be."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _kept(project: Project, keep: Sequence[str], names: Sequence[str]) -> list[str]:
    own = [name for name in (project.data.key, project.data.time) if name in names]
    return list(dict.fromkeys([*(name for name in own if name is not None), *keep]))


def _told(plan: Plan) -> dict[str, Any]:
    """What the audit log says of a run; a query, which may hold values of people, by its digest."""
    query = None if plan.query is None else hashlib.sha256(plan.query.encode()).hexdigest()
    return {
        "batch": plan.id,
        "release": plan.release_id,
        "version": plan.version,
        "source": plan.source,
        "source_digest": plan.digest,
        "query_digest": query,
        "rows": plan.n_rows,
        "recorded": plan.recorded,
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
