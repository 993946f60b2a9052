"""What is known of images block by block: their digests, and how each copy was found when it was last compared.

Either can be found out anew, from the data. Each works inside the transaction that it is given; digests come and go
packed, because packing takes too long for one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Row, and_, delete, func, insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from edgesync.domain.blocks import KnownDigests, Verification
from edgesync.domain.image import ImageId
from edgesync.domain.store import StoreId
from edgesync.journal.batches import batches
from edgesync.journal.records import digests_values, to_verification, verification_values
from edgesync.journal.tables import digests, events, verifications


async def keep_digests(connection: AsyncConnection, image: ImageId, known: KnownDigests, packed: bytes) -> None:
    await connection.execute(delete(digests).where(digests.c.image_id == image))
    values = digests_values(image, known, packed)
    # The time, as far as the journal has been told: good enough to tell old from new by, for `trim`.
    kept_at = select(func.max(events.c.at)).scalar_subquery()
    await connection.execute(insert(digests).values(**values, kept_at=kept_at))


async def packed_digests(connection: AsyncConnection, image: ImageId) -> Row[Any] | None:
    return (await connection.execute(select(digests).where(digests.c.image_id == image))).one_or_none()


async def digested(connection: AsyncConnection, images: Collection[ImageId]) -> frozenset[ImageId]:
    found: set[ImageId] = set()
    for batch in batches(images):
        found.update(await connection.scalars(select(digests.c.image_id).where(digests.c.image_id.in_(batch))))
    return frozenset(found)


async def forget_image(connection: AsyncConnection, image: ImageId) -> None:
    for table in (digests, verifications):
        await connection.execute(delete(table).where(table.c.image_id == image))


async def forget_copies(connection: AsyncConnection, copies: Collection[tuple[ImageId, StoreId]]) -> None:
    key = tuple_(verifications.c.image_id, verifications.c.store_id)
    for batch in batches(copies):
        await connection.execute(delete(verifications).where(key.in_(batch)))


async def add_verification(
    connection: AsyncConnection, image: ImageId, store: StoreId, verification: Verification
) -> None:
    same_copy = and_(verifications.c.image_id == image, verifications.c.store_id == store)
    await connection.execute(delete(verifications).where(same_copy))
    await connection.execute(insert(verifications).values(verification_values(image, store, verification)))


async def verified(connection: AsyncConnection, store: StoreId) -> Mapping[ImageId, Verification]:
    rows = await connection.execute(select(verifications).where(verifications.c.store_id == store))
    return {row.image_id: to_verification(row) for row in rows}


async def verifications_of(connection: AsyncConnection, image: ImageId) -> Mapping[StoreId, Verification]:
    rows = await connection.execute(select(verifications).where(verifications.c.image_id == image))
    return {row.store_id: to_verification(row) for row in rows}
