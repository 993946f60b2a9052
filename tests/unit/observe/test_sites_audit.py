"""What really lies in the pools: orphans, broken copies, and what only looks like one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from edgesync.domain.image import UNFINISHED, ImageId, replacement_name, temporary_name
from edgesync.domain.job import EventKind
from edgesync.domain.site import BreakerState, Capacity, Defect, Kept, RbdImage
from edgesync.errors import PermanentError, TransientError, UnreachableError
from edgesync.observe import auditing
from edgesync.observe.auditing import SETTLE
from tests.builders import CENTRAL, store_ids
from tests.fakes.cluster import FakeCluster
from tests.fakes.glance import VirtualClock
from tests.unit.observe.watched import AUDIT, DCN0, DCN1, PROBES, Cloud, ident, watched


class Busy(FakeCluster):
    """A pool in which something happens while it is looked at."""

    def __init__(self, store: str, *, clock: VirtualClock) -> None:
        super().__init__(store, clock=clock)
        self.looked_at: list[str] = []
        self.meanwhile: Callable[[str], None] = lambda _: None
        self.stuck: set[str] = set()
        # True: probes fail, and nothing else does.
        self.deaf = False
        # Seconds that a look takes.
        self.slow = 0.0
        self.at_once = self.most_at_once = 0

    async def probe(self) -> Capacity | None:
        if self.deaf:
            raise UnreachableError("an OSD does not answer")
        return await super().probe()

    async def inspect(self, name: str) -> RbdImage:
        self.looked_at.append(name)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if self.slow:
            await self.clock.sleep(self.slow)
        try:
            if name in self.stuck:
                raise UnreachableError(f"no answer on {name}")
            return await super().inspect(name)
        finally:
            self.meanwhile(name)


async def busy(*edges: str) -> tuple[Cloud, Busy]:
    """A cloud whose dcn0 is such a pool."""
    cloud = Cloud(*edges)
    pool = Busy("dcn0", clock=cloud.clock)
    cloud.pools = {**cloud.pools, DCN0: pool}
    await cloud.sites.configure(cloud.pools, probes=PROBES, audit=AUDIT)
    return cloud, pool


async def test_a_cloud_where_all_is_well_has_no_findings() -> None:
    async with watched(Cloud()) as cloud:
        for number in range(20):
            cloud.image(number, CENTRAL, DCN0)
        cloud.pools[DCN0].put("golden-base", snapshot=False)
        await cloud.audited()
        assert not any(cloud.findings(store) for store in cloud.stores)
        assert cloud.sites.sites([DCN0])[DCN0].audited_at is not None
        assert cloud.told() == []
        assert not cloud.glance.shown, "good copies cost Glance nothing"


async def test_the_half_copy_of_a_crash_is_found_and_free_to_be_trashed() -> None:
    async with watched(Cloud()) as cloud:
        name = cloud.image(1)
        cloud.leave(name, DCN0)
        await cloud.audited()
        finding = cloud.findings(DCN0)[name]
        assert (finding.defect, finding.obstacle) == (Defect.ORPHAN, "")
        (event,) = cloud.sites.events()
        assert (event.kind, event.image, event.store) == (EventKind.ORPHAN_FOUND, name, DCN0)
        assert "trash" in event.message


async def test_a_damaged_image_that_was_kept_is_seen_with_what_was_cloned_from_it_until_it_is_gone() -> None:
    async with watched(Cloud()) as cloud:
        name = cloud.image(1, CENTRAL, DCN0)
        kept = f"{name}.damaged.10167709117"
        pool = cloud.pools[DCN0]
        pool.put(kept).children = ("vms/vm-7_disk",)
        pool.put("golden.damaged.1").children = ("vms/vm-8_disk",)
        await cloud.audited()
        assert cloud.sites.sites([DCN0])[DCN0].kept == (Kept(name=kept, children=("vms/vm-7_disk",)),)
        assert cloud.sites.sites([DCN1])[DCN1].kept == ()
        assert not cloud.findings(DCN0)
        pool.find(kept).children = ()
        await cloud.clock.sleep(AUDIT.every + AUDIT.quick)
        assert cloud.sites.sites([DCN0])[DCN0].kept == (Kept(name=kept),)
        pool.remove(kept)
        await cloud.clock.sleep(2 * AUDIT.quick)
        assert cloud.sites.sites([DCN0])[DCN0].kept == ()


async def test_what_a_repair_is_just_putting_away_is_not_kept() -> None:
    async with watched(Cloud()) as cloud:
        name = cloud.image(1, CENTRAL, DCN0)
        cloud.pools[DCN0].put(f"{name}.damaged.1")
        await cloud.audited()
        assert cloud.sites.sites([DCN0])[DCN0].kept == ()
        await cloud.clock.sleep(2 * AUDIT.quick)
        assert cloud.sites.sites([DCN0])[DCN0].kept != (), "it stays"


async def test_after_a_crash_the_orphan_is_free_when_the_lock_expires() -> None:
    async with watched(Cloud()) as cloud:
        name = cloud.image(1)
        cloud.leave(name, DCN0)
        cloud.lock(name, DCN0, idle=50 * 60)
        await cloud.audited()
        assert cloud.findings(DCN0)[name].passing
        await cloud.clock.sleep(11 * 60)
        assert not cloud.findings(DCN0)[name].obstacle, "seen by a quick pass"
        assert [kind for kind, _ in cloud.told()] == [EventKind.ORPHAN_FOUND]


async def test_a_running_import_is_no_finding_from_its_first_byte_to_its_last() -> None:
    async with watched(Cloud()) as cloud:
        name = cloud.image(1)
        cloud.lock(name, DCN0)
        copy = cloud.pools[DCN0].put_partial(name, watchers=1)
        await cloud.audited()
        await cloud.clock.sleep(3600)
        assert not cloud.findings(DCN0)
        copy.snapshot = copy.protected = True
        copy.watchers = 0
        cloud.lock(name, DCN0)
        await cloud.clock.sleep(120)
        assert not cloud.findings(DCN0)
        cloud.change(name, lock=None, importing_to=frozenset(), stores=store_ids("central", "dcn0"))
        await cloud.clock.sleep(4000)
        assert not cloud.findings(DCN0)
        assert cloud.told() == []


@pytest.mark.parametrize("defect", [Defect.NO_IMAGE, Defect.WRONG_SIZE, Defect.NO_SNAPSHOT, Defect.UNPROTECTED])
async def test_a_broken_copy_is_found_and_can_be_mended(defect: Defect) -> None:
    async with watched(Cloud()) as cloud:
        name = cloud.image(1, CENTRAL, DCN0)
        cloud.image(2, CENTRAL, DCN0)
        copy = cloud.pools[DCN0].images[name]
        match defect:
            case Defect.NO_IMAGE:
                cloud.pools[DCN0].remove(name)
            case Defect.WRONG_SIZE:
                copy.size -= 512
            case Defect.NO_SNAPSHOT:
                copy.snapshot = False
            case _:
                copy.protected = False
        await cloud.audited()
        assert cloud.findings(DCN0).keys() == {name}
        assert (cloud.findings(DCN0)[name].defect, cloud.findings(DCN0)[name].obstacle) == (defect, "")
        assert not cloud.findings(CENTRAL)
        assert cloud.told() == [(EventKind.COPY_BROKEN, "dcn0")]


async def test_a_finding_keeps_the_time_at_which_it_was_first_seen() -> None:
    async with watched(Cloud()) as cloud:
        copy = cloud.pools[DCN0].images[cloud.image(1, CENTRAL, DCN0)]
        copy.protected = False
        await cloud.audited()
        (first,) = cloud.findings(DCN0).values()
        await cloud.clock.sleep(AUDIT.every)
        await cloud.sites.first(audit=True)
        (again,) = cloud.findings(DCN0).values()
        assert (again is first, again.seen_at) == (False, first.seen_at)
        copy.snapshot = False
        await cloud.sites.first(audit=True)
        (other,) = cloud.findings(DCN0).values()
        assert (other.defect, other.seen_at > first.seen_at) == (Defect.NO_SNAPSHOT, True)


async def test_a_copy_removed_later_is_found_by_its_name_long_before_the_next_full_audit() -> None:
    async with watched(Cloud()) as cloud:
        name = cloud.image(1, CENTRAL, DCN0)
        await cloud.audited()
        cloud.pools[DCN0].remove(name)
        await cloud.clock.sleep(AUDIT.quick + SETTLE + 1)
        assert cloud.findings(DCN0)[name].defect is Defect.NO_IMAGE


async def test_the_only_copy_left_is_not_taken_away() -> None:
    async with watched(Cloud()) as cloud:
        name = cloud.image(1, CENTRAL, DCN0)
        cloud.pools[CENTRAL].images[name].snapshot = False
        cloud.pools[DCN0].images[name].size -= 512
        await cloud.audited()
        assert "no other store" in cloud.findings(DCN0)[name].obstacle
        assert cloud.findings(CENTRAL)[name].obstacle


async def test_a_broken_copy_waits_for_the_dead_site_that_has_the_other_and_is_free_when_it_is_back() -> None:
    async with watched(Cloud()) as cloud:
        name = cloud.image(1, CENTRAL, DCN0)
        cloud.pools[DCN0].remove(name)
        cloud.pools[CENTRAL].down()
        await cloud.audited()
        waiting = cloud.findings(DCN0)[name]
        assert waiting.passing
        assert "central" in waiting.obstacle
        cloud.pools[CENTRAL].up()
        await cloud.clock.sleep(600)
        assert not cloud.findings(DCN0)[name].obstacle


async def test_when_the_other_copy_is_mended_this_one_can_be_without_waiting_for_a_full_audit() -> None:
    async with watched(Cloud()) as cloud:
        name = cloud.image(1, DCN0, DCN1)
        cloud.pools[DCN0].remove(name)
        cloud.pools[DCN1].images[name].snapshot = False
        await cloud.audited()
        assert cloud.findings(DCN0)[name].obstacle
        cloud.pools[DCN1].put(name)
        cloud.sites.mended(name, DCN1)
        await cloud.clock.sleep(AUDIT.quick + 1)
        assert not cloud.findings(DCN0)[name].obstacle
        assert not cloud.findings(DCN1)


async def test_a_deletion_that_is_under_way_is_no_finding() -> None:
    cloud, pool = await busy()
    async with watched(cloud):
        name = cloud.image(1, CENTRAL, DCN0)
        # Glance takes the RBD image away a moment before the location.
        pool.remove(name)
        cloud.see()
        audit = asyncio.create_task(cloud.audited())
        await cloud.clock.sleep(SETTLE / 2)
        assert name in pool.looked_at
        cloud.change(name, stores=store_ids("central"))
        await audit
        assert not cloud.findings(DCN0)
        assert cloud.told() == []


async def test_nothing_is_said_of_an_image_that_changes_during_the_look() -> None:
    cloud, pool = await busy()
    async with watched(cloud):
        name = cloud.image(1)
        cloud.leave(name, DCN0)
        await cloud.sites.first()
        pool.meanwhile = lambda _: cloud.change(name, stores=store_ids("central", "dcn0"))
        assert await cloud.sites.re_examine(name, DCN0) is None
        assert not cloud.findings(DCN0)


async def test_a_finding_that_was_mended_during_the_look_does_not_come_back() -> None:
    cloud, pool = await busy()
    async with watched(cloud):
        name = cloud.image(1)
        cloud.leave(name, DCN0)
        await cloud.sites.first()

        def trash(_: str) -> None:
            pool.remove(name)
            cloud.sites.mended(name, DCN0)

        pool.meanwhile = trash
        await cloud.sites.re_examine(name, DCN0)
        assert not cloud.findings(DCN0)


async def test_the_executor_gets_a_fresh_look() -> None:
    async with watched(Cloud()) as cloud:
        name = cloud.image(1)
        cloud.leave(name, DCN0)
        await cloud.audited()
        assert not cloud.findings(DCN0)[name].obstacle
        cloud.lock(name, DCN1)
        fresh = await cloud.sites.re_examine(name, DCN0)
        assert fresh is not None
        assert fresh.passing
        assert cloud.findings(DCN0)[name] == fresh
        cloud.pools[DCN0].down()
        with pytest.raises(UnreachableError):
            await cloud.sites.re_examine(name, DCN0)
        del cloud.glance.images[name]
        cloud.pools[DCN0].up()
        cloud.pools[DCN0].remove(name)
        assert await cloud.sites.re_examine(name, DCN0) is None
        assert not cloud.findings(DCN0)


async def test_leftovers_of_a_deleted_image_are_ours_only_if_the_journal_says_so() -> None:
    async with watched(Cloud()) as cloud:
        ours, theirs = ident(1), ident(2)
        for name in (ours, theirs):
            cloud.leave(name, DCN0)
        cloud.journal.copies.add((ours, DCN0))
        cloud.image(3, CENTRAL, DCN0)
        await cloud.audited()
        found = cloud.findings(DCN0)
        assert not found[ours].obstacle
        assert found[theirs].obstacle
        assert not found[theirs].passing


async def test_a_whole_copy_of_an_image_that_is_gone_is_a_leftover_only_if_the_hub_has_no_data_of_it() -> None:
    """Without the admin role, Glance answers 404 for other projects' images, whose copies are good."""
    async with watched(Cloud()) as cloud:
        deleted, hidden = ident(1), ident(2)
        for name in (deleted, hidden):
            cloud.journal.copies.add((name, DCN0))
            cloud.pools[DCN0].put(name, created_at=cloud.clock.now() - timedelta(days=1))
        cloud.pools[CENTRAL].put(hidden)
        cloud.image(3, CENTRAL, DCN0)
        await cloud.audited()
        found = cloud.findings(DCN0)
        assert not found[deleted].obstacle
        assert "Glance may only be hiding the image, which central has still" in found[hidden].obstacle
        assert not found[hidden].passing
        cloud.pools[CENTRAL].down()
        unseen = await cloud.sites.re_examine(deleted, DCN0)
        assert unseen is not None
        assert "can't see whether central has it still" in unseen.obstacle


