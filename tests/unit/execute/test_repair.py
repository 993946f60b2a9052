"""What an audit found is mended, after it was proven anew."""

from __future__ import annotations

from datetime import timedelta

import pytest

from edgesync.domain.image import Image, replacement_name, temporary_name
from edgesync.domain.job import CopyResult, EngineChoice, EventKind, Origin, Work
from edgesync.domain.site import Defect
from edgesync.errors import ConflictError, EdgesyncError, PermanentError, UnreachableError
from tests.builders import CENTRAL, NOW, image
from tests.unit.execute.doubles import DCN0, DCN1, Rig, rig, work_on

MENDED, FAILED = CopyResult.REPAIRED, CopyResult.FAILED
EVERYWHERE = ("central", "dcn0", "dcn1")


async def mend(on: Rig, shown: Image, work: Work, store: str = "dcn0") -> None:
    await on.engines.repairs.begin(work_on(shown, work, store))


async def test_an_orphan_is_trashed_and_the_way_back_is_told() -> None:
    on = rig()
    shown = on.glance.put(image())
    on.clusters[DCN0].put(shown.id)
    on.sites.find(shown.id, DCN0, Defect.ORPHAN)
    await mend(on, shown, Work.TRASH)
    assert (on.clusters[DCN0].deeds, on.clusters[DCN0].delays) == ([("trash", shown.id)], [timedelta(days=7)])
    assert (on.end.results, on.end.kinds) == ({"dcn0": MENDED}, [EventKind.ORPHAN_TRASHED])
    assert "rbd trash restore --pool glance ID" in on.end.reasons
    assert on.sites.settled == [(shown.id, DCN0)]


async def test_an_orphan_of_an_image_that_is_gone_is_trashed_too() -> None:
    on = rig()
    on.clusters[DCN0].put(image().id)
    on.sites.find(image().id, DCN0, Defect.ORPHAN)
    await mend(on, image(), Work.TRASH)
    assert on.end.results == {"dcn0": MENDED}


async def test_a_snapshot_is_protected_again() -> None:
    on = rig()
    shown = on.glance.put(image(stores=EVERYWHERE))
    on.clusters[DCN0].put(shown.id, protected=False)
    on.sites.find(shown.id, DCN0, Defect.UNPROTECTED)
    await mend(on, shown, Work.PROTECT)
    assert on.clusters[DCN0].deeds == [("protect", shown.id)]
    assert (on.end.results, on.end.kinds) == ({"dcn0": MENDED}, [EventKind.COPY_REPAIRED])


@pytest.mark.parametrize("work", [Work.TRASH, Work.PROTECT, Work.UNLIST])
async def test_what_is_not_true_any_more_is_left_alone(work: Work) -> None:
    on = rig()
    shown = on.glance.put(image(stores=EVERYWHERE))
    on.clusters[DCN0].put(shown.id)
    await mend(on, shown, work)
    assert on.clusters[DCN0].deeds == []
    assert on.glance.calls == []
    assert (on.end.results, on.end.kinds) == ({"dcn0": MENDED}, [EventKind.COPY_REPAIRED])
    assert on.end.follow_up is None


@pytest.mark.parametrize(
    ("work", "defect"),
    [(Work.TRASH, Defect.WRONG_SIZE), (Work.PROTECT, Defect.NO_SNAPSHOT), (Work.UNLIST, Defect.UNPROTECTED)],
)
async def test_another_defect_than_the_one_that_was_found_is_left_alone(work: Work, defect: Defect) -> None:
    on = rig()
    shown = on.glance.put(image(stores=EVERYWHERE))
    on.clusters[DCN0].put(shown.id)
    on.sites.find(shown.id, DCN0, defect)
    await mend(on, shown, work)
    assert (on.clusters[DCN0].deeds, on.glance.calls) == ([], [])
    assert on.sites.settled == [], "what is wrong stays known"


async def test_an_obstacle_keeps_it_from_being_touched() -> None:
    on = rig()
    shown = on.glance.put(image())
    on.clusters[DCN0].put(shown.id)
    on.sites.find(shown.id, DCN0, Defect.ORPHAN, obstacle="somebody has it open")
    await mend(on, shown, Work.TRASH)
    assert on.clusters[DCN0].deeds == []
    assert (on.end.results, on.end.kinds) == ({"dcn0": FAILED}, [EventKind.REPAIR_FAILED])
    assert "somebody has it open" in on.end.reasons


