"""The part of the contract about images that are brought in: from a URI, or staged by us.

What is left after failures is the same with Glance 33 and 25: tried.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from edgesync.domain.image import Image, ImageId, TaskStatus
from edgesync.domain.job import ImportSource
from edgesync.domain.ports import Glance
from edgesync.domain.store import StoreId
from edgesync.errors import ConflictError, NotFoundError, PermanentError, RequestError, UnreachableError
from tests.contract.glance.driver import SIZE, Driver, ended, importing, lists, newest_task, settled

MIB = 1024 * 1024


def source(uri: str | None = None, **fields: object) -> ImportSource:
    return ImportSource(uri=uri, name=f"contract-{uuid.uuid4().hex[:8]}", **fields)  # type: ignore[arg-type]


async def data(size: int = SIZE) -> AsyncIterator[bytes]:
    for _ in range(size // MIB):
        yield bytes(MIB)


async def new(glance: Glance, driver: Driver, what: ImportSource | None = None) -> ImageId:
    image = driver.note(str(uuid.uuid4()))
    await glance.create_image(image, what or source())
    return image


async def staged(glance: Glance, driver: Driver) -> ImageId:
    image = await new(glance, driver)
    await glance.stage(image, data())
    return image


async def active(glance: Glance, driver: Driver, image: ImageId) -> Image:
    """The image as soon as it can be used, be it still locked."""
    for _ in range(120):
        seen = await glance.image(image)
        if seen.active:
            return seen
        await driver.wait(0.25)
    raise AssertionError(f"image {image} does not become active: {seen}")


class Creating:
    """Images without data."""

    async def test_an_image_is_created_as_described(self, glance: Glance, driver: Driver) -> None:
        what = source(
            visibility="public", hidden=True, min_disk=1, tags=("golden",), properties=(("os_distro", "debian"),)
        )
        image = await new(glance, driver, what)
        seen = await glance.image(image)
        assert (seen.id, seen.name, seen.status, seen.size) == (image, what.name, "queued", None)
        assert (seen.visibility, seen.hidden, seen.disk_format) == ("public", True, "raw")
        assert (set(seen.tags), seen.properties) == ({"golden"}, {"os_distro": "debian"})
        assert (lists(seen), seen.lock) == ((set(), set(), set()), None)
        # Whoever does not know whether it arrived may ask again.
        await glance.create_image(image, what)

    async def test_an_id_is_never_given_twice(self, glance: Glance, driver: Driver) -> None:
        image = await new(glance, driver)
        await glance.delete_image(image)
        with pytest.raises(ConflictError, match="deleted"):
            await glance.create_image(image, source())

    async def test_a_format_that_is_none_is_refused(self, glance: Glance, driver: Driver) -> None:
        with pytest.raises(RequestError, match="floppy"):
            await new(glance, driver, source(disk_format="floppy"))
        with pytest.raises(RequestError, match="reserved"):
            await new(glance, driver, source(properties=(("os_glance_import_task", "mine"),)))

    async def test_a_deleted_image_leaves_no_data(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_image(name="contract-deleted")
        await glance.delete_image(image)
        with pytest.raises(NotFoundError):
            await glance.delete_image(image)
        assert not await driver.has_data(image, driver.hub)

    async def test_an_image_with_a_clone_is_kept_where_the_clone_is(self, glance: Glance, driver: Driver) -> None:
        image = await driver.make_image(name="contract-cloned")
        edge = driver.edges[0]
        await glance.copy_image(image, [edge], allow_failure=True)
        await settled(glance, driver, image)
        await driver.clone(image, edge)
        with pytest.raises(ConflictError) as refused:
            await glance.delete_from_store(image, edge)
        assert "rbd children" in refused.value.remedy
        # Glance 25 stumbles over clones in a pool that its key may not read, and answers 500.
        with pytest.raises((ConflictError, UnreachableError), match=r"other sites may be gone|HTTP 500"):
            await glance.delete_image(image)
        # It is in the middle of its deletion: the copies before that one are gone, and it is still there.
        assert (await glance.image(image)).stores == {edge}


class Fetching:
    """Imports from a URI."""

    async def test_an_image_is_fetched_to_several_stores(self, glance: Glance, driver: Driver) -> None:
        what = source(await driver.serve())
        image = await new(glance, driver, what)
        await glance.import_image(image, what, [driver.hub, driver.edges[0]], allow_failure=True)
        assert (await glance.image(image)).lock is not None
        await active(glance, driver, image)
        seen = await settled(glance, driver, image)
        assert (seen.status, seen.size, len(seen.hash_value)) == ("active", SIZE, 128)
        assert lists(seen) == ({driver.hub, driver.edges[0]}, set(), set())
        task = await newest_task(glance, image)
        assert (task.status, task.stores) == (TaskStatus.SUCCESS, (driver.hub, driver.edges[0]))

    async def test_with_failures_allowed_the_first_store_makes_it_active(self, glance: Glance, driver: Driver) -> None:
        what = source(await driver.serve())
        image = await new(glance, driver, what)
        held = driver.edges[0]
        await driver.hold(held)
        await glance.import_image(image, what, [driver.hub, held], allow_failure=True)
        seen = await active(glance, driver, image)
        assert lists(seen) == ({driver.hub}, {held}, set())
        # Active, and yet nothing can be copied: the import holds the lock.
        with pytest.raises(ConflictError, match="under way"):
            await glance.copy_image(image, [driver.edges[1]], allow_failure=True)
        await driver.release(held)
        assert (await settled(glance, driver, image)).stores == {driver.hub, held}

    async def test_all_or_nothing_makes_it_active_at_the_end(self, glance: Glance, driver: Driver) -> None:
        what = source(await driver.serve())
        image = await new(glance, driver, what)
        held = driver.edges[0]
        await driver.hold(held)
        await glance.import_image(image, what, [driver.hub, held], allow_failure=False)
        seen = await importing(glance, driver, image, held)
        for _ in range(40):
            seen = await glance.image(image)
            if seen.stores:
                break
            await driver.wait(0.25)
        assert (seen.status, lists(seen)) == ("importing", ({driver.hub}, {held}, set()))
        await driver.release(held)
        await active(glance, driver, image)
        assert (await settled(glance, driver, image)).stores == {driver.hub, held}

    @pytest.mark.parametrize("allow_failure", [True, False])
    async def test_nothing_at_the_uri_leaves_it_queued(
        self, glance: Glance, driver: Driver, allow_failure: bool
    ) -> None:
        what = source(await driver.serve(missing=True))
        image = await new(glance, driver, what)
        stores = [driver.hub, driver.edges[0]]
        await glance.import_image(image, what, stores, allow_failure=allow_failure)
        seen = await settled(glance, driver, image)
        assert (seen.status, lists(seen)) == ("queued", (set(), set(), set(stores)))
        task = await ended(glance, driver, image)
        # Why, only glance-api's log says.
        assert (task.status, task.message) == (TaskStatus.FAILURE, "Task failed due to Internal Error")
        # It can be tried again.
        better = source(await driver.serve())
        await glance.import_image(image, better, stores, allow_failure=allow_failure)
        await active(glance, driver, image)
        assert lists(await settled(glance, driver, image)) == (set(stores), set(), set())

    async def test_a_server_that_falls_silent_keeps_the_image_locked(self, glance: Glance, driver: Driver) -> None:
        what = source(await driver.serve(hangs=True))
        image = await new(glance, driver, what)
        await glance.import_image(image, what, [driver.hub], allow_failure=True)
        await importing(glance, driver, image, driver.hub)
        await driver.wait(2)
        seen = await glance.image(image)
        assert (seen.status, seen.size, lists(seen)) == ("importing", None, (set(), {driver.hub}, set()))
        task = await newest_task(glance, image)
        assert (task.status, task.message) == (TaskStatus.PROCESSING, "")
        # The way out.
        await glance.delete_image(image)
        with pytest.raises(NotFoundError):
            await glance.image(image)

    async def test_a_store_that_fails_is_left_out(self, glance: Glance, driver: Driver) -> None:
        what = source(await driver.serve())
        image = await new(glance, driver, what)
        bad, good = driver.edges[:2]
        await driver.occupy(image, bad)
        await glance.import_image(image, what, [driver.hub, bad, good], allow_failure=True)
        await active(glance, driver, image)
        seen = await settled(glance, driver, image)
        assert lists(seen) == ({driver.hub, good}, set(), {bad})
        assert (await newest_task(glance, image)).status is TaskStatus.SUCCESS

    async def test_no_store_that_succeeds_leaves_it_queued(self, glance: Glance, driver: Driver) -> None:
        what = source(await driver.serve())
        image = await new(glance, driver, what)
        stores = list(driver.edges[:2])
        for store in stores:
            await driver.occupy(image, store)
        await glance.import_image(image, what, stores, allow_failure=True)
        # Unlike a copy's whose every store failed.
        assert (await ended(glance, driver, image)).status is TaskStatus.FAILURE
        await driver.wait(1)
        seen = await glance.image(image)
        assert (seen.status, seen.size, lists(seen)) == ("queued", None, (set(), set(), set(stores)))
        # Its own lock stays behind, for an hour.
        assert seen.lock is not None
        await driver.age(image, minutes=61)
        await glance.import_image(image, what, [driver.hub], allow_failure=True)
        await active(glance, driver, image)
        assert (await settled(glance, driver, image)).stores == {driver.hub}

    async def test_all_or_nothing_takes_everything_back(self, glance: Glance, driver: Driver) -> None:
        what = source(await driver.serve())
        image = await new(glance, driver, what)
        bad = driver.edges[0]
        await driver.occupy(image, bad)
        await glance.import_image(image, what, [driver.hub, bad], allow_failure=False)
        seen = await settled(glance, driver, image)
        assert (seen.status, seen.size) == ("queued", None)
        # Also the stores that did not fail; those whose turn had not come are not left in the list, as with a copy.
        assert lists(seen) == (set(), set(), {driver.hub, bad})
        assert not await driver.has_data(image, driver.hub)
        assert (await ended(glance, driver, image)).status is TaskStatus.FAILURE

    async def test_a_crash_in_mid_import_is_the_end_of_the_image(self, glance: Glance, driver: Driver) -> None:
        what = source(await driver.serve(hangs=True))
        image = await new(glance, driver, what)
        await glance.import_image(image, what, [driver.hub], allow_failure=True)
        await importing(glance, driver, image, driver.hub)
        await driver.crash()
        seen = await glance.image(image)
        assert (seen.status, lists(seen)) == ("importing", (set(), {driver.hub}, set()))
        assert seen.lock is not None
        await driver.age(image, minutes=61)
        # The lock has expired, and still: only queued images are imported.
        with pytest.raises(ConflictError, match="no longer waits") as refused:
            await glance.import_image(image, what, [driver.hub], allow_failure=True)
        assert "Delete the image" in refused.value.remedy
        await glance.delete_image(image)


class Staging:
    """Imports of what was sent to Glance before."""

    async def test_a_staged_image_is_imported(self, glance: Glance, driver: Driver) -> None:
        image = await staged(glance, driver)
        seen = await glance.image(image)
        assert (seen.status, seen.size, seen.stores) == ("uploading", SIZE, frozenset())
        await glance.import_image(image, source(), [driver.hub, driver.edges[0]], allow_failure=True)
        await active(glance, driver, image)
        seen = await settled(glance, driver, image)
        assert (seen.size, lists(seen)) == (SIZE, ({driver.hub, driver.edges[0]}, set(), set()))

    async def test_data_that_breaks_off_is_forgotten(self, glance: Glance, driver: Driver) -> None:
        async def broken() -> AsyncIterator[bytes]:
            async for chunk in data(3 * MIB):
                yield chunk
            raise OSError("the line is cut")

        image = await new(glance, driver)
        with pytest.raises(RequestError, match="the line is cut"):
            await glance.stage(image, broken())
        # Glance may not even have begun with the request.
        await driver.wait(2)
        assert (await glance.image(image)).status == "queued"
        await glance.stage(image, data())
        assert (await glance.image(image)).size == SIZE

    async def test_nothing_is_staged_twice(self, glance: Glance, driver: Driver) -> None:
        image = await staged(glance, driver)
        with pytest.raises(ConflictError, match="no longer waits"):
            await glance.stage(image, data())
        with pytest.raises(NotFoundError):
            await glance.stage(ImageId(str(uuid.uuid4())), data())

    async def test_no_store_that_succeeds_asks_for_the_data_again(self, glance: Glance, driver: Driver) -> None:
        image = await staged(glance, driver)
        await driver.occupy(image, driver.edges[0])
        await glance.import_image(image, source(), [driver.edges[0]], allow_failure=True)
        seen = await settled(glance, driver, image)
        assert (seen.status, seen.size, lists(seen)) == ("queued", None, (set(), set(), {driver.edges[0]}))
        assert (await ended(glance, driver, image)).status is TaskStatus.FAILURE
        await glance.stage(image, data())

    async def test_all_or_nothing_that_fails_is_the_end_of_the_image(self, glance: Glance, driver: Driver) -> None:
        image = await staged(glance, driver)
        bad = driver.edges[0]
        await driver.occupy(image, bad)
        await glance.import_image(image, source(), [driver.hub, bad], allow_failure=False)
        seen = await settled(glance, driver, image)
        # Nothing holds it, and nothing can be done with it: no import, no new data.
        assert (seen.status, lists(seen)) == ("importing", (set(), set(), {bad}))
        with pytest.raises(ConflictError):
            await glance.import_image(image, source(), [driver.hub], allow_failure=True)
        with pytest.raises(ConflictError):
            await glance.stage(image, data())
        assert not await driver.has_data(image, driver.hub)
        await glance.delete_image(image)

    async def test_a_crash_in_mid_stage_leaves_a_part(self, glance: Glance, driver: Driver) -> None:
        crashes = []

        async def interrupted() -> AsyncIterator[bytes]:
            yield bytes(MIB)
            await driver.wait(0.5)
            crashes.append(asyncio.create_task(driver.crash()))
            await asyncio.wait(crashes)
            yield bytes(MIB)

        image = await new(glance, driver)
        with pytest.raises(UnreachableError):
            await glance.stage(image, interrupted())
        await asyncio.gather(*crashes)
        seen = await glance.image(image)
        # Only the missing size tells it from one that was staged whole, and Glance would import it.
        assert (seen.status, seen.size) == ("uploading", None)


class RefusingImports:
    """What can't be imported."""

    async def test_an_address_that_is_filtered(self, glance: Glance, driver: Driver) -> None:
        what = source("file:///etc/passwd")
        image = await new(glance, driver, what)
        with pytest.raises(RequestError, match="does not fetch from that address") as refused:
            await glance.import_image(image, what, [driver.hub], allow_failure=True)
        assert "import_filtering_opts" in refused.value.remedy
        assert (await glance.image(image)).lock is None

    async def test_an_import_into_an_unknown_store(self, glance: Glance, driver: Driver) -> None:
        what = source(await driver.serve())
        image = await new(glance, driver, what)
        with pytest.raises(PermanentError, match="knows no store atlantis"):
            await glance.import_image(image, what, [StoreId("atlantis")], allow_failure=True)

    async def test_an_image_that_has_or_lacks_data(self, glance: Glance, driver: Driver) -> None:
        what = source(await driver.serve())
        unstaged, complete = await new(glance, driver), await driver.make_image(name="contract-complete")
        for image, how in ((unstaged, source()), (complete, what), (complete, source())):
            with pytest.raises(ConflictError, match=r"no longer waits|sent before"):
                await glance.import_image(image, how, [driver.hub], allow_failure=True)

    async def test_a_member_does_not_touch_our_images(self, glance: Glance, driver: Driver) -> None:
        what = source(await driver.serve(), visibility="public")
        image = await new(glance, driver, what)
        member = driver.client_as_member()
        with pytest.raises(PermanentError) as refused:
            await member.import_image(image, what, [driver.hub], allow_failure=True)
        assert "admin role" in refused.value.remedy
        with pytest.raises(PermanentError):
            await member.stage(image, data())
        assert (await glance.image(image)).status == "queued"
        with pytest.raises(PermanentError):
            await member.delete_image(image)
        with pytest.raises(PermanentError, match="publicize"):
            await new(member, driver, what)


class Importing(Creating, Fetching, Staging, RefusingImports):
    """All of it."""