async def test_what_waits_for_a_human_is_not_looked_at_again_and_again() -> None:
    cloud, pool = await busy()
    async with watched(cloud):
        names = [ident(number) for number in range(50)]
        for name in names:
            cloud.leave(name, DCN0)
        await cloud.audited()
        assert cloud.findings(DCN0).keys() == set(names)
        pool.looked_at.clear()
        await cloud.clock.sleep(10 * AUDIT.quick)
        assert pool.looked_at == []
        pool.remove(names[0])
        await cloud.clock.sleep(2 * AUDIT.quick)
        assert names[0] not in cloud.findings(DCN0), "the names told that it is gone"


async def test_settings_that_lead_two_stores_to_one_pool_make_no_orphans() -> None:
    cloud = Cloud("dcn0")
    mistaken = {CENTRAL: cloud.pools[CENTRAL], DCN0: cloud.pools[CENTRAL]}
    await cloud.sites.configure(mistaken, probes=PROBES, audit=AUDIT)
    async with watched(cloud):
        for number in range(3):
            cloud.image(number)
        await cloud.audited()
        assert len(cloud.findings(DCN0)) == 3
        for finding in cloud.findings(DCN0).values():
            assert "lead to one pool" in finding.obstacle
            assert not finding.passing


async def test_without_a_look_at_the_hub_nothing_is_an_orphan_for_sure() -> None:
    cloud = Cloud("dcn0")
    await cloud.sites.configure({DCN0: cloud.pools[DCN0]}, probes=PROBES, audit=AUDIT)
    async with watched(cloud):
        name = cloud.image(1)
        cloud.leave(name, DCN0)
        await cloud.audited()
        assert "central" in cloud.findings(DCN0)[name].obstacle