async def test_a_silent_site_is_waited_for() -> None:
    on = rig()
    on.clusters[DCN0].down = True
    await mend(on, image(), Work.TRASH)
    assert len(on.journal.dropped) == 1
    assert on.journal.finished == []


@pytest.mark.parametrize("refusal", [ConflictError("in use"), PermanentError("no caps")])
async def test_what_the_cluster_refuses_is_told(refusal: ConflictError | PermanentError) -> None:
    on = rig()
    on.clusters[DCN0].put(image().id)
    on.clusters[DCN0].refusal = refusal
    on.sites.find(image().id, DCN0, Defect.ORPHAN)
    await mend(on, image(), Work.TRASH)
    assert on.end.results == {"dcn0": FAILED}
    assert refusal.message in on.end.reasons


async def test_without_ceph_nothing_is_mended() -> None:
    on = rig(ceph=False)
    await mend(on, image(), Work.TRASH)
    assert on.end.results == {"dcn0": FAILED}


# ---- taking a broken copy off the list


async def unlisted(on: Rig, defect: Defect, store: str = "dcn0") -> Image:
    shown = on.glance.put(image(stores=EVERYWHERE))
    on.sites.find(shown.id, on.clusters[store].store, defect)  # type: ignore[index]
    await mend(on, shown, Work.UNLIST, store)
    return shown


@pytest.mark.parametrize("store", ["dcn0", "central"])
async def test_a_copy_without_data_is_taken_off_the_list_and_made_anew(store: str) -> None:
    on = rig()
    shown = await unlisted(on, Defect.NO_IMAGE, store)
    assert on.glance.asked("delete_from_store") == [(shown.id, store)]
    assert (on.end.results, on.end.kinds) == ({store: MENDED}, [EventKind.COPY_REPAIRED])
    again = on.end.follow_up
    assert again is not None
    assert (again.work, again.origin, again.image) == (Work.COPY, Origin.REPAIR, shown.id)
    assert again.pending == {store}
    # As whoever wants the copy says.
    assert again.engine is (EngineChoice.RBD if store == "dcn0" else EngineChoice.AUTO)


async def test_what_is_left_of_the_data_goes_into_the_trash_first() -> None:
    on = rig()
    on.clusters[DCN0].put(image().id, size=1)
    shown = await unlisted(on, Defect.WRONG_SIZE)
    assert on.clusters[DCN0].deeds == [("trash", shown.id)]
    assert on.glance.images[shown.id].stores == {"central", "dcn1"}
    assert "rbd trash restore" in on.end.reasons


async def test_a_broken_copy_with_clones_is_not_touched() -> None:
    on = rig()
    on.clusters[DCN0].put(image().id, size=1, children=("vms/disk",))
    await unlisted(on, Defect.WRONG_SIZE)
    assert (on.clusters[DCN0].deeds, on.glance.calls) == ([], [])
    assert on.end.results == {"dcn0": FAILED}
    assert "vms/disk" in on.end.reasons


async def test_the_last_sound_copy_stays_on_the_list() -> None:
    on = rig()
    on.sites.find(image().id, CENTRAL, Defect.NO_IMAGE)
    on.clusters[DCN1].down = True
    await unlisted(on, Defect.NO_IMAGE)
    assert on.glance.calls == []
    assert on.end.results == {"dcn0": FAILED}
    assert "no other copy is known to be sound" in on.end.reasons


async def test_one_that_is_merely_unprotected_is_sound_enough() -> None:
    on = rig()
    on.sites.find(image().id, CENTRAL, Defect.UNPROTECTED)
    await unlisted(on, Defect.NO_IMAGE)
    assert on.end.results == {"dcn0": MENDED}


async def test_nothing_is_taken_off_the_list_while_an_import_runs() -> None:
    on = rig()
    shown = on.glance.put(image(stores=EVERYWHERE, lock="theirs"))
    on.glance.task("theirs", updated_at=NOW)
    on.sites.find(shown.id, DCN0, Defect.NO_IMAGE)
    await mend(on, shown, Work.UNLIST)
    assert on.end.results == {"dcn0": FAILED}


