"""Which engine does which work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgesync.domain.block_ports import Blocks
from edgesync.domain.job import Attempt, Work
from edgesync.domain.job import Engine as MovedBy
from edgesync.domain.ports import Journal
from edgesync.domain.store import StoreId
from edgesync.execute.copy_image import CopyImageEngine
from edgesync.execute.importing import ImportEngine
from edgesync.execute.rbd.comparison import Comparison, OnCompared
from edgesync.execute.rbd.engine import Images, RbdEngine
from edgesync.execute.rbd.renewing import RenewalEngine
from edgesync.execute.rbd.sealing import Sealing
from edgesync.execute.removal import RemovalEngine
from edgesync.execute.repair import RepairEngine, Wished
from edgesync.execute.runner import Engine
from edgesync.execute.watching import ImportWatch
from edgesync.execute.workbench import Workbench


@dataclass(frozen=True, kw_only=True, slots=True)
class Engines:
    """One engine for each kind of work; files are handed to `imports` as they come in."""

    copies: CopyImageEngine
    blocks: RbdEngine
    imports: ImportEngine
    removals: RemovalEngine
    repairs: RepairEngine
    renewals: RenewalEngine
    # Verifications are no attempts.
    comparison: Comparison

    def of(self, attempt: Attempt) -> Engine:
        """The engine that does what the attempt is about."""
        if attempt.work is Work.COPY and attempt.engine is MovedBy.RBD:
            return self.blocks
        by_work: Mapping[Work, Engine] = {
            Work.COPY: self.copies,
            Work.IMPORT: self.imports,
            Work.REMOVE: self.removals,
            Work.TRASH: self.repairs,
            Work.SWEEP: self.repairs,
            Work.PROTECT: self.repairs,
            Work.SEAL: self.repairs,
            Work.UNLIST: self.repairs,
            Work.RENEW: self.renewals,
        }
        return by_work[attempt.work]


def engines_on(
    bench: Workbench,
    *,
    pools: Mapping[StoreId, str],
    blocks: Mapping[StoreId, Blocks],
    journal: Journal,
    images: Images,
    wished: Wished,
    memory: int,
    on_compared: OnCompared,
) -> Engines:
    """All engines on one bench; `pools` and `blocks` are those of the stores whose Ceph is configured.

    `wished` as for the repairs. `memory` bounds the image data that the rbd engine holds, in bytes.
    """
    watch = ImportWatch(bench)
    mover = RbdEngine(bench, blocks, journal, images, memory=memory)
    repairs = RepairEngine(bench, pools=pools, sealing=Sealing(blocks, journal), wished=wished)
    return Engines(
        copies=CopyImageEngine(bench, watch),
        blocks=mover,
        imports=ImportEngine(bench, watch),
        removals=RemovalEngine(bench),
        repairs=repairs,
        renewals=RenewalEngine(bench, blocks, mover.reference, mover.resources, repairs),
        comparison=Comparison(bench, blocks, mover.reference, on_compared),
    )
