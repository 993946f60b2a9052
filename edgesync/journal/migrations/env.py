"""Run by alembic inside the transaction that `edgesync.journal.migrate` has opened."""

from __future__ import annotations

from alembic import context

from edgesync.journal.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite alters hardly anything in place: alembic copies the table instead.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
