"""A copy that lacks only its snapshot: proven whole block by block, it gets that again, and nothing is copied anew."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from edgesync.domain.block_ports import Blocks
from edgesync.domain.image import Image
from edgesync.domain.ports import Journal
from edgesync.domain.store import StoreId
from edgesync.errors import ConflictError, PermanentError
from edgesync.execute.rbd.original import known_of

log = structlog.get_logger(__name__)


class Sealing:
    """Takes snapshots of what the journal's digests prove to be the image's data; of nothing else."""

    def __init__(self, blocks: Mapping[StoreId, Blocks], journal: Journal) -> None:
        self._blocks = blocks
        self._journal = journal

    async def again(self, image: Image, store: StoreId) -> bool:
        """Whether the copy could be proven whole, and has its snapshot now. Raises UnreachableError.

        The digests are computed at the site. No proof is none: no digests of these very data, no right to ask for them.
        """
        blocks = self._blocks.get(store)
        known = await known_of(image, self._journal)
        if blocks is None or known is None:
            return False
        try:
            if await blocks.digests(image.id, known.block, snapshot=False) != known:
                return False
            await blocks.seal(image.id)
        except (ConflictError, PermanentError) as refusal:
            log.info("not sealed again", image=image.id, store=store, why=refusal.message)
            return False
        return True
