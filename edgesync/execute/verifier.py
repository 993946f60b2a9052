"""Carries out the verifications that persons ask for.

A verification that is broken off is begun again by the next daemon: its job is in the journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import structlog

from edgesync.domain.action import Check
from edgesync.domain.image import ImageId
from edgesync.domain.job import CopyResult, StoreResult
from edgesync.domain.site import Defect, Finding
from edgesync.domain.store import StoreId
from edgesync.errors import EdgesyncError, TransientError
from edgesync.execute.rbd.comparison import Comparison
from edgesync.execute.workbench import Workbench
from edgesync.plan.verifying import worth_mending

log = structlog.get_logger(__name__)

# Seconds before what broke off is begun again.
REST = 30.0


class Verifier:
    """The comparisons of this process."""

    def __init__(self, bench: Workbench, comparison: Comparison, *, on_end: Callable[[], None]) -> None:
        self._bench = bench
        self._comparison = comparison
        self._on_end = on_end
        self._tasks: dict[tuple[ImageId, StoreId], asyncio.Task[None]] = {}

    @property
    def running(self) -> frozenset[tuple[ImageId, StoreId]]:
        """What persons asked for and is being compared."""
        return frozenset(self._tasks)

    def begin(self, check: Check) -> None:
        """Compare what a job asks for, and settle that."""
        copy = (check.image, check.store)
        if copy not in self._tasks:
            task = asyncio.create_task(self._guarded(check), name=f"verification {check.image} {check.store}")
            self._tasks[copy] = task
            task.add_done_callback(lambda _: self._over(copy))

    async def stop(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _guarded(self, check: Check) -> None:
        with structlog.contextvars.bound_contextvars(job=check.job.id, image=check.image):
            try:
                await self._check(check)
            except EdgesyncError as error:
                # The journal's, or a site's that did not answer: the job waits.
                log.warning("verification interrupted", why=error.message, remedy=error.remedy, again_in=REST)
                await self._bench.clock.sleep(REST)
            except Exception:
                log.exception("verification broke off", again_in=REST)
                await self._bench.clock.sleep(REST)

    async def _check(self, check: Check) -> None:
        job, store = check.job, check.store
        found = await self._comparison.look(check.image, store, since=job.created_at if job.deep else None)
        finding = found.finding
        if finding is not None and worth_mending(job, finding, self._bench.hub):
            # The planner has it mended, and that ends the job's wait.
            return
        result = found.result if finding is None else _with_finding(found.result, finding, mend=job.mend)
        if result.result is CopyResult.FAILED and (silent := await self._silent(store)):
            raise TransientError(result.reason, remedy=f"It is compared when {silent} answers again.")
        await self._bench.recorder.verified(job, result)

    async def _silent(self, store: StoreId) -> StoreId | None:
        """Which of the two that a comparison asks does not answer: the copy's site, or the hub."""
        for asked in (store, self._bench.hub):
            if await self._bench.trouble(asked):
                return asked
        return None

    def _over(self, copy: tuple[ImageId, StoreId]) -> None:
        del self._tasks[copy]
        self._on_end()


def _with_finding(result: StoreResult, finding: Finding, *, mend: bool) -> StoreResult:
    """What is wrong beside the data, and what keeps it all from being mended where somebody asks for that."""
    # Every other defect is the result.
    parts = [result.reason, finding.detail] if finding.defect is Defect.UNPROTECTED else [result.reason]
    if mend:
        parts.append(f"not mended, since {finding.obstacle or 'all copies are made from the one at the hub'}")
    return replace(result, reason="; ".join(parts))
