"""The contract: what edgesync relies on in a site's Ceph cluster. The fake passes it here, a real one in `tests/lab`.

A class to inherit from; the heir's module provides the fixtures `driver` and `cluster` (a client of its store).
"""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta

import pytest

from edgesync.domain.ports import Cluster
from edgesync.domain.site import RbdImage
from edgesync.errors import ConflictError, NotFoundError, PermanentError, UnreachableError
from tests.contract.cluster.driver import OBJECT, SIZE, Driver, until

DAY = timedelta(days=1)


def _name() -> str:
    return f"contract-{uuid.uuid4()}"


async def _used(cluster: Cluster, driver: Driver) -> int:
    """Bytes, once they stay the same: what others have deleted is given back little by little.

    What is available goes on changing by what the OSDs need for themselves.
    """
    seen: list[int | None] = []

    async def stays() -> bool:
        capacity = await cluster.probe()
        seen.append(capacity.used if capacity is not None else None)
        # The OSDs report every five seconds, and it is asked four times a second.
        return len(seen) > 32 and seen[-1] is not None and len(set(seen[-32:])) == 1

    await until(driver, stays)
    assert seen[-1] is not None
    return seen[-1]


class Looking:
    """What is seen of the images in a pool."""

    async def test_a_finished_copy_is_seen_whole(self, cluster: Cluster, driver: Driver) -> None:
        name = _name()
        await driver.make(name)
        seen = await cluster.inspect(name)
        assert seen == RbdImage(
            name=name,
            id=seen.id,
            size=SIZE,
            snapshot=True,
            protected=True,
            watchers=0,
            children=(),
            created_at=seen.created_at,
        )
        assert abs(driver.now() - seen.created_at) < timedelta(minutes=5)
        assert name in await cluster.names()

    async def test_each_image_has_an_id_of_its_own_that_stays(self, cluster: Cluster, driver: Driver) -> None:
        one, other = _name(), _name()
        await driver.make(one)
        await driver.make(other)
        first = (await cluster.inspect(one)).id
        assert first == (await cluster.inspect(one)).id
        assert first != (await cluster.inspect(other)).id

    async def test_a_snapshot_may_lack_its_protection(self, cluster: Cluster, driver: Driver) -> None:
        name = _name()
        await driver.make(name, protected=False)
        seen = await cluster.inspect(name)
        assert (seen.snapshot, seen.protected) == (True, False)

    async def test_half_a_copy_has_no_snapshot_and_is_watched_while_it_is_written(
        self, cluster: Cluster, driver: Driver
    ) -> None:
        name = _name()
        await driver.make(name, snapshot=False, written=0)
        await driver.open(name)
        seen = await cluster.inspect(name)
        assert (seen.snapshot, seen.protected, seen.watchers) == (False, False, 1)
        await driver.leave(name)
        assert (await cluster.inspect(name)).watchers == 0

    async def test_looking_is_not_watching(self, cluster: Cluster, driver: Driver) -> None:
        name = _name()
        await driver.make(name)
        looks = [client.inspect(name) for client in (cluster, driver.client()) for _ in range(8)]
        assert {seen.watchers for seen in await asyncio.gather(*looks)} == {0}

    async def test_clones_are_named_even_from_the_trash(self, cluster: Cluster, driver: Driver) -> None:
        name = _name()
        await driver.make(name)
        clones = {await driver.clone(name), await driver.clone(name, trashed=True)}
        assert set((await cluster.inspect(name)).children) == clones

    async def test_what_is_written_counts_by_whole_objects(self, cluster: Cluster, driver: Driver) -> None:
        whole, half, empty = _name(), _name(), _name()
        await driver.make(whole)
        await driver.make(half, written=SIZE // 2, snapshot=False)
        await driver.make(empty, written=0, snapshot=False)
        assert [await cluster.written(name) for name in (whole, half, empty)] == [SIZE, SIZE // 2, 0]

    async def test_writing_is_followed_while_the_writer_holds_the_lock(self, cluster: Cluster, driver: Driver) -> None:
        name = _name()
        await driver.make(name, snapshot=False, written=0)
        await driver.open(name)
        followed = []
        for count in range(1, 5):
            await driver.write(name, count * OBJECT)
            followed.append(await cluster.written(name))
        assert followed == [OBJECT, 2 * OBJECT, 3 * OBJECT, 4 * OBJECT]
        # Looking has not made the writer lose its image.
        assert (await cluster.inspect(name)).watchers == 1

    async def test_an_unknown_image_is_not_found(self, cluster: Cluster) -> None:
        nobody = _name()
        assert nobody not in await cluster.names()
        for call in (
            cluster.inspect(nobody),
            cluster.written(nobody),
            cluster.protect(nobody),
            cluster.trash(nobody, delay=DAY),
        ):
            with pytest.raises(NotFoundError, match=nobody):
                await call


class Changing:
    """What edgesync does to them."""

    @pytest.mark.parametrize("finished", [True, False], ids=["finished", "half"])
    async def test_what_goes_into_the_trash_can_come_back(
        self, cluster: Cluster, driver: Driver, finished: bool
    ) -> None:
        name = _name()
        await driver.make(name, snapshot=finished)
        await cluster.trash(name, delay=DAY)
        assert name not in await cluster.names()
        with pytest.raises(NotFoundError):
            await cluster.inspect(name)
        kept = (await driver.trash())[name]
        assert abs(kept - DAY) <= timedelta(seconds=1)

    async def test_nothing_is_trashed_twice(self, cluster: Cluster, driver: Driver) -> None:
        name = _name()
        await driver.make(name)
        await cluster.trash(name, delay=DAY)
        with pytest.raises(NotFoundError, match=name):
            await cluster.trash(name, delay=DAY)

    async def test_its_name_is_free_again(self, cluster: Cluster, driver: Driver) -> None:
        name = _name()
        await driver.make(name, snapshot=False)
        await cluster.trash(name, delay=DAY)
        await driver.make(name)
        assert (await cluster.inspect(name)).protected

    async def test_what_somebody_writes_is_not_trashed(self, cluster: Cluster, driver: Driver) -> None:
        name = _name()
        await driver.make(name, snapshot=False, written=0)
        await driver.open(name)
        with pytest.raises(ConflictError, match=name):
            await cluster.trash(name, delay=DAY)
        assert name in await cluster.names()
        await driver.leave(name)
        await cluster.trash(name, delay=DAY)

    async def test_what_has_clones_is_not_trashed(self, cluster: Cluster, driver: Driver) -> None:
        name = _name()
        await driver.make(name)
        clone = await driver.clone(name)
        with pytest.raises(ConflictError, match=clone):
            await cluster.trash(name, delay=DAY)
        assert (await cluster.inspect(name)).protected

    async def test_a_snapshot_is_protected_once_and_again(self, cluster: Cluster, driver: Driver) -> None:
        name = _name()
        await driver.make(name, protected=False)
        await cluster.protect(name)
        await cluster.protect(name)
        assert (await cluster.inspect(name)).protected

    async def test_half_a_copy_has_nothing_to_protect(self, cluster: Cluster, driver: Driver) -> None:
        name = _name()
        await driver.make(name, snapshot=False)
        with pytest.raises(NotFoundError, match="no snapshot"):
            await cluster.protect(name)
        assert not (await cluster.inspect(name)).snapshot


class Probing:
    """Is it alive, and how full."""

    async def test_a_probe_tells_the_room(self, cluster: Cluster) -> None:
        capacity = await cluster.probe()
        assert capacity is not None
        assert capacity.used >= 0
        assert capacity.available > SIZE

    async def test_what_is_written_is_used(self, cluster: Cluster, driver: Driver) -> None:
        before = await _used(cluster, driver)
        await driver.make(_name())

        async def grown() -> bool:
            now = await cluster.probe()
            return now is not None and now.used - before >= SIZE

        await until(driver, grown)

    async def test_a_full_pool_has_no_room_and_can_be_read(self, cluster: Cluster, driver: Driver) -> None:
        name = _name()
        await driver.make(name)
        await driver.fill()

        async def full() -> bool:
            capacity = await cluster.probe()
            return capacity is not None and capacity.available == 0 and capacity.fill() == 1.0

        await until(driver, full)
        assert (await cluster.inspect(name)).protected
        assert await cluster.written(name) == SIZE
        assert name in await cluster.names()

    async def test_without_a_manager_it_is_alive_and_tells_no_figures(self, cluster: Cluster, driver: Driver) -> None:
        await driver.stop_manager()
        assert await cluster.probe() is None
        assert await cluster.names() is not None


class Failing:
    """What a site that is broken, or not set up, makes of each call."""

    async def test_nothing_waits_for_a_silent_site(self, cluster: Cluster, driver: Driver) -> None:
        name = _name()
        await driver.make(name, protected=False)
        await driver.silence()
        for call in (
            cluster.probe(),
            cluster.names(),
            cluster.inspect(name),
            cluster.written(name),
            cluster.protect(name),
            cluster.trash(name, delay=DAY),
        ):
            with pytest.raises(UnreachableError, match=r"store dcn0 \(pool images\)") as failed:
                await call
            assert failed.value.remedy

    async def test_the_same_client_works_again_when_the_site_does(self, cluster: Cluster, driver: Driver) -> None:
        name = _name()
        await driver.make(name)
        await driver.silence()
        with pytest.raises(UnreachableError):
            await cluster.inspect(name)
        await driver.heal()

        async def back() -> bool:
            try:
                return (await cluster.inspect(name)).protected
            except UnreachableError:
                return False

        await until(driver, back)

    async def test_a_silent_site_is_no_trouble_to_another(self, cluster: Cluster, driver: Driver) -> None:
        elsewhere = driver.client_elsewhere()
        await driver.silence()
        hanging = [asyncio.create_task(cluster.names()) for _ in range(20)]
        for _ in range(20):
            await elsewhere.names()
        assert await elsewhere.probe() is not None
        assert not any(call.done() for call in hanging)
        failures = await asyncio.gather(*hanging, return_exceptions=True)
        assert {type(failure) for failure in failures} == {UnreachableError}

    async def test_missing_capabilities_are_named(self, driver: Driver) -> None:
        name = _name()
        await driver.make(name)
        client = driver.client_without_caps()
        for call in (client.probe(), client.names(), client.inspect(name), client.trash(name, delay=DAY)):
            with pytest.raises(PermanentError, match="dcn0") as refused:
                await call
            assert "ceph auth caps" in refused.value.remedy


class ClusterContract(Looking, Changing, Probing, Failing):
    """All of it."""
