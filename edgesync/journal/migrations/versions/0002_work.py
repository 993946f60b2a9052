"""Work other than copies, who had a copy made, pauses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from edgesync.journal.migrations.forgetting import forget_events, forget_works

revision = "0002"
down_revision = "0001"

_MOMENT = sa.DateTime(timezone=True)
# Words that came with this schema: who knows only 0001 refuses to read a journal that has one of them.
_NEW_WORK = ("import", "remove", "trash", "protect", "unlist")
_NEW_RESULTS = ("removed", "repaired", "cancelled", "interrupted")
_NEW_EVENTS = (
    "copy-interrupted",
    "copy-stalled",
    "copy-removed",
    "removal-failed",
    "orphan-found",
    "orphan-trashed",
    "copy-broken",
    "copy-repaired",
    "repair-failed",
    "job-cancelled",
    "paused",
    "resumed",
    "store-down",
    "store-back",
    "config-reloaded",
    "config-refused",
)


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


def downgrade() -> None:
    """Back to 0001: who had copies made, and pauses, are lost; so is all work but copies.

    Of copies that were cancelled or broke off, the older edgesync can only read that they failed. One that was
    cancelled while it was made is wanted again.
    """
    forget_works(_NEW_WORK)
    forget_events(_NEW_EVENTS)
    _reword()
    op.drop_table("pauses")
    op.drop_table("copies")
    # In place: see above.
    for column in ("cancelled_at", "source", "urgent", "work"):
        op.drop_column("jobs", column)
    op.drop_column("attempts", "work")


def _reword() -> None:
    """What is left, in words of 0001."""
    for name in ("job_stores", "attempt_stores"):
        results = sa.table(name, sa.column("result"))
        op.execute(sa.update(results).where(results.c.result.in_(_NEW_RESULTS)).values(result="failed"))
    jobs = sa.table("jobs", sa.column("image_id"), sa.column("state"), sa.column("origin"))
    attempts = sa.table("attempts", sa.column("image_id"), sa.column("ended_at"))
    op.execute(sa.update(jobs).where(jobs.c.state == "cancelled").values(state="failed"))
    # Copies that repairs ask for: as a policy's they could be dropped.
    op.execute(sa.update(jobs).where(jobs.c.origin == "repair").values(origin="person"))
    # An import that was made for other jobs, too, is gone.
    made = sa.select(attempts.c.image_id).where(attempts.c.ended_at.is_(None))
    idle = sa.and_(jobs.c.state == "running", jobs.c.image_id.not_in(made))
    op.execute(sa.update(jobs).where(idle).values(state="queued"))


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
