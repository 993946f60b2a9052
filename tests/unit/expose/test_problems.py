"""What is wrong comes first, the worst of it at the top, and each line says what to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, time, timedelta

from prometheus_client import generate_latest

from edgesync.domain.copy import Progress, Stall, StallCause
from edgesync.domain.job import CopyResult, StoreResult, Work
from edgesync.domain.site import BreakerState, Defect, Kept
from edgesync.domain.store import Store, StoreId, StoreSettings, Topology
from edgesync.domain.window import Window, Windows
from edgesync.expose.metrics import Metrics
from edgesync.expose.picture import ConfigHealth, Health, Picture, Showcase
from edgesync.expose.problems import problems
from edgesync.expose.stores import store_views
from tests.builders import NOW, attempt, image, job, policy, situation, topology
from tests.unit.expose.pictures import finding, pause, picture_of, site

WELL = Health(started_at=NOW)
GIB = 1 << 30


def sick() -> Picture:
    """A world in which nearly everything is wrong."""
    one = image(stores=("central", "dcn0"))
    running = attempt(one, "dcn1")
    return picture_of(
        situation(one, policies=[policy()], attempts=[running]),
        sites=[
            site("central", used=90 * GIB, available=10 * GIB),
            site("dcn0", finding(one, "dcn0", Defect.UNPROTECTED), finding(image("lost"), "dcn0", Defect.ORPHAN)),
            site(
                "dcn1", state=BreakerState.OPEN, since=NOW, cause="no mon answers", retry_at=NOW + timedelta(minutes=5)
            ),
        ],
        pauses=[pause(store="dcn0", reason="new switches"), pause(image=one), pause()],
        stalls={
            running.id: Stall(
                since=NOW, store=StoreId("dcn1"), cause=StallCause.STORE_DOWN, why="dcn1 is down", next="wait"
            )
        },
    )


def test_stores_that_are_down_come_first_and_what_is_on_purpose_last() -> None:
    found = problems(sick(), WELL)
    assert [problem.what.split(": ")[0] for problem in found] == [
        "dcn1 is down since 2026-03-01 12:00:00Z",
        "the pool of central is 90% full, and copies stop at 85%",
        "1 copy is broken at dcn0 (1 unprotected)",
        "1 leftover RBD image lies at dcn0, of which Glance knows nothing",
        "the import of img into dcn1 has not got on since 2026-03-01 12:00:00Z",
        "store dcn0 is paused by alice since 2026-03-01 12:00:00Z",
        "image id-img (img) is paused by alice since 2026-03-01 12:00:00Z",
        "everything is paused by alice since 2026-03-01 12:00:00Z",
    ]
    assert [problem.bad for problem in found] == [True] * 5 + [False] * 3
    assert all(problem.remedy for problem in found)
    # Nobody knows since when a pool is full.
    assert [problem.since for problem in found] == [NOW, None, *[NOW] * 6]
    assert "tries it again at 2026-03-01 12:05:00Z" in found[0].remedy
    assert [problem.remedy for problem in found[5:]] == [
        "edgesync resume --store dcn0",
        "edgesync resume --image id-img",
        "edgesync resume --all",
    ]


def test_a_site_that_nobody_can_watch_is_told() -> None:
    refused = replace(site("dcn0"), refusal="client.edgesync may not read pool images.")
    (problem,) = problems(picture_of(situation(), sites=[refused]), WELL)
    assert problem.bad
    assert problem.what == "edgesync can't watch dcn0, where copies go on: client.edgesync may not read pool images"
    assert "edgesync doctor" in problem.remedy


def test_a_healthy_cloud_has_no_problem() -> None:
    assert problems(picture_of(situation(image())), WELL) == []


def test_the_daemons_own_trouble_comes_before_everything() -> None:
    config = ConfigHealth(loaded_at=NOW, error="edgesync.yaml:3:1: hub: expected a text")
    health = replace(WELL, trouble="Glance is away", remedy="look at it", config=config)
    first, second = problems(None, health)
    assert (first.what, first.remedy) == ("Glance is away", "look at it")
    assert "refused; what was read at 2026-03-01 12:00:00Z goes on: edgesync.yaml:3:1" in second.what
    assert "config check" in second.remedy


def test_disks_that_were_cloned_from_damaged_data_stay_a_problem_until_they_are_rebuilt() -> None:
    mended = replace(site("dcn1"), kept=(Kept(name="id-img.damaged.7", children=("vms/vm-7_disk", "vms/vm-9_disk")),))
    picture = picture_of(situation(image()), sites=[mended])
    (found,) = problems(picture, WELL)
    assert found.bad
    assert found.what == (
        "2 disks were cloned from damaged data at dcn1, and may show it: vms/vm-7_disk, vms/vm-9_disk"
    )
    assert "move id-img.damaged.7 to the trash" in found.remedy
    assert store_views(picture)[2].problems == [found]
    rebuilt = replace(mended, kept=(Kept(name="id-img.damaged.7"),))
    (left,) = problems(picture_of(situation(image()), sites=[rebuilt]), WELL)
    assert not left.bad
    assert left.remedy.startswith("move id-img.damaged.7 to the trash")
    many = replace(mended, kept=(Kept(name="id-img.damaged.7", children=tuple(f"vms/{n}" for n in range(30))),))
    (short,) = problems(picture_of(situation(image()), sites=[many]), WELL)
    assert short.what.endswith(" and 20 more")


def test_a_pool_that_is_really_full_needs_room_and_not_another_limit() -> None:
    sites = [site("central", used=GIB), site("dcn0", used=96 * GIB, available=4 * GIB)]
    hub, edge = problems(picture_of(situation(image()), sites=sites), WELL)
    assert hub.what.startswith("the pool of central is 100% full, and copies stop at 85%; Ceph itself takes no writes")
    assert "uploads" in hub.what
    assert "uploads" not in edge.what
    for problem in (hub, edge):
        assert problem.remedy.startswith("make room: empty the trash")
        assert "max_pool_fill" not in problem.remedy


def test_a_policy_that_names_a_store_that_glance_does_not_list_is_the_first_thing_told() -> None:
    images = [image(name, stores=("central", "dcn0", "dcn1")) for name in ("a", "b")]
    wanting = situation(*images, policies=[policy(stores=["dcn0", "dcn7"])])
    showcase = Showcase(health=WELL)
    showcase.picture = picture_of(wanting, pauses=[pause()])
    first, _ = problems(showcase.picture, WELL)
    assert first.bad
    assert (
        first.what == f"policy {policy().name} wants copies at dcn7, which Glance does not list: 2 copies wait for it"
    )
    assert first.remedy == (
        "take dcn7 out of its stores and reload; or add dcn7 to enabled_backends of every glance-api"
    )
    assert first.store is None, "the page has nothing of it to link to"
    lines = generate_latest(Metrics(showcase).registry).decode().splitlines()
    assert 'edgesync_waiting_copies{reason="no-such-store",store="dcn7"} 2.0' in lines
    assert 'edgesync_waiting_copies{reason="no-such-store",store="dcn0"} 0.0' in lines
    assert sum("edgesync_waiting_copies" in line and "dcn7" in line for line in lines) == 1


def test_all_policies_that_want_a_read_only_store_are_named_and_a_job_is_no_policy() -> None:
    one = image(stores=("central",))
    archive = Store(id=StoreId("archive"), type="rbd", read_only=True)
    stores = Topology(stores={**topology().stores, archive.id: archive}, hub=StoreId("central"))
    both = [policy(name, stores=["archive"]) for name in ("base", "golden")]
    (found,) = problems(picture_of(situation(one, policies=both, stores=stores)), WELL)
    assert found.what == "policies base, golden want copies at archive, which is read-only: 1 copy waits for it"
    assert found.remedy == "take archive out of their stores and reload; or let Glance write there"
    assert found.store == "archive"
    (asked,) = problems(picture_of(situation(one, jobs=[job(one, "dcn7")])), WELL)
    assert asked.what == "a job asks for copies at dcn7, which Glance does not list: 1 copy waits for it"
    assert "edgesync cancel" in asked.remedy


def test_a_hub_that_is_down_says_what_that_means() -> None:
    (problem,) = problems(picture_of(situation(image()), sites=[site("central", state=BreakerState.HALF_OPEN)]), WELL)
    assert "central (the hub) is down" in problem.what
    assert "no copy can be made anywhere" in problem.what
    assert "trying it again now" in problem.remedy


def test_stores_show_health_room_findings_and_pauses() -> None:
    central, dcn0, dcn1 = store_views(sick())
    assert central.capacity is not None
    assert (central.capacity.fill, central.capacity.max_fill) == (0.9, 0.85)
    assert dcn0.findings == {"unprotected": 1, "orphan": 1}
    assert [row.image for row in dcn0.found] == ["id-img", "id-lost"]
    assert [row.scope for row in dcn0.paused] == ["store dcn0", "everything"]
    assert (dcn1.health.state, dcn1.health.cause) == ("open", "no mon answers")
    assert [problem.what[:12] for problem in dcn1.problems] == ["dcn1 is down", "the import o"]
    assert dcn1.capacity is None


def test_a_store_with_windows_shows_whether_it_is_open_and_until_when() -> None:
    case = situation(image())
    nights = Windows(windows=(Window(days=frozenset(range(7)), start=time(22), end=time(6)),), zone=UTC)
    budget = replace(case.budget, stores={StoreId("dcn0"): StoreSettings(windows=nights)})
    central, dcn0, _ = store_views(picture_of(replace(case, budget=budget)))
    assert central.window is None
    assert dcn0.window is not None
    assert (dcn0.window.open, dcn0.window.next_change) == (False, NOW + timedelta(hours=10))


def test_the_queue_of_a_store_counts_the_copies_that_wait_for_it() -> None:
    case = situation(image("a"), image("b"), policies=[policy(stores=["dcn0"])], imports=0)
    assert [row.queue for row in store_views(picture_of(case))] == [0, 2, 0]


def test_removals_and_repairs_are_no_imports() -> None:
    a, b, c = image("a"), image("b"), image("c")
    works = ((a, Work.COPY), (b, Work.REMOVE), (c, Work.TRASH))
    attempts = [attempt(of, "dcn0", number=number, work=work) for number, (of, work) in enumerate(works)]
    showcase = Showcase(health=WELL)
    showcase.picture = picture_of(situation(a, b, c, attempts=attempts))
    assert [row.running for row in store_views(showcase.picture)] == [0, 1, 0]
    lines = generate_latest(Metrics(showcase).registry).decode().splitlines()
    assert 'edgesync_imports_running{store="dcn0"} 1.0' in lines


def test_metrics_tell_the_same() -> None:
    showcase = Showcase(health=replace(WELL, config=ConfigHealth(error="bad")))
    showcase.picture = sick()
    metrics = Metrics(showcase)
    of = image()
    for work, result in (
        (Work.TRASH, CopyResult.REPAIRED),
        (Work.PROTECT, CopyResult.REPAIRED),
        (Work.PROTECT, CopyResult.FAILED),
        (Work.REMOVE, CopyResult.REMOVED),
        (Work.IMPORT, CopyResult.COPIED),
    ):
        metrics.ended(attempt(of, "dcn0", work=work), StoreResult(store=StoreId("dcn0"), result=result), 1.0)
    lines = set(generate_latest(metrics.registry).decode().splitlines())
    assert {
        'edgesync_store_up{store="dcn0"} 1.0',
        'edgesync_store_up{store="dcn1"} 0.0',
        'edgesync_store_breaker_state{state="open",store="dcn1"} 1.0',
        'edgesync_pool_used_bytes{store="central"} 9.663676416e+10',
        'edgesync_findings{defect="orphan",store="dcn0"} 1.0',
        'edgesync_findings{defect="no-image",store="dcn0"} 0.0',
        'edgesync_stalled_imports{store="dcn1"} 1.0',
        "edgesync_pauses 3.0",
        "edgesync_config_last_reload_successful 0.0",
        'edgesync_orphans_trashed_total{store="dcn0"} 1.0',
        'edgesync_copies_repaired_total{repair="protect",store="dcn0"} 1.0',
        'edgesync_copies_removed_total{store="dcn0"} 1.0',
        'edgesync_copy_results_total{engine="copy-image",result="copied",store="dcn0"} 1.0',
    } <= lines
    assert not any("edgesync_findings" in line and 'store="dcn1"' in line for line in lines), "nobody looked there"


def test_a_store_shows_how_fast_all_of_its_copies_come_together() -> None:
    first, second = image("a"), image("b")
    moving = [
        Progress(image=one.id, store=StoreId(store), bytes_done=1, bytes_total=2, rate=rate, since=NOW)
        for one, store, rate in ((first, "dcn0", 10.0), (second, "dcn0", 5.0), (first, "dcn1", 0.0))
    ]
    assert [row.rate for row in store_views(picture_of(situation(first, second), *moving))] == [0, 15, 0]
