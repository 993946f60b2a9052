"""The Image service: `edgesync.domain.ports.Glance` over HTTP.

Everything here follows Glance 33 (API v2.18), and works from API v2.8 on, the first with several stores.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Self

import structlog

from edgesync.clients import import_refusals, refusals
from edgesync.clients.auth import Auth
from edgesync.clients.certificates import OnCertificate
from edgesync.clients.documents import document, of_image
from edgesync.clients.level import find_level
from edgesync.clients.listing import pages
from edgesync.clients.stores import StoreList
from edgesync.clients.streaming import Sleep, Upload
from edgesync.clients.transport import STREAM, Answer, Call, Observer, Transport
from edgesync.clients.wire import ImageReader, image_document, read_tasks
from edgesync.domain.image import Image, ImageId, ImportTask
from edgesync.domain.job import ImportSource
from edgesync.domain.level import Level
from edgesync.domain.store import Store, StoreId
from edgesync.errors import NotFoundError, PermanentError

log = structlog.get_logger(__name__)

# PATCH with absolute paths and explicit operations (v2.1 of the media type).
LOCATION_PATCH = "application/openstack-images-v2.1-json-patch"


def _unobserved(operation: str, status: str, seconds: float) -> None:
    """Nobody counts."""


class GlanceClient:
    """One Glance endpoint.

    `on_request(operation, status, seconds)` is told of every HTTP exchange, `on_certificate` when the certificate ends
    that was shown in it.
    """

    def __init__(
        self,
        auth: Auth,
        *,
        deadline: float = 30.0,
        import_deadline: float = 120.0,
        stage_deadline: float = 60.0,
        attempts: int = 4,
        page_size: int = 1000,
        on_request: Observer = _unobserved,
        on_certificate: OnCertificate = lambda _: None,
        sleep: Sleep = asyncio.sleep,
        pause: float = 0.5,
    ) -> None:
        self._transport = Transport(
            auth,
            deadline=deadline,
            attempts=attempts,
            on_request=on_request,
            on_certificate=on_certificate,
            sleep=sleep,
            pause=pause,
        )
        # The import request connects to its stores, too: it blocks until Ceph gives up.
        self._import_deadline = import_deadline
        # Seconds in which no part of an upload gets on.
        self._stage_deadline = stage_deadline
        self._sleep = sleep
        self._page_size = page_size
        self._reader = ImageReader()
        self._stores = StoreList(self._transport)
        self._level: Level | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._transport.close()

    # What the server can do

    @property
    def level(self) -> Level | None:
        """What this Glance can do and tell; None before `check`."""
        if self._level is None:
            return None
        return replace(
            self._level, tells_fsid=not self._stores.without_fsid, shows_locations=self._reader.shows_locations
        )

    async def check(self) -> str:
        """Return the newest API version, such as "v2.18"; PermanentError when Glance can't copy between stores."""
        self._level = await find_level(self._transport)
        if not self._level.tells_tasks:
            log.warning(
                "this Glance does not show tasks: copies have no progress, locks no age", version=self._level.version
            )
        return self._level.version

    # Reading

    async def stores(self) -> tuple[Store, ...]:
        """List the stores, with type, cluster and pool where Glance tells them."""
        return await self._stores.get(details=self._level is None or self._level.tells_details)

    async def images(self, *, updated_since: datetime | None = None) -> AsyncIterator[Sequence[Image]]:
        """Yield pages of images: all, or those with `updated_at` at or after the time. An image may come twice."""
        filters: dict[str, str] = {}
        if updated_since is not None:
            filters["updated_at"] = "gte:" + updated_since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        # Glance lists hidden images or the others, never both; and community images of other projects only when
        # asked for all.
        for hidden in ("false", "true"):
            params = {"limit": str(self._page_size), "visibility": "all", "os_hidden": hidden, **filters}
            async for documents in pages(self._transport, params):
                yield self._reader.page(documents)

    async def image(self, image: ImageId) -> Image:
        """Show one image; NotFoundError when it is gone."""
        call = Call(operation="image", what=f"show image {image}", path=f"/v2/images/{image}")
        return document(call, of_image(image, call, await self._transport.send(call)), self._reader.image)

    async def tasks(self, image: ImageId) -> tuple[ImportTask, ...]:
        """The image's tasks, newest first; none where Glance does not tell (before v2.12)."""
        if self._level is not None and not self._level.tells_tasks:
            return ()
        call = Call(operation="tasks", what=f"list the tasks of image {image}", path=f"/v2/images/{image}/tasks")
        return document(call, of_image(image, call, await self._transport.send(call)), read_tasks)

    # Changing

    async def copy_image(self, image: ImageId, stores: Sequence[StoreId], *, allow_failure: bool) -> None:
        """Ask for a copy-image import; see `edgesync.domain.ports.Glance`."""
        answer = await self._import("copy_image", image, {"name": "copy-image"}, stores, allow_failure=allow_failure)
        if answer.status >= 300:
            raise refusals.copy_refused(image, stores, answer.status, answer.said)

    async def delete_from_store(self, image: ImageId, store: StoreId) -> None:
        """Delete one copy. NotFoundError when there is none."""
        answer = await self._transport.send(
            Call(
                operation="delete_from_store",
                what=f"delete the copy of image {image} in store {store}",
                method="DELETE",
                path=f"/v2/stores/{store}/{image}",
                deadline=self._import_deadline,
            )
        )
        if answer.status >= 300:
            raise refusals.delete_refused(image, store, answer.status, answer.said)

    async def add_location(self, image: ImageId, url: str, store: StoreId) -> Image:
        """Register data that is at the store already. Glance does not look at the import lock: the caller does."""
        call = Call(
            operation="add_location",
            what=f"register the copy of image {image} in store {store}",
            method="PATCH",
            path=f"/v2/images/{image}",
            body=[{"op": "add", "path": "/locations/-", "value": {"url": url, "metadata": {"store": store}}}],
            content_type=LOCATION_PATCH,
            deadline=self._import_deadline,
        )
        answer = await self._transport.send(call)
        if answer.status >= 300:
            raise refusals.location_refused(image, store, answer.status, answer.said)
        return document(call, answer, self._reader.image)

    # New images

    async def create_image(self, image: ImageId, source: ImportSource) -> None:
        """Make a queued image of that id; nothing happens when it is there already.

        ConflictError when the id was a deleted image's.
        """
        call = Call(
            operation="create_image",
            what=f"create image {image}",
            method="POST",
            path="/v2/images",
            body=image_document(image, source),
        )
        answer = await self._transport.send(call)
        if answer.status == 409 and await self._is_there(image):
            return
        if answer.status >= 300:
            raise import_refusals.create_refused(image, answer.status, answer.said)

    async def stage(self, image: ImageId, data: AsyncIterable[bytes]) -> None:
        """Send the data of a queued image to Glance's staging area. Never repeated by the client.

        When this fails, the image may hold a part of the data, which Glance would import as if it were the whole
        (tried, with a glance-api killed in the middle): delete it, and begin with a new one. RequestError when the
        source breaks off; Glance forgets what it got then.
        """
        # Also sees to a fresh token and to the states that Glance would refuse only after having been sent something.
        if (await self.image(image)).status != "queued":
            raise import_refusals.not_waiting(image)
        upload = Upload(data, deadline=self._stage_deadline, sleep=self._sleep)
        call = Call(
            operation="stage",
            what=f"send the data of image {image}",
            method="PUT",
            path=f"/v2/images/{image}/stage",
            content_type=STREAM,
        )
        answer = await self._transport.upload(call, upload)
        if answer.status >= 300:
            raise import_refusals.stage_refused(image, answer.status, answer.said)
        got = (await self.image(image)).size
        # Glances before v2.13 or so don't tell the size at this point.
        if got is not None and got != upload.sent:
            raise PermanentError(
                f"Glance got {got} of the {upload.sent} bytes of image {image}.",
                remedy="Delete the image and import it anew; look for a proxy in front of Glance that cuts uploads.",
            )

    async def import_image(
        self, image: ImageId, source: ImportSource, stores: Sequence[StoreId], *, allow_failure: bool
    ) -> None:
        """Ask for the import of a queued image's data; see `edgesync.domain.ports.Glance`."""
        method = {"name": "glance-direct"} if source.uri is None else {"name": "web-download", "uri": source.uri}
        answer = await self._import("import_image", image, method, stores, allow_failure=allow_failure)
        if answer.status >= 300:
            raise import_refusals.import_refused(image, stores, answer.status, answer.said)

    async def delete_image(self, image: ImageId) -> None:
        """Delete the image and every copy of it; NotFoundError when it is gone.

        ConflictError while a clone keeps a copy; copies in stores before that one are gone then (tried).
        """
        call = Call(
            operation="delete_image",
            what=f"delete image {image}",
            method="DELETE",
            path=f"/v2/images/{image}",
            deadline=self._import_deadline,
        )
        answer = await self._transport.send(call)
        if answer.status >= 300:
            raise import_refusals.deletion_refused(image, answer.status, answer.said)

    async def _is_there(self, image: ImageId) -> bool:
        try:
            await self.image(image)
        except NotFoundError:
            return False
        return True

    async def _import(
        self,
        operation: str,
        image: ImageId,
        method: Mapping[str, str],
        stores: Sequence[StoreId],
        *,
        allow_failure: bool,
    ) -> Answer:
        call = Call(
            operation=operation,
            what=f"{operation.partition('_')[0]} image {image} to {', '.join(stores)}",
            method="POST",
            path=f"/v2/images/{image}/import",
            # Always all three: the API's and its command's defaults differ.
            body={"method": method, "stores": list(stores), "all_stores_must_succeed": not allow_failure},
            deadline=self._import_deadline,
        )
        return await self._transport.send(call)
