"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_MOMENT = sa.DateTime(timezone=True)
_OPEN = sa.text("ended_at IS NULL")


def upgrade() -> None:
    _create_writer()
    _create_jobs()
    _create_attempts()
    _create_failures()
    _create_events()


def _create_writer() -> None:
    writer = op.create_table(
        "writer",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("since", _MOMENT),
    )
    op.bulk_insert(writer, [{"id": 1, "epoch": 0, "host": "", "pid": 0, "since": None}])


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        _seq(),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("image_id", sa.Text, nullable=False),
        sa.Column("image_name", sa.Text, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("requested_by", sa.Text, nullable=False),
        sa.Column("allow_failure", sa.Boolean, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT),
        sa.UniqueConstraint("id", name="jobs_id_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("jobs_open", "jobs", ["image_id"], sqlite_where=_OPEN, postgresql_where=_OPEN)
    op.create_index("jobs_image", "jobs", ["image_id", "seq"])
    op.create_index("jobs_state", "jobs", ["state", "seq"])
    op.create_index("jobs_ended", "jobs", ["ended_at"])
    op.create_table(
        "job_stores",
        sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        *_results(),
    )


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        _seq(),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("opened_job", sa.Boolean, nullable=False),
        sa.Column("image_id", sa.Text, nullable=False),
        sa.Column("allow_failure", sa.Boolean, nullable=False),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("task_id", sa.Text),
        sa.Column("ended_at", _MOMENT),
        sa.Column("message", sa.Text, nullable=False),
        sa.UniqueConstraint("id", name="attempts_id_key"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "attempts_one_open", "attempts", ["image_id"], unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN
    )
    op.create_index("attempts_image", "attempts", ["image_id", "seq"])
    op.create_index("attempts_job", "attempts", ["job_id"])
    op.create_index("attempts_ended", "attempts", ["ended_at"])
    op.create_table(
        "attempt_stores",
        sa.Column("attempt_id", sa.Text, sa.ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=True),
        *_results(),
    )


def _create_failures() -> None:
    op.create_table(
        "failures",
        sa.Column("image_id", sa.Text, primary_key=True),
        sa.Column("store_id", sa.Text, primary_key=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("remedy", sa.Text, nullable=False),
        sa.Column("failed_at", _MOMENT, nullable=False),
        sa.Column("next_try", _MOMENT),
    )
    op.create_index("failures_age", "failures", ["failed_at"])


def _create_events() -> None:
    op.create_table(
        "events",
        _seq(),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("image_id", sa.Text),
        sa.Column("store_id", sa.Text),
        sa.Column("job_id", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("events_image", "events", ["image_id", "seq"])
    op.create_index("events_store", "events", ["store_id", "seq"])
    op.create_index("events_kind", "events", ["kind", "seq"])
    op.create_index("events_at", "events", ["at"])


def _seq() -> sa.Column[int]:
    return sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)


def _results() -> tuple[sa.Column[str], sa.Column[int], sa.Column[str], sa.Column[str]]:
    return (
        sa.Column("store_id", sa.Text, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
