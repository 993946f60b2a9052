"""Since when copies have been missing: a row for each image that misses some, with all of them.

Each works inside the transaction that it is given; epochs come and go as text, because writing and reading that of ten
thousand images takes too long for one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from edgesync.domain.image import ImageId
from edgesync.domain.lag import Epochs
from edgesync.domain.store import StoreId
from edgesync.journal.batches import batches
from edgesync.journal.tables import gaps


async def keep_gaps(connection: AsyncConnection, written: Mapping[ImageId, str], closed: Collection[ImageId]) -> None:
    for batch in batches([*written, *closed]):
        await connection.execute(delete(gaps).where(gaps.c.image_id.in_(batch)))
    if written:
        rows = [{"image_id": image, "epochs": text} for image, text in written.items()]
        await connection.execute(insert(gaps), rows)


async def kept_gaps(connection: AsyncConnection) -> list[tuple[str, str]]:
    return [(row.image_id, row.epochs) for row in await connection.execute(select(gaps))]


def written_gaps(missing: Mapping[ImageId, Epochs]) -> dict[ImageId, str]:
    # Most images are in one of few positions.
    known: dict[Epochs, str] = {}
    return {image: known.get(epochs) or known.setdefault(epochs, _text(epochs)) for image, epochs in missing.items()}


def read_gaps(rows: Iterable[tuple[str, str]]) -> dict[ImageId, Epochs]:
    known: dict[str, Epochs] = {}
    return {ImageId(image): known.get(text) or known.setdefault(text, _epochs(text)) for image, text in rows}


def _text(epochs: Epochs) -> str:
    """JSON, in which whatever a database would refuse is escaped."""
    return json.dumps(
        [[since.astimezone(UTC).isoformat(), sorted(stores)] for since, stores in epochs], separators=(",", ":")
    )


def _epochs(text: str) -> Epochs:
    return tuple((datetime.fromisoformat(since), frozenset(map(StoreId, stores))) for since, stores in json.loads(text))
