"""One attempt under way: every site in a task of its own, and what became of each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

import structlog

from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import Attempt, CopyResult, StoreResult, Verdict
from edgesync.domain.ports import Journal
from edgesync.domain.store import StoreId
from edgesync.errors import ConflictError, EdgesyncError, NotFoundError, UnreachableError
from edgesync.execute.rbd.bases import Bases, Shelf
from edgesync.execute.rbd.copying import Copying
from edgesync.execute.rbd.leftovers import Leftovers
from edgesync.execute.rbd.original import Original
from edgesync.execute.rbd.publication import GlanceAwayError, publish, withdraw
from edgesync.execute.rbd.reference import Reference
from edgesync.execute.rbd.resources import Resources
from edgesync.execute.rbd.source import SourceDamagedError
from edgesync.execute.rbd.target import Target
from edgesync.execute.wording import told
from edgesync.execute.workbench import NotWaitedForError, Workbench

log = structlog.get_logger(__name__)

# How often one attempt goes on at a site that answers again.
CUTS = 3


class Passage:
    """Brings one image to the stores of one attempt."""

    def __init__(
        self,
        bench: Workbench,
        attempt: Attempt,
        image: Image,
        journal: Journal,
        shelf: Shelf,
        leftovers: Leftovers,
        reference: Reference,
        *,
        resources: Resources,
    ) -> None:
        self._bench = bench
        self._attempt = attempt
        self._image = image
        self._journal = journal
        self._shelf = shelf
        self._leftovers = leftovers
        self._reference = reference
        self._resources = resources
        self._copying: Copying | None = None
        # By store: whether the copy is there already.
        self._looks: dict[StoreId, asyncio.Task[bool]] = {}
        self._results: dict[StoreId, StoreResult] = {}
        # Sites whose image is complete, and has only to be named. With all or nothing they wait for each other.
        self._sealed: set[StoreId] = set()
        self._decided = asyncio.Event()
        # One after the other: Glance forgets one of two locations that are added at the same time (tried).
        self._publishing = asyncio.Lock()
        # Of the site whose turn it is, or was: it is not broken off with the others.
        self._registering: asyncio.Task[None] | None = None
        # Somebody wants it to end, and why.
        self._halted = asyncio.Event()
        self._why = ""
        # Where this attempt made the copy.
        self.published: set[StoreId] = set()
        # True when Glance no longer knows the image.
        self.gone = False
        # Why nobody can tell what Glance knows of a copy; None: it answers.
        self.away: GlanceAwayError | None = None
        # What is wrong with the data at the hub; None: nothing that was seen.
        self.damage: SourceDamagedError | None = None

    async def run(self, targets: Sequence[Target]) -> None:
        """Return when something has become of every store, or it was halted.

        Then what is being registered is brought to its end, or to where a later look tells it; all else is let go of.
        """
        working = asyncio.create_task(self._run(targets))
        halting = asyncio.create_task(self._halted.wait())
        try:
            await asyncio.wait({working, halting}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            # What Glance lists is told, whoever put it there: it may have to go again.
            if listed := [look for store, look in self._looks.items() if store in self._image.stores]:
                await asyncio.wait(listed)
            working.cancel()
            await asyncio.wait({working})
            if self._registering is not None:
                await self._registering
        finally:
            tasks = [task for task in (working, halting, self._registering) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def halt(self, why: str) -> None:
        """Let go of all stores that have no copy yet. What was sent stays where it is, under our name."""
        self._why = self._why or why
        self._halted.set()

    async def _run(self, targets: Sequence[Target]) -> None:
        self._looks = {target.store: asyncio.create_task(self._there(target)) for target in targets}
        try:
            await self._from_source(targets)
        except EdgesyncError as error:
            # The source's.
            if isinstance(error, SourceDamagedError):
                self.damage = error
            await asyncio.gather(*self._looks.values())
            for target in targets:
                if target.store not in self._results:
                    self._out(target, error)
        finally:
            for look in self._looks.values():
                look.cancel()
            await asyncio.gather(*self._looks.values(), return_exceptions=True)

    async def _there(self, target: Target) -> bool:
        """Whether the copy is there already. Each site goes on when it has told, and waits for no other."""
        try:
            if not await self._leftovers.complete(target, halted=self._halted.is_set):
                return False
        except NotFoundError:
            self._image_gone()
            return False
        self.there(target.store, ours=await self._leftovers.ours(target.store))
        return True

    async def _from_source(self, targets: Sequence[Target]) -> None:
        hub = self._shelf.blocks[self._shelf.hub]
        bases = Bases(self._image, self._shelf, self._journal, self._reference)
        await bases.find_parent()
        known = await self._reference.known(self._image)
        if known is None and any(bases.worth_reading_for(target.store) for target in targets):
            # Without them nobody can tell what a related image lacks.
            known = await self._reference.digests(self._image)
        async with hub.reading(self._image.id) as reading:
            self._copying = Copying(
                self._image,
                reading,
                Original(hub, self._journal, self._resources),
                bases,
                sites=len(targets),
                tell=partial(self._bench.recorder.planned, self._attempt),
                known=known,
                resources=self._resources,
            )
            await self._all(self._copying, targets)

    @property
    def image(self) -> ImageId:
        return self._attempt.image

    @property
    def unfinished(self) -> frozenset[StoreId]:
        return frozenset(self._attempt.stores) - self._results.keys()

    def there(self, store: StoreId, *, ours: bool) -> None:
        """The copy is there already: a former daemon has brought it within this very attempt, or it is not `ours`."""
        if ours:
            self.published.add(store)
        self._results[store] = StoreResult(store=store, result=CopyResult.COPIED)
        self._decide()

    def verdict(self) -> Verdict:
        halted = partial(StoreResult, result=CopyResult.INTERRUPTED, reason=self._why)
        results = [self._results.get(store) or halted(store=store) for store in self._attempt.stores]
        bad = next((entry.reason for entry in results if entry.result is not CopyResult.COPIED), "")
        return Verdict(results=tuple(results), message=bad)

    def progress(self) -> Mapping[StoreId, int]:
        """Bytes of the image that each site has, or is about to have."""
        lanes = self._copying.lanes if self._copying is not None else {}
        return {store: lane.position for store, lane in lanes.items()}

    async def _all(self, copying: Copying, targets: Sequence[Target]) -> None:
        """The sites go on by themselves; when all have ended, nobody needs the source any more.

        What is nobody's refusal, but a mistake of ours, ends all of them and is raised.
        """
        async with asyncio.TaskGroup() as group:
            leading = group.create_task(self._lead(copying))
            await asyncio.wait([group.create_task(self._site(copying, target)) for target in targets])
            leading.cancel()

    async def _lead(self, copying: Copying) -> None:
        try:
            await copying.lead()
        except SourceDamagedError as error:
            self.damage = error
        except EdgesyncError as error:
            # The sites that wait for it have it, too.
            log.warning("the hub's copy can't be read", image=self._image.id, why=error.message)

    async def _site(self, copying: Copying, target: Target) -> None:
        if await self._looks[target.store]:
            copying.without(target.store)
            return
        try:
            await self._bring(copying, target)
        except EdgesyncError as error:
            self._out(target, error)
            if isinstance(error, SourceDamagedError):
                await target.discard()
            return
        self._sealed.add(target.store)
        if not self._attempt.allow_failure and not await self._unanimous(target):
            return
        async with self._publishing:
            self._registering = asyncio.create_task(self._publish(target))
            await asyncio.shield(self._registering)

    async def _publish(self, target: Target) -> None:
        try:
            told_of_it = await publish(self._bench, target, halted=self._let_go)
        except NotWaitedForError as doubt:
            log.info("not waited for", image=self._image.id, store=target.store, why=doubt.message)
        except GlanceAwayError as silence:
            self.away = silence
            self._out(target, silence)
        except NotFoundError:
            self._image_gone()
        except EdgesyncError as error:
            self._out(target, error)
        else:
            if not told_of_it:
                self.published.add(target.store)
            self._results[target.store] = StoreResult(store=target.store, result=CopyResult.COPIED, reason=told_of_it)

    def _let_go(self) -> bool:
        """Whether nobody has to know any more what stays in Glance's list.

        With all or nothing it is waited for: a copy that might stay would be neither.
        """
        return self._halted.is_set() and self._attempt.allow_failure

    def _image_gone(self) -> None:
        self.gone = True
        self.halt("the image was deleted")

    async def _bring(self, copying: Copying, target: Target) -> None:
        """A line that was cut and is whole again is no reason to give up: what has arrived is not sent again."""
        for _ in range(CUTS):
            try:
                await copying.bring(target)
            except UnreachableError as cut:
                if copying.broken or await self._bench.trouble(target.store):
                    raise
                log.info("going on after a cut", image=self._image.id, store=target.store, why=cut.message)
            else:
                return
        await copying.bring(target)

    async def _unanimous(self, target: Target) -> bool:
        """Wait for all other sites; False when one of them has no copy, and so this one gets none either."""
        self._decide()
        await self._decided.wait()
        ended = [entry for store, entry in sorted(self._results.items()) if store not in self._sealed]
        lost = [entry for entry in ended if entry.result is not CopyResult.COPIED]
        if not lost:
            return True
        failed = [entry.store for entry in lost if entry.result is CopyResult.FAILED]
        names = ", ".join(failed or [entry.store for entry in lost])
        result = CopyResult.REVERTED if failed else CopyResult.INTERRUPTED
        reason = f"all or nothing: no copy here because of {names}"
        self._results[target.store] = StoreResult(store=target.store, result=result, reason=reason)
        if target.named:
            await withdraw(target)
        if failed:
            await target.discard()
        return False

    def _decide(self) -> None:
        if self._sealed | self._results.keys() >= set(self._attempt.stores):
            self._decided.set()

    def _out(self, target: Target, error: EdgesyncError) -> None:
        """It is over for this store: for now where somebody else is at it, else by a failure."""
        result = CopyResult.INTERRUPTED if isinstance(error, ConflictError) else CopyResult.FAILED
        self._results[target.store] = StoreResult(store=target.store, result=result, reason=told(error))
        self._decide()
