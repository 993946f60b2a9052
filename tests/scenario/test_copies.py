"""What the daemon does when all is well, and when people ask for the same thing at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from edgesync.domain.job import Attempt, CopyResult, EventKind, Job, JobState, Origin
from edgesync.domain.world import Ledger
from edgesync.errors import NotFoundError, RequestError
from tests.fakes.glance.faults import Fault, Status
from tests.scenario.stage import Stage


async def test_a_policy_fills_the_edges_with_one_import_each_one_after_the_other(stage: Stage) -> None:
    image = stage.add_golden()
    other = stage.fake.add_image(name="private", tags=[])
    async with stage.life():
        await stage.until_at(image, "central", "dcn0", "dcn1")
        jobs = await stage.jobs()
        assert {(job.origin, job.requested_by, job.state) for job in jobs} == {(Origin.POLICY, "golden", JobState.DONE)}
        assert sorted(entry.store for job in jobs for entry in job.stores) == ["dcn0", "dcn1"]
        assert len(await stage.events(EventKind.COPY_DONE)) == 2
        second, first = await stage.attempts(image)
        assert first.ended_at is not None
        assert first.ended_at <= second.started_at
    assert stage.imports(image) == ["dcn0", "dcn1"]
    assert stage.fake.image(other).stores == ["central"]


async def test_an_image_that_comes_later_is_noticed(stage: Stage) -> None:
    async with stage.life():
        await stage.until(lambda: stage.running.showcase.picture is not None, "first look")
        await stage.until_at(stage.add_golden(), "dcn0", "dcn1")


async def test_a_copy_deleted_behind_its_back_returns(stage: Stage) -> None:
    image = stage.add_golden(stores=("central", "dcn0", "dcn1"))
    async with stage.life():
        await stage.until(lambda: stage.running.showcase.picture is not None, "first look")
        stage.fake.sim.delete_from_store(image, "dcn1", stage.clock.now())
        await stage.until_at(image, "dcn1")


async def test_twenty_requests_at_once_make_one_import_per_store(stage: Stage) -> None:
    image = stage.fake.add_image(name="wanted", tags=[])
    async with stage.life():
        first = await stage.ask(image)
        wishes = [("dcn0",), ("dcn1",), ("dcn0", "dcn1"), ()]
        rest = await asyncio.gather(*(stage.ask(image, *wishes[number % 4]) for number in range(19)))
        for job in [first, *rest]:
            ended = await stage.ended(job)
            assert ended.state is JobState.DONE
            assert {entry.result for entry in ended.stores} == {CopyResult.COPIED}
        assert await stage.events(EventKind.COPY_FAILED, EventKind.RIVAL_IMPORT) == []
    assert sorted(stage.imports(image)) == ["dcn0", "dcn1"]


async def test_all_stores_leaves_out_those_that_have_it(stage: Stage) -> None:
    image = stage.fake.add_image(stores=["central", "dcn0"])
    async with stage.life():
        job = await stage.ask(image)
        assert [entry.store for entry in job.stores] == ["dcn1"]
        assert (await stage.ended(job)).state is JobState.DONE


async def test_all_stores_of_an_image_that_is_everywhere_is_done_at_once(stage: Stage) -> None:
    image = stage.fake.add_image(stores=["central", "dcn0", "dcn1"])
    async with stage.life():
        job = await stage.ask(image)
        assert (job.state, job.stores) == (JobState.DONE, ())


async def test_requests_that_can_not_be_carried_out_are_refused(stage: Stage) -> None:
    image = stage.fake.add_image(name="twin", stores=["central", "dcn0"])
    stage.fake.add_image(name="twin")
    queued = stage.fake.add_image(status="queued", stores=[])
    stray = stage.fake.add_image(stores=["dcn0"])
    async with stage.life():
        with pytest.raises(RequestError, match="already in dcn0; nothing was copied"):
            await stage.ask(image, "dcn0", "dcn1")
        with pytest.raises(RequestError, match="no store dcn7"):
            await stage.ask(image, "dcn7")
        with pytest.raises(RequestError, match="is queued"):
            await stage.ask(queued)
        with pytest.raises(RequestError, match="not at central"):
            await stage.ask(stray, "central", "dcn1", allow_failure=False)
        with pytest.raises(RequestError, match="2 images are named 'twin'"):
            await stage.ask("twin")
        with pytest.raises(NotFoundError, match="no image 'nothing'"):
            await stage.ask("nothing")
        assert await stage.jobs() == ()
    assert stage.fake.accepted == []


async def test_all_or_nothing_takes_away_what_succeeded(stage: Stage) -> None:
    image = stage.fake.add_image(tags=[])
    stage.fake.failing("dcn1", "no space")
    async with stage.life():
        job = await stage.ended(await stage.ask(image, "dcn0", "dcn1", allow_failure=False))
        assert job.state is JobState.FAILED
        assert all(entry.result is not CopyResult.COPIED for entry in job.stores)
    assert stage.fake.image(image).stores == ["central"]


@pytest.mark.parametrize(
    ("refusal", "stays"),
    [
        (Status(status=409, said="the image is in use"), True),
        (Status(status=404, said="Image is not stored in store dcn0."), False),
    ],
)
async def test_all_or_nothing_ends_though_a_copy_can_not_be_taken_away(
    stage: Stage, refusal: Status, stays: bool
) -> None:
    image = stage.fake.add_image(tags=[], size=512 << 20)
    stage.fake.faults.add(Fault(operation="delete_from_store", kind=refusal, times=100))
    async with stage.life():
        job = await stage.ask(image, "dcn0", "dcn1", allow_failure=False)
        await stage.until(lambda: "dcn0" in stage.fake.image(image).stores, "the first copy")
        stage.fake.crash_worker()
        stage.fake.change_image(image, lock=None)
        ended = {entry.store: entry.result for entry in (await stage.ended(job)).stores}
        made = CopyResult.COPIED if stays else CopyResult.REVERTED
        assert ended == {"dcn0": made, "dcn1": CopyResult.FAILED}
        assert len(await stage.attempts(image)) == 1
        assert await stage.events(EventKind.IMAGE_GONE) == []


async def test_a_job_that_comes_while_the_journal_is_read_is_not_forgotten(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = stage.fake.add_image(tags=[])
    async with stage.life() as daemon:
        await stage.until(lambda: daemon.showcase.health.ticked_at is not None, "first tick")
        read = daemon.journal.ledger
        jobs: list[Job] = []

        async def overtaken() -> Ledger:
            ledger = await read()
            if not jobs:
                jobs.append(await stage.ask(image))
            return ledger

        monkeypatch.setattr(daemon.journal, "ledger", overtaken)
        daemon.cycle.ledger_changed()
        daemon.loop.wake()
        await stage.until_at(image, "dcn0", "dcn1")


async def test_allow_failure_keeps_what_succeeded_and_tells_what_did_not(stage: Stage) -> None:
    image = stage.fake.add_image(tags=[])
    stage.fake.failing("dcn1", "no space")
    async with stage.life():
        job = await stage.ended(await stage.ask(image, "dcn0", "dcn1"))
        assert {entry.store: entry.result for entry in job.stores} == {
            "dcn0": CopyResult.COPIED,
            "dcn1": CopyResult.FAILED,
        }
        (failed,) = await stage.events(EventKind.COPY_FAILED)
        assert failed.store == "dcn1"
    assert set(stage.fake.image(image).stores) == {"central", "dcn0"}


async def test_a_failed_copy_is_retried_by_its_policy_when_its_time_comes(stage: Stage) -> None:
    image = stage.add_golden()
    stage.fake.failing("dcn1")
    async with stage.life():
        await stage.until_at(image, "dcn0")
        before = len(stage.fake.accepted)
        stage.fake.healthy("dcn1")
        started = stage.clock.now()
        await stage.until_at(image, "dcn1")
        assert (stage.clock.now() - started).total_seconds() > 25, "it should have backed off"
        assert len(stage.fake.accepted) == before + 1


async def test_a_rivals_import_is_waited_for(stage: Stage) -> None:
    image = stage.add_golden(mebibytes=1024)
    stage.fake.rival_import(image, ["dcn0"])
    async with stage.life():
        await stage.until_at(image, "dcn0", "dcn1")
        assert await stage.events(EventKind.COPY_FAILED) == []
    assert stage.fake.accepted[-1] == (image, ("dcn1",))


async def test_a_rival_that_comes_between_look_and_request_makes_no_job_fail(stage: Stage) -> None:
    image = stage.fake.add_image(size=512 << 20, tags=[])
    async with stage.life():
        job = await stage.ask(image, "dcn0", "dcn1")
        stage.fake.rival_import(image, ["dcn1"])
        ended = await stage.ended(job)
        assert ended.state is JobState.DONE
    assert sorted(stage.imports(image)) == ["dcn0", "dcn1"]


async def test_store_limits_hold(stage: Stage) -> None:
    images = [stage.add_golden(f"img{number}", mebibytes=512) for number in range(6)]
    async with stage.life():
        for image in images:
            await stage.until_at(image, "dcn0", "dcn1")
        attempts = [attempt for image in images for attempt in await stage.attempts(image)]
    at_once = {store: most_at_once([one for one in attempts if store in one.stores]) for store in ("dcn0", "dcn1")}
    assert at_once == {"dcn0": 2, "dcn1": 2}, "as many as the limit allows, and never more"
    assert most_at_once(attempts) == 4


def most_at_once(attempts: Sequence[Attempt]) -> int:
    """How many of them were under way at the same time."""
    return max(
        sum(other.started_at <= attempt.started_at < (other.ended_at or attempt.started_at) for other in attempts)
        for attempt in attempts
    )


async def test_what_is_old_is_forgotten(stage: Stage) -> None:
    image = stage.add_golden()
    async with stage.life():
        await stage.until_at(image, "dcn0", "dcn1")
        assert await stage.jobs() != ()
        stage.clock.advance(91 * 86400)
        for _ in range(400):
            await stage.clock.sleep(1)
            if await stage.jobs() == ():
                break
        assert await stage.jobs() == ()
        assert await stage.events(EventKind.COPY_DONE) == []
