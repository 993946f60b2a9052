"""For the way back: rows with words that came with a schema, which who knows only the one before refuses to read."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op


def forget_works(works: Sequence[str]) -> None:
    """Jobs of such work with their attempts, and attempts at such work in jobs of another."""
    jobs = sa.table("jobs", sa.column("id"), sa.column("work"))
    job_stores = sa.table("job_stores", sa.column("job_id"))
    attempts = sa.table("attempts", sa.column("id"), sa.column("job_id"), sa.column("work"))
    attempt_stores = sa.table("attempt_stores", sa.column("attempt_id"))
    new_job = jobs.c.work.in_(works)
    its_jobs = sa.select(jobs.c.id).where(new_job)
    new_attempt = attempts.c.work.in_(works) | attempts.c.job_id.in_(its_jobs)
    its_attempts = sa.select(attempts.c.id).where(new_attempt)
    # What belongs to others first: the connection may not see to that itself.
    op.execute(sa.delete(attempt_stores).where(attempt_stores.c.attempt_id.in_(its_attempts)))
    op.execute(sa.delete(attempts).where(new_attempt))
    op.execute(sa.delete(job_stores).where(job_stores.c.job_id.in_(its_jobs)))
    op.execute(sa.delete(jobs).where(new_job))


def forget_events(kinds: Sequence[str]) -> None:
    events = sa.table("events", sa.column("kind"))
    op.execute(sa.delete(events).where(events.c.kind.in_(kinds)))
