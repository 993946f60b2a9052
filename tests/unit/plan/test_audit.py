"""Which differences between Glance and RBD are findings, and which of them may be mended without a human."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesync.domain.image import Image, ImageId, ImportTask, TaskId, TaskStatus
from edgesync.domain.site import Defect, Finding, RbdImage
from edgesync.domain.store import StoreId
from edgesync.plan.audit import Look, defect_of, is_image_id, judge, outlook
from edgesync.plan.suspects import doubts_about, listed_at, names_of_images, suspects
from tests.builders import CENTRAL, NOW, image, store_ids

GRACE = timedelta(minutes=10)
OLD = NOW - timedelta(hours=2)
ID = ImageId("0a7ab0c3-5b1c-4a4e-9a3f-8d3b6b6a8a01")
DCN0 = StoreId("dcn0")
MIB = 2**20


def at_glance(
    *stores: str, lock: str | None = None, importing_to: tuple[str, ...] = (), status: str = "active"
) -> Image:
    shown = image(stores=stores, lock=lock, importing_to=importing_to, status=status, size=16 * MIB)
    return replace(shown, id=ID)


def at_ceph(
    *,
    size: int = 16 * MIB,
    snapshot: bool = True,
    protected: bool = True,
    watchers: int = 0,
    children: tuple[str, ...] = (),
    created_at: datetime = OLD,
) -> RbdImage:
    return RbdImage(
        name=ID,
        id="1",
        size=size,
        snapshot=snapshot,
        protected=protected,
        watchers=watchers,
        children=children,
        created_at=created_at,
    )


def half_written(*, watchers: int = 0, created_at: datetime = OLD) -> RbdImage:
    return at_ceph(snapshot=False, protected=False, watchers=watchers, created_at=created_at)


def task(*stores: str, idle: timedelta = timedelta(0), status: TaskStatus = TaskStatus.PROCESSING) -> ImportTask:
    return ImportTask(
        id=TaskId("theirs"),
        status=status,
        message="",
        stores=tuple(StoreId(store) for store in stores),
        created_at=OLD,
        updated_at=NOW - idle,
    )


def look(
    shown: Image | None,
    rbd: RbdImage | None,
    holder: ImportTask | None = None,
    *,
    ours: bool = False,
    hub: bool = False,
    doubtful: tuple[str, ...] = (),
    doubt: str = "",
) -> Look:
    return Look(
        name=ID,
        store=CENTRAL if hub else DCN0,
        image=shown,
        rbd=rbd,
        task=holder,
        ours=ours,
        hub=hub,
        doubtful=store_ids(*doubtful),
        doubt=doubt,
    )


def found(seen: Look) -> Finding:
    finding = judge(seen, grace=GRACE, now=NOW)
    assert finding is not None
    return finding


def nothing(seen: Look) -> bool:
    return judge(seen, grace=GRACE, now=NOW) is None


def test_a_good_copy_is_no_finding() -> None:
    assert nothing(look(at_glance("central", "dcn0"), at_ceph()))


def test_no_copy_is_no_finding() -> None:
    assert nothing(look(at_glance("central"), None))
    assert nothing(look(None, None))


def test_what_a_dead_worker_left_can_be_trashed_once_its_lock_has_expired() -> None:
    shown = at_glance("central", lock="theirs", importing_to=("dcn0",))
    expired = found(look(shown, half_written(), task("dcn0", idle=timedelta(minutes=60))))
    assert (expired.defect, expired.obstacle) == (Defect.ORPHAN, "")
    assert "moved to RBD's trash" in outlook(expired)
    before = found(look(shown, half_written(), task("dcn0", idle=timedelta(minutes=59))))
    assert before.passing
    assert "12:01" in before.obstacle, "people read when the lock ends"


def test_a_lock_whose_task_glance_does_not_show_is_in_force() -> None:
    assert found(look(at_glance("central", lock="theirs"), half_written())).passing


def test_the_image_that_a_running_import_writes_is_no_finding() -> None:
    shown = at_glance("central", lock="theirs", importing_to=("dcn0",))
    slow = task("dcn0", idle=timedelta(minutes=30))
    assert nothing(look(shown, half_written(watchers=1), slow))
    assert nothing(look(shown, half_written(created_at=NOW), slow)), "made, and not opened yet"
    assert nothing(look(shown, at_ceph(), task("dcn0"))), "written, and not registered yet"


def test_what_lies_where_a_running_import_does_not_write_is_an_orphan_that_waits_for_it() -> None:
    shown = at_glance("central", lock="theirs", importing_to=("dcn1",))
    finding = found(look(shown, half_written(), task("dcn1")))
    assert finding.passing
    assert "lock" in finding.obstacle


def test_an_upload_on_its_way_is_no_finding_and_a_forgotten_one_waits_for_the_image() -> None:
    shown = at_glance(status="saving")
    assert nothing(look(shown, half_written(watchers=1)))
    assert nothing(look(shown, half_written(created_at=NOW)))
    forgotten = found(look(shown, half_written()))
    assert forgotten.passing
    assert "saving" in forgotten.obstacle


@pytest.mark.parametrize(
    ("rbd", "said"),
    [
        (half_written(watchers=1), "has the RBD image open"),
        (half_written(created_at=NOW - GRACE + timedelta(seconds=1)), "younger than 10 minutes"),
        (half_written(created_at=NOW + timedelta(hours=1)), "younger than 10 minutes"),
    ],
)
def test_obstacles_of_an_orphan_that_end_by_themselves(rbd: RbdImage, said: str) -> None:
    finding = found(look(at_glance("central"), rbd))
    assert finding.passing
    assert said in finding.obstacle
    assert said in outlook(finding)


def test_damage_is_not_hidden_by_a_snapshot_that_is_not_protected() -> None:
    hurt = replace(look(at_glance("central", "dcn0"), at_ceph(protected=False)), damage="bytes 0-65535")
    assert defect_of(hurt) is Defect.DAMAGED
    assert defect_of(replace(hurt, damage="")) is Defect.UNPROTECTED


def test_a_copy_without_its_snapshot_may_only_need_that() -> None:
    finding = found(look(at_glance("central", "dcn0"), at_ceph(snapshot=False, protected=False)))
    assert "take the snapshot if its digests prove it whole, else take the location away" in outlook(finding)
    alone = found(look(at_glance("dcn0"), at_ceph(snapshot=False, protected=False)))
    assert "left alone, unless its digests prove it whole, since no other store has a good copy" in outlook(alone)
    missing = found(look(at_glance("central", "dcn0"), None))
    assert outlook(missing).endswith("without a human: take the location away and copy the image again")


def test_an_orphan_with_clones_is_for_a_human() -> None:
    finding = found(look(at_glance("central"), at_ceph(children=("vms/a", "vms/b", "vms/c", "vms/d"))))
    assert not finding.passing
    assert "vms/a, vms/b, vms/c and others" in finding.obstacle
    assert "rbd info" in outlook(finding)


@pytest.mark.parametrize("status", ["active", "deactivated"])
def test_the_only_data_of_an_image_are_for_a_human(status: str) -> None:
    finding = found(look(at_glance(status=status), at_ceph(), hub=True))
    assert not finding.passing
    assert "no copy of the image anywhere else" in finding.obstacle
    assert not found(look(at_glance(status=status), half_written(), hub=True)).obstacle


def test_what_is_left_of_an_image_that_glance_lost_must_be_ours() -> None:
    theirs = found(look(None, at_ceph()))
    assert theirs.obstacle
    assert not theirs.passing
    assert not found(look(None, at_ceph(), ours=True)).obstacle


def test_a_human_is_not_told_to_wait_for_what_does_not_end() -> None:
    finding = found(look(None, half_written(watchers=1, created_at=NOW)))
    assert not finding.passing
    assert "open" not in finding.obstacle


def test_names_that_are_no_image_ids_are_nobodys_business() -> None:
    for name in ("golden-base", f"{ID}_disk", f"volume-{ID}", "", ID[:-1]):
        assert not is_image_id(name)
        assert nothing(replace(look(None, replace(at_ceph(), name=name), ours=True), name=ImageId(name)))
    assert names_of_images({"golden-base", ID}) == {ID}


@pytest.mark.parametrize(
    ("rbd", "defect", "said"),
    [
        (None, Defect.NO_IMAGE, "Glance lists a copy of 16 MiB"),
        (at_ceph(size=16 * MIB - 512), Defect.WRONG_SIZE, f"{16 * MIB - 512} bytes"),
        (at_ceph(snapshot=False, protected=False), Defect.NO_SNAPSHOT, "no snapshot"),
        (at_ceph(protected=False), Defect.UNPROTECTED, "not protected"),
    ],
)
def test_a_broken_copy_can_be_mended_where_another_is_good(rbd: RbdImage | None, defect: Defect, said: str) -> None:
    finding = found(look(at_glance("central", "dcn0"), rbd))
    assert (finding.defect, finding.obstacle, finding.passing) == (defect, "", False)
    assert said in finding.detail
    assert "without a human" in outlook(finding)


BAD = (None, at_ceph(size=MIB), at_ceph(snapshot=False, protected=False))


@pytest.mark.parametrize("rbd", BAD)
def test_the_only_good_copy_is_never_taken_away(rbd: RbdImage | None) -> None:
    for shown, doubtful in ((at_glance("dcn0"), ()), (at_glance("central", "dcn0"), ("central",))):
        finding = found(look(shown, rbd, doubtful=doubtful))
        assert "no other store" in finding.obstacle
        assert not finding.passing
    assert not found(look(at_glance("central", "dcn0", "dcn1"), rbd, doubtful=("central",))).obstacle


def test_the_snapshot_of_the_only_copy_can_be_protected_again() -> None:
    shown = at_glance("central", status="deactivated")
    rbd = at_ceph(protected=False, children=("vms/a",), watchers=1)
    assert not found(look(shown, rbd, hub=True)).obstacle


def test_at_the_hub_only_what_is_not_there_can_be_copied_again() -> None:
    shown = at_glance("central", "dcn0")
    assert not found(look(shown, None, hub=True)).obstacle
    for rbd in BAD[1:]:
        assert "hub" in found(look(shown, rbd, hub=True)).obstacle


def test_a_broken_copy_with_clones_is_for_a_human() -> None:
    finding = found(look(at_glance("central", "dcn0"), at_ceph(size=MIB, children=("vms/a",))))
    assert "vms/a" in finding.obstacle
    assert not finding.passing


def test_an_import_elsewhere_makes_a_broken_copy_wait_and_one_here_hides_it() -> None:
    elsewhere = at_glance("central", "dcn0", lock="theirs", importing_to=("dcn1",))
    assert found(look(elsewhere, at_ceph(protected=False), task("dcn1"))).passing
    here = at_glance("central", "dcn0", lock="theirs", importing_to=("dcn1",))
    assert nothing(look(here, None, task("dcn0", "dcn1"))), "an all-or-nothing import that takes its copies back"


def test_a_deletion_on_its_way_is_no_finding() -> None:
    assert nothing(look(at_glance("central", "dcn0"), half_written(watchers=1)))
    assert nothing(look(at_glance("central", "dcn0", status="pending_delete"), None))


def test_a_deactivated_image_is_mended_later() -> None:
    finding = found(look(at_glance("central", "dcn0", status="deactivated"), None))
    assert finding.passing
    assert "deactivated" in finding.obstacle


def test_a_leftover_of_a_deactivated_image_goes_as_one_of_an_active_image_does() -> None:
    shown = at_glance("central", status="deactivated")
    assert not found(look(shown, at_ceph())).obstacle
    assert found(look(shown, at_ceph(created_at=NOW))).passing
    assert nothing(look(replace(shown, lock=TaskId("ours")), half_written(watchers=1), task("dcn0")))


def test_a_doubt_about_the_settings_stops_all_but_protecting() -> None:
    for seen in (look(at_glance("central"), at_ceph()), look(at_glance("central", "dcn0"), None)):
        assert found(replace(seen, doubt="is this the pool?")).obstacle == "is this the pool?"
    unprotected = look(at_glance("central", "dcn0"), at_ceph(protected=False), doubt="is this the pool?")
    assert not found(unprotected).obstacle


RBDS = st.none() | st.builds(
    at_ceph,
    size=st.sampled_from([16 * MIB, MIB]),
    snapshot=st.booleans(),
    protected=st.booleans(),
    watchers=st.integers(0, 1),
    children=st.sampled_from([(), ("vms/a",)]),
    created_at=st.sampled_from([OLD, NOW, NOW - GRACE]),
)
IMAGES = st.none() | st.builds(
    lambda stores, lock, importing_to, status: at_glance(*stores, lock=lock, importing_to=importing_to, status=status),
    st.sampled_from([(), ("central",), ("dcn0",), ("central", "dcn0")]),
    st.sampled_from([None, "theirs"]),
    st.sampled_from([(), ("dcn0",), ("dcn1",)]),
    st.sampled_from(["active", "queued", "saving", "importing", "deactivated", "pending_delete"]),
)
TASKS = st.none() | st.builds(
    task,
    st.sampled_from(["dcn0", "dcn1"]),
    idle=st.sampled_from([timedelta(0), timedelta(minutes=59), timedelta(minutes=60), timedelta(minutes=200)]),
    status=st.sampled_from(TaskStatus),
)
LOOKS = st.builds(
    look,
    IMAGES,
    RBDS,
    TASKS,
    ours=st.booleans(),
    hub=st.booleans(),
    doubtful=st.sampled_from([(), ("central",), ("dcn0",)]),
)


@given(LOOKS)
def test_nothing_is_given_free_that_somebody_may_need(seen: Look) -> None:
    finding = judge(seen, grace=GRACE, now=NOW)
    if finding is None or finding.obstacle:
        return
    in_force = seen.image is not None and seen.image.lock is not None
    if in_force and seen.task is not None:
        in_force = seen.task.expires_at > NOW
    assert not in_force
    if finding.defect is Defect.UNPROTECTED:
        return
    assert seen.rbd is None or not (seen.rbd.children or seen.rbd.watchers)
    if finding.defect is Defect.ORPHAN:
        assert seen.rbd is not None
        assert seen.rbd.created_at <= NOW - GRACE
        if seen.image is not None:
            assert seen.image.status in {"active", "deactivated"}
        else:
            assert seen.ours
            assert not seen.doubt
        assert seen.image is None or seen.store not in seen.image.stores
    else:
        assert seen.image is not None
        assert seen.image.active
        assert seen.image.stores - {seen.store} - seen.doubtful, "there is another copy to copy from"
        assert not (seen.hub and seen.rbd), "no copy at the hub is deleted"


@given(LOOKS)
def test_a_finding_is_one_sentence_and_passes_only_for_a_reason(seen: Look) -> None:
    finding = judge(seen, grace=GRACE, now=NOW)
    if finding is None:
        return
    assert finding.defect is defect_of(seen)
    assert finding.detail
    assert "\n" not in finding.detail + finding.obstacle + outlook(finding)
    assert not finding.passing or finding.obstacle


@given(LOOKS)
def test_time_clears_every_passing_obstacle_but_a_watcher_and_an_image_that_stays_inactive(seen: Look) -> None:
    finding = judge(seen, grace=GRACE, now=NOW)
    watched = seen.rbd is not None and seen.rbd.watchers > 0
    settled = seen.image is not None and seen.image.active and (seen.image.lock is None or seen.task is not None)
    if finding is None or not finding.passing or watched or not settled:
        return
    later = judge(seen, grace=GRACE, now=NOW + timedelta(hours=3))
    assert later is not None
    assert not later.obstacle


def finding_at(number: int, defect: Defect, *, obstacle: str = "", passing: bool = False) -> Finding:
    return Finding(
        image=uuid(number), store=DCN0, defect=defect, detail="", obstacle=obstacle, passing=passing, seen_at=NOW
    )


def uuid(number: int) -> ImageId:
    return ImageId(f"{number:08x}-0000-4000-8000-000000000000")


def ids(*numbers: int) -> frozenset[ImageId]:
    return frozenset(uuid(number) for number in numbers)


def test_a_quick_pass_looks_at_what_the_names_tell_and_a_full_one_at_all() -> None:
    there, listed = ids(1, 2, 3), ids(2, 3, 4)
    assert suspects(there, listed, {}, full=False) == ids(1, 4)
    assert suspects(there, listed, {}, full=True) == ids(1, 2, 3, 4)


def test_a_quick_pass_leaves_what_waits_for_a_human_until_the_names_change() -> None:
    human = {
        uuid(1): finding_at(1, Defect.ORPHAN, obstacle="clones"),
        uuid(4): finding_at(4, Defect.NO_IMAGE, obstacle="no other"),
        uuid(2): finding_at(2, Defect.WRONG_SIZE, obstacle="clones"),
    }
    assert not suspects(ids(1, 2, 3), ids(2, 3, 4), human, full=False)
    assert suspects(ids(2, 3), ids(2, 3, 4), human, full=False) == ids(1), "somebody removed the orphan"
    assert suspects(ids(1, 2, 3, 4), ids(2, 3, 4), human, full=False) == ids(4), "somebody brought it back"
    assert suspects(ids(1, 3), ids(3, 4), human, full=False) == ids(2), "the copy was deleted"


@pytest.mark.parametrize("defect", list(Defect))
def test_a_quick_pass_looks_again_at_what_may_have_changed_by_itself(defect: Defect) -> None:
    for obstacle in ("", "too young"):
        findings = {uuid(2): finding_at(2, defect, obstacle=obstacle, passing=bool(obstacle))}
        assert suspects(ids(2), ids(2), findings, full=False) == ids(2)


@given(
    st.frozensets(st.integers(0, 8)),
    st.frozensets(st.integers(0, 8)),
    st.dictionaries(st.integers(0, 8), st.tuples(st.sampled_from(Defect), st.sampled_from(["", "open", "clones"]))),
)
def test_a_quick_pass_looks_at_no_more_than_a_full_one(
    there: frozenset[int], listed: frozenset[int], before: dict[int, tuple[Defect, str]]
) -> None:
    findings = {
        uuid(number): finding_at(number, defect, obstacle=obstacle, passing=obstacle == "open")
        for number, (defect, obstacle) in before.items()
    }
    quick = suspects(ids(*there), ids(*listed), findings, full=False)
    assert quick <= suspects(ids(*there), ids(*listed), findings, full=True)
    new = (ids(*there) ^ ids(*listed)) - findings.keys()
    assert new <= quick, "nothing new escapes"


def test_what_glance_lists_at_a_store() -> None:
    one, two = image("one", stores=("central", "dcn0")), image("two")
    assert listed_at({one.id: one, two.id: two}, DCN0) == {one.id}


@pytest.mark.parametrize(
    ("there", "listed", "doubted"),
    [
        (range(1, 10), range(10), False),  # one of ten is missing
        (range(3), range(6), False),  # three of six
        (range(0), range(3), False),  # all of three: it may be so
        (range(0), range(4), True),
        (range(40), range(100), True),
        (range(60), range(100), False),
    ],
)
def test_a_pool_without_most_of_its_copies_may_be_the_wrong_pool(there: range, listed: range, doubted: bool) -> None:
    assert bool(doubts_about(ids(*there), ids(*listed), ()).missing) is doubted


def test_more_images_gone_than_left_may_be_a_lost_role() -> None:
    there = ids(*range(30))
    assert doubts_about(there, ids(*range(10)), ids(*range(10, 30))).gone
    for left, gone in product((20, 25), (3, 5)):
        assert not doubts_about(there, ids(*range(left)), ids(*range(left, left + gone))).gone
