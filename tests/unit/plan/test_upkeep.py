"""Removals, repairs and pruning: what is done to copies that are there, and above all what isn't."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgesync.domain.copy import WaitReason
from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import Origin, Work
from edgesync.domain.pause import Pause
from edgesync.domain.policy import Repair
from edgesync.domain.site import BreakerState, Defect, Site
from edgesync.domain.store import StoreId
from edgesync.plan.planner import make_plan
from edgesync.plan.situation import Rules, Situation
from tests.builders import (
    attempt,
    finding,
    image,
    job,
    only_start,
    pause,
    policy,
    reasons,
    site,
    situation,
    started,
    store_ids,
    task,
    topology,
    why,
)

EVERYWHERE = image(stores=("central", "dcn0", "dcn1"))
DOWN = BreakerState.OPEN


def removal(of: Image, *stores: str, number: int = 1, urgent: bool = False) -> Situation:
    return situation(of, jobs=[job(of, *stores, work=Work.REMOVE, number=number, urgent=urgent)])


# Removals that somebody asked for.


def test_a_copy_that_somebody_wants_removed_is_removed() -> None:
    start = only_start(make_plan(removal(EVERYWHERE, "dcn0")))
    assert (start.work, start.stores, start.job) == (Work.REMOVE, ("dcn0",), "job-1")
    assert start.why == "alice asked for its removal (job job-1)"


def test_the_hubs_copy_is_never_removed() -> None:
    assert make_plan(removal(EVERYWHERE, "central")).starts == ()
    assert only_start(make_plan(removal(EVERYWHERE, "central", "dcn0"))).stores == ("dcn0",)


def test_the_last_copy_is_never_removed() -> None:
    assert make_plan(removal(image(stores=("dcn0",), tags=()), "dcn0")).starts == ()


@pytest.mark.parametrize(
    ("of", "change", "reason"),
    [
        (replace(EVERYWHERE, lock=task("theirs").id), {}, WaitReason.LOCK),
        (replace(EVERYWHERE, status="deactivated"), {}, WaitReason.NOT_ACTIVE),
        (EVERYWHERE, {"sites": [site("dcn0", DOWN)]}, WaitReason.STORE_DOWN),
        (EVERYWHERE, {"pauses": [pause()]}, WaitReason.PAUSED),
        (EVERYWHERE, {"pauses": [pause(store="dcn0")]}, WaitReason.PAUSED),
        (EVERYWHERE, {"upkeep": 0}, WaitReason.BUDGET),
    ],
)
def test_what_a_removal_waits_for(of: Image, change: dict[str, object], reason: WaitReason) -> None:
    plan = make_plan(situation(of, jobs=[job(of, "dcn0", work=Work.REMOVE)], **change))  # type: ignore[arg-type]
    assert plan.starts == ()
    assert reasons(plan) == {reason: store_ids("dcn0")}


@pytest.mark.parametrize("paused", [pause(of=EVERYWHERE), pause(of=EVERYWHERE, store="dcn0")])
def test_a_pause_of_the_image_keeps_its_copies_away_and_not_their_removal(paused: Pause) -> None:
    """`delete-copy --pause` sets one, so that no policy brings the copy back."""
    case = situation(EVERYWHERE, jobs=[job(EVERYWHERE, "dcn0", work=Work.REMOVE)], pauses=[paused])
    assert only_start(make_plan(case)).work is Work.REMOVE


def test_a_removal_goes_on_where_the_site_answers() -> None:
    case = situation(EVERYWHERE, jobs=[job(EVERYWHERE, "dcn0", "dcn1", work=Work.REMOVE)], sites=[site("dcn0", DOWN)])
    plan = make_plan(case)
    assert only_start(plan).stores == ("dcn1",)
    assert reasons(plan) == {WaitReason.STORE_DOWN: store_ids("dcn0")}


def test_removals_of_one_image_go_one_after_the_other() -> None:
    jobs = [job(EVERYWHERE, store, work=Work.REMOVE, number=number) for number, store in enumerate(("dcn0", "dcn1"))]
    plan = make_plan(situation(EVERYWHERE, jobs=jobs))
    assert only_start(plan).stores == ("dcn0",)
    assert reasons(plan) == {WaitReason.IN_FLIGHT: store_ids("dcn1")}


def test_an_urgent_removal_goes_first() -> None:
    other = image("other", stores=("central", "dcn0"))
    jobs = [job(EVERYWHERE, "dcn0", work=Work.REMOVE), job(other, "dcn0", work=Work.REMOVE, number=2, urgent=True)]
    plan = make_plan(situation(EVERYWHERE, other, jobs=jobs, upkeep=1))
    assert started(plan) == {("other", "dcn0")}
    assert why(plan, WaitReason.BUDGET) == "so many copies are being removed or repaired already"


def test_running_upkeep_takes_from_what_may_run() -> None:
    other = image("other", stores=("central", "dcn0"))
    case = situation(
        EVERYWHERE,
        other,
        jobs=[job(EVERYWHERE, "dcn0", work=Work.REMOVE)],
        attempts=[attempt(other, "dcn0", number=9, work=Work.PROTECT)],
        upkeep=1,
    )
    assert make_plan(case).starts == ()


# Repairs of what an audit found.


def broken(defect: Defect, *, store: str = "dcn0", of: Image = EVERYWHERE, obstacle: str = "") -> Site:
    return site(store, findings=[finding(of, store, defect, obstacle=obstacle)])


@pytest.mark.parametrize(
    ("defect", "work"),
    [
        (Defect.UNPROTECTED, Work.PROTECT),
        (Defect.NO_SNAPSHOT, Work.UNLIST),
        (Defect.NO_IMAGE, Work.UNLIST),
        (Defect.WRONG_SIZE, Work.UNLIST),
        (Defect.DAMAGED, Work.RENEW),
    ],
)
def test_each_defect_has_its_repair(defect: Defect, work: Work) -> None:
    start = only_start(make_plan(situation(EVERYWHERE, sites=[broken(defect)])))
    assert (start.work, start.stores, start.job, start.origin) == (work, ("dcn0",), None, Origin.REPAIR)
    assert start.requested_by == "edgesync"


@pytest.mark.parametrize("images", [(), (image(tags=()),)], ids=["of a deleted image", "of a copy that failed"])
def test_an_orphan_goes_to_the_trash(images: tuple[Image, ...]) -> None:
    assert only_start(make_plan(situation(*images, sites=[broken(Defect.ORPHAN)]))).work is Work.TRASH


def test_an_orphan_that_has_become_a_copy_since_the_audit_stays() -> None:
    assert make_plan(situation(EVERYWHERE, sites=[broken(Defect.ORPHAN)])).starts == ()


@pytest.mark.parametrize("defect", [entry for entry in Defect if entry.broken])
def test_a_broken_copy_that_is_no_longer_listed_needs_no_repair(defect: Defect) -> None:
    assert make_plan(situation(image(tags=()), sites=[broken(defect)])).starts == ()
    assert make_plan(situation(sites=[broken(defect)])).starts == ()


@pytest.mark.parametrize("defect", list(Defect))
def test_what_only_a_person_can_mend_is_left_alone(defect: Defect) -> None:
    one = image(tags=()) if defect is Defect.ORPHAN else EVERYWHERE
    assert make_plan(situation(one, sites=[broken(defect, obstacle="it has clones")])).starts == ()


# Copies that edgesync has begun and not finished.


@pytest.mark.parametrize(
    ("images", "why"),
    [((), "the image is gone"), ((EVERYWHERE,), "the copy is there"), ((image(tags=()),), "nobody wants the copy")],
    ids=["gone", "present", "unwanted"],
)
def test_an_unfinished_copy_that_nobody_needs_goes_to_the_trash(images: tuple[Image, ...], why: str) -> None:
    start = only_start(make_plan(situation(*images, sites=[site("dcn0", unfinished=[EVERYWHERE])])))
    assert (start.work, start.stores, start.job, start.origin) == (Work.SWEEP, ("dcn0",), None, Origin.REPAIR)
    assert why in start.why


@pytest.mark.parametrize("by", ["policy", "job"])
def test_an_unfinished_copy_that_is_wanted_is_left_to_go_on_with(by: str) -> None:
    one = image()
    wanted = {"policies": [policy()]} if by == "policy" else {"jobs": [job(one, "dcn0")]}
    plan = make_plan(situation(one, sites=[site("dcn0", unfinished=[one])], pauses=[pause()], **wanted))
    assert plan.starts == ()
    plan = make_plan(situation(one, sites=[site("dcn0", unfinished=[one])], **wanted))
    assert {start.work for start in plan.starts} == {Work.COPY}


def test_orphans_that_are_only_reported_are_not_swept_either() -> None:
    rules = Rules(trash_orphans=False)
    assert make_plan(situation(sites=[site("dcn0", unfinished=[EVERYWHERE])], rules=rules)).starts == ()


ALONE: list[dict[str, object]] = [
    {"locks": {EVERYWHERE.id: task("theirs")}},
    {"resting": [(EVERYWHERE, "dcn0")]},
    {"pauses": [pause()]},
    {"pauses": [pause(of=EVERYWHERE)]},
    {"pauses": [pause(store="dcn0")]},
    {"pauses": [pause(of=EVERYWHERE, store="dcn0")]},
    {"attempts": [attempt(EVERYWHERE, "dcn1")]},
    {"upkeep": 0},
]
NAMES = ["locked", "resting", "all paused", "image paused", "store paused", "copy paused", "busy", "no slot"]


@pytest.mark.parametrize("defect", list(Defect))
@pytest.mark.parametrize("change", ALONE, ids=NAMES)
def test_repairs_leave_alone(defect: Defect, change: dict[str, object]) -> None:
    where = ("central", "dcn1") if defect is Defect.ORPHAN else ("central", "dcn0", "dcn1")
    one = image(stores=where, lock="theirs" if "locks" in change else None)
    plan = make_plan(situation(one, sites=[broken(defect)], **change))  # type: ignore[arg-type]
    assert plan.starts == ()


@pytest.mark.parametrize("defect", list(Defect))
def test_nothing_is_repaired_at_a_site_that_is_down(defect: Defect) -> None:
    one = image(tags=()) if defect is Defect.ORPHAN else EVERYWHERE
    down = replace(broken(defect), breaker=site("dcn0", DOWN).breaker)
    assert make_plan(situation(one, sites=[down])).starts == ()


def test_repair_is_a_matter_of_policy() -> None:
    report = [policy(repair=Repair.REPORT)]
    fix = [policy("low", repair=Repair.REPORT), policy("high", priority=1, repair=Repair.FIX)]
    sites = [broken(Defect.UNPROTECTED)]
    assert make_plan(situation(EVERYWHERE, policies=report, sites=sites)).starts == ()
    assert make_plan(situation(EVERYWHERE, policies=fix, sites=sites)).starts != ()


def test_where_no_policy_says_so_the_general_setting_does() -> None:
    rules, sites = Rules(repair=Repair.REPORT), [broken(Defect.UNPROTECTED)]
    assert make_plan(situation(EVERYWHERE, policies=[policy()], sites=sites, rules=rules)).starts == ()
    fix = [policy(repair=Repair.FIX)]
    assert make_plan(situation(EVERYWHERE, policies=fix, sites=sites, rules=rules)).starts != ()


def test_orphans_have_a_setting_of_their_own() -> None:
    case = situation(image(tags=()), sites=[broken(Defect.ORPHAN)])
    assert make_plan(replace(case, rules=Rules(repair=Repair.REPORT))).starts != ()
    assert make_plan(replace(case, rules=Rules(trash_orphans=False))).starts == ()


def test_a_broken_copy_is_not_taken_away_unless_another_is_left() -> None:
    last = image(stores=("dcn0",), tags=())
    assert make_plan(situation(last, sites=[broken(Defect.WRONG_SIZE)])).starts == ()
    both = [broken(Defect.NO_SNAPSHOT), broken(Defect.NO_IMAGE, store="central")]
    assert make_plan(situation(image(stores=("central", "dcn0"), tags=()), sites=both)).starts == ()


@pytest.mark.parametrize("defect", [Defect.NO_SNAPSHOT, Defect.WRONG_SIZE])
def test_what_is_left_of_the_hubs_data_is_never_taken_away(defect: Defect) -> None:
    assert make_plan(situation(EVERYWHERE, sites=[broken(defect, store="central")])).starts == ()


@pytest.mark.parametrize(("store", "obstacle"), [("central", ""), ("dcn0", "there are clones of it"), ("dcn0", "")])
def test_what_may_lack_only_its_snapshot_is_sealed_whatever_keeps_it_from_being_taken_away(
    store: str, obstacle: str
) -> None:
    case = situation(EVERYWHERE, sites=[broken(Defect.NO_SNAPSHOT, store=store, obstacle=obstacle)])
    provable = replace(case, provable={(EVERYWHERE.id, StoreId(store))})
    assert only_start(make_plan(provable)).work is Work.SEAL
    # Not where somebody is at it, and no other defect.
    (hurt,) = case.world.sites.values()
    (found,) = hurt.findings.values()
    for other in (replace(found, obstacle="locked", passing=True), replace(found, defect=Defect.WRONG_SIZE)):
        sites = {hurt.store: replace(hurt, findings={found.image: other})}
        starts = make_plan(replace(provable, world=replace(case.world, sites=sites))).starts
        assert Work.SEAL not in {start.work for start in starts}


def test_a_location_without_data_is_taken_away_even_at_the_hub_and_the_copy_comes_back_from_an_edge() -> None:
    hollow = broken(Defect.NO_IMAGE, store="central")
    assert only_start(make_plan(situation(EVERYWHERE, sites=[hollow]))).work is Work.UNLIST
    assert make_plan(situation(EVERYWHERE, sites=[hollow], rules=Rules(edge_origin=False))).starts == ()
    unlisted = image(stores=("dcn0", "dcn1"))
    assert only_start(make_plan(situation(unlisted, policies=[policy()]))).stores == ("central",)


def test_a_site_where_much_is_broken_does_not_keep_all_hands_busy() -> None:
    images = [image(f"img{number}", stores=("central", "dcn0", "dcn1")) for number in range(9)]
    much = site("dcn0", findings=[finding(entry, "dcn0", Defect.UNPROTECTED) for entry in images])
    little = site("dcn1", findings=[finding(images[8], "dcn1", Defect.UNPROTECTED)])
    plan = make_plan(situation(*images, sites=[much, little], upkeep=2))
    assert started(plan) == {("img0", "dcn0"), ("img8", "dcn1")}


def test_a_person_goes_before_repairs() -> None:
    other = image("other", stores=("central", "dcn1"))
    case = situation(
        EVERYWHERE,
        other,
        jobs=[job(other, "dcn1", work=Work.REMOVE)],
        sites=[broken(Defect.UNPROTECTED)],
        upkeep=1,
    )
    assert only_start(make_plan(case)).work is Work.REMOVE


# Pruning.

PRUNING = policy("old", stores=["dcn1"])


def made(*copies: tuple[Image, str], by: str = "old") -> dict[tuple[ImageId, StoreId], str]:
    return {(of.id, StoreId(store)): by for of, store in copies}


def test_a_copy_that_its_policy_no_longer_wants_is_removed() -> None:
    start = only_start(make_plan(situation(EVERYWHERE, pruning=[PRUNING], makers=made((EVERYWHERE, "dcn0")))))
    assert (start.work, start.stores, start.job, start.requested_by) == (Work.REMOVE, ("dcn0",), None, "old")


KEPT: list[dict[str, object]] = [
    {"makers": {}},
    {"makers": made((EVERYWHERE, "dcn0"), by="a policy that does not prune")},
    {"makers": made((EVERYWHERE, "central"))},
    {"policies": [policy(stores=["dcn0"])]},
    {"jobs": [job(EVERYWHERE, "dcn0")]},
    {"sites": [site("dcn0", DOWN)]},
    {"sites": [site("central", DOWN)]},
    {"sites": [broken(Defect.NO_IMAGE, store="central")], "rules": Rules(repair=Repair.REPORT)},
    {"sites": [broken(Defect.WRONG_SIZE, store="central")]},
    {"stores": topology("dcn1")},
    *ALONE,
]
KEPT_NAMES = ["somebody's", "another policy's", "at the hub", "wanted", "asked for", "down", "hub down"]
KEPT_NAMES += ["hub without data", "hub of the wrong size", "store not listed", *NAMES]


@pytest.mark.parametrize("change", KEPT, ids=KEPT_NAMES)
def test_pruning_leaves_alone(change: dict[str, object]) -> None:
    one = replace(EVERYWHERE, lock=task("theirs").id) if "locks" in change else EVERYWHERE
    case = situation(one, **{"pruning": [PRUNING], "makers": made((one, "dcn0")), **change})  # type: ignore[arg-type]
    assert make_plan(case).starts == ()


@pytest.mark.parametrize(
    "one",
    [image(stores=("dcn0", "dcn1")), image(status="deactivated", stores=("central", "dcn0")), image()],
    ids=["not at the hub", "not active", "gone already"],
)
def test_pruning_leaves_images_alone_that_are_not_as_they_should_be(one: Image) -> None:
    plan = make_plan(situation(one, pruning=[PRUNING], makers=made((one, "dcn0"))))
    assert plan.starts == ()


def test_no_more_is_pruned_than_each_policy_allows() -> None:
    images = [image(f"img{number}", stores=("central", "dcn0"), tags=()) for number in range(6)]
    careful = [replace(PRUNING, prune_limit=2), policy("other", prune_limit=1)]
    makers = made(*((entry, "dcn0") for entry in images[:4])) | made(
        *((entry, "dcn0") for entry in images[4:]), by="other"
    )
    plan = make_plan(situation(*images, pruning=careful, makers=makers))
    assert started(plan) == {("img0", "dcn0"), ("img1", "dcn0"), ("img4", "dcn0")}


def test_what_can_not_be_pruned_now_does_not_count() -> None:
    images = [image(f"img{number}", stores=("central", "dcn0"), tags=()) for number in range(3)]
    case = situation(
        *images,
        pruning=[replace(PRUNING, prune_limit=1)],
        makers=made(*((entry, "dcn0") for entry in images)),
        attempts=[attempt(images[0], "dcn1")],
        pauses=[pause(of=images[1])],
    )
    assert started(make_plan(case)) == {("img2", "dcn0")}


def test_a_copy_that_could_not_be_pruned_lately_takes_no_other_ones_turn() -> None:
    images = [image(f"img{number}", stores=("central", "dcn0"), tags=()) for number in range(2)]
    case = situation(
        *images,
        pruning=[replace(PRUNING, prune_limit=1)],
        makers=made(*((entry, "dcn0") for entry in images)),
        resting=[(images[0], "dcn0")],
    )
    assert started(make_plan(case)) == {("img1", "dcn0")}
    person = replace(case, ledger=replace(case.ledger, jobs=(job(images[0], "dcn0", work=Work.REMOVE),)))
    assert ("img0", "dcn0") in started(make_plan(person))


def test_one_image_is_pruned_at_one_site_at_a_time() -> None:
    plan = make_plan(
        situation(
            EVERYWHERE,
            stores=topology("dcn0", "dcn1"),
            pruning=[policy("old", stores=["central"])],
            makers=made((EVERYWHERE, "dcn0"), (EVERYWHERE, "dcn1")),
        )
    )
    assert only_start(plan).stores == ("dcn0",)