async def test_a_crash_after_the_deed_does_not_forget_to_copy_again() -> None:
    on = rig()
    shown = on.glance.put(image(stores=("central", "dcn1")))
    await on.engines.repairs.follow(work_on(shown, Work.UNLIST, "dcn0"))
    assert on.end.results == {"dcn0": MENDED}
    assert on.end.follow_up is not None


async def test_a_crash_between_trash_and_list_is_finished_by_whoever_follows() -> None:
    on = rig()
    shown = on.glance.put(image(stores=EVERYWHERE))
    on.clusters[DCN0].put(shown.id, size=1)
    on.sites.find(shown.id, DCN0, Defect.WRONG_SIZE)
    on.glance.refusals["delete_from_store"] = [UnreachableError("no answer")]
    with pytest.raises(UnreachableError):
        await mend(on, shown, Work.UNLIST)
    on.sites.find(shown.id, DCN0, Defect.NO_IMAGE)
    await on.engines.repairs.follow(work_on(shown, Work.UNLIST, "dcn0"))
    assert on.end.results == {"dcn0": MENDED}
    assert on.glance.images[shown.id].stores == {"central", "dcn1"}


async def test_an_image_that_is_gone_needs_no_repair() -> None:
    on = rig()
    await mend(on, image(), Work.UNLIST)
    assert on.end.results == {"dcn0": MENDED}
    assert on.end.follow_up is None


# Unfinished copies of edgesync's own.


async def test_an_unfinished_copy_goes_into_the_trash_and_the_image_of_glance_stays() -> None:
    on = rig()
    shown = on.glance.put(image(stores=EVERYWHERE))
    on.clusters[DCN0].put(shown.id)
    on.clusters[DCN0].put(temporary_name(shown.id))
    await mend(on, shown, Work.SWEEP)
    assert on.clusters[DCN0].deeds == [("trash", temporary_name(shown.id))]
    assert (on.end.results, on.end.kinds) == ({"dcn0": MENDED}, [EventKind.ORPHAN_TRASHED])
    assert "rbd trash restore --pool glance ID" in on.end.reasons
    assert on.sites.settled == [(shown.id, DCN0)]


async def test_an_unfinished_replacement_of_a_damaged_copy_goes_with_it() -> None:
    on = rig()
    shown = on.glance.put(image(stores=EVERYWHERE))
    left = [temporary_name(shown.id), replacement_name(shown.id)]
    for name in left:
        on.clusters[DCN0].put(name)
    await mend(on, shown, Work.SWEEP)
    assert on.clusters[DCN0].deeds == [("trash", name) for name in left]
    on.clusters[DCN0].put(left[1])
    await mend(on, shown, Work.SWEEP)
    assert on.clusters[DCN0].deeds[2:] == [("trash", left[1])]


async def test_an_unfinished_copy_that_is_gone_needs_no_sweeping() -> None:
    on = rig()
    await mend(on, image(), Work.SWEEP)
    assert (on.end.results, on.end.kinds) == ({"dcn0": MENDED}, [EventKind.COPY_REPAIRED])


@pytest.mark.parametrize("trouble", [ConflictError("a watcher"), UnreachableError("no answer")])
async def test_an_unfinished_copy_that_can_not_be_swept_now_is_left_for_later(trouble: EdgesyncError) -> None:
    on = rig()
    on.clusters[DCN0].put(temporary_name(image().id))
    on.clusters[DCN0].refusal = trouble
    await mend(on, image(), Work.SWEEP)
    assert len(on.journal.dropped) == 1
    assert on.journal.finished == []


async def test_what_can_not_be_proven_whole_is_not_sealed() -> None:
    on = rig()
    shown = on.glance.put(image(stores=EVERYWHERE))
    on.clusters[DCN0].put(shown.id)
    on.sites.find(shown.id, DCN0, Defect.NO_SNAPSHOT, obstacle="there are clones of it")
    await mend(on, shown, Work.SEAL)
    assert (on.clusters[DCN0].deeds, on.glance.asked("delete_from_store")) == ([], [])
    assert on.end.results == {"dcn0": FAILED}
    assert "its digests don't prove it whole" in on.end.reasons
