"""The rbd engine: one attempt, from the hub's snapshot to copies that Glance knows.

Nothing is told to Glance before every byte is at the site, compared with the source, and protected. A crash leaves an
image under a name of ours, with which the next attempt goes on: its digests tell what is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import structlog

from edgesync.domain.block_ports import Blocks
from edgesync.domain.blocks import Verification
from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import Attempt, CopyResult, JobId, StoreResult, Verdict
from edgesync.domain.ports import Journal
from edgesync.domain.store import StoreId
from edgesync.errors import EdgesyncError, NotFoundError
from edgesync.execute.preflight import out_of_reach
from edgesync.execute.rbd.bases import Shelf
from edgesync.execute.rbd.lines import Lines
from edgesync.execute.rbd.memory import Memory
from edgesync.execute.rbd.noting import note_sound
from edgesync.execute.rbd.original import SourceDamagedError
from edgesync.execute.rbd.passage import Passage
from edgesync.execute.rbd.resources import Resources
from edgesync.execute.rbd.target import Target
from edgesync.execute.record import NO_REST
from edgesync.execute.workbench import Workbench
from edgesync.plan.verdict import excused, taken_away, to_take_away

log = structlog.get_logger(__name__)

# Threads for digests and hashes, which let other threads run.
EXAMINERS = 2
# Seconds between two looks at an image that is being copied.
LOOK = 30.0
# Before that no policy has an image tried again whose data at the hub are damaged; persons may, at once.
RECHECK = timedelta(days=1)
# What Glance lists at present.
Images = Callable[[], Mapping[ImageId, Image]]


class RbdEngine:
    """Runs one attempt from the first look to its recorded end."""

    def __init__(
        self, bench: Workbench, blocks: Mapping[StoreId, Blocks], journal: Journal, images: Images, *, memory: int
    ) -> None:
        self._bench = bench
        self._blocks = blocks
        self._journal = journal
        self._images = images
        self._passages: dict[Attempt, Passage] = {}
        self.resources = Resources(
            lines=Lines(lambda store: bench.tuning.allowed(store, bench.clock.now())),
            memory=Memory(memory),
            executor=ThreadPoolExecutor(EXAMINERS, thread_name_prefix="digests"),
            clock=bench.clock,
        )

    async def begin(self, attempt: Attempt) -> None:
        """Copy what an attempt that the journal has just opened is about."""
        try:
            image = await self._bench.look(attempt.image)
            if why := await self._obstacle(attempt, image):
                await self._bench.recorder.never_sent(attempt, why)
                return
            await self._bench.recorder.started(attempt)
            await self._carry_out(attempt, image)
        except NotFoundError:
            await self._gone(attempt)

    async def follow(self, attempt: Attempt) -> None:
        """Go on with an attempt that somebody else left behind."""
        try:
            image = await self._bench.look(attempt.image)
            await self._bench.recorder.followed(attempt)
            if missing := {*attempt.stores, self._bench.hub} - self._blocks.keys():
                await self._conclude(attempt, _without(attempt, image, missing), ours=image.stores)
                return
            await self._carry_out(attempt, image)
        except NotFoundError:
            await self._gone(attempt)

    def halt(self, job: JobId, why: str) -> frozenset[StoreId]:
        """End the copies that go on for a job, but for those that are about to be registered; where to."""
        halted = [passage for attempt, passage in self._passages.items() if attempt.job == job]
        for passage in halted:
            passage.halt(why)
        return frozenset(store for passage in halted for store in passage.unfinished)

    async def _carry_out(self, attempt: Attempt, image: Image) -> None:
        passage = Passage(self._bench, attempt, image, self._journal, self._shelf(), resources=self.resources)
        targets = self._targets(attempt)
        self._passages[attempt] = passage
        beside = [asyncio.create_task(self._tell(attempt, image, passage)), asyncio.create_task(self._watch(passage))]
        try:
            await self._resume(passage, image, targets)
            await passage.run(targets)
        finally:
            del self._passages[attempt]
            for task in beside:
                task.cancel()
            self._bench.board.clear(attempt)
        if passage.gone:
            await self._gone(attempt)
            return
        if passage.away is not None:
            # It is taken up again: what became of it shows when Glance answers.
            raise passage.away
        verdict = excused(attempt, passage.verdict(), await self._outages(passage.verdict()))
        if passage.damage is not None:
            await self._note(attempt, passage.damage)
        await self._conclude(attempt, verdict, ours=passage.published, damaged=passage.damage is not None)

    async def _note(self, attempt: Attempt, damage: SourceDamagedError) -> None:
        """Remember that the hub's copy is not sound: nothing is layered on it either."""
        found = Verification(at=self._bench.clock.now(), sound=False, damage=damage.message)
        await self._journal.add_verification(attempt.image, self._bench.hub, found)

    async def _conclude(
        self, attempt: Attempt, verdict: Verdict, *, ours: Collection[StoreId], damaged: bool = False
    ) -> None:
        """Take away what must not stay, and record the end."""
        if extra := to_take_away(attempt, verdict):
            gone = [store for store in extra if store in ours and await self._bench.take_away(attempt, store)]
            verdict = taken_away(verdict, gone)
        await self._bench.look(attempt.image)
        # To find the same damage again, the whole image would have to be read again.
        rest = RECHECK if damaged else NO_REST
        await self._bench.recorder.finished(attempt, verdict, hopeless=damaged, rest=rest)
        for entry in verdict.results:
            if entry.result is CopyResult.COPIED and entry.store in ours:
                await note_sound(self._bench, attempt.image, entry.store)
        await self._bench.report(attempt, verdict)
        for entry in verdict.results:
            if entry.result is CopyResult.COPIED:
                self._bench.sites.mended(attempt.image, entry.store)

    async def _outages(self, verdict: Verdict) -> dict[StoreId, str]:
        """The failed stores that do not answer now, and a sentence on that; all of them where it is the hub."""
        failed = [entry.store for entry in verdict.results if entry.result is CopyResult.FAILED]
        hub = self._bench.hub
        if failed and (trouble := await self._bench.trouble(hub)):
            return dict.fromkeys(failed, f"{hub} does not answer: {trouble}")
        return await self._bench.outages(verdict)

    async def _resume(self, passage: Passage, image: Image, targets: Sequence[Target]) -> None:
        """Find out what was done before: copies that Glance knows, and such as only lack that."""
        locked = await self._bench.locked(image)
        for target in targets:
            if target.store in image.stores:
                passage.there(target.store)
            elif not locked:
                try:
                    if not await self._shared(target, image):
                        await target.reclaim()
                except EdgesyncError as trouble:
                    # What is wrong with the site shows again when the copy goes on.
                    log.warning("cannot look for a finished copy", store=target.store, why=trouble.message)

    async def _shared(self, target: Target, image: Image) -> bool:
        """Whether what lies there is another store's copy, because the settings lead both to one pool."""
        others = [self._blocks[store] for store in sorted(image.stores & self._blocks.keys())]
        here = await target.location()
        return any([await other.location(image.id) == here for other in others])

    def _shelf(self) -> Shelf:
        return Shelf(
            images=self._images(),
            clusters=self._bench.clusters,
            blocks=self._blocks,
            hub=self._bench.hub,
            rules=self._bench.tuning.layering,
        )

    def _targets(self, attempt: Attempt) -> list[Target]:
        return [
            Target(store, self._blocks[store], attempt.image, trash_delay=self._bench.tuning.trash_delay)
            for store in attempt.stores
            if store in self._blocks
        ]

    async def _obstacle(self, attempt: Attempt, image: Image) -> str:
        """Why it must not begin now; empty: go ahead."""
        if not image.active:
            return f"the image is {image.status}"
        if there := sorted(image.stores.intersection(attempt.stores)):
            return f"the image has come to {', '.join(there)} since it was listed"
        if await self._bench.locked(image):
            return "somebody else's import holds the image"
        return await out_of_reach(self._bench, {*attempt.stores, self._bench.hub})

    async def _gone(self, attempt: Attempt) -> None:
        """The image was deleted: what was made of it goes, too."""
        for target in self._targets(attempt):
            await target.discard()
        await self._bench.gone(attempt)

    async def _watch(self, passage: Passage) -> None:
        """See whether the image is there still: of one that is deleted or withdrawn nothing more is sent."""
        while True:
            await self._bench.clock.sleep(LOOK)
            try:
                image = await self._bench.look(passage.image)
            except NotFoundError:
                passage.gone = True
                passage.halt("the image was deleted")
            except EdgesyncError as silence:
                log.debug("cannot look at the image", image=passage.image, why=silence.message)
            else:
                if not image.active:
                    passage.halt(f"the image became {image.status} in the middle of it")

    async def _tell(self, attempt: Attempt, image: Image, passage: Passage) -> None:
        """Show how far each site is, for as long as this runs."""
        while True:
            for store, done in passage.progress().items():
                self._bench.board.moved(attempt, store, done=done, total=image.size or 0, now=self._bench.clock.now())
            await self._bench.clock.sleep(self._bench.tuning.poll)


def _without(attempt: Attempt, image: Image, missing: Collection[StoreId]) -> Verdict:
    """Stores that this daemon, unlike the former, has no way to: what is there stays, the rest is for others to do."""
    reason = f"edgesync has no `ceph:` settings for {', '.join(sorted(missing))} any more"
    results = tuple(
        StoreResult(store=store, result=CopyResult.COPIED)
        if store in image.stores
        else StoreResult(store=store, result=CopyResult.INTERRUPTED, reason=reason)
        for store in attempt.stores
    )
    return Verdict(results=results, message=reason)
