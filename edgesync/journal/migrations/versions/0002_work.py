"""Work other than copies, who had a copy made, pauses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    # Columns are added in place, so their defaults stay. SQLite would take a default away by copying the table, and
    # dropping the old one would delete, by cascade, the rows that belong to it.
    for table in ("jobs", "attempts"):
        op.add_column(table, sa.Column("work", sa.Text, nullable=False, server_default="copy"))
    op.add_column("jobs", sa.Column("urgent", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("jobs", sa.Column("source", sa.Text))
    op.add_column("jobs", sa.Column("cancelled_at", _MOMENT))
    _create_copies()
    _create_pauses()


def _create_copies() -> None:
    op.create_table(
        "copies",
        sa.Column("image_id", sa.Text, primary_key=True),
        sa.Column("store_id", sa.Text, primary_key=True),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("requested_by", sa.Text, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
    )


def _create_pauses() -> None:
    op.create_table(
        "pauses",
        sa.Column("image_id", sa.Text, primary_key=True),
        sa.Column("store_id", sa.Text, primary_key=True),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("since", _MOMENT, nullable=False),
    )
