"""The contract: what edgesync relies on in Glance. The fake passes it here, the real one in `tests/lab`.

A class to inherit from; the heir's module provides the fixtures `driver` and `glance` (a client as an admin).
"""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest

from edgesync.clients.glance import GlanceClient
from edgesync.domain.image import ImageId, TaskStatus
from edgesync.domain.ports import Glance
from edgesync.domain.store import StoreId
from edgesync.errors import ConflictError, NotFoundError, PermanentError, RequestError
from tests.contract.glance.driver import SIZE, Driver, ended, everything, importing, lists, newest_task, settled
from tests.contract.glance.importing import Importing

NOBODY = ImageId("00000000-0000-4000-8000-000000000000")


def _name() -> str:
    return f"contract-{uuid.uuid4().hex[:8]}"


class Reading:
    """What Glance shows."""

    async def test_check_names_the_version(self, glance: Glance) -> None:
        major, minor = (await glance.check()).removeprefix("v").split(".")
        assert (int(major), int(minor)) >= (2, 12)

    async def test_stores_carry_what_ceph_is_behind_them(self, glance: Glance, driver: Driver) -> None:
        stores = {store.id: store for store in await glance.stores()}
        assert set(stores) >= {driver.hub, *driver.edges}
        assert [store.id for store in stores.values() if store.default] == [driver.hub]
        assert {store.type for store in stores.values()} == {"rbd"}
        assert {store.pool for store in stores.values()} == {"images"}
        assert isinstance(glance, GlanceClient)
        await glance.check()
        level = glance.level
        assert level is not None
        if level.tells_fsid:
            assert len({store.fsid for store in stores.values()}) == len(stores)
        else:
            assert {store.fsid for store in stores.values()} == {""}
            assert "clusters' ids" in level.misses[0]
        assert not any(store.read_only for store in stores.values())

    async def test_an_image_is_shown_with_all_that_decisions_need(self, glance: Glance, driver: Driver) -> None:
        name = _name()
        image = await driver.make_image(name=name, tags=["golden", "x"], properties={"os_distro": "rhel"})
        seen = await glance.image(image)
        assert (seen.id, seen.name, seen.status, seen.size) == (image, name, "active", SIZE)
        assert (seen.visibility, seen.hidden, seen.disk_format) == ("public", False, "raw")
        assert seen.tags == {"golden", "x"}
        # Nothing but custom properties: neither Glance's own fields nor its bookkeeping.
        assert {key: value for key, value in seen.properties.items() if not key.startswith("owner_")} == {
            "os_distro": "rhel"
        }
        assert (lists(seen), seen.lock) == (({driver.hub}, set(), set()), None)
        assert (seen.hash_algo, len(seen.hash_value)) == ("sha512", 128)
        assert abs(driver.now() - seen.updated_at) < timedelta(minutes=5)
        assert (await everything(glance))[image] == seen

    async def test_the_list_has_hidden_images_and_those_of_other_projects(self, glance: Glance, driver: Driver) -> None:
        hidden = await driver.make_image(name=_name(), hidden=True)
        private = await driver.make_image(name=_name(), visibility="private")
        community = await driver.make_image(name=_name(), visibility="community")
        seen = await everything(glance)
        assert seen[hidden].hidden
        assert seen[private].visibility == "private"
        assert seen[community].visibility == "community"

    async def test_pages_of_two_bring_every_image(self, driver: Driver) -> None:
        made = {await driver.make_image(name=_name()) for _ in range(5)}
        pages = [page async for page in driver.client(page_size=2).images()]
        assert made <= {image.id for page in pages for image in page}
        assert max(map(len, pages)) <= 2

    async def test_deleting_the_marker_in_mid_list_loses_no_other_image(self, driver: Driver) -> None:
        made = [await driver.make_image(name=_name()) for _ in range(5)]
        seen = set()
        deleted = None
        async for page in driver.client(page_size=2).images():
            seen |= {image.id for image in page}
            if deleted is None:
                # Glance lists the newest first, so this is one of ours, and the next page would begin after it.
                deleted = page[-1].id
                assert deleted in made
                await driver.delete_image(deleted)
        assert set(made) <= seen

    async def test_updated_since_brings_what_changed(self, glance: Glance, driver: Driver) -> None:
        old, changed = await driver.make_image(name=_name()), await driver.make_image(name=_name())
        await driver.wait(2.1)
        since = driver.now()
        await driver.rename(changed, "renamed")
        seen = await everything(glance, updated_since=since.replace(microsecond=0))
        assert seen[changed].name == "renamed"
        assert old not in seen

    async def test_an_unknown_image_is_not_found(self, glance: Glance) -> None:
        with pytest.raises(NotFoundError, match=NOBODY):
            await glance.image(NOBODY)
        with pytest.raises(NotFoundError, match=NOBODY):
            await glance.tasks(NOBODY)

    async def test_a_deleted_image_is_not_found(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_image(name=_name())
        await driver.delete_image(image)
        with pytest.raises(NotFoundError):
            await glance.image(image)
        assert image not in await everything(glance)


class Copying:
    """What a copy-image import does."""

    async def test_a_copy_arrives(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_image(name=_name())
        edge = driver.edges[0]
        await glance.copy_image(image, [edge], allow_failure=True)
        seen = await settled(glance, driver, image)
        assert lists(seen) == ({driver.hub, edge}, set(), set())
        task = await newest_task(glance, image)
        assert (task.status, task.stores) == (TaskStatus.SUCCESS, (edge,))

    async def test_the_lock_is_there_from_the_answer_on(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_image(name=_name())
        before = await glance.image(image)
        # `updated_at` has a resolution of one second.
        await driver.wait(1.1)
        await driver.hold(driver.edges[0])
        await glance.copy_image(image, [driver.edges[0]], allow_failure=True)
        seen = await glance.image(image)
        assert seen.lock is not None
        assert seen.lock == (await newest_task(glance, image)).id
        if not seen.importing_to:
            # Only the lock has been set so far, and that does not move the time.
            assert seen.updated_at == before.updated_at
        await driver.release(driver.edges[0])
        assert (await settled(glance, driver, image)).updated_at > before.updated_at

    async def test_two_stores_are_written_one_after_the_other(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_image(name=_name())
        first, second = driver.edges[:2]
        await driver.hold(second)
        await glance.copy_image(image, [first, second], allow_failure=True)
        await importing(glance, driver, image, second)
        for _ in range(40):
            seen = await glance.image(image)
            if first in seen.stores:
                break
            await driver.wait(0.25)
        assert lists(seen) == ({driver.hub, first}, {second}, set())
        assert (await newest_task(glance, image)).status is TaskStatus.PROCESSING
        # Once a minute and at the end of each store: here the first store's end.
        assert (await newest_task(glance, image)).message == "Copied 12 MiB"
        await driver.release(second)
        assert (await settled(glance, driver, image)).stores == {driver.hub, first, second}

    async def test_a_dead_store_keeps_those_behind_it_waiting(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_image(name=_name())
        dead, healthy = driver.edges[:2]
        await driver.hold(dead)
        await glance.copy_image(image, [dead, healthy], allow_failure=True)
        await importing(glance, driver, image, dead)
        await driver.wait(5)
        seen = await glance.image(image)
        assert lists(seen) == ({driver.hub}, {dead, healthy}, set())
        await driver.release(dead)
        assert (await settled(glance, driver, image)).stores == {driver.hub, dead, healthy}

    async def test_a_second_import_is_refused_while_the_lock_is_held(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_image(name=_name())
        first, second = driver.edges[:2]
        await driver.hold(first)
        await glance.copy_image(image, [first], allow_failure=True)
        with pytest.raises(ConflictError, match="under way") as refused:
            await glance.copy_image(image, [second], allow_failure=True)
        assert "60 minutes" in refused.value.remedy
        await driver.release(first)
        assert (await settled(glance, driver, image)).stores == {driver.hub, first}

    async def test_orphaned_data_makes_a_copy_fail(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_image(name=_name())
        bad, good = driver.edges[:2]
        await driver.place(image, bad)
        await glance.copy_image(image, [bad, good], allow_failure=True)
        seen = await settled(glance, driver, image)
        assert lists(seen) == ({driver.hub, good}, set(), {bad})
        # Not every store got its copy, and the task is a success all the same.
        assert (await newest_task(glance, image)).status is TaskStatus.SUCCESS

    async def test_a_task_succeeds_although_every_store_failed(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_image(name=_name())
        await driver.place(image, driver.edges[0])
        await glance.copy_image(image, [driver.edges[0]], allow_failure=True)
        assert (await settled(glance, driver, image)).stores == {driver.hub}
        assert (await newest_task(glance, image)).status is TaskStatus.SUCCESS

    async def test_all_or_nothing_takes_back_what_was_made(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_image(name=_name())
        good, bad = driver.edges[:2]
        await driver.place(image, bad)
        await glance.copy_image(image, [good, bad], allow_failure=False)
        seen = await settled(glance, driver, image)
        assert lists(seen) == ({driver.hub}, set(), {bad})
        assert (await ended(glance, driver, image)).status is TaskStatus.FAILURE
        # What was taken back is gone from the store too: it can be copied again.
        await glance.copy_image(image, [good], allow_failure=False)
        assert (await settled(glance, driver, image)).stores == {driver.hub, good}

    async def test_all_or_nothing_leaves_unreached_stores_listed_as_importing(
        self, glance: Glance, driver: Driver
    ) -> None:
        image = await driver.make_image(name=_name())
        bad, unreached = driver.edges[:2]
        await driver.place(image, bad)
        await glance.copy_image(image, [bad, unreached], allow_failure=False)
        seen = await settled(glance, driver, image)
        # No lock, no import, and yet the list is not empty: only the lock tells whether something is under way.
        assert lists(seen) == ({driver.hub}, {unreached}, {bad})

    async def test_an_image_deleted_in_mid_copy_is_gone(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_image(name=_name())
        await driver.hold(driver.edges[0])
        await glance.copy_image(image, [driver.edges[0]], allow_failure=True)
        await importing(glance, driver, image, driver.edges[0])
        await driver.wait(1)
        await driver.delete_image(image)
        with pytest.raises(NotFoundError):
            await glance.image(image)
        await driver.release(driver.edges[0])
        # The writer goes on to the end, and nobody removes what it wrote.
        for _ in range(40):
            if await driver.has_data(image, driver.edges[0]):
                break
            await driver.wait(0.25)
        assert await driver.has_data(image, driver.edges[0])

    async def test_a_crash_leaves_lock_and_lists_behind(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_image(name=_name())
        first, second = driver.edges[:2]
        await driver.hold(first)
        await glance.copy_image(image, [first], allow_failure=True)
        await importing(glance, driver, image, first)
        await driver.crash()
        await driver.release(first)
        await driver.wait(2)
        seen = await glance.image(image)
        assert seen.lock is not None
        assert seen.importing_to == {first}
        with pytest.raises(ConflictError):
            await glance.copy_image(image, [second], allow_failure=True)

    async def test_a_stale_lock_is_taken_over(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_image(name=_name())
        first, second = driver.edges[:2]
        await driver.hold(first)
        await glance.copy_image(image, [first], allow_failure=True)
        await importing(glance, driver, image, first)
        await driver.crash()
        await driver.release(first)
        await driver.age(image, minutes=59)
        with pytest.raises(ConflictError):
            await glance.copy_image(image, [second], allow_failure=True)
        await driver.age(image, minutes=2)
        await glance.copy_image(image, [second], allow_failure=True)
        seen = await settled(glance, driver, image)
        # What the dead import had listed is cleaned up with it.
        assert lists(seen) == ({driver.hub, second}, set(), set())
        assert {task.status for task in await glance.tasks(image)} == {TaskStatus.SUCCESS, TaskStatus.FAILURE}

    async def test_what_changes_in_mid_copy_is_lost(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_image(name=_name())
        first, second = driver.edges[:2]
        await glance.copy_image(image, [first], allow_failure=True)
        before = await settled(glance, driver, image)
        await driver.hold(second)
        await glance.copy_image(image, [second], allow_failure=True)
        await importing(glance, driver, image, second)
        # Until the store's turn has come.
        await driver.wait(3)
        await driver.rename(image, "renamed")
        await glance.delete_from_store(image, first)
        seen = await glance.image(image)
        assert (seen.name, set(seen.stores)) == ("renamed", {driver.hub})
        await driver.release(second)
        seen = await settled(glance, driver, image)
        # Glance saves the image as it was when the store's turn came: even the deleted copy is listed again.
        assert (seen.name, set(seen.stores)) == (before.name, {driver.hub, first, second})
        assert not await driver.has_data(image, first)

    async def test_an_image_deactivated_in_mid_copy_keeps_its_copies(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_image(name=_name())
        edge, other = driver.edges[:2]
        await driver.hold(edge)
        await glance.copy_image(image, [edge], allow_failure=True)
        await importing(glance, driver, image, edge)
        await driver.wait(1)
        await driver.deactivate(image)
        await driver.release(edge)
        seen = await settled(glance, driver, image)
        assert (seen.status, lists(seen)) == ("deactivated", ({driver.hub}, set(), {edge}))
        assert (await ended(glance, driver, image)).status is TaskStatus.FAILURE
        # What was written stays at the site, known to nobody.
        assert await driver.has_data(image, edge)
        with pytest.raises(ConflictError, match="not active"):
            await glance.copy_image(image, [other], allow_failure=True)


class Refusing:
    """What can't be done, and how Glance says so."""

    async def test_a_store_that_has_the_data_is_named(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_image(name=_name())
        with pytest.raises(RequestError, match=f"in store {driver.hub} already"):
            await glance.copy_image(image, [driver.edges[0], driver.hub], allow_failure=True)

    async def test_an_unknown_store_is_named(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_image(name=_name())
        with pytest.raises(PermanentError, match="knows no store atlantis"):
            await glance.copy_image(image, [driver.edges[0], StoreId("atlantis")], allow_failure=True)
        with pytest.raises(PermanentError, match="knows no store atlantis"):
            await glance.delete_from_store(image, StoreId("atlantis"))

    async def test_an_image_without_data_is_not_copied(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_queued_image()
        with pytest.raises(ConflictError, match="not active"):
            await glance.copy_image(image, [driver.edges[0]], allow_failure=True)
        seen = await glance.image(image)
        assert (seen.status, seen.size, seen.stores) == ("queued", None, frozenset())

    async def test_an_image_that_is_gone_is_not_copied(self, glance: Glance, driver: Driver) -> None:
        with pytest.raises(NotFoundError, match="gone"):
            await glance.copy_image(NOBODY, [driver.edges[0]], allow_failure=True)

    async def test_a_member_may_not_copy(self, driver: Driver) -> None:
        image = await driver.make_image(name=_name())
        with pytest.raises(PermanentError) as refused:
            await driver.client_as_member().copy_image(image, [driver.edges[0]], allow_failure=True)
        assert "admin role" in refused.value.remedy

    async def test_a_member_sees_the_plain_stores(self, driver: Driver) -> None:
        stores = await driver.client_as_member().stores()
        assert {driver.hub, *driver.edges} <= {store.id for store in stores}
        assert {store.type for store in stores} == {""}

    async def test_a_bad_token_ends_with_a_remedy(self, driver: Driver) -> None:
        with pytest.raises(PermanentError, match="401") as refused:
            await driver.client_with_bad_token().stores()
        assert refused.value.remedy


class Changing:
    """Copies deleted, locations added."""

    async def test_a_copy_is_deleted(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_image(name=_name())
        edge, other = driver.edges[:2]
        await glance.copy_image(image, [edge, other], allow_failure=True)
        await settled(glance, driver, image)
        await glance.delete_from_store(image, edge)
        assert (await glance.image(image)).stores == {driver.hub, other}
        with pytest.raises(NotFoundError, match=f"no copy in store {edge}"):
            await glance.delete_from_store(image, edge)

    async def test_a_copy_without_data_is_taken_off_the_list(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_image(name=_name())
        edge = driver.edges[0]
        await glance.copy_image(image, [edge], allow_failure=True)
        await settled(glance, driver, image)
        await driver.lose(image, edge)
        assert (await glance.image(image)).stores == {driver.hub, edge}
        await glance.delete_from_store(image, edge)
        await glance.copy_image(image, [edge], allow_failure=True)
        assert (await settled(glance, driver, image)).stores == {driver.hub, edge}
        assert await driver.has_data(image, edge)

    async def test_the_hubs_copy_is_not_protected(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_image(name=_name())
        edge = driver.edges[0]
        await glance.copy_image(image, [edge], allow_failure=True)
        await settled(glance, driver, image)
        await glance.delete_from_store(image, driver.hub)
        assert (await glance.image(image)).stores == {edge}

    async def test_the_last_copy_is_protected(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_image(name=_name())
        with pytest.raises(PermanentError, match="only copy"):
            await glance.delete_from_store(image, driver.hub)
        assert (await glance.image(image)).stores == {driver.hub}

    async def test_nothing_to_delete_of_an_image_that_is_gone(self, glance: Glance, driver: Driver) -> None:
        with pytest.raises(NotFoundError):
            await glance.delete_from_store(NOBODY, driver.hub)

    async def test_data_at_a_store_is_registered(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_image(name=_name())
        edge = driver.edges[0]
        before = await glance.image(image)
        url = await driver.place(image, edge)
        await driver.wait(1.1)
        seen = await glance.add_location(image, url, edge)
        assert seen.stores == {driver.hub, edge}
        assert seen.updated_at > before.updated_at
        assert await glance.image(image) == seen
        with pytest.raises(RequestError):
            await glance.add_location(image, url, edge)
        await glance.delete_from_store(image, edge)
        assert (await glance.image(image)).stores == {driver.hub}


class GlanceContract(Reading, Copying, Refusing, Changing, Importing):
    """All of it."""
