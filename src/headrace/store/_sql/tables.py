"""The tables. Each row is a record's JSON ``document`` beside the columns it is found and guarded by.

Times are kept as microseconds since 1970 (UTC): they sort the same in every database.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.schema import SchemaItem

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _documents(name: str, *items: SchemaItem) -> Table:
    return Table(
        name,
        metadata,
        Column("position", Integer, primary_key=True, autoincrement=True),
        *items,
        Column("schema_version", Integer, nullable=False),
        Column("document", Text, nullable=False),
    )


def _text(name: str, *, unique: bool = False) -> Column[str]:
    return Column(name, Text, nullable=False, unique=unique)


def _whole(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False)


def _moment(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


projects = _documents("hr_projects", _text("name", unique=True), _text("path"), _text("workspace"))

snapshots = _documents(
    "hr_snapshots",
    _text("id", unique=True),
    _text("project"),
    _text("digest"),
    _moment("created_us"),
    Index(None, "project", "digest"),
)

runs = _documents(
    "hr_runs",
    _text("id", unique=True),
    _text("project"),
    _text("build_id"),
    _text("state"),
    _text("fingerprint"),
    _moment("started_us"),
    Index(None, "project", "fingerprint"),
    Index(None, "project", "started_us"),
)

models = _documents(
    "hr_models",
    _text("project"),
    _whole("version"),
    _text("run_id"),
    UniqueConstraint("project", "version"),
    UniqueConstraint("project", "run_id"),
    CheckConstraint("version > 0", name="numbered"),
)

releases = _documents(
    "hr_releases",
    _text("id", unique=True),
    _text("project"),
    _text("digest"),
    _text("author"),
    _text("state"),
    _moment("created_us"),
    # What approvals refer to: an approval can name no other digest and no other author.
    UniqueConstraint("id", "digest", "author"),
    Index(None, "project", "created_us"),
)

verdicts = _documents(
    "hr_verdicts", _text("id", unique=True), _text("subject_id"), _moment("at_us"), Index(None, "subject_id")
)

approvals = _documents(
    "hr_approvals",
    _text("id", unique=True),
    _text("release_id"),
    _text("digest"),
    _text("author"),
    _text("approver"),
    _text("decision"),
    _moment("at_us"),
    UniqueConstraint("release_id", "approver"),
    ForeignKeyConstraint(
        ["release_id", "digest", "author"], ["hr_releases.id", "hr_releases.digest", "hr_releases.author"]
    ),
    CheckConstraint("approver <> author", name="not_own_work"),
    CheckConstraint("decision IN ('approved', 'rejected')", name="decision"),
)

measurements = _documents(
    "hr_measurements",
    _text("id", unique=True),
    _text("project"),
    _text("name"),
    Column("release_id", Text, nullable=True),
    _moment("window_start_us", nullable=True),
    _moment("window_end_us", nullable=True),
    _moment("at_us"),
    Index(None, "project", "name", "window_start_us"),
)

rollouts = _documents(
    "hr_rollouts",
    _text("release_id", unique=True),
    _text("project"),
    _text("state"),
    _whole("revision"),
    _moment("started_us"),
    Index(None, "project", "state"),
)

routes = _documents("hr_routes", _text("project", unique=True), _whole("revision"))

findings = _documents(
    "hr_findings",
    _text("id", unique=True),
    _text("project"),
    _moment("at_us"),
    _text("release_id"),
    _text("kind"),
    Index(None, "project", "kind"),
    Index(None, "release_id", "kind"),
)

alerts = _documents(
    "hr_alerts",
    _text("id", unique=True),
    _text("project"),
    _moment("at_us"),
    _text("state"),
    Index(None, "project"),
    Index(None, "state"),
)

principals = _documents("hr_principals", _text("name", unique=True), _whole("changes"))


def _changing(name: str) -> Table:
    """Records that change by revision, found by workspace, subject and state."""
    return _documents(
        name,
        _text("id", unique=True),
        _text("workspace"),
        _text("subject"),
        _text("state"),
        _whole("revision"),
        Index(None, "subject", "state"),
        Index(None, "workspace", "state"),
    )


grants = _changing("hr_grants")
credentials = _changing("hr_credentials")
incidents = _changing("hr_incidents")
policies = _changing("hr_policies")
waivers = _changing("hr_waivers")
notices = _changing("hr_notices")
cases = _changing("hr_cases")
periods = _changing("hr_periods")
reviews = _changing("hr_reviews")
drafts = _changing("hr_drafts")
handoffs = _changing("hr_handoffs")
llm_stops = _changing("hr_llm_stops")
acknowledgements = _changing("hr_acknowledgements")
llm_files = _changing("hr_llm_files")
llm_batches = _changing("hr_llm_batches")
shadow_uses = _changing("hr_shadow_uses")

uses = Table(
    "hr_uses",
    metadata,
    Column("principal", Text, primary_key=True),
    Column("action", Text, primary_key=True),
    Column("resource", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
    _moment("first_us"),
    _moment("last_us"),
    Index(None, "last_us"),
)

expiring = Table(
    "hr_expiring",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    _text("subject"),
    _moment("ends_us"),
    _text("value"),
    Index(None, "kind", "subject", "ends_us"),
    Index(None, "ends_us"),
)

sightings = Table(
    "hr_sightings",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=True),
    _text("principal"),
    _text("network"),
    _text("token"),
    _moment("at_us"),
    _text("source"),
    Index(None, "at_us"),
    # Whoever reads on from a number must never meet it again.
    sqlite_autoincrement=True,
)

audit = Table(
    "hr_audit",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    _text("hash"),
    Column("schema_version", Integer, nullable=False),
    Column("document", Text, nullable=False),
)

audit_head = Table(
    "hr_audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    _whole("sequence"),
    _text("hash"),
    CheckConstraint("id = 1", name="single"),
)

audit_seals = _documents("hr_audit_seals", Column("number", Integer, nullable=False, unique=True))

executors = Table(
    "hr_executors",
    metadata,
    Column("executor_id", Text, primary_key=True),
    _text("role"),
    Column("address", Text, nullable=True),
    _text("host"),
    _whole("pid"),
    _text("process_started"),
    _moment("registered_us"),
    _moment("heartbeat_us"),
    _moment("ended_us", nullable=True),
    Column("claimed_by", Text, nullable=True),
    Index(None, "role"),
)

uptime = Table(
    "hr_uptime",
    metadata,
    Column("executor_id", Text, primary_key=True),
    Column("started_us", BigInteger, primary_key=True, autoincrement=False),
    _text("role"),
    Column("address", Text, nullable=True),
    _moment("seen_us"),
    _whole("ended"),
    Index(None, "role", "seen_us"),
)

jobs = _documents(
    "hr_jobs",
    _text("id", unique=True),
    _text("project"),
    _text("state"),
    _moment("ended_us", nullable=True),
    Index(None, "project", "state"),
    Index(None, "ended_us"),
)

queue = Table(
    "hr_queue",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=True),
    _text("lane"),
    _text("item", unique=True),
    _moment("available_us"),
    _whole("attempts"),
    Column("receipt", Text, nullable=True),
    _whole("buried"),
    Index(None, "buried", "available_us"),
)

budgets = Table(
    "hr_budgets",
    metadata,
    Column("key", Text, primary_key=True),
    Column("start_us", BigInteger, primary_key=True, autoincrement=False),
    _moment("ends_us"),
    Column("spent", BigInteger, nullable=False),
    Column("lost", BigInteger, nullable=False),
    Index(None, "ends_us"),
)

budget_holds = Table(
    "hr_budget_holds",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("start_us", BigInteger, primary_key=True, autoincrement=False),
    Column("amount", BigInteger, nullable=False),
    Index(None, "key", "start_us"),
    CheckConstraint("amount >= 0", name="not_negative"),
)
