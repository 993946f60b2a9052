"""Death at every single step of a story in which everything happens: the next life comes to the same end."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from edgesync.domain.image import ImageId
from edgesync.domain.job import EventKind, Job, JobState, Work
from edgesync.domain.policy import Match, Policy
from edgesync.errors import ConflictError
from edgesync.expose.requests import CopyRequest, ImportRequest, PauseRequest, RemovalRequest, Scope
from tests.fakes.glance import MIB
from tests.scenario.cutting import Scissors, first_of, made
from tests.scenario.stage import GOLDEN, STORES, Outside, Stage, set_stage

# Independent parts of the whole, so that they can run side by side.
PARTS = 8
URI = "http://images.example/new.raw"
LENT = Policy(name="lent", match=Match(tags=frozenset({"lent"})), stores=frozenset({"central", "dcn0"}), prune=True)  # type: ignore[arg-type]
# Events of which each result of an attempt has exactly one.
RESULTS = frozenset(
    {EventKind.COPY_DONE, EventKind.COPY_FAILED, EventKind.COPY_REVERTED, EventKind.COPY_INTERRUPTED}
    | {EventKind.COPY_REMOVED, EventKind.REMOVAL_FAILED, EventKind.ORPHAN_TRASHED, EventKind.COPY_REPAIRED}
    | {EventKind.REPAIR_FAILED}
)


class Story:
    """A few images that need everything that edgesync does, and a person who insists on what was asked."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.plain = stage.add_golden("plain")
        self.unborn = stage.add_golden("unborn", stores=("dcn1",))
        self.blocked = stage.add_golden("blocked")
        stage.pool("dcn0").put_partial(self.blocked, 64 * MIB, written=MIB)
        stage.pool("dcn0").images[self.blocked].created_at -= timedelta(hours=2)
        self.broken = stage.add_golden("broken", stores=STORES)
        stage.pool("dcn1").remove(self.broken)
        self.bare = stage.add_golden("bare", stores=STORES)
        stage.pool("dcn0").image(self.bare).protected = False
        self.lent = stage.fake.add_image(name="lent", tags=["lent"])
        self.spare = stage.fake.add_image(name="spare", stores=["central", "dcn0"])
        self.both = stage.fake.add_image(name="both")
        self.recanted = stage.fake.add_image(name="recanted")
        stage.fake.serve(URI, size=32 * MIB)

    async def tell(self) -> None:
        """From wherever it stands to its end."""
        stage, intake = self.stage, self.stage.running.intake
        await stage.until(lambda: stage.running.showcase.picture is not None, "first look")
        if not await self._jobs(Work.IMPORT):
            await intake.import_image(ImportRequest(name="new", uri=URI, all_stores=True))
        if not await self._jobs(Work.REMOVE, self.spare):
            await intake.remove(RemovalRequest(image=self.spare, store="dcn0"))
        if not await self._jobs(Work.COPY, self.both):
            await intake.copy(CopyRequest(image=self.both, all_stores=True, allow_failure=False))
        await self._recant()
        if stage.fake.image(self.lent).tags:
            await stage.until_at(self.lent, "dcn0")
            stage.fake.change_image(self.lent, tags=[])
        await stage.until(self.there, "everything in its place", within=7200)
        await stage.until_recorded()
        for job in await stage.jobs():
            await stage.ended(job)

    async def _recant(self) -> None:
        """Ask for a copy that can't start, and cancel it."""
        stage, intake = self.stage, self.stage.running.intake
        jobs = await self._jobs(Work.COPY, self.recanted)
        if not jobs or not jobs[0].state.ended:
            await intake.pause(PauseRequest(image=self.recanted))
        if not jobs:
            jobs = (await intake.copy(CopyRequest(image=self.recanted, stores=("dcn1",)))).jobs
        try:
            await intake.cancel(jobs[0].id, "test")
        except ConflictError:
            assert jobs[0].state.ended
        if (await stage.running.journal.ledger()).pauses:
            await intake.resume(Scope(image=self.recanted))

    async def _jobs(self, work: Work, image: ImageId | None = None) -> tuple[Job, ...]:
        jobs = await self.stage.running.journal.jobs(image=image)
        return tuple(job for job in jobs if job.work is work and job.requested_by == "api")

    def there(self) -> bool:
        """Whether every copy is where it should be, and nowhere else."""
        stage = self.stage
        wanted = {image: set(STORES) for image in (self.plain, self.unborn, self.blocked, self.broken, self.bare)}
        wanted |= {self.both: set(STORES), self.lent: {"central"}, self.spare: {"central"}, self.recanted: {"central"}}
        images = stage.fake.sim.images
        new = [image for image in images.values() if image.id not in wanted]
        return (
            all(set(stage.fake.image(image).stores) == stores for image, stores in wanted.items())
            and [set(image.stores) for image in new] == [set(STORES)]
            and stage.pool("dcn0").image(self.bare).protected
            # Glance lists it there all along: it is the data that were missing.
            and stage.pool("dcn1").has(self.broken)
        )

    async def check(self) -> None:
        """That nothing was done twice, and nothing is left over."""
        stage = self.stage
        assert self.there()
        for pool in stage.pools:
            listed = {image.id for image in stage.fake.sim.images.values() if pool.store in image.stores}
            assert set(pool.images) == listed, pool.store
            assert all(image.protected for image in pool.images.values())
        (new,) = {image for image, _ in stage.fake.accepted}.difference(
            {self.plain, self.unborn, self.blocked, self.broken, self.both, self.lent}
        )
        assert {image: sorted(stage.imports(image)) for image, _ in stage.fake.accepted} == {
            self.plain: ["dcn0", "dcn1"],
            self.unborn: ["central", "dcn0"],
            self.blocked: ["dcn0", "dcn1"],
            self.broken: ["dcn1"],
            self.both: ["dcn0", "dcn1"],
            self.lent: ["dcn0"],
            new: ["central", "dcn0", "dcn1"],
        }
        assert [entry.image.name for pool in stage.pools for entry in pool.trashed] == [self.blocked]
        await self._check_history()

    async def _check_history(self) -> None:
        stage = self.stage
        jobs = await stage.jobs()
        assert {job.state for job in jobs if job.image != self.recanted} == {JobState.DONE}
        assert [job.state for job in jobs if job.image == self.recanted] == [JobState.CANCELLED]
        ends = Counter(event.job for event in await stage.events(EventKind.JOB_ENDED))
        assert ends == Counter(job.id for job in jobs)
        results = Counter((event.job, event.store) for event in await stage.events(*RESULTS))
        attempts = await stage.running.journal.attempts(limit=1000)
        assert results == Counter((attempt.job, entry.store) for attempt in attempts for entry in attempt.results)
        assert all(entry.result.good for attempt in attempts for entry in attempt.results)
        done = Counter((event.image, event.store) for event in await stage.events(EventKind.COPY_DONE))
        assert set(done.values()) == {1}


@pytest.mark.parametrize("part", range(PARTS))
async def test_the_story_ends_the_same_wherever_it_is_cut(tmp_path: Path, part: int) -> None:
    at = part + 1
    while await told(tmp_path / str(at), at):
        at += PARTS
    assert at > 10 * PARTS, "there should be more steps to be cut at"


async def told(folder: Path, at: int) -> bool:
    """Tell the story with a cut at this step, and then to its end; False when it ended before that step."""
    async with set_stage(made(folder), policies=(GOLDEN, LENT)) as stage:
        scissors = Scissors(at)
        stage.outside = scissors
        story = Story(stage)
        async with stage.life():
            if not await first_of(story.tell(), scissors):
                await story.check()
                return False
        stage.outside = Outside()
        async with stage.life():
            try:
                await story.tell()
                await story.check()
            except AssertionError as error:
                error.add_note(f"cut at step {at}, {scissors.where}")
                raise
    return True
