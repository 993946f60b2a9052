"""What becomes of work that does not come to its end however often it is tried: somebody is told."""

from __future__ import annotations

from edgesync.domain.copy import Stall, StallCause
from edgesync.domain.job import Attempt
from edgesync.errors import EdgesyncError
from edgesync.execute.wording import told
from edgesync.execute.workbench import Workbench
from edgesync.plan.verdict import failed_everywhere


class Stuck:
    """Ends removals and repairs in failure; what has begun to bring data in is shown as stalled, and tried on."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    async def __call__(self, attempt: Attempt, error: EdgesyncError) -> None:
        """Tell what keeps it from its end. Raises what the journal raises."""
        if not attempt.work.brings:
            await self._bench.recorder.finished(attempt, failed_everywhere(attempt.stores, told(error)))
            return
        stall = Stall(
            since=attempt.started_at,
            store=attempt.stores[0],
            cause=StallCause.WORKER_GONE,
            why=told(error),
            next="edgesync goes on trying to bring it to its end",
        )
        if attempt.id not in self._bench.board.stalls:
            await self._bench.recorder.stalled(attempt, stall)
        self._bench.board.stall(attempt, stall)
