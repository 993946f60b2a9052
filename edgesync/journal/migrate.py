"""The version of the schema: which one a journal has, and bringing it to ours."""

from __future__ import annotations

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


async def inspect(engine: AsyncEngine) -> Schema:
    """Look at a journal; PermanentError when a newer edgesync has written it."""
    async with engine.connect() as connection:
        revision = await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())
        tables = set(await connection.run_sync(lambda sync: sqlalchemy.inspect(sync).get_table_names()))
    if revision is None:
        if foreign := tables & set(metadata.tables):
            raise PermanentError(
                f"The journal's database has tables of somebody else: {', '.join(sorted(foreign))}.",
                remedy="Give edgesync a database or a schema of its own.",
            )
        return Schema.MISSING
    scripts = ScriptDirectory.from_config(_config())
    if revision not in {script.revision for script in scripts.walk_revisions()}:
        raise PermanentError(
            f"A newer edgesync has written this journal: its schema {revision} is unknown here.",
            remedy="Run that version of edgesync, or restore the backup made before the upgrade.",
        )
    return Schema.CURRENT if revision == scripts.get_current_head() else Schema.OLD


async def upgrade(engine: AsyncEngine) -> None:
    """Bring the schema to ours, all of it or nothing. Only for who holds the claim."""
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "edgesync:journal/migrations")
    return config
