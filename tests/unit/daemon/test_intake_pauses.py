"""Pauses come and go by their exact scope; cancelling stops what has not begun."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgesync.domain.job import CopyResult, Engine, EventKind, JobId, JobState
from edgesync.errors import ConflictError, NotFoundError, RequestError
from edgesync.expose.requests import PauseRequest, Scope
from tests.builders import attempt, image, job, situation
from tests.unit.daemon.paper import Counter, PaperJournal, counter
from tests.unit.expose.pictures import pause, picture_of

ONE = image()
JOB = job(ONE, "dcn0", "dcn1")


async def test_a_pause_is_kept_with_who_and_why() -> None:
    at = counter(picture_of(situation(ONE)))
    made = await at.intake.pause(PauseRequest(store="dcn0", reason="new switches", requested_by="alice"))
    assert at.journal.pauses == [made]
    (event,) = at.journal.events
    assert (event.kind, event.store, event.message) == (
        EventKind.PAUSED,
        "dcn0",
        "alice paused store dcn0: new switches",
    )
    assert at.told == [None]


@pytest.mark.parametrize(
    ("given", "scope"),
    [
        ({"image": "img"}, "image id-img"),
        ({"image": "img", "store": "dcn0"}, "image id-img at dcn0"),
        ({"all": True}, "everything"),
    ],
)
async def test_images_are_paused_by_name_and_kept_by_id(given: dict[str, object], scope: str) -> None:
    at = counter(picture_of(situation(ONE)))
    assert (await at.intake.pause(PauseRequest.model_validate(given))).scope == scope
    assert (await at.intake.resume(Scope.model_validate(given))).scope == scope
    assert at.journal.pauses == []
    assert [event.kind for event in at.journal.events] == [EventKind.PAUSED, EventKind.RESUMED]


async def test_what_does_not_exist_can_not_be_paused() -> None:
    at = counter(picture_of(situation(ONE)))
    with pytest.raises(RequestError, match="no store dcn7"):
        await at.intake.pause(PauseRequest(store="dcn7"))
    with pytest.raises(NotFoundError, match="no image 'nothing'"):
        await at.intake.pause(PauseRequest(image="nothing"))


async def test_resuming_what_is_not_paused_names_what_is() -> None:
    at = counter(picture_of(situation(ONE), pauses=[pause(store="dcn0"), pause(image=ONE)]))
    with pytest.raises(NotFoundError, match="everything is not paused") as refused:
        await at.intake.resume(Scope(all=True))
    assert refused.value.remedy == "what is paused: store dcn0; image id-img"
    with pytest.raises(NotFoundError, match="store dcn1 is not paused"):
        await at.intake.resume(Scope(store="dcn1"))
    with pytest.raises(NotFoundError) as refused:
        await counter(picture_of(situation(ONE))).intake.resume(Scope(all=True))
    assert refused.value.remedy == "what is paused: nothing"


async def test_the_pause_of_an_image_that_has_gone_can_be_lifted() -> None:
    at = counter(picture_of(situation(), pauses=[pause(image=ONE)]))
    assert (await at.intake.resume(Scope(image=ONE.id))).image == ONE.id


def with_job(*running: str, engine: Engine = Engine.COPY_IMAGE) -> Counter:
    journal = PaperJournal(attempts_open=(replace(attempt(ONE, *running), engine=engine),) if running else ())
    journal.kept[JOB.id] = JOB
    return counter(picture_of(situation(ONE, jobs=[JOB])), journal=journal)


async def test_a_job_that_has_not_begun_is_cancelled() -> None:
    at = with_job()
    taken = await at.intake.cancel(JOB.id, "bob")
    assert (taken.jobs[0].state, taken.notes) == (JobState.CANCELLED, ())
    assert at.told == [None]


async def test_what_glance_runs_already_goes_on_and_the_answer_says_so() -> None:
    taken = await with_job("dcn0").intake.cancel(JOB.id, "bob")
    assert [entry.result for entry in taken.jobs[0].stores] == [CopyResult.PENDING, CopyResult.CANCELLED]
    assert taken.notes == (
        "Glance already writes the image to dcn0, which can't be stopped; it is not tried again, though",
    )


async def test_what_edgesync_itself_is_registering_is_not_said_to_be_written_by_glance() -> None:
    taken = await with_job("dcn0", engine=Engine.RBD).intake.cancel(JOB.id, "bob")
    assert taken.notes == (
        "the copy to dcn0 is being registered with Glance, which is not broken off; it is not tried again",
    )


async def test_a_job_that_has_ended_or_never_was_can_not_be_cancelled() -> None:
    at = with_job()
    await at.intake.cancel(JOB.id, "bob")
    with pytest.raises(ConflictError, match="has ended already: cancelled"):
        await at.intake.cancel(JOB.id, "bob")
    with pytest.raises(NotFoundError, match="no job"):
        await at.intake.cancel(JobId("nothing"), "bob")
