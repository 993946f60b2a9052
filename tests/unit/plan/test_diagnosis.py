"""What doctor makes of the facts: what is wrong is named, graded and has a remedy; what is well is no finding."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesync.domain.checkup import Identity, Monitored, Rights
from edgesync.domain.image import Image, ImageId, ImportTask, TaskId, TaskStatus
from edgesync.domain.level import Level
from edgesync.domain.pause import Pause
from edgesync.domain.policy import Policy, Repair
from edgesync.domain.site import Capacity, Defect, Finding
from edgesync.domain.store import CephSettings, Store, StoreId, StoreSettings, Topology
from edgesync.domain.window import Window, Windows
from edgesync.domain.words import some_of
from edgesync.errors import ConfigError, EdgesyncError, PermanentError, UnreachableError
from edgesync.plan.diagnosis import Diagnosis, Grade, failed, ok, ordered, problem, unknown, warning
from edgesync.plan.diagnosis_audit import Audited, Mending, judge_audits
from edgesync.plan.diagnosis_cloud import judge_clock, judge_level, judge_locations, judge_login
from edgesync.plan.diagnosis_host import judge_daemon, judge_pauses, judge_staging
from edgesync.plan.diagnosis_images import Lock, judge_at_hub, judge_formats, judge_locks
from edgesync.plan.diagnosis_settings import judge_policies, judge_store_settings
from edgesync.plan.diagnosis_sites import Pulse, SiteFacts, judge_site
from edgesync.plan.diagnosis_stores import judge_same_cluster, judge_stores, misled
from edgesync.plan.wants import Wants, update_wants
from tests.builders import CENTRAL, NOW, image, pause, policy, topology, world

GIB = 2**30
DCN0, DCN1 = StoreId("dcn0"), StoreId("dcn1")
CEPH = CephSettings(conf="/etc/ceph/dcn0.conf", user="edgesync")
LEVEL = Level(version="v2.18", methods=frozenset({"copy-image", "web-download", "glance-direct"}))
DEAD = UnreachableError("Can't reach it.", remedy="Look at it.")


def where(*path: str | int) -> str:
    return "edgesync.yaml:" + ".".join(map(str, path))


def bad(diagnoses: Iterable[Diagnosis]) -> list[Diagnosis]:
    """What is not well; and nothing that is wrong comes without a remedy."""
    found = [diagnosis for diagnosis in diagnoses if diagnosis.grade is not Grade.OK]
    assert all(diagnosis.remedy for diagnosis in found)
    return found


def the(diagnoses: Iterable[Diagnosis], grade: Grade) -> Diagnosis:
    """The only one that is not well."""
    (found,) = bad(diagnoses)
    assert found.grade is grade
    return found


def wants_of(*images: Image, policies: Iterable[Policy] = (), stores: Topology | None = None) -> Wants:
    return update_wants(Wants(), world(*images, stores=stores), tuple(policies))


# ---- the records


@given(st.lists(st.sampled_from(Grade)))
def test_the_worst_comes_first_and_equals_keep_their_order(grades: list[Grade]) -> None:
    made = [Diagnosis(grade=grade, check=str(number), found="x") for number, grade in enumerate(grades)]
    ranks = [(list(Grade).index(entry.grade), int(entry.check)) for entry in ordered(made)]
    assert ranks == sorted(ranks)


def test_a_list_of_names_stays_short() -> None:
    assert some_of(["a", "b"]) == "a, b"
    assert some_of(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


def test_a_refused_clouds_yaml_is_one_finding_with_all_its_mistakes() -> None:
    found = failed("log-in", ConfigError(["no such cloud", "no password"], remedy="Correct it."))
    assert (found.grade, found.found, found.remedy) == (Grade.PROBLEM, "no such cloud; no password", "Correct it.")


# ---- Keystone and Glance


def test_admin_is_needed_however_it_is_spelt() -> None:
    me = Identity(user="edgesync", project="service", roles=frozenset({"Admin", "reader"}))
    assert judge_login(me).grade is Grade.OK
    lesser = the([judge_login(replace(me, roles=frozenset({"service"})))], Grade.PROBLEM)
    assert "edgesync in project service with service" in lesser.found
    assert judge_login(None).grade is Grade.UNKNOWN


@pytest.mark.parametrize(
    ("ahead", "grade"),
    [
        (0.3, Grade.OK),
        (-4.9, Grade.OK),
        (5.1, Grade.WARNING),
        (-59.0, Grade.WARNING),
        (61.0, Grade.PROBLEM),
        (-7200.0, Grade.PROBLEM),
        (None, Grade.UNKNOWN),
        (DEAD, Grade.UNKNOWN),
    ],
)
def test_clocks_may_differ_by_seconds_not_by_minutes(ahead: float | EdgesyncError | None, grade: Grade) -> None:
    assert judge_clock("Keystone", ahead, subject="keystone").grade is grade


def test_the_level_is_named_and_what_it_misses() -> None:
    (well,) = judge_level(LEVEL)
    assert "v2.18" in well.found
    old = replace(LEVEL, version="v2.9", methods=frozenset({"copy-image"}), tells_tasks=False, tells_details=False)
    lacks = bad(judge_level(old))
    assert [entry.grade for entry in lacks] == [Grade.WARNING] * 4
    assert {entry.check for entry in lacks} == {"glance", "import methods"}


def test_hidden_locations_are_a_warning_and_an_empty_cloud_says_nothing() -> None:
    assert judge_locations(True).grade is Grade.OK
    assert judge_locations(False).grade is Grade.WARNING
    assert judge_locations(None).grade is Grade.UNKNOWN


# ---- stores


def stores_of(**changes: Store) -> Topology:
    stores = {
        name: Store(id=name, type="rbd", fsid=f"fsid-{name}", pool="images", default=name == CENTRAL)
        for name in (CENTRAL, DCN0, DCN1)
    }
    return Topology(hub=CENTRAL, stores=stores | {store.id: store for store in changes.values()})


def test_a_hub_and_two_rbd_edges_are_well() -> None:
    assert bad(judge_stores(stores_of(), where)) == []


def test_a_hub_that_glance_does_not_know_is_a_problem() -> None:
    found = the(judge_stores(replace(stores_of(), hub=StoreId("centrl")), where), Grade.PROBLEM)
    assert "edgesync.yaml:hub" in found.found


def test_a_hub_that_is_not_the_default_store_is_a_warning() -> None:
    seen = stores_of(
        a=Store(id=CENTRAL, type="rbd", fsid="a", pool="images"),
        b=Store(id=DCN0, type="rbd", fsid="b", pool="images", default=True),
    )
    assert the(judge_stores(seen, where), Grade.WARNING).check == "hub"


def test_a_mixed_set_up_is_reported_but_read_only_stores_may_be_anything() -> None:
    seen = stores_of(a=Store(id=StoreId("web"), type="http", read_only=True))
    assert bad(judge_stores(seen, where)) == []
    found = the(judge_stores(stores_of(a=Store(id=DCN1, type="file")), where), Grade.WARNING)
    assert "dcn1 is file" in found.found


def test_a_single_writable_store_has_nowhere_to_copy_to() -> None:
    seen = Topology(hub=CENTRAL, stores={CENTRAL: Store(id=CENTRAL, type="rbd", default=True)})
    assert the(judge_stores(seen, where), Grade.PROBLEM).check == "stores"


def test_two_stores_in_one_pool_are_a_problem() -> None:
    twin = Store(id=DCN1, type="rbd", fsid="fsid-dcn0", pool="images")
    found = the(judge_stores(stores_of(a=twin), where), Grade.PROBLEM)
    assert "dcn0 and dcn1" in found.found


def test_a_conf_that_leads_to_another_sites_cluster_is_named_with_its_place() -> None:
    ceph, seen = {DCN0: CEPH, DCN1: CEPH}, stores_of()
    fsids = {DCN0: "fsid-dcn0", DCN1: "fsid-dcn0"}
    found = the(judge_same_cluster(ceph, fsids, seen, where), Grade.PROBLEM)
    assert (found.subject, "which is dcn0's" in found.found) == (DCN1, True)
    assert "stores.dcn1.ceph.conf" in found.remedy
    assert misled(fsids, ceph, seen) == {DCN1}


def test_another_pool_is_a_problem_too() -> None:
    ceph = {DCN0: replace(CEPH, pool="glance")}
    assert the(judge_same_cluster(ceph, {DCN0: "fsid-dcn0"}, stores_of(), where), Grade.PROBLEM).check == "cluster"
    assert misled({DCN0: "fsid-dcn0"}, ceph, stores_of()) == {DCN0}


def test_where_glance_tells_no_fsid_two_confs_to_one_pool_still_show() -> None:
    ceph, seen = {DCN0: CEPH, DCN1: CEPH}, topology()
    found = the(judge_same_cluster({DCN0: CEPH}, {DCN0: "a"}, seen, where), Grade.UNKNOWN)
    assert "dcn0 in cluster a" in found.found
    both = {DCN0: "a", DCN1: "a"}
    assert [entry.grade for entry in bad(judge_same_cluster(ceph, both, seen, where))] == [Grade.PROBLEM] * 2
    assert misled(both, ceph, seen) == {DCN0, DCN1}
    assert misled({DCN0: "a", DCN1: "b"}, ceph, seen) == set()


# ---- settings


def test_a_policy_that_matches_nothing_or_names_strangers_is_a_warning() -> None:
    seen = image()
    good, idle = policy(), policy("idle", stores=["dcn0", "dcn9"], match=replace(policy().match, name="nothing*"))
    wants = wants_of(seen, policies=[good, idle])
    found = bad(judge_policies([good, idle], topology(), {seen.id: seen}, wants, where))
    assert [(entry.grade, entry.subject) for entry in found] == [(Grade.WARNING, "idle")] * 2
    assert "dcn9" in found[0].found
    assert bad(judge_policies([good], topology(), {seen.id: seen}, wants, where)) == []


def test_without_glance_policies_are_not_judged_by_what_they_match() -> None:
    assert the(judge_policies([policy()], None, None, None, where), Grade.UNKNOWN).check == "policies"


def test_stores_that_glance_does_not_list_are_warnings() -> None:
    stores = {store: StoreSettings(ceph=CEPH) for store in (CENTRAL, DCN0, DCN1, StoreId("dcn10"))}
    assert the(judge_store_settings(stores, topology(), NOW, where), Grade.WARNING).subject == "dcn10"


def test_until_when_a_window_is_closed_is_told() -> None:
    nights = Windows(windows=(Window(days=frozenset(range(7)), start=time(22), end=time(6)),), zone=UTC)
    stores = {store: StoreSettings(ceph=CEPH, windows=nights) for store in (CENTRAL, DCN0, DCN1)}
    found = list(judge_store_settings(stores, topology(), NOW, where))
    assert bad(found) == []
    assert "Closed until Sun 22:00 (UTC)." in [entry.found for entry in found]


def test_stores_without_ceph_are_one_warning_together() -> None:
    found = the(judge_store_settings({CENTRAL: StoreSettings(ceph=CEPH)}, topology(), NOW, where), Grade.WARNING)
    assert found.details == (DCN0, DCN1)


# ---- sites

WELL = SiteFacts(
    store=DCN0,
    ceph=CEPH,
    max_fill=0.85,
    monitored=Monitored(fsid="a", for_rbd=True, health="HEALTH_OK", troubles={}),
    pulse=Pulse(seconds=0.004, capacity=Capacity(used=10 * GIB, available=90 * GIB), images=7),
    rights=Rights(write=True, rbd_read=True, rbd_change=True),
    ahead=0.0,
)


def test_a_site_that_answers_and_has_room_is_well() -> None:
    assert bad(judge_site(WELL)) == []


def test_a_dead_site_is_one_problem_and_not_asked_further() -> None:
    assert the(judge_site(SiteFacts(store=DCN0, ceph=CEPH, max_fill=0.85, monitored=DEAD)), Grade.PROBLEM).found
    osd_dead = replace(WELL, pulse=DEAD, rights=None, ahead=None)
    assert the(judge_site(osd_dead), Grade.PROBLEM).check == "site"


def test_rights_that_are_missing_are_named() -> None:
    found = the(judge_site(replace(WELL, rights=Rights(write=False, rbd_read=True, rbd_change=False))), Grade.PROBLEM)
    assert "write objects" in found.found
    assert "look into" not in found.found
    assert "profile rbd pool=images" in found.remedy
    assert "for each pool with clones" in found.remedy, "`auth caps` takes away what it does not name"


def test_a_pool_beyond_its_share_is_a_problem_with_its_figures() -> None:
    full = replace(WELL, pulse=Pulse(seconds=0.1, capacity=Capacity(used=90 * GIB, available=10 * GIB), images=1))
    found = the(judge_site(full), Grade.PROBLEM)
    assert "90% full" in found.found
    assert "10 GiB of 100 GiB free" in found.found
    assert "max_pool_fill" in found.remedy
    flagged = replace(
        full, monitored=Monitored(fsid="a", for_rbd=True, health="HEALTH_ERR", troubles={"OSD_FULL": "1"})
    )
    packed = replace(WELL, pulse=Pulse(seconds=0.1, capacity=Capacity(used=95 * GIB, available=5 * GIB), images=1))
    for really in (flagged, packed):
        told = next(found for found in judge_site(really) if found.check == "fill")
        assert told.remedy.startswith("Make room: ")
        assert "max_pool_fill" not in told.remedy
    blind = replace(WELL, pulse=Pulse(seconds=0.1, capacity=None, images=1))
    assert the(judge_site(blind), Grade.UNKNOWN).check == "fill"


def test_ceph_s_own_complaints_count_as_far_as_copies_are_concerned() -> None:
    def site(**troubles: str) -> SiteFacts:
        return replace(WELL, monitored=Monitored(fsid="a", for_rbd=True, health="HEALTH_WARN", troubles=troubles))

    assert the(judge_site(site(POOL_FULL="1 pool full")), Grade.PROBLEM).check == "health"
    assert the(judge_site(site(OSD_NEARFULL="1 nearfull osd")), Grade.WARNING).check == "health"
    assert bad(judge_site(site(RECENT_CRASH="1 daemon crashed"))) == []


def test_a_pool_for_something_else_is_a_warning() -> None:
    other = replace(WELL, monitored=Monitored(fsid="a", for_rbd=False, health="HEALTH_OK", troubles={}))
    assert the(judge_site(other), Grade.WARNING).check == "pool"


# ---- images


def test_images_that_can_t_be_cloned_are_counted_and_listed() -> None:
    seen = [image(f"q{number}", disk_format="qcow2") for number in range(5)]
    found = the(
        [judge_formats([image("raw"), *seen, image("queued", status="queued", disk_format="iso")])], Grade.WARNING
    )
    assert "5 images are not raw" in found.found
    assert "and 2 more" in found.found
    assert len(found.details) == 5


def test_wanted_images_that_are_not_at_the_hub_are_only_a_problem_where_edgesync_does_not_bring_them_there() -> None:
    away, home = image("away", stores=["dcn0"]), image("home")
    images = {away.id: away, home.id: home}
    wants = wants_of(away, home, policies=[policy()])
    assert the(judge_at_hub(wants, images, CENTRAL, edge_origin=True), Grade.WARNING).details[0].startswith(away.id)
    assert the(judge_at_hub(wants, images, CENTRAL, edge_origin=False), Grade.PROBLEM)
    assert bad(judge_at_hub(Wants(), images, CENTRAL, edge_origin=True)) == []


def held(minutes: float, status: TaskStatus = TaskStatus.PROCESSING) -> Lock:
    """The lock of an import that was last heard of so long ago."""
    updated = NOW - timedelta(minutes=minutes)
    task = ImportTask(id=TaskId("t"), status=status, message="", stores=(DCN0,), created_at=updated, updated_at=updated)
    return Lock(image=image("moving", lock="t"), task=task)


def judged(*locks: Lock, most: int | None = None) -> list[Diagnosis]:
    return list(judge_locks(locks, patience=600, now=NOW, most=len(locks) if most is None else most))


def test_a_live_import_is_no_finding() -> None:
    assert bad(judged()) == []
    assert bad(judged(held(5))) == []


def test_a_stale_lock_tells_since_when_and_until_when() -> None:
    found = the(judged(held(30)), Grade.PROBLEM)
    assert "since 11:30 UTC" in found.found
    assert "until 12:30 UTC" in found.found
    assert "until 13:30 UTC" in the(judged(held(30, TaskStatus.PENDING)), Grade.PROBLEM).found


def test_an_expired_or_forgotten_lock_can_be_taken_now() -> None:
    assert the(judged(held(61)), Grade.WARNING)
    assert the(judged(held(61, TaskStatus.PENDING)), Grade.PROBLEM)
    assert the(judged(replace(held(0), task=None, forgotten=True)), Grade.WARNING)


def test_a_lock_without_a_task_and_locks_not_looked_at_are_unknown() -> None:
    assert the(judged(replace(held(0), task=None)), Grade.UNKNOWN)
    assert "2 more images" in the(judged(held(1), most=3), Grade.UNKNOWN).found


# ---- audits

RULES = Mending(trashes=True, repair=Repair.FIX, wants=Wants())


def finding(number: int, defect: Defect, *, obstacle: str = "", passing: bool = False) -> Finding:
    return Finding(
        image=ImageId(f"id-{number}"),
        store=DCN0,
        defect=defect,
        detail="it is broken",
        obstacle=obstacle,
        passing=passing,
        seen_at=NOW,
    )


def audited(*findings: Finding, rules: Mending = RULES, complete: bool = True) -> list[Diagnosis]:
    audit = Audited(store=DCN0, findings={entry.image: entry for entry in findings}, complete=complete)
    return list(judge_audits([audit], {}, rules, limit=120))


def test_a_site_without_findings_is_well_once_all_of_it_was_looked_at() -> None:
    assert bad(audited()) == []
    assert the(audited(complete=False), Grade.UNKNOWN)


def test_what_edgesync_mends_by_itself_is_said_to_be() -> None:
    for defect in Defect:
        found = the(audited(finding(1, defect)), Grade.PROBLEM)
        assert found.check == ("orphan" if defect is Defect.ORPHAN else "broken copy")
        assert "by itself" in found.remedy


def test_what_settings_pauses_or_obstacles_keep_from_being_mended_is_said_too() -> None:
    report = replace(RULES, trashes=False, repair=Repair.REPORT)
    paused = replace(RULES, pauses=(Pause(store=DCN0, by="alice", since=NOW),))
    assert "audit.orphans is report" in the(audited(finding(1, Defect.ORPHAN), rules=report), Grade.PROBLEM).remedy
    assert "repair is report" in the(audited(finding(1, Defect.NO_IMAGE), rules=report), Grade.PROBLEM).remedy
    assert "it is paused" in the(audited(finding(1, Defect.ORPHAN), rules=paused), Grade.PROBLEM).remedy
    clones = finding(1, Defect.WRONG_SIZE, obstacle="there are clones of it (vms/a)")
    assert "edgesync does not mend it: left alone, since there are clones" in the(audited(clones), Grade.PROBLEM).remedy


def test_a_policy_s_opinion_on_repairs_beats_the_audit_s() -> None:
    seen = image("1", stores=["central", "dcn0"])
    wants = wants_of(seen, policies=[replace(policy(), repair=Repair.REPORT)])
    found = the(audited(finding(1, Defect.UNPROTECTED), rules=replace(RULES, wants=wants)), Grade.PROBLEM)
    assert "repair is report" in found.remedy


def test_what_passes_by_itself_is_a_warning() -> None:
    young = finding(1, Defect.ORPHAN, obstacle="it is younger than 15 minutes", passing=True)
    assert "younger than 15 minutes" in the(audited(young), Grade.WARNING).remedy


def test_a_thousand_findings_of_one_kind_are_one_line() -> None:
    found = the(audited(*(finding(number, Defect.NO_IMAGE) for number in range(1000))), Grade.PROBLEM)
    assert "1000 copies without an RBD image" in found.found
    assert len(found.details) == 1000


# ---- this host


@pytest.mark.parametrize(
    ("free", "grade"),
    [(100 * GIB, Grade.OK), (12 * GIB, Grade.WARNING), (5 * GIB, Grade.PROBLEM), (DEAD, Grade.PROBLEM)],
)
def test_the_staging_area_has_to_hold_what_is_copied_at_once(free: int | EdgesyncError, grade: Grade) -> None:
    missing = [image(f"m{number}", size=size * GIB) for number, size in enumerate((10, 8, 1))]
    images = {entry.id: entry for entry in missing}
    wants = wants_of(*missing, policies=[policy()])
    assert judge_staging("/staging", free, wants, images, at_once=2).grade is grade


def test_staging_that_is_not_here_or_nothing_to_copy() -> None:
    assert judge_staging(None, None, Wants(), {}, at_once=2).grade is Grade.UNKNOWN
    assert judge_staging("/staging", 1, None, {}, at_once=2).grade is Grade.UNKNOWN
    assert judge_staging("/staging", 1, Wants(), {}, at_once=2).grade is Grade.OK


def test_the_daemon_s_own_trouble_is_passed_on() -> None:
    assert judge_daemon("here", {"trouble": "", "remedy": ""}).grade is Grade.OK
    told = judge_daemon("here", {"trouble": "Glance is away", "remedy": "Mend Glance."})
    assert (told.grade, told.remedy) == (Grade.PROBLEM, "Mend Glance.")
    assert judge_daemon("here", PermanentError("no daemon", remedy="start it")).grade is Grade.WARNING


def test_pauses_are_named_with_what_lifts_them() -> None:
    assert list(judge_pauses(())) == []
    told = the(judge_pauses((pause(reason="change 4711"),)), Grade.WARNING)
    assert told.found == "Everything is paused by alice since 2026-03-01 12:00:00Z: change 4711."
    assert told.remedy == "If that is over: `edgesync resume --all`."
    several = the(judge_pauses((pause(store="dcn0"), pause(of=image()))), Grade.WARNING)
    assert several.found == "2 pauses are in force: store dcn0, image id-img."
    assert [line.split(" -> ")[1] for line in several.details] == [
        "edgesync resume --store dcn0",
        "edgesync resume --image id-img",
    ]


def test_short_ways_to_write_a_diagnosis() -> None:
    assert [
        entry.grade for entry in (problem("a", "b", "c"), warning("a", "b", "c"), unknown("a", "b"), ok("a", "b"))
    ] == list(Grade)
    assert ok("site", "x", subject="dcn0").title == "site dcn0"
