"""Requests for copies: several forms, one set of rules, and a dry run that writes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import time, timedelta
from typing import Any

import pytest

from edgesync.daemon import copies
from edgesync.domain.copy import Stall, StallCause
from edgesync.domain.job import Engine, EngineChoice, EventKind, JobState, Work
from edgesync.domain.site import BreakerState
from edgesync.domain.store import CephSettings, Overrun, Store, StoreId, StoreSettings, Topology
from edgesync.domain.window import Window, Windows
from edgesync.errors import NotFoundError, RequestError, TransientError
from edgesync.expose.jobs import job_view
from edgesync.expose.requests import CopyRequest
from edgesync.plan.situation import Rules, Situation
from tests.builders import CENTRAL, NOW, attempt, failure, image, job, policy, situation, topology
from tests.unit.daemon.paper import Counter, counter
from tests.unit.expose.pictures import picture_of, site

# It is noon.
MIDDAY = Windows(windows=(Window(days=frozenset(range(7)), start=time(11), end=time(13)),))

CEPH = StoreSettings(ceph=CephSettings(conf="ceph.conf", user="edgesync"))
# Where the rbd engine can go to all stores.
ABLE = dict.fromkeys(("central", "dcn0", "dcn1"), CEPH)


def request(**given: Any) -> CopyRequest:
    return CopyRequest(**{"requested_by": "alice", **given})


def stores_of(found: Any) -> list[str]:
    return [entry.store for entry in found.stores]


async def test_a_request_becomes_a_job_and_a_line_of_history() -> None:
    at = counter(picture_of(situation(image())))
    taken = await at.intake.copy(request(image="img", stores=("dcn1", "dcn0"), urgent=True))
    assert taken.jobs == (at.job,)
    assert (stores_of(at.job), at.job.urgent, at.job.requested_by) == (["dcn0", "dcn1"], True, "alice")
    (event,) = at.journal.events
    assert (event.kind, event.message) == (
        EventKind.JOB_CREATED,
        "alice asked urgently for copies of img in dcn0, dcn1",
    )
    assert at.told == [None]


async def test_an_image_that_is_only_at_an_edge_goes_to_the_hub_first_and_the_answer_says_so() -> None:
    at = counter(picture_of(situation(image(stores=("dcn0",)))))
    taken = await at.intake.copy(request(image="img", stores=("dcn1",)))
    assert stores_of(at.job) == ["central", "dcn1"]
    assert taken.notes == ("central was added: the image is not there yet, and every copy comes from there",)
    everywhere = await at.intake.copy(request(image="img", all_stores=True))
    assert (stores_of(everywhere.jobs[0]), everywhere.notes) == (["central", "dcn1"], ())


@pytest.mark.parametrize(
    ("stores", "allow", "said", "remedy"),
    [
        (("dcn1",), False, "image id-img is not at central", "edgesync copy id-img --stores central"),
        (("dcn0",), True, "already in dcn0; nothing was copied", "--all-stores"),
        (("dcn7",), True, "Glance has no store dcn7", "central, cold, dcn0, dcn1"),
        (("cold",), True, "nothing can be copied to cold: read-only", "central, dcn0, dcn1"),
    ],
)
async def test_what_can_not_be_done_is_refused_with_a_remedy(
    stores: tuple[str, ...], allow: bool, said: str, remedy: str
) -> None:
    known = topology()
    known.stores[StoreId("cold")] = Store(id=StoreId("cold"), read_only=True)
    at = counter(picture_of(situation(image(stores=("dcn0",)), stores=known)))
    with pytest.raises(RequestError, match=said) as refused:
        await at.intake.copy(request(image="img", stores=stores, allow_failure=allow))
    assert remedy in refused.value.remedy
    assert at.journal.kept == {}


async def test_before_the_first_look_the_request_is_refused_for_now() -> None:
    with pytest.raises(TransientError, match="does not know the images yet"):
        await counter(None).intake.copy(request(image="img", all_stores=True))


async def test_when_every_store_has_it_the_job_is_done_at_once() -> None:
    at = counter(picture_of(situation(image(stores=("central", "dcn0", "dcn1")))))
    await at.intake.copy(request(image="img", all_stores=True))
    assert (at.job.state, at.job.stores) == (JobState.DONE, ())


def of_policy(*more: Any, **given: Any) -> Counter:
    """A counter in a cloud where policy golden misses the copies of a and b, somebody has asked for c, d is fine."""
    golden = policy("golden", **given)
    asked = image("c")
    images = (image("b", stores=("central", "dcn1")), image("a"), asked, image("d", stores=("central", "dcn0", "dcn1")))
    case = situation(*images, *more, policies=[golden], jobs=[job(asked, "dcn0", "dcn1")])
    return counter(picture_of(case), policies=lambda: (golden,))


async def test_a_policys_name_stands_for_every_copy_that_it_misses() -> None:
    at = of_policy()
    taken = await at.intake.copy(request(policy="golden", urgent=True))
    assert [(entry.image_name, stores_of(entry), entry.urgent) for entry in taken.jobs] == [
        ("a", ["dcn0", "dcn1"], True),
        ("b", ["dcn0"], True),
    ]
    assert len(at.journal.kept) == 2


async def test_one_bad_image_of_a_policy_does_not_stop_the_others() -> None:
    queued = image("0-queued", status="queued", stores=())
    taken = await of_policy(queued).intake.copy(request(policy="golden"))
    assert [entry.image_name for entry in taken.jobs] == ["a", "b"]
    assert [(entry.image_name, entry.detail) for entry in taken.refused] == [
        ("0-queued", "image id-0-queued is queued; only an active image can be copied")
    ]


async def test_a_policys_all_or_nothing_holds_for_its_jobs_too() -> None:
    taken = await of_policy(allow_failure=False).intake.copy(request(policy="golden"))
    assert [entry.allow_failure for entry in taken.jobs] == [False, False]


async def test_too_many_images_are_taken_in_several_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "AT_ONCE", 1)
    taken = await of_policy().intake.copy(request(policy="golden"))
    assert ([entry.image_name for entry in taken.jobs], taken.left) == (["a"], 1)


async def test_an_unknown_policy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(NotFoundError, match="no policy 'silver'") as refused:
        await of_policy().intake.copy(request(policy="silver"))
    assert refused.value.remedy == "the configuration has: golden"


async def test_a_dry_run_tells_what_would_start_and_what_would_wait_and_writes_nothing() -> None:
    one, other = image("one"), image("other")
    at = counter(picture_of(situation(one, other, attempts=[attempt(other, "dcn1")], per_store=1)))
    for store, waiting in (("dcn0", ""), ("dcn1", "budget: ")):
        taken = await at.intake.copy(request(image="one", stores=(store,), dry_run=True))
        (row,) = job_view(taken.jobs[0], taken.foreseen).stores
        assert (row.store, row.bytes_total) == (store, 1 << 30)
        assert row.waiting.startswith(waiting)
        assert bool(row.waiting) == bool(waiting)
    assert (at.journal.kept, at.journal.events, at.told) == ({}, [], [])


async def test_a_dry_run_knows_that_a_stalled_import_keeps_no_slot() -> None:
    one, other = image("one"), image("other")
    stuck = attempt(other, "dcn1")
    stall = Stall(since=NOW, store=StoreId("dcn1"), cause=StallCause.STORE_DOWN, why="dcn1 is down", next="wait")
    at = counter(picture_of(situation(one, other, attempts=[stuck], imports=1), stalls={stuck.id: stall}))
    taken = await at.intake.copy(request(image="one", stores=("dcn0",), dry_run=True))
    assert job_view(taken.jobs[0], taken.foreseen).stores[0].waiting == ""


async def test_a_dry_run_knows_what_is_too_slow_for_its_window() -> None:
    closing = StoreSettings(windows=MIDDAY, overrun=Overrun.STOP)
    at = counter(picture_of(situation(image(), settings={"dcn0": closing}, rates={"dcn0": 1000})))
    taken = await at.intake.copy(request(image="img", stores=("dcn0",), dry_run=True))
    assert job_view(taken.jobs[0], taken.foreseen).stores[0].waiting.startswith("window: it would run beyond")


async def test_a_dry_run_is_planned_from_all_that_the_daemon_plans_from() -> None:
    """Locations that Glance shows, for one: without them the rbd engine would be told to wait."""
    case = situation(image(), settings=ABLE, locations=True)
    at = counter(picture_of(case))
    taken = await at.intake.copy(request(image="img", stores=("dcn0",), engine=EngineChoice.RBD, dry_run=True))
    assert taken.foreseen is not None
    (start,) = taken.foreseen.plan.starts
    assert start.engine is Engine.RBD
    assert replace(taken.foreseen.situation, ledger=case.ledger) == case


async def test_a_dry_run_of_a_policy_sees_its_jobs_get_into_each_others_way() -> None:
    golden = policy(stores=["dcn0"])
    case = situation(image("a"), image("b"), policies=[golden], per_store=1)
    at = counter(picture_of(case), policies=lambda: (golden,))
    taken = await at.intake.copy(request(policy="golden", dry_run=True))
    first, second = (job_view(entry, taken.foreseen).stores[0].waiting for entry in taken.jobs)
    assert first == ""
    assert second.startswith("budget: ")
    assert at.journal.kept == {}


async def test_a_failure_does_not_keep_a_person_from_asking() -> None:
    one = image()
    at = counter(picture_of(situation(one, failures=[failure(one, "dcn0")])))
    taken = await at.intake.copy(request(image="img", stores=("dcn0",), dry_run=True))
    assert job_view(taken.jobs[0], taken.foreseen).stores[0].waiting == ""


@pytest.mark.parametrize("choice", EngineChoice)
async def test_who_moves_the_data_is_asked_for_and_told(choice: EngineChoice) -> None:
    at = counter(picture_of(situation(image(), settings=ABLE, locations=True)))
    await at.intake.copy(request(image="img", stores=("dcn0",), engine=choice))
    told = "" if choice is EngineChoice.AUTO else f", by {choice}"
    assert at.journal.events[0].message == f"alice asked for copies of img in dcn0{told}"
    assert (at.job.engine, job_view(at.job, None).engine) == (choice, choice)


FILES = {StoreId(name): Store(id=StoreId(name), type="file" if name == "dcn1" else "rbd") for name in ABLE}
HOPELESS: list[tuple[Situation, str, str]] = [
    (situation(image(), settings=ABLE, rules=Rules(rbd=False)), "turned off", "rbd.enabled: true"),
    (situation(image(disk_format="qcow2"), settings=ABLE), "the image is qcow2/bare", "qemu-img convert -O raw"),
    (situation(image(), settings={"dcn0": CEPH, "dcn1": CEPH}), "`ceph:` settings for central", "stores.central.ceph"),
    (situation(image(), settings={"central": CEPH, "dcn1": CEPH}), "`ceph:` settings for dcn0", "stores.dcn0.ceph"),
    (
        situation(image(), settings=ABLE, stores=Topology(hub=CENTRAL, stores=FILES)),
        "dcn1 is of Glance's store type file, not rbd",
        "name stores in Ceph only",
    ),
    (situation(image(), settings=ABLE, locations=False), "shows no locations", "show_multiple_locations = true"),
]


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(("case", "said", "remedy"), HOPELESS)
async def test_what_the_rbd_engine_can_never_copy_is_refused_at_once(
    case: Situation, said: str, remedy: str, dry_run: bool
) -> None:
    at = counter(picture_of(case))
    with pytest.raises(RequestError, match=said) as refused:
        await at.intake.copy(request(image="img", all_stores=True, engine=EngineChoice.RBD, dry_run=dry_run))
    assert remedy in refused.value.remedy
    assert "--engine auto" in refused.value.remedy
    assert at.journal.kept == {}
    # To the hub, Glance copies whatever was asked for; and whoever names no engine gets the copy.
    await at.intake.copy(request(image="img", all_stores=True))
    assert len(at.journal.kept) == 1


async def test_what_keeps_the_rbd_engine_only_for_now_is_waited_for() -> None:
    down = site("dcn0", state=BreakerState.OPEN, since=NOW, retry_at=NOW + timedelta(hours=1))
    for case in (
        situation(image(), settings=ABLE),
        situation(image(stores=("dcn1",)), settings=ABLE, locations=True),
        situation(image(), settings=ABLE, locations=True),
    ):
        at = counter(picture_of(case, sites=[down]))
        await at.intake.copy(request(image="img", stores=("dcn0",), engine=EngineChoice.RBD))
        assert at.job.engine is EngineChoice.RBD


async def test_of_a_policys_images_those_are_refused_that_the_rbd_engine_can_never_copy() -> None:
    golden = replace(policy("golden"), engine=EngineChoice.RBD)
    case = situation(image("a", disk_format="qcow2"), image("b"), policies=[golden], settings=ABLE, locations=True)
    taken = await counter(picture_of(case), policies=lambda: (golden,)).intake.copy(request(policy="golden"))
    assert [entry.image_name for entry in taken.jobs] == ["b"]
    ((name, detail),) = ((entry.image_name, entry.detail) for entry in taken.refused)
    assert (name, "qcow2" in detail) == ("a", True)


async def test_an_image_whose_engine_nobody_named_takes_whichever_can() -> None:
    at = counter(picture_of(situation(image())))
    await at.intake.copy(request(image="img", stores=("dcn0",)))
    assert at.job.engine is EngineChoice.AUTO


@pytest.mark.parametrize(("asked", "becomes"), [(None, EngineChoice.COPY_IMAGE), (EngineChoice.RBD, EngineChoice.RBD)])
async def test_a_policys_engine_holds_for_its_jobs_unless_another_is_named(
    asked: EngineChoice | None, becomes: EngineChoice
) -> None:
    golden = replace(policy("golden"), engine=EngineChoice.COPY_IMAGE)
    case = situation(image("a"), policies=[golden], settings=ABLE, locations=True)
    at = counter(picture_of(case), policies=lambda: (golden,))
    await at.intake.copy(request(policy="golden", engine=asked))
    assert at.job.engine is becomes


def test_a_job_shows_who_moves_its_data_just_now() -> None:
    one = image()
    moving = replace(attempt(one, "dcn0"), engine=Engine.RBD)
    picture = picture_of(situation(one, attempts=[moving]))
    shown = job_view(job(one, "dcn0", "dcn1"), picture)
    assert [row.engine for row in shown.stores] == ["rbd", ""]
    removal = job_view(job(one, "dcn0", work=Work.REMOVE), picture)
    assert [removal.engine, removal.stores[0].engine] == ["", ""]
    imported = replace(attempt(one, "dcn0"), work=Work.IMPORT)
    assert job_view(job(one, "dcn0"), picture_of(situation(one, attempts=[imported]))).stores[0].engine == ""