async def test_a_dead_edge_keeps_no_orphan_elsewhere_from_being_proven() -> None:
    async with watched(Cloud()) as cloud:
        name = cloud.image(1, CENTRAL, DCN1)
        cloud.leave(name, DCN0)
        cloud.pools[DCN1].down()
        await cloud.audited()
        assert not cloud.findings(DCN0)[name].obstacle
        assert cloud.sites.sites([DCN1])[DCN1].audited_at is None


async def test_a_pool_that_lacks_most_copies_is_doubted() -> None:
    async with watched(Cloud()) as cloud:
        for number in range(10):
            cloud.image(number, CENTRAL, DCN0)
        cloud.pools[DCN0].images.clear()
        await cloud.audited()
        for finding in cloud.findings(DCN0).values():
            assert "10 of 10" in finding.obstacle
        assert len(cloud.findings(DCN0)) == 10


async def test_audits_rest_while_the_site_is_down_and_go_on_when_it_is_back() -> None:
    async with watched(Cloud()) as cloud:
        await cloud.sites.configure(cloud.pools, probes=PROBES, audit=replace(AUDIT, quick=1000))
        name = cloud.image(1, CENTRAL, DCN0)
        await cloud.audited()
        cloud.pools[DCN0].down()
        await cloud.clock.sleep(600)
        cloud.pools[DCN0].remove(name)
        before = cloud.sites.sites([DCN0])[DCN0]
        assert not before.findings
        cloud.pools[DCN0].up()
        while cloud.state(DCN0) is not BreakerState.CLOSED:
            await cloud.clock.sleep(1)
        await cloud.clock.sleep(SETTLE + 1)
        assert cloud.findings(DCN0)[name].defect is Defect.NO_IMAGE, "at once, and not with the next pass"


