"""What lies on what: audits see which copies are layered on which."""

from __future__ import annotations

from collections.abc import Mapping

from edgesync.domain.image import ImageId
from edgesync.domain.store import StoreId
from tests.builders import CENTRAL
from tests.unit.observe.watched import AUDIT, DCN0, DCN1, Cloud, watched


def bases(cloud: Cloud, store: StoreId = DCN0) -> Mapping[ImageId, ImageId]:
    return cloud.sites.sites([store])[store].bases


async def test_copies_on_top_of_a_copy_are_seen_and_disks_are_none() -> None:
    async with watched(Cloud()) as cloud:
        first, second, third = (cloud.image(number, CENTRAL, DCN0, DCN1) for number in range(3))
        cloud.pools[DCN0].find(first).children = (f"images/{second}", "vms/vm-7_disk", f"images/{third}")
        await cloud.audited()
        assert bases(cloud) == {second: first, third: first}
        assert bases(cloud, DCN1) == {}


async def test_what_was_flattened_is_on_top_of_nothing_after_the_next_audit() -> None:
    async with watched(Cloud()) as cloud:
        first, second, third = (cloud.image(number, CENTRAL, DCN0) for number in range(3))
        cloud.pools[DCN0].find(first).children = (f"images/{second}",)
        cloud.pools[DCN0].find(second).children = (f"images/{third}",)
        await cloud.audited()
        assert bases(cloud) == {second: first, third: second}
        cloud.pools[DCN0].find(first).children = ()
        await cloud.clock.sleep(AUDIT.every + AUDIT.quick)
        assert bases(cloud) == {third: second}


async def test_a_base_that_is_gone_is_none() -> None:
    async with watched(Cloud()) as cloud:
        first, second = (cloud.image(number, CENTRAL, DCN0) for number in range(2))
        cloud.pools[DCN0].find(first).children = (f"images/{second}",)
        await cloud.audited()
        assert bases(cloud) == {second: first}
        cloud.pools[DCN0].remove(first)
        await cloud.clock.sleep(AUDIT.quick * 2)
        assert bases(cloud) == {}


async def test_nothing_is_remembered_of_a_base_that_glance_and_its_site_have_forgotten() -> None:
    async with watched(Cloud()) as cloud:
        first, second = (cloud.image(number, CENTRAL, DCN0) for number in range(2))
        cloud.pools[DCN0].find(first).children = (f"images/{second}",)
        await cloud.audited()
        del cloud.glance.images[first]
        for pool in cloud.pools.values():
            pool.remove(first)
        cloud.see()
        await cloud.clock.sleep(AUDIT.quick * 2)
        assert bases(cloud) == {}
