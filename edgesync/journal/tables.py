"""The tables as the newest migration leaves them; a test compares the two.

`seq` is the order of arrival: ids are the caller's and say nothing about it, and clocks may step back.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    false,
)

from edgesync.domain.job import CopyResult, Engine, EngineChoice, EventKind, JobState, Origin, Work
from edgesync.journal.columns import Prose, Source, Utc, Word

metadata = MetaData(naming_convention={"uq": "%(table_name)s_%(column_0_name)s_key"})

_SEQ = BigInteger().with_variant(Integer, "sqlite")

# One row. Every write locks it first and compares the epoch with the one it claimed: see `claim`.
writer = Table(
    "writer",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("host", Prose, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("since", Utc),
)

jobs = Table(
    "jobs",
    metadata,
    Column("seq", _SEQ, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("image_id", Text, nullable=False),
    Column("image_name", Prose, nullable=False),
    Column("origin", Word(Origin), nullable=False),
    Column("requested_by", Prose, nullable=False),
    Column("allow_failure", Boolean, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("state", Word(JobState), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("ended_at", Utc),
    Column("work", Word(Work), nullable=False, server_default=Work.COPY),
    Column("urgent", Boolean, nullable=False, server_default=false()),
    Column("source", Source),
    # When a person cancelled it. It may stay open after that, for stores that an attempt is at work on.
    Column("cancelled_at", Utc),
    Column("engine", Word(EngineChoice), nullable=False, server_default=EngineChoice.AUTO),
    Column("deep", Boolean, nullable=False, server_default=false()),
    Column("mend", Boolean, nullable=False, server_default=false()),
    sqlite_autoincrement=True,
)
_open_job = jobs.c.ended_at.is_(None)
Index("jobs_open", jobs.c.image_id, sqlite_where=_open_job, postgresql_where=_open_job)
Index("jobs_image", jobs.c.image_id, jobs.c.seq)
Index("jobs_state", jobs.c.state, jobs.c.seq)
Index("jobs_ended", jobs.c.ended_at)

job_stores = Table(
    "job_stores",
    metadata,
    Column("job_id", ForeignKey(jobs.c.id, ondelete="CASCADE"), primary_key=True),
    Column("store_id", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("result", Word(CopyResult), nullable=False),
    Column("reason", Prose, nullable=False),
)

attempts = Table(
    "attempts",
    metadata,
    Column("seq", _SEQ, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("job_id", ForeignKey(jobs.c.id, ondelete="CASCADE"), nullable=False),
    # True where the job was opened in the same go: if Glance never accepts the attempt, a job that no person asked for
    # goes with it.
    Column("opened_job", Boolean, nullable=False),
    Column("image_id", Text, nullable=False),
    Column("allow_failure", Boolean, nullable=False),
    Column("started_at", Utc, nullable=False),
    Column("task_id", Text),
    Column("ended_at", Utc),
    Column("message", Prose, nullable=False),
    Column("work", Word(Work), nullable=False, server_default=Work.COPY),
    Column("engine", Word(Engine), nullable=False, server_default=Engine.COPY_IMAGE),
    sqlite_autoincrement=True,
)
_open_attempt = attempts.c.ended_at.is_(None)
# One writer per image, whatever the code above believes.
Index("attempts_one_open", attempts.c.image_id, unique=True, sqlite_where=_open_attempt, postgresql_where=_open_attempt)
Index("attempts_image", attempts.c.image_id, attempts.c.seq)
Index("attempts_job", attempts.c.job_id)
Index("attempts_ended", attempts.c.ended_at)

attempt_stores = Table(
    "attempt_stores",
    metadata,
    Column("attempt_id", ForeignKey(attempts.c.id, ondelete="CASCADE"), primary_key=True),
    Column("store_id", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("result", Word(CopyResult), nullable=False),
    Column("reason", Prose, nullable=False),
)

failures = Table(
    "failures",
    metadata,
    Column("image_id", Text, primary_key=True),
    Column("store_id", Text, primary_key=True),
    Column("attempts", Integer, nullable=False),
    Column("error", Prose, nullable=False),
    Column("remedy", Prose, nullable=False),
    Column("failed_at", Utc, nullable=False),
    Column("next_try", Utc),
)
Index("failures_age", failures.c.failed_at)

# Who had a copy made: see `makers`. No foreign keys: a copy outlives the job that asked for it.
copies = Table(
    "copies",
    metadata,
    Column("image_id", Text, primary_key=True),
    Column("store_id", Text, primary_key=True),
    Column("origin", Word(Origin), nullable=False),
    Column("requested_by", Prose, nullable=False),
    Column("at", Utc, nullable=False),
)

# No foreign keys here, either: an image needs no job to be known.
digests = Table(
    "digests",
    metadata,
    Column("image_id", Text, primary_key=True),
    Column("hash_algo", Prose, nullable=False),
    Column("hash_value", Prose, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("block", BigInteger, nullable=False),
    # See `packing`.
    Column("packed", LargeBinary, nullable=False),
    # The newest moment that history knew of then; NULL: it knew of none.
    Column("kept_at", Utc),
)

verifications = Table(
    "verifications",
    metadata,
    Column("image_id", Text, primary_key=True),
    Column("store_id", Text, primary_key=True),
    Column("at", Utc, nullable=False),
    Column("sound", Boolean, nullable=False),
    Column("damage", Prose, nullable=False),
    Column("rbd_id", Text, nullable=False),
)

# Since when which copies of an image have been missing, as JSON: see `gaps`. Only of images that miss some.
gaps = Table(
    "gaps",
    metadata,
    Column("image_id", Text, primary_key=True),
    Column("epochs", Text, nullable=False),
)

# Empty ids stand for all images, all stores: a primary key can't hold NULL.
pauses = Table(
    "pauses",
    metadata,
    Column("image_id", Text, primary_key=True),
    Column("store_id", Text, primary_key=True),
    Column("by", Prose, nullable=False),
    Column("reason", Prose, nullable=False),
    Column("since", Utc, nullable=False),
)

# No foreign keys: history outlives what it tells of.
events = Table(
    "events",
    metadata,
    Column("seq", _SEQ, primary_key=True),
    Column("at", Utc, nullable=False),
    Column("kind", Word(EventKind), nullable=False),
    Column("message", Prose, nullable=False),
    Column("image_id", Text),
    Column("store_id", Text),
    Column("job_id", Text),
    sqlite_autoincrement=True,
)
Index("events_image", events.c.image_id, events.c.seq)
Index("events_store", events.c.store_id, events.c.seq)
Index("events_kind", events.c.kind, events.c.seq)
Index("events_at", events.c.at)
