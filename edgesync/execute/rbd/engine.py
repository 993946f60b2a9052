"""The rbd engine: one attempt, from the hub's snapshot to copies that Glance knows.

Nothing is told to Glance before every byte is at the site, compared with the source, and protected. A crash leaves an
image under a name of ours, with which the next attempt goes on: its digests tell what is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import structlog

from edgesync.domain.block_ports import Blocks
from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import Attempt, CopyResult, JobId, StoreResult, Verdict
from edgesync.domain.ports import Journal
from edgesync.domain.store import StoreId
from edgesync.errors import EdgesyncError, NotFoundError
from edgesync.execute.beside import beside
from edgesync.execute.preflight import out_of_reach
from edgesync.execute.rbd.bases import Shelf
from edgesync.execute.rbd.leftovers import Leftovers
from edgesync.execute.rbd.lines import Lines
from edgesync.execute.rbd.noting import note_sound, note_spoilt
from edgesync.execute.rbd.passage import Passage
from edgesync.execute.rbd.reference import Reference
from edgesync.execute.rbd.resources import Resources, shares_of
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
        # All that is at work, and why it shall end; empty: when it is done.
        self._halts: dict[Attempt, str] = {}
        self._passages: dict[Attempt, Passage] = {}
        spreads, alone = shares_of(memory)
        self.resources = Resources(
            lines=Lines(lambda store: bench.tuning.allowed(store, bench.clock.now())),
            spreads=spreads,
            memory=alone,
            executor=ThreadPoolExecutor(EXAMINERS, thread_name_prefix="digests"),
            clock=bench.clock,
        )
        self.reference = Reference(bench, blocks, journal, self.resources)

    def close(self) -> None:
        """Let the threads go, when nothing is copied any more."""
        self.resources.executor.shutdown(wait=False, cancel_futures=True)

    async def begin(self, attempt: Attempt) -> None:
        """Copy what an attempt that the journal has just opened is about."""
        with self._at_work(attempt):
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
        with self._at_work(attempt):
            try:
                image = await self._bench.look(attempt.image)
                await self._bench.recorder.followed(attempt)
                if missing := self._missing(attempt):
                    await self._leave(attempt, image, missing)
                    return
                await self._carry_out(attempt, image)
            except NotFoundError:
                await self._gone(attempt)

    def halt(self, job: JobId, why: str) -> frozenset[StoreId]:
        """End the copies that go on for a job, but for those that are about to be registered; where to.

        Also those of which only the first look has begun: they end when that is over.
        """
        halted: set[StoreId] = set()
        for attempt in [attempt for attempt in self._halts if attempt.job == job]:
            self._halts[attempt] = why
            passage = self._passages.get(attempt)
            if passage is not None:
                passage.halt(why)
            halted.update(attempt.stores if passage is None else passage.unfinished)
        return frozenset(halted)

    @contextmanager
    def _at_work(self, attempt: Attempt) -> Iterator[None]:
        self._halts[attempt] = ""
        try:
            yield
        finally:
            del self._halts[attempt]
            self._passages.pop(attempt, None)
            self._bench.board.clear(attempt)

    async def _carry_out(self, attempt: Attempt, image: Image) -> None:
        leftovers = Leftovers(self._bench, self._blocks, attempt, image)
        passage = Passage(
            self._bench,
            attempt,
            image,
            self._journal,
            self._shelf(),
            leftovers,
            self.reference,
            resources=self.resources,
        )
        self._passages[attempt] = passage
        if why := self._halts[attempt]:
            passage.halt(why)
        async with beside(telling=self._tell(attempt, image, passage), watching=self._watch(passage)):
            await passage.run(self._targets(attempt))
        if passage.gone:
            await self._gone(attempt)
            return
        if passage.away is not None:
            # It is taken up again: what became of it shows when Glance answers.
            raise passage.away
        verdict = excused(attempt, passage.verdict(), await self._outages(passage.verdict()))
        if passage.damage is not None:
            await note_spoilt(self._bench, attempt.image, passage.damage)
        await self._conclude(attempt, verdict, ours=passage.published, damaged=passage.damage is not None)

    async def _leave(self, attempt: Attempt, image: Image, missing: Collection[StoreId]) -> None:
        """There is no way to some of its stores any more."""
        leftovers = Leftovers(self._bench, self._blocks, attempt, image)
        there = image.stores.intersection(attempt.stores)
        ours = {store for store in there if await leftovers.ours(store)}
        await self._conclude(attempt, _without(attempt, image, missing), ours=ours)

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
        if missing := self._missing(attempt):
            return f"edgesync has no `ceph:` settings for {', '.join(missing)}"
        if not image.active:
            return f"the image is {image.status}"
        if there := sorted(image.stores.intersection(attempt.stores)):
            return f"the image has come to {', '.join(there)} since it was listed"
        if await self._bench.locked(image):
            return "somebody else's import holds the image"
        return await out_of_reach(self._bench, {*attempt.stores, self._bench.hub})

    def _missing(self, attempt: Attempt) -> list[StoreId]:
        """Stores of the attempt to whose blocks there is no way."""
        return sorted({*attempt.stores, self._bench.hub} - self._blocks.keys())

    async def _gone(self, attempt: Attempt) -> None:
        """The image was deleted: what was made of it goes, too."""
        await asyncio.gather(*(target.discard() for target in self._targets(attempt)))
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