async def test_a_dead_site_is_not_waited_for_by_the_audits_of_others() -> None:
    async with watched(Cloud()) as cloud:
        name = cloud.image(1, CENTRAL, DCN1)
        cloud.pools[DCN1].remove(name)
        cloud.pools[DCN0].down()
        began = cloud.clock.now()
        await cloud.audited()
        assert cloud.clock.now() - began <= timedelta(seconds=PROBES.deadline + SETTLE)
        assert cloud.findings(DCN1).keys() == {name}


async def test_a_dead_site_is_not_asked_for_every_other_copy_of_its_images() -> None:
    async with watched(Cloud()) as cloud:
        names = [cloud.image(number, CENTRAL, DCN1) for number in range(30)]
        for name in names:
            cloud.pools[DCN1].images[name].snapshot = False
        cloud.pools[CENTRAL].down()
        began = cloud.clock.now()
        await cloud.audited()
        assert cloud.clock.now() - began <= timedelta(seconds=PROBES.deadline + SETTLE)
        assert cloud.findings(DCN1).keys() == set(names)


async def test_a_site_that_dies_during_its_audit_is_found_dead_and_the_audit_stops() -> None:
    cloud, pool = await busy()
    async with watched(cloud):
        for number in range(1000):
            cloud.image(number, CENTRAL, DCN0)
        await cloud.sites.first()
        await cloud.clock.sleep(1)
        pool.slow = 1.0
        cloud.see()
        await cloud.clock.sleep(2.5)
        pool.down()
        before = len(pool.looked_at)
        # The deadline of the first look in vain, and that of the probe it causes.
        await cloud.clock.sleep(1 + 2 * PROBES.deadline + 0.1)
        assert cloud.state(DCN0) is BreakerState.OPEN
        stopped = len(pool.looked_at)
        assert stopped - before <= 3 * auditing.AT_ONCE
        await cloud.clock.sleep(2 * PROBES.deadline)
        assert len(pool.looked_at) - stopped <= auditing.AT_ONCE


