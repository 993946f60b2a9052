"""Brings a new image's data in: from a URI that Glance fetches, or from a file that is sent through us.

The image's id is ours before Glance hears of it, so that everything can be begun again: whoever finds an open attempt
tells from the image's status and lock how far it came. An import of which nothing came leaves nothing behind: the
image record, which exists for its sake alone, is deleted again.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterable
from dataclasses import replace

import structlog

from edgesync.domain.image import Image
from edgesync.domain.job import Attempt, CopyResult, ImportSource
from edgesync.errors import (
    ConflictError,
    EdgesyncError,
    NotFoundError,
    PermanentError,
    TransientError,
    UnreachableError,
)
from edgesync.execute.preflight import out_of_reach
from edgesync.execute.watching import Ending, ImportWatch
from edgesync.execute.workbench import Workbench
from edgesync.plan.verdict import LOOK_AT, excused, failed_everywhere, judge

log = structlog.get_logger(__name__)

# How often an import is asked for again when the answer is lost, and the pause before that, in seconds.
RESENDS = 2
PAUSE = 2.0


class ImportEngine:
    """Runs one import from the empty image record to the recorded end."""

    def __init__(self, bench: Workbench, watch: ImportWatch) -> None:
        self._bench = bench
        self._watch = watch

    async def begin(self, attempt: Attempt) -> None:
        await self._take_up(attempt)

    async def follow(self, attempt: Attempt) -> None:
        await self._take_up(attempt)

    async def stage(self, attempt: Attempt, data: AsyncIterable[bytes]) -> None:
        """Pass a file's data on to Glance and have it imported; then the attempt is to be followed.

        While this runs, whoever called must keep others from taking the attempt up (`Runner.holding`). When anything
        goes wrong (the sender leaves, Glance refuses), the attempt has ended and nothing is left.
        """
        source = await self._source(attempt)
        accepted, reason = False, "the file did not arrive whole"
        try:
            if trouble := await out_of_reach(self._bench, attempt.stores):
                raise TransientError(trouble, remedy="Send it again when the site is back.")
            await self._bench.glance.create_image(attempt.image, source)
            await self._bench.glance.stage(attempt.image, data)
            await self._send(attempt, source)
            accepted = True
        except EdgesyncError as refusal:
            reason = refusal.message
            raise
        except asyncio.CancelledError:
            reason = "edgesync was stopped before the file had arrived whole; send it again"
            raise
        finally:
            if not accepted:
                await self._nothing_came(attempt, reason)

    async def _take_up(self, attempt: Attempt) -> None:
        """Go on from wherever it stands, as Glance shows it."""
        try:
            image = await self._bench.look(attempt.image)
        except NotFoundError:
            if attempt.task is not None:
                await self._bench.gone(attempt)
                return
            image = None
        try:
            accepted = await self._accepted(attempt, image)
            if accepted is not None:
                await self._see_through(accepted)
        except NotFoundError:
            await self._bench.gone(attempt)

    async def _accepted(self, attempt: Attempt, image: Image | None) -> Attempt | None:
        """The attempt once Glance has taken it; None when nothing can come of it any more."""
        if attempt.task is not None:
            await self._bench.recorder.followed(attempt)
            return attempt
        if image is not None and (known := await self._identify(attempt, image)):
            await self._bench.recorder.started(known)
            return known
        if image is not None and image.active:
            return attempt
        source = await self._source(attempt)
        if source.uri is None:
            await self._nothing_came(attempt, "the file's data was lost when edgesync stopped; send it again")
            return None
        if trouble := await out_of_reach(self._bench, attempt.stores):
            await self._bench.recorder.never_sent(attempt, trouble)
            return None
        try:
            await self._bench.glance.create_image(attempt.image, source)
            await self._send(attempt, source)
        except UnreachableError:
            # Whether it arrived is seen when the attempt is taken up again.
            raise
        except EdgesyncError as refusal:
            await self._nothing_came(attempt, refusal.message)
            return None
        image = await self._bench.look(attempt.image)
        known = await self._identify(attempt, image) or attempt
        await self._bench.recorder.started(known)
        return known

    async def _send(self, attempt: Attempt, source: ImportSource) -> None:
        """Ask for the import; a lost answer is no reason to ask twice when the image shows that it arrived."""
        for resend in range(RESENDS + 1):
            try:
                await self._bench.glance.import_image(
                    attempt.image, source, attempt.stores, allow_failure=attempt.allow_failure
                )
            except (TransientError, ConflictError) as refusal:
                await self._bench.clock.sleep(PAUSE)
                if await self._arrived(attempt):
                    return
                if resend == RESENDS or isinstance(refusal, ConflictError):
                    raise
            else:
                return

    async def _arrived(self, attempt: Attempt) -> bool:
        """Whether Glance took the request that it gave no good answer to.

        UnreachableError when it does not tell: the image must not be deleted then, its data may be on their way.
        """
        try:
            image = await self._bench.look(attempt.image)
            # A Glance that shows no tasks may be through with it already.
            return bool(image.stores) or await self._identify(attempt, image) is not None
        except TransientError as trouble:
            raise UnreachableError(trouble.message, remedy=trouble.remedy) from trouble

    async def _identify(self, attempt: Attempt, image: Image) -> Attempt | None:
        """The attempt with its task: nobody but us imports into an image that we made for it."""
        if image.lock is not None:
            return replace(attempt, task=image.lock)
        tasks = await self._bench.glance.tasks(attempt.image)
        return replace(attempt, task=tasks[0].id) if tasks else None

    async def _see_through(self, attempt: Attempt) -> None:
        """Watch the import to its end, and record that."""
        ending = await self._watch.until_over(attempt)
        self._bench.board.clear(attempt)
        # Not by its status: an image that somebody deactivates just now has its data, and stays.
        if not ending.image.stores:
            await self._nothing_came(attempt, _why(attempt, await self._source(attempt), ending))
            return
        verdict = judge(attempt, ending.image, ending.task, cut=ending.cut)
        verdict = excused(attempt, verdict, await self._bench.outages(verdict))
        complete = all(entry.result is CopyResult.COPIED for entry in verdict.results)
        if not attempt.allow_failure and not complete:
            lost = ", ".join(entry.store for entry in verdict.results if entry.result is not CopyResult.COPIED)
            await self._nothing_came(attempt, f"all or nothing: no copy came to {lost} ({verdict.message or 'failed'})")
            return
        await self._bench.recorder.finished(attempt, verdict, remedy=LOOK_AT.format(image=attempt.image))
        await self._bench.report(attempt, verdict)

    async def _nothing_came(self, attempt: Attempt, reason: str) -> None:
        """End in failure, with the image record deleted again; the job has nothing more to expect."""
        told = f"{reason}; {await self._discard(attempt)}"
        job = await self._bench.recorder.job(attempt)
        stores = sorted(job.pending.union(attempt.stores))
        self._bench.board.clear(attempt)
        await self._bench.recorder.finished(attempt, failed_everywhere(stores, told), remembered=False)
        # Half a copy may be at the site that was being written.
        for store in attempt.stores:
            await self._bench.defect(attempt.image, store)

    async def _discard(self, attempt: Attempt) -> str:
        """Delete the image record; what became of it, as a sentence."""
        try:
            await self._bench.glance.delete_image(attempt.image)
        except NotFoundError:
            pass
        except (ConflictError, PermanentError) as refusal:
            log.warning("the image record stays", image=attempt.image, why=refusal.message, remedy=refusal.remedy)
            return f"its image record stays: {refusal.message}"
        self._bench.sightings.lost(attempt.image)
        self._bench.locks.forget(attempt.image)
        return "its image record was deleted again"

    async def _source(self, attempt: Attempt) -> ImportSource:
        """Where the data comes from; PermanentError when the job does not say."""
        source = (await self._bench.recorder.job(attempt)).source
        if source is None:
            raise PermanentError(
                f"The journal does not say where the data of image {attempt.image} comes from.",
                remedy="Ask for the import again.",
            )
        return source


def _why(attempt: Attempt, source: ImportSource, ending: Ending) -> str:
    """The reason of an import after which the image has no data. Glance's own word for it says little (tried)."""
    if ending.cut:
        return ending.cut
    said = ending.task.message.strip() if ending.task is not None else ""
    log_tells = "glance-api's log tells why" + (f" (its task says: {said})" if said else "")
    if ending.reached:
        # All or nothing. Glance names every store as failed, and writes them in this order.
        blamed = [store for store in attempt.stores if store not in ending.reached]
        written = ", ".join(sorted(ending.reached))
        return f"all or nothing: {written} had the data, {' or '.join(blamed) or 'another store'} failed; {log_tells}"
    if source.uri is None:
        return f"Glance could not import the file's data; {log_tells}"
    return f"Glance could not import {source.uri}; {log_tells}; on its host, try: curl -fIL {shlex.quote(source.uri)}"
