"""What the contract suite does to a Glance behind the client's back, and the tools to watch it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from edgesync.domain.image import Image, ImageId, ImportTask
from edgesync.domain.ports import Glance
from edgesync.domain.store import StoreId

SIZE = 12 * 1024 * 1024


class Driver(Protocol):
    """Everything that is done to the cloud by somebody else than edgesync."""

    hub: StoreId
    # At least two, all healthy.
    edges: Sequence[StoreId]

    def now(self) -> datetime:
        """Glance's clock."""
        ...

    async def wait(self, seconds: float) -> None: ...

    async def make_image(
        self,
        *,
        name: str,
        visibility: str = "public",
        hidden: bool = False,
        tags: Sequence[str] = (),
        properties: dict[str, str] | None = None,
    ) -> ImageId:
        """An active image of SIZE bytes whose data is at the hub. As a community image it is another project's."""
        ...

    async def make_queued_image(self) -> ImageId:
        """An image without data."""
        ...

    async def rename(self, image: ImageId, name: str) -> None: ...

    async def delete_image(self, image: ImageId) -> None: ...

    async def hold(self, store: StoreId) -> None:
        """Writes to the store hang."""
        ...

    async def release(self, store: StoreId) -> None: ...

    async def place(self, image: ImageId, store: StoreId) -> str:
        """Put the image's data into the store without Glance's knowledge; return its location's URL."""
        ...

    async def occupy(self, image: ImageId, store: StoreId) -> None:
        """Make an RBD image of that name at the store: a write there fails."""
        ...

    async def has_data(self, image: ImageId, store: StoreId) -> bool:
        """Whether an RBD image of that name is at the store, known to Glance or not."""
        ...

    async def lose(self, image: ImageId, store: StoreId) -> None:
        """Take a copy's data away; Glance goes on listing it."""
        ...

    async def clone(self, image: ImageId, store: StoreId) -> None:
        """Make a clone of a copy, as Nova does."""
        ...

    async def deactivate(self, image: ImageId) -> None: ...

    async def serve(self, *, missing: bool = False, hangs: bool = False) -> str:
        """A URI at which SIZE bytes are found; or nothing; or a server that falls silent in the middle."""
        ...

    def note(self, image: str) -> ImageId:
        """Remember an image that the test makes itself, to clean up after it."""
        ...

    async def age(self, image: ImageId, *, minutes: int) -> None:
        """Make the image's tasks older."""
        ...

    async def crash(self) -> None:
        """Kill glance-api and start it again."""
        ...

    def client(self, *, page_size: int = 1000) -> Glance:
        """A client as an admin; the driver closes it."""
        ...

    def client_as_member(self) -> Glance:
        """A client whose user has no admin role."""
        ...

    def client_with_bad_token(self) -> Glance: ...


async def everything(glance: Glance, *, updated_since: datetime | None = None) -> dict[ImageId, Image]:
    """All that the list says."""
    return {image.id: image async for page in glance.images(updated_since=updated_since) for image in page}


def lists(image: Image) -> tuple[set[StoreId], set[StoreId], set[StoreId]]:
    """Where the image is, where it is being imported to, where that failed."""
    return set(image.stores), set(image.importing_to), set(image.failed)


async def settled(glance: Glance, driver: Driver, image: ImageId, *, within: float = 60.0) -> Image:
    """The image once its lock is gone."""
    for _ in range(int(within / 0.25)):
        seen = await glance.image(image)
        if seen.lock is None:
            return seen
        await driver.wait(0.25)
    raise AssertionError(f"image {image} is still locked: {seen}")


async def importing(glance: Glance, driver: Driver, image: ImageId, store: StoreId) -> Image:
    """The image once Glance lists the store as being imported to."""
    for _ in range(120):
        seen = await glance.image(image)
        if store in seen.importing_to:
            return seen
        await driver.wait(0.25)
    raise AssertionError(f"image {image} is not imported to {store}: {seen}")


async def newest_task(glance: Glance, image: ImageId) -> ImportTask:
    return (await glance.tasks(image))[0]


async def ended(glance: Glance, driver: Driver, image: ImageId) -> ImportTask:
    """The newest task when it has ended: that of a failed import still says `processing` when its lock is gone."""
    for _ in range(120):
        task = await newest_task(glance, image)
        if task.status.ended:
            return task
        await driver.wait(0.25)
    raise AssertionError(f"the task of image {image} does not end: {task}")
