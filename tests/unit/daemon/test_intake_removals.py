"""Deleting a copy: refused wherever it would be wrong, or come back, or fail later anyway."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from edgesync.domain.job import EventKind, Work
from edgesync.domain.pause import Pause
from edgesync.domain.ports import Cluster
from edgesync.domain.site import RbdImage
from edgesync.domain.store import StoreId
from edgesync.errors import ConflictError, EdgesyncError, NotFoundError, RequestError, UnreachableError
from edgesync.expose.requests import RemovalRequest
from tests.builders import NOW, image, job, policy, situation
from tests.unit.daemon.paper import counter
from tests.unit.expose.pictures import pause, picture_of

ONE = image(stores=("central", "dcn0"), tags=())
GOLDEN = image(stores=("central", "dcn0"))


class OneImage:
    """A cluster with one RBD image, or none, or no answer."""

    def __init__(self, *children: str, error: EdgesyncError | None = None) -> None:
        self._children = children
        self._error = error

    async def inspect(self, name: str) -> RbdImage:
        if self._error is not None:
            raise self._error
        return RbdImage(
            name=name,
            id="1",
            size=1,
            snapshot=True,
            protected=True,
            watchers=0,
            children=self._children,
            created_at=NOW,
        )


def clusters(*children: str, error: EdgesyncError | None = None) -> dict[StoreId, Cluster]:
    return {StoreId("dcn0"): cast("Cluster", OneImage(*children, error=error))}


def request(store: str = "dcn0", **given: Any) -> RemovalRequest:
    return RemovalRequest(image="img", store=store, requested_by="alice", **given)


async def test_a_copy_that_nobody_wants_is_taken_away() -> None:
    at = counter(picture_of(situation(ONE)), clusters=clusters())
    taken = await at.intake.remove(request())
    assert taken.jobs == (at.job,)
    assert (at.job.work, [entry.store for entry in at.job.stores]) == (Work.REMOVE, ["dcn0"])
    (event,) = at.journal.events
    assert event.message == "alice asked to delete the copy of img at dcn0"
    assert taken.notes == ()


@pytest.mark.parametrize(
    ("stores", "store", "error", "said", "remedy"),
    [
        (("central", "dcn0"), "central", RequestError, "central is the hub", "openstack image delete"),
        (("central", "dcn0"), "dcn1", NotFoundError, "no copy at dcn1", "central, dcn0"),
        (("dcn0",), "dcn0", RequestError, "the last one", "another store first"),
        (("central", "dcn0"), "dcn7", RequestError, "no store dcn7", "central, dcn0, dcn1"),
    ],
)
async def test_what_must_stay_stays(
    stores: tuple[str, ...], store: str, error: type[EdgesyncError], said: str, remedy: str
) -> None:
    at = counter(picture_of(situation(image(stores=stores, tags=()))), clusters=clusters())
    with pytest.raises(error, match=said) as refused:
        await at.intake.remove(request(store))
    assert remedy in refused.value.remedy
    assert at.journal.kept == {}


async def test_a_copy_with_clones_is_refused_naming_them() -> None:
    disks = [f"vms/disk-{number}" for number in range(7)]
    at = counter(picture_of(situation(ONE)), clusters=clusters(*disks))
    with pytest.raises(RequestError, match=r"7 disks cloned from it \(vms/disk-0, .* and 2 more\)") as refused:
        await at.intake.remove(request(pause=True))
    assert "flatten" in refused.value.remedy
    assert (at.journal.kept, at.journal.pauses) == ({}, [])


async def test_a_site_that_does_not_answer_can_not_be_asked_for_clones() -> None:
    silent = clusters(error=UnreachableError("no mon answers"))
    at = counter(picture_of(situation(ONE)), clusters=silent)
    with pytest.raises(UnreachableError, match="dcn0 can't be asked whether anything was cloned"):
        await at.intake.remove(request())
    assert at.journal.kept == {}


@pytest.mark.parametrize("known", [{}, clusters(error=NotFoundError("no such RBD image"))], ids=["no-ceph", "no-image"])
async def test_where_ceph_knows_of_no_clones_glance_has_the_last_word(known: dict[StoreId, Cluster]) -> None:
    at = counter(picture_of(situation(ONE)), clusters=known)
    assert (await at.intake.remove(request())).jobs


async def test_a_copy_that_a_policy_wants_is_only_taken_away_with_a_pause() -> None:
    at = counter(picture_of(situation(GOLDEN, policies=[policy(), policy("other", stores=["dcn1"])])))
    with pytest.raises(
        RequestError, match="policy golden would bring the copy of image id-img straight back"
    ) as refused:
        await at.intake.remove(request())
    assert "--pause" in refused.value.remedy
    taken = await at.intake.remove(request(pause=True))
    (paused,) = at.journal.pauses
    assert (paused.image, paused.store, paused.by) == (GOLDEN.id, "dcn0", "alice")
    assert [event.kind for event in at.journal.events] == [EventKind.PAUSED, EventKind.JOB_CREATED]
    assert "edgesync resume --image id-img --store dcn0" in taken.notes[0]


@pytest.mark.parametrize("paused", [pause(image=GOLDEN), pause(image=GOLDEN, store="dcn0")])
async def test_a_pause_of_the_image_that_is_there_already_is_enough(paused: Pause) -> None:
    at = counter(picture_of(situation(GOLDEN, policies=[policy()]), pauses=[paused]))
    assert (await at.intake.remove(request())).jobs


@pytest.mark.parametrize("paused", [pause(), pause(store="dcn0"), pause(image=GOLDEN, store="dcn1")])
async def test_a_pause_that_ends_for_the_removal_and_the_policy_alike_keeps_no_copy_away(paused: Pause) -> None:
    at = counter(picture_of(situation(GOLDEN, policies=[policy()]), pauses=[paused]))
    with pytest.raises(RequestError, match="straight back"):
        await at.intake.remove(request())
    assert at.journal.kept == {}


async def test_a_copy_that_an_open_job_asks_for_is_not_taken_away() -> None:
    asked = job(ONE, "dcn0")
    with pytest.raises(ConflictError, match="job job-1 of alice asks for this copy") as refused:
        await counter(picture_of(situation(ONE, jobs=[asked]))).intake.remove(request())
    assert refused.value.remedy == "cancel that first: edgesync cancel job-1"
    going = replace(asked, work=Work.REMOVE)
    with pytest.raises(ConflictError, match="job job-1 deletes this copy already"):
        await counter(picture_of(situation(ONE, jobs=[going]))).intake.remove(request())
