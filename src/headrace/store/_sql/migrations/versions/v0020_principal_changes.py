"""How often each identity was changed, so that whoever remembers one need not read it to know."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op  # noqa: TID253  only alembic loads this file

revision = "0020"
down_revision = "0017"


def upgrade() -> None:
    """Add the column; what was changed before counts as unchanged."""
    op.add_column("hr_principals", sa.Column("changes", sa.Integer, nullable=False, server_default="0"))
