"""New data comes in, or nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from edgesync.domain.image import Image, TaskStatus
from edgesync.domain.job import Attempt, CopyResult, EventKind, Work
from edgesync.domain.site import Defect
from edgesync.errors import ConflictError, PermanentError, TransientError, UnreachableError
from tests.builders import CENTRAL, image, store_ids
from tests.unit.execute.doubles import DCN0, DCN1, OURS, Rig, import_job, rig, work_on

COPIED, FAILED, INTERRUPTED = CopyResult.COPIED, CopyResult.FAILED, CopyResult.INTERRUPTED
NEW = image("rhel", stores=(), status="queued", size=None)


def asked_for(on: Rig, *stores: str, uri: str | None = "http://images/rhel.raw", allow_failure: bool = True) -> Attempt:
    """An attempt at all stores of a job."""
    job = import_job(NEW, *stores, uri=uri, allow_failure=allow_failure)
    on.journal.led[job.id] = job
    return work_on(NEW, Work.IMPORT, *stores, allow_failure=allow_failure)


def becomes(on: Rig, *stores: str, failed: tuple[str, ...] = (), after: float = 60) -> None:
    """Glance ends the import like this."""

    def finish() -> None:
        status = "active" if stores else "queued"
        on.glance.change(NEW.id, status=status, stores=store_ids(*stores), failed=store_ids(*failed), size=1 << 30)
        ended = TaskStatus.SUCCESS if stores else TaskStatus.FAILURE
        on.glance.end(NEW.id, ended, "" if stores else "HTTP 404 from the source")

    on.glance.change(NEW.id, status="importing")
    on.clock.after(after, finish)


async def chunks() -> AsyncIterator[bytes]:
    yield b"all "
    yield b"of it"


async def test_an_image_is_fetched_into_its_stores() -> None:
    on = rig()
    one = asked_for(on, "central", "dcn0")
    on.glance.on_import = lambda: becomes(on, "central", "dcn0")
    await on.engines.imports.begin(one)
    assert on.glance.calls == [
        ("create_image", NEW.id),
        ("import_image", NEW.id, "http://images/rhel.raw", (CENTRAL, DCN0), True),
    ]
    assert on.end.results == {"central": COPIED, "dcn0": COPIED}
    assert on.journal.attached == {one.id: OURS}
    assert on.sites.outcomes == [(CENTRAL, True, ""), (DCN0, True, "")]
    assert on.board.entries == {}


async def test_a_store_that_failed_is_remembered_when_the_image_is_there() -> None:
    on = rig()
    one = asked_for(on, "central", "dcn0")
    on.glance.on_import = lambda: becomes(on, "central", failed=("dcn0",))
    await on.engines.imports.begin(one)
    assert on.end.results == {"central": COPIED, "dcn0": FAILED}
    assert [failure.store for failure in on.end.failures] == ["dcn0"]


async def test_an_import_of_which_nothing_came_leaves_nothing_behind() -> None:
    on = rig()
    one = replace(asked_for(on, "central", "dcn0", "dcn1"), stores=(CENTRAL, DCN0))
    on.glance.on_import = lambda: becomes(on, failed=("central", "dcn0"))
    await on.engines.imports.begin(one)
    assert on.glance.images == {}
    assert on.end.results == {"central": FAILED, "dcn0": FAILED, "dcn1": FAILED}, "its job expects nothing more"
    assert on.end.failures == []
    assert "Glance could not import http://images/rhel.raw" in on.end.reasons
    assert "(its task says: HTTP 404 from the source)" in on.end.reasons
    assert "curl -fIL http://images/rhel.raw" in on.end.reasons
    assert on.lost == [NEW.id]


async def test_a_lock_that_glance_leaves_after_a_download_in_vain_is_not_waited_for() -> None:
    on = rig()
    one = asked_for(on, "central")
    on.glance.on_import = lambda: on.clock.after(60, lambda: on.glance.task(status=TaskStatus.FAILURE))
    await on.engines.imports.begin(one)
    assert on.end.results == {"central": FAILED}
    assert on.glance.images == {}


async def test_all_or_nothing_that_missed_a_store_leaves_nothing_behind() -> None:
    on = rig()
    one = asked_for(on, "central", "dcn0", allow_failure=False)
    on.glance.on_import = lambda: becomes(on, "central")
    await on.engines.imports.begin(one)
    assert on.glance.images == {}
    assert on.end.results == {"central": FAILED, "dcn0": FAILED}
    assert "all or nothing: no copy came to dcn0" in on.end.reasons


async def test_all_or_nothing_names_the_stores_that_may_have_failed_not_those_that_had_the_data() -> None:
    on = rig()
    one = asked_for(on, "central", "dcn0", "dcn1", allow_failure=False)

    def written() -> None:
        on.glance.change(NEW.id, status="active", stores=store_ids("central", "dcn0"))
        becomes(on, failed=("central", "dcn0", "dcn1"))

    on.glance.on_import = lambda: on.clock.after(20, written)
    await on.engines.imports.begin(one)
    assert on.glance.images == {}
    assert "all or nothing: central, dcn0 had the data, dcn1 failed; glance-api's log" in on.end.reasons


async def test_a_worker_that_died_before_anything_came_ends_it_when_its_lock_expires() -> None:
    on = rig()
    one = asked_for(on, "central", "dcn0")
    on.glance.on_import = lambda: on.glance.change(NEW.id, status="importing")
    await on.engines.imports.begin(one)
    assert on.end.results == {"central": FAILED, "dcn0": FAILED}
    assert on.glance.images == {}
    assert on.sites.examined == [CENTRAL, DCN0]


async def test_a_worker_that_died_after_the_first_store_leaves_the_others_to_be_copied() -> None:
    on = rig()
    one = asked_for(on, "central", "dcn0")
    on.glance.on_import = lambda: on.glance.change(NEW.id, status="active", stores=store_ids("central"))
    await on.engines.imports.begin(one)
    assert on.end.results == {"central": COPIED, "dcn0": INTERRUPTED}


async def test_a_record_that_can_not_be_deleted_is_told() -> None:
    on = rig()
    one = asked_for(on, "central")
    on.glance.refusals["delete_image"] = [PermanentError("it is protected")]
    on.glance.on_import = lambda: becomes(on)
    await on.engines.imports.begin(one)
    assert "its image record stays: it is protected" in on.end.reasons


async def test_a_refused_import_leaves_nothing_behind() -> None:
    on = rig()
    one = asked_for(on, "central")
    on.glance.refusals["import_image"] = [PermanentError("the URI is not allowed")]
    await on.engines.imports.begin(one)
    assert on.glance.images == {}
    assert "the URI is not allowed" in on.end.reasons


async def test_a_lost_answer_is_not_asked_for_twice_when_it_arrived() -> None:
    on = rig()
    one = asked_for(on, "central")
    on.glance.refusals["import_image"] = [UnreachableError("no answer")]

    def arrived() -> None:
        on.glance.task(stores=(CENTRAL,))
        on.glance.change(NEW.id, lock=OURS)
        becomes(on, "central")

    on.clock.after(1, arrived)
    await on.engines.imports.begin(one)
    assert len(on.glance.asked("import_image")) == 1
    assert on.end.results == {"central": COPIED}


async def test_while_glance_does_not_show_what_it_has_taken_nothing_is_deleted() -> None:
    on = rig()
    one = asked_for(on, "central")
    on.glance.refusals["import_image"] = [UnreachableError("no answer")]
    # The first look is the one before the request.
    on.clock.after(1, lambda: on.glance.refusals["image"].append(TransientError("HTTP 500")))
    with pytest.raises(UnreachableError, match="HTTP 500"):
        await on.engines.imports.begin(one)
    assert on.glance.asked("delete_image") == []
    assert on.journal.finished == []


async def test_a_busy_glance_is_asked_again() -> None:
    on = rig()
    one = asked_for(on, "central")
    on.glance.refusals["import_image"] = [TransientError("busy"), TransientError("busy")]
    on.glance.on_import = lambda: becomes(on, "central")
    await on.engines.imports.begin(one)
    assert len(on.glance.asked("import_image")) == 3
    assert on.end.results == {"central": COPIED}


async def test_a_glance_that_is_away_leaves_the_attempt_open() -> None:
    on = rig()
    one = asked_for(on, "central")
    on.glance.refusals["create_image"] = [UnreachableError("no answer")]
    with pytest.raises(UnreachableError):
        await on.engines.imports.begin(one)
    assert on.journal.finished == []


async def test_a_silent_site_is_waited_for() -> None:
    on = rig()
    on.clusters[DCN0].down = True
    await on.engines.imports.begin(asked_for(on, "central", "dcn0"))
    assert on.glance.calls == []
    assert len(on.journal.dropped) == 1


async def test_an_image_deleted_in_the_middle_ends_it_for_all_stores_of_the_job() -> None:
    on = rig()
    one = replace(asked_for(on, "central", "dcn1"), stores=(CENTRAL,))
    on.glance.on_import = lambda: on.clock.after(5, on.glance.images.clear)
    await on.engines.imports.begin(one)
    assert on.end.results == {"central": FAILED, "dcn1": FAILED}
    assert len(on.told(EventKind.IMAGE_GONE)) == 1


async def test_half_a_copy_at_the_site_that_was_written_becomes_known() -> None:
    on = rig()
    one = asked_for(on, "central")
    on.sites.find(NEW.id, CENTRAL, Defect.ORPHAN)
    on.glance.on_import = lambda: becomes(on)
    await on.engines.imports.begin(one)
    assert on.sites.examined == [CENTRAL]


# ---- after a restart


def seen(on: Rig, status: str, *stores: str, lock: str | None = None) -> Image:
    return on.glance.put(replace(image("rhel", stores=stores, status=status, lock=lock), id=NEW.id))


async def test_one_that_was_never_begun_is_begun() -> None:
    on = rig()
    on.glance.on_import = lambda: becomes(on, "central")
    await on.engines.imports.follow(asked_for(on, "central"))
    assert on.end.results == {"central": COPIED}


async def test_one_with_an_empty_record_is_sent() -> None:
    on = rig()
    seen(on, "queued")
    on.glance.on_import = lambda: becomes(on, "central")
    await on.engines.imports.follow(asked_for(on, "central"))
    assert len(on.glance.asked("import_image")) == 1
    assert on.end.results == {"central": COPIED}


async def test_one_that_runs_is_watched() -> None:
    on = rig()
    one = asked_for(on, "central")
    seen(on, "importing", lock="ours")
    on.glance.task(stores=(CENTRAL,))
    becomes(on, "central")
    await on.engines.imports.follow(one)
    assert on.glance.calls == []
    assert (on.end.results, on.journal.attached) == ({"central": COPIED}, {one.id: OURS})


async def test_one_that_ended_well_is_judged() -> None:
    on = rig()
    seen(on, "active", "central")
    await on.engines.imports.follow(asked_for(on, "central"))
    assert on.end.results == {"central": COPIED}


async def test_one_that_failed_is_not_sent_again() -> None:
    on = rig()
    seen(on, "queued")
    on.glance.task(status=TaskStatus.FAILURE, message="HTTP 404")
    await on.engines.imports.follow(asked_for(on, "central"))
    assert on.glance.asked("import_image") == []
    assert on.end.results == {"central": FAILED}
    assert on.glance.images == {}


async def test_one_that_was_accepted_and_whose_image_is_gone_is_not_begun_again() -> None:
    on = rig()
    await on.engines.imports.follow(replace(asked_for(on, "central"), task=OURS))
    assert on.glance.calls == []
    assert on.end.results == {"central": FAILED}


@pytest.mark.parametrize("status", ["queued", "uploading"])
async def test_a_file_that_was_lost_with_us_ends_it(status: str) -> None:
    on = rig()
    seen(on, status)
    await on.engines.imports.follow(asked_for(on, "central", uri=None))
    assert on.glance.images == {}
    assert "send it again" in on.end.reasons


# ---- files


async def test_a_file_is_staged_and_imported_and_then_followed() -> None:
    on = rig()
    one = asked_for(on, "central", uri=None)
    on.glance.on_import = lambda: becomes(on, "central")
    await on.engines.imports.stage(one, chunks())
    assert on.glance.calls == [
        ("create_image", NEW.id),
        ("stage", NEW.id, b"all of it"),
        ("import_image", NEW.id, None, (CENTRAL,), True),
    ]
    assert on.journal.finished == []
    await on.engines.imports.follow(one)
    assert on.end.results == {"central": COPIED}


async def test_a_sender_who_leaves_ends_it() -> None:
    on = rig()

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await on.engines.imports.stage(asked_for(on, "central", uri=None), broken())
    assert on.glance.images == {}
    assert "the file did not arrive whole" in on.end.reasons


async def test_a_stop_of_ours_ends_it_and_is_named() -> None:
    on = rig()

    async def halting() -> AsyncIterator[bytes]:
        yield b"half"
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await on.engines.imports.stage(asked_for(on, "central", uri=None), halting())
    assert on.glance.images == {}
    assert "edgesync was stopped before the file had arrived whole; send it again" in on.end.reasons


async def test_a_refused_file_ends_it_and_whoever_sent_it_hears_why() -> None:
    on = rig()
    on.glance.refusals["stage"] = [PermanentError("over quota")]
    with pytest.raises(PermanentError, match="over quota"):
        await on.engines.imports.stage(asked_for(on, "central", uri=None), chunks())
    assert on.glance.images == {}
    assert "over quota" in on.end.reasons


async def test_a_file_for_a_silent_site_is_refused_before_it_is_read() -> None:
    on = rig()
    on.clusters[DCN1].down = True
    with pytest.raises(TransientError, match="silent"):
        await on.engines.imports.stage(asked_for(on, "dcn1", uri=None), chunks())
    assert on.glance.asked("stage") == []
    assert on.end.results == {"dcn1": FAILED}


@pytest.mark.parametrize("refusal", [TransientError("busy"), ConflictError("the image is active")])
async def test_what_a_glance_without_tasks_is_through_with_has_arrived(
    refusal: TransientError | ConflictError,
) -> None:
    """The answer to the request got lost, and the data is there by the next look."""
    on = rig()
    one = asked_for(on, "central")
    on.glance.refusals["import_image"] = [refusal]
    on.clock.after(1, lambda: on.glance.change(NEW.id, status="active", stores=store_ids("central"), size=1))
    await on.engines.imports.begin(one)
    assert on.end.results == {"central": COPIED}
    assert on.glance.asked("delete_image") == []
