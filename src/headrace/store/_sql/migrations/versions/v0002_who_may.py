"""Workspaces, and everything about rights that changes: grants, credentials, incidents, policies, waivers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op  # noqa: TID253  only alembic loads this file

revision = "0002"
down_revision = "0001"
CHANGING = ("hr_grants", "hr_credentials", "hr_incidents", "hr_policies", "hr_waivers")


def upgrade() -> None:
    """Create the tables; projects that are there belong to the workspace ``main``."""
    op.add_column("hr_projects", sa.Column("workspace", sa.Text, nullable=False, server_default="main"))
    for name in CHANGING:
        _changing(name)
    op.create_table(
        "hr_uses",
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("first_us", sa.BigInteger, nullable=False),
        sa.Column("last_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("principal", "action", "resource", name=op.f("pk_hr_uses")),
    )
    op.create_index(op.f("ix_hr_uses_last_us"), "hr_uses", ["last_us"])


def _changing(name: str) -> None:
    op.create_table(
        name,
        sa.Column("position", sa.Integer, nullable=False, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("schema_version", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f(f"pk_{name}")),
        sa.UniqueConstraint("id", name=op.f(f"uq_{name}_id")),
    )
    op.create_index(op.f(f"ix_{name}_subject_state"), name, ["subject", "state"])
    op.create_index(op.f(f"ix_{name}_workspace_state"), name, ["workspace", "state"])