async def test_an_audit_leaves_a_site_alone_that_fails_its_probe() -> None:
    cloud, pool = await busy()
    async with watched(cloud):
        for number in range(1000):
            cloud.image(number, CENTRAL, DCN0)
        await cloud.sites.first()
        pool.slow = 1.0
        cloud.see()
        pool.deaf = True
        await cloud.clock.sleep(2 * PROBES.every)
        assert cloud.state(DCN0) is BreakerState.OPEN
        stopped = len(pool.looked_at)
        await cloud.clock.sleep(60)
        assert len(pool.looked_at) == stopped


async def test_many_images_without_an_answer_between_good_ones_do_not_end_an_audit() -> None:
    cloud, pool = await busy()
    async with watched(cloud):
        names = [cloud.image(number, CENTRAL, DCN0) for number in range(60)]
        pool.stuck = set(names[::2])
        pool.images[names[-1]].protected = False
        await cloud.audited()
        assert cloud.findings(DCN0).keys() == {names[-1]}


async def test_one_image_that_can_not_be_looked_at_hides_no_other() -> None:
    cloud, pool = await busy()
    async with watched(cloud):
        names = [cloud.image(number, CENTRAL, DCN0) for number in range(9)]
        for name in names:
            pool.images[name].protected = False
        pool.stuck = {names[0]}
        cloud.glance.trouble[names[1]] = PermanentError("its record is malformed")
        await cloud.audited()
        assert cloud.findings(DCN0).keys() == set(names[2:])
        assert cloud.sites.sites([DCN0])[DCN0].audited_at is not None
        assert pool.most_at_once <= auditing.AT_ONCE


