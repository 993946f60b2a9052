"""Back to the schema of an older edgesync, and what is lost by that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import sqlalchemy
from sqlalchemy import Connection, func, select, table

from edgesync.errors import NotFoundError, RequestError
from edgesync.journal import engine as engines
from edgesync.journal.claim import Claim
from edgesync.journal.engine import Place
from edgesync.journal.faults import translated
from edgesync.journal.migrate import Schema, downgrade, inspect, revision_of, revisions
from edgesync.journal.opening import exists, lock_of
from edgesync.journal.tables import metadata


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """What goes with a rollback: a table, a column, or rows of a table that stays."""

    what: str
    # How many go; of a column, how many lose it.
    rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Rollback:
    """How it went."""

    before: str
    to: str
    losses: tuple[Loss, ...]
    # False: not agreed to, so that nothing was changed.
    done: bool


# Of each table its columns, and how many rows it has.
_Sight = Mapping[str, tuple[Sequence[str], int]]


async def roll_back(url: str, to: str, *, agreed: Callable[[Sequence[Loss]], bool]) -> Rollback:
    """Bring a journal that nobody writes to back to the schema `to`: all of it, or nothing where `agreed` says no.

    What would be lost is found by doing it, in a transaction that ends as `agreed` says. Raises ConflictError while
    somebody has claimed the journal, NotFoundError where there is none, RequestError for a schema that can't be gone
    back to, and PermanentError for a journal that a newer edgesync has written.
    """
    place = Place.parse(url)
    _check_known(to)
    with translated():
        if not await exists(place):
            raise _nothing_there()
        async with AsyncExitStack() as opened:
            engine = engines.connect(place)
            opened.push_async_callback(engine.dispose)
            claim = Claim(lock_of(place))
            await opened.enter_async_context(claim.locked(engine))
            if await inspect(engine) is Schema.MISSING:
                raise _nothing_there()
            before = await revision_of(engine) or ""
            _check_older(to, before)
            connection = await opened.enter_async_context(engine.connect())
            transaction = await connection.begin()
            # Waits for whoever still writes without its lock, and shuts it out.
            await claim.raise_epoch(connection)
            losses = await connection.run_sync(_gone_back, to)
            done = agreed(losses)
            await (transaction.commit() if done else transaction.rollback())
            return Rollback(before=before, to=to, losses=losses, done=done)


def _check_known(to: str) -> None:
    known = revisions()
    if to not in {revision.id for revision in known}:
        told = "; ".join(f"{revision.id} ({revision.brought.rstrip('.')})" for revision in known)
        raise RequestError(f"There is no schema {to} that this edgesync knows.", remedy=f"Choose among {told}.")


def _check_older(to: str, now: str) -> None:
    known = [revision.id for revision in revisions()]
    if known.index(to) > known.index(now):
        raise RequestError(
            f"The journal's schema {now} is older than {to}: there is no way back to that.",
            remedy="The daemon of an edgesync that knows it brings the journal forward when it starts.",
        )


def _nothing_there() -> NotFoundError:
    return NotFoundError("There is no journal yet.", remedy="Whichever edgesync is started makes one of its own.")


def _gone_back(connection: Connection, to: str) -> tuple[Loss, ...]:
    before = _seen(connection)
    downgrade(connection, to)
    return tuple(loss for loss in _losses(before, _seen(connection)) if loss.rows)


def _seen(connection: Connection) -> _Sight:
    # Another look than before: this one remembers what it has seen.
    look = sqlalchemy.inspect(connection)
    names = sorted(set(look.get_table_names()) & set(metadata.tables))
    return {
        name: (
            [column["name"] for column in look.get_columns(name)],
            connection.execute(select(func.count()).select_from(table(name))).scalar_one(),
        )
        for name in names
    }


def _losses(before: _Sight, after: _Sight) -> Iterator[Loss]:
    for name, (columns, rows) in before.items():
        if name not in after:
            yield Loss(what=f"table {name}", rows=rows)
            continue
        kept, left = after[name]
        yield Loss(what=f"rows of {name}", rows=rows - left)
        for column in columns:
            if column not in kept:
                yield Loss(what=f"column {name}.{column}", rows=left)
