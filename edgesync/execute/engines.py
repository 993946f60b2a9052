"""Which engine does which work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgesync.domain.job import Work
from edgesync.domain.store import StoreId
from edgesync.execute.copy_image import CopyImageEngine
from edgesync.execute.importing import ImportEngine
from edgesync.execute.removal import RemovalEngine
from edgesync.execute.repair import RepairEngine
from edgesync.execute.runner import Engine
from edgesync.execute.watching import ImportWatch
from edgesync.execute.workbench import Workbench


@dataclass(frozen=True, kw_only=True, slots=True)
class Engines:
    """One engine for each kind of work; files are handed to `imports` as they come in."""

    copies: CopyImageEngine
    imports: ImportEngine
    removals: RemovalEngine
    repairs: RepairEngine

    @property
    def by_work(self) -> Mapping[Work, Engine]:
        return {
            Work.COPY: self.copies,
            Work.IMPORT: self.imports,
            Work.REMOVE: self.removals,
            Work.TRASH: self.repairs,
            Work.PROTECT: self.repairs,
            Work.UNLIST: self.repairs,
        }


def engines_on(bench: Workbench, *, pools: Mapping[StoreId, str]) -> Engines:
    """All engines on one bench; `pools` names the pool of each store whose Ceph is configured."""
    watch = ImportWatch(bench)
    return Engines(
        copies=CopyImageEngine(bench, watch),
        imports=ImportEngine(bench, watch),
        removals=RemovalEngine(bench),
        repairs=RepairEngine(bench, pools=pools),
    )
