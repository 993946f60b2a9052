"""The version of the schema: which one a journal has, which there are, and bringing it to ours or to an older one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from edgesync.errors import PermanentError
from edgesync.journal.tables import metadata


class Schema(Enum):
    """A journal's schema, as this edgesync sees it."""

    MISSING = auto()
    OLD = auto()
    CURRENT = auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class Revision:
    """One version of the schema."""

    id: str
    # What came with it.
    brought: str


def revisions() -> tuple[Revision, ...]:
    """Those that this edgesync knows, the oldest first: the last one is its own."""
    newest_first = ScriptDirectory.from_config(_config()).walk_revisions()
    return tuple(Revision(id=script.revision, brought=script.doc) for script in newest_first)[::-1]


async def inspect(engine: AsyncEngine) -> Schema:
    """Look at a journal; PermanentError when a newer edgesync has written it."""
    revision = await revision_of(engine)
    if revision is None:
        return Schema.MISSING
    known = [entry.id for entry in revisions()]
    if revision not in known:
        raise PermanentError(
            f"A newer edgesync has written this journal: its schema {revision} is unknown here.",
            remedy="Run that version of edgesync. To go back to this one, first run there "
            f"`edgesync journal rollback --to {known[-1]}`, or restore the backup made before the upgrade.",
        )
    return Schema.CURRENT if revision == known[-1] else Schema.OLD


async def revision_of(engine: AsyncEngine) -> str | None:
    """The schema that a journal has, known here or not; None: there is none.

    PermanentError when its tables are somebody else's.
    """
    async with engine.connect() as connection:
        revision = await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
        tables = set(await connection.run_sync(lambda sync: sqlalchemy.inspect(sync).get_table_names()))
    if revision is None and (foreign := tables & set(metadata.tables)):
        raise PermanentError(
            f"The journal's database has tables of somebody else: {', '.join(sorted(foreign))}.",
            remedy="Give edgesync a database or a schema of its own.",
        )
    return revision


async def upgrade(engine: AsyncEngine) -> None:
    """Bring the schema to ours, all of it or nothing. Only for who holds the claim."""
    async with engine.begin() as connection:
        await connection.run_sync(lambda sync: command.upgrade(_config(sync), "head"))


def downgrade(connection: Connection, revision: str) -> None:
    """Bring the schema back to an older one, inside the transaction that is given. Only for who holds the claim."""
    command.downgrade(_config(connection), revision)


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", "edgesync:journal/migrations")
    config.attributes["connection"] = connection
    return config