async def test_an_audit_that_gets_no_answer_is_broken_off_and_made_again() -> None:
    cloud, pool = await busy()
    async with watched(cloud):
        names = [cloud.image(number, CENTRAL, DCN0) for number in range(100)]
        pool.stuck = set(names)
        await cloud.audited()
        assert len(pool.looked_at) < 20
        assert cloud.sites.sites([DCN0])[DCN0].audited_at is None
        pool.stuck = set()
        await cloud.clock.sleep(2 * AUDIT.quick)
        assert cloud.sites.sites([DCN0])[DCN0].audited_at is not None


async def test_findings_stay_while_glance_can_not_be_asked() -> None:
    async with watched(Cloud()) as cloud:
        name = cloud.image(1)
        cloud.leave(name, DCN0)
        await cloud.audited()
        cloud.glance.trouble[name] = TransientError("no answer")
        await cloud.clock.sleep(300)
        assert cloud.findings(DCN0).keys() == {name}
        assert cloud.state(DCN0).value == "closed", "that is not the site's fault"


async def test_findings_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "MOST_FINDINGS", 5)
    async with watched(Cloud()) as cloud:
        for number in range(20):
            cloud.leave(ident(number), DCN0)
        await cloud.audited()
        assert len(cloud.findings(DCN0)) == 5
        assert len(cloud.sites.events()) == 5


async def test_without_images_nothing_is_audited_and_with_them_at_once() -> None:
    async with watched(Cloud()) as cloud:
        name: ImageId = cloud.image(1)
        cloud.leave(name, DCN0)
        await cloud.sites.first(audit=True)
        await cloud.clock.sleep(1)
        assert cloud.sites.sites([DCN0])[DCN0].audited_at is None
        cloud.see()
        await cloud.clock.sleep(SETTLE + 1)
        assert cloud.findings(DCN0).keys() == {name}


async def test_a_store_that_loses_its_ceph_settings_loses_its_findings() -> None:
    async with watched(Cloud()) as cloud:
        cloud.leave(ident(1), DCN0)
        await cloud.audited()
        assert cloud.findings(DCN0)
        await cloud.sites.configure({CENTRAL: cloud.pools[CENTRAL]}, probes=PROBES, audit=AUDIT)
        assert not cloud.findings(DCN0)
        assert await cloud.sites.re_examine(ident(1), DCN0) is None


async def test_an_unfinished_copy_counts_when_it_is_seen_twice_and_until_it_is_swept() -> None:
    async with watched(Cloud()) as cloud:
        name = cloud.image(1)
        cloud.pools[DCN0].put_partial(temporary_name(name))
        cloud.pools[DCN0].put_partial(f"golden{UNFINISHED}")
        await cloud.audited()
        assert unfinished(cloud) == set(), "it may be finished in this moment"
        await cloud.clock.sleep(AUDIT.quick + 1)
        assert unfinished(cloud) == {name}
        assert cloud.findings(DCN0) == {}
        cloud.pools[DCN0].remove(temporary_name(name))
        cloud.sites.mended(name, DCN0)
        assert unfinished(cloud) == set()
        await cloud.clock.sleep(2 * AUDIT.quick + 1)
        assert unfinished(cloud) == set()


async def test_what_a_repair_has_left_counts_as_unfinished_too() -> None:
    async with watched(Cloud()) as cloud:
        name = cloud.image(1)
        cloud.pools[DCN0].put_partial(replacement_name(name))
        await cloud.audited()
        await cloud.clock.sleep(AUDIT.quick + 1)
        assert unfinished(cloud) == {name}


def unfinished(cloud: Cloud) -> set[ImageId]:
    return set(cloud.sites.sites([DCN0])[DCN0].unfinished)
