"""Compares what Glance says of one store with what lies in its pool.

A full pass looks at every RBD image; a quick one lists the names and looks at what they give away. A defect counts when
it is seen twice: a deletion that somebody makes just then looks like one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TypeVar

import structlog

from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import EventKind
from edgesync.domain.ports import Clock, Journal
from edgesync.domain.site import Defect, Finding
from edgesync.domain.store import StoreId
from edgesync.errors import EdgesyncError, TransientError
from edgesync.observe.inspection import Inspector
from edgesync.observe.kept_images import KeptImages
from edgesync.observe.layers import Layers
from edgesync.observe.patience import Alarm
from edgesync.plan.audit import Look, defect_of, judge, outlook
from edgesync.plan.suspects import Doubts, doubts_about, listed_at, names_of_images, suspects, unfinished_copies

log = structlog.get_logger(__name__)

# RBD images of one store that are looked at at a time.
AT_ONCE = 4
# Seconds between the two looks at a new defect.
SETTLE = 5.0
# A pass in which so many looks in a row got no answer is broken off.
PATIENCE = 8
MOST_FINDINGS = 10_000
# Copies that the journal is asked about at a time.
BATCH = 500

Name = TypeVar("Name", bound=str)


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditRules:
    """Seconds between two full passes, and between two quick ones; and the age below which nothing is an orphan."""

    every: float
    grace: float
    quick: float = 60.0


@dataclass(kw_only=True, slots=True)
class _Pass:
    """What one pass has met so far."""

    # Defects seen for the first time.
    fresh: list[ImageId] = field(default_factory=list)
    # What the last look that failed met with, and how many in a row got no answer.
    trouble: EdgesyncError | None = None
    silent: int = 0
    # The breaker opened meanwhile.
    stopped: bool = False

    @property
    def over(self) -> bool:
        return self.stopped or self.silent >= PATIENCE


class Auditor:
    """The findings of one store."""

    def __init__(
        self,
        store: StoreId,
        inspector: Inspector,
        journal: Journal,
        clock: Clock,
        rules: AuditRules,
        *,
        awake: Callable[[], bool],
        tell: Callable[[EventKind, str, ImageId], None],
        bad_sign: Callable[[], None],
    ) -> None:
        self.store = store
        self.rules = rules
        # None: nobody has seen any yet, and nothing can be compared.
        self.images: Mapping[ImageId, Image] | None = None
        # End of the last full pass.
        self.audited_at: datetime | None = None
        self._inspector = inspector
        self._journal = journal
        self._clock = clock
        self._awake = awake
        self._tell = tell
        self._bad_sign = bad_sign
        self._findings: dict[ImageId, Finding] = {}
        self._view: Mapping[ImageId, Finding] | None = None
        self._doubts = Doubts()
        self._left: list[ImageId] = []
        self._turning = asyncio.Lock()
        self._turned = False
        # Images of which the last pass saw an unfinished copy; and of which the one before did, too.
        self._begun: frozenset[ImageId] = frozenset()
        self.unfinished: frozenset[ImageId] = frozenset()
        self.layers = Layers()
        self.kept = KeptImages()
        self._alarm = Alarm(clock)
        # The newest look at each image that is being looked at.
        self._looking: dict[ImageId, object] = {}
        self._again: set[ImageId] = set()
        self._said = ""

    @property
    def findings(self) -> Mapping[ImageId, Finding]:
        """As they are now; later changes don't show in it."""
        if self._view is None:
            self._view = MappingProxyType(dict(self._findings))
        return self._view

    async def run(self) -> None:
        """Audit for ever, when it is time and the site answers."""
        while True:
            if self.images is not None and self._awake():
                await self.turn()
            await self._alarm.sleep(min(self.rules.quick, self.rules.every))

    def nudge(self) -> None:
        """Something changed for the whole store: make the next pass now."""
        self._alarm.ring()

    async def first(self) -> None:
        """Return when there has been a pass, complete or not."""
        if not self._turned:
            await self.turn()

    async def turn(self) -> None:
        """One pass, or the rest of the one under way: full when that is due, else quick.

        Trouble is logged, and the next turn tries again.
        """
        under_way = self._turning.locked()
        async with self._turning:
            if under_way:
                return
            try:
                await self._turn()
            except EdgesyncError as error:
                self._say(error)
            finally:
                self._turned = True

    async def _turn(self) -> None:
        now = self._clock.now()
        full = self.audited_at is None or now - self.audited_at >= timedelta(seconds=self.rules.every)
        met = await self._pass(full=full)
        if met.trouble is not None or full:
            self._say(met.trouble)
        if full and not met.over:
            self.audited_at = self._clock.now()

    async def examine(self, image: ImageId) -> Finding | None:
        """Look at one copy afresh, and remember what was found. Raises what Glance, Ceph or the journal raise."""
        looking = self._looking[image] = object()
        try:
            seen = await self._inspector.look(image, self.store, self._doubts)
            grace = timedelta(seconds=self.rules.grace)
            finding = judge(seen, grace=grace, now=self._clock.now()) if seen is not None else None
            if self._looking.get(image) is looking:
                self._note(image, finding)
            return finding
        finally:
            if self._looking.get(image) is looking:
                del self._looking[image]

    def mended(self, image: ImageId) -> None:
        """The copy was put right, or the orphan put away: what looks under way find is out of date."""
        self._looking.pop(image, None)
        self._begun -= {image}
        self.unfinished -= {image}
        self._note(image, None)

    def revisit(self, image: ImageId) -> None:
        """Something changed elsewhere that a finding may have waited for: look at it in the next pass."""
        if image in self._findings:
            self._again.add(image)

    def forget(self) -> None:
        """There is nothing to compare with any more."""
        self._findings.clear()
        self.layers.keep(())
        self._begun = self.unfinished = frozenset()
        self.kept.forget()
        self._view = None
        self.audited_at = None

    async def _pass(self, *, full: bool) -> _Pass:
        """Look at what needs it."""
        images = self.images if self.images is not None else {}
        names = await self._inspector.cluster(self.store).names()
        there = names_of_images(names)
        # Seen twice: one that is just being finished is out of our way soon.
        begun, self._begun = self._begun, unfinished_copies(names)
        self.unfinished = begun & self._begun
        self.layers.keep(there)
        listed = listed_at(images, self.store)
        if full:
            self._left = await self._ours(there - images.keys())
        self._doubts = doubts_about(there, listed, self._left)
        again, self._again = frozenset(self._again), set()
        met = _Pass()
        await self._each(self.kept.due(names, full=full), self._look_at_kept, met)
        await self._each(suspects(there, listed, self._findings, full=full) | again, self._triage, met)
        if met.fresh and not met.over:
            await self._clock.sleep(SETTLE)
            await self._each(met.fresh, self._confirm, met)
        return met

    async def _ours(self, images: Iterable[ImageId]) -> list[ImageId]:
        """Those that we had copied here."""
        copies = [(image, self.store) for image in sorted(images)]
        ours: list[ImageId] = []
        for start in range(0, len(copies), BATCH):
            ours += [image for image, _ in await self._journal.attempted(copies[start : start + BATCH])]
        return ours

    async def _each(self, images: Iterable[Name], visit: Callable[[Name, _Pass], Awaitable[None]], met: _Pass) -> None:
        queue = iter(sorted(images))

        async def work() -> None:
            for image in queue:
                met.stopped = met.stopped or not self._awake()
                if met.over:
                    return
                try:
                    await visit(image, met)
                except EdgesyncError as error:
                    # One image that can't be looked at must not hide the others.
                    met.trouble = error
                    if isinstance(error, TransientError):
                        met.silent += 1
                        self._bad_sign()
                else:
                    met.silent = 0

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())

    async def _triage(self, image: ImageId, met: _Pass) -> None:
        """The cheap look, by what was last known of the image; a good copy needs no more."""
        shown = self.images.get(image) if self.images is not None else None
        rbd = await self._inspector.rbd(image, self.store)
        self.layers.note(image, rbd)
        damage = await self._inspector.damage(image, self.store, rbd)
        if defect_of(Look(name=image, store=self.store, image=shown, rbd=rbd, damage=damage)) is None:
            self._note(image, None)
        elif image in self._findings:
            await self.examine(image)
        else:
            met.fresh.append(image)

    async def _look_at_kept(self, name: str, _: _Pass) -> None:
        self.kept.note(name, await self._inspector.rbd(name, self.store))

    async def _confirm(self, image: ImageId, _: _Pass) -> None:
        await self.examine(image)

    def _note(self, image: ImageId, finding: Finding | None) -> None:
        """Remember what was found of a copy, and tell what is new."""
        before = self._findings.get(image)
        if finding is None:
            if before is not None:
                del self._findings[image]
                self._view = None
                log.info("no longer a finding", store=self.store, image=image)
            return
        if before is None and len(self._findings) >= MOST_FINDINGS:
            log.error("a finding too many: it is not kept", store=self.store, image=image, kept=MOST_FINDINGS)
            return
        known = before is not None and before.defect is finding.defect
        self._findings[image] = replace(finding, seen_at=before.seen_at) if before is not None and known else finding
        self._view = None
        if not known:
            kind = EventKind.ORPHAN_FOUND if finding.defect is Defect.ORPHAN else EventKind.COPY_BROKEN
            self._tell(kind, f"{finding.detail}; {outlook(finding)}", image)

    def _say(self, trouble: EdgesyncError | None) -> None:
        """Log what keeps audits from being complete, once."""
        said = trouble.message if trouble is not None else ""
        if said == self._said:
            return
        if trouble is not None:
            log.warning("audit incomplete", store=self.store, why=said, remedy=trouble.remedy)
        else:
            log.info("audit complete again", store=self.store)
        self._said = said
