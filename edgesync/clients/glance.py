"""The Image service: `edgesync.domain.ports.Glance` over HTTP.

Everything here follows Glance 33 (API v2.18), and works from API v2.8 on, the first with several stores.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Self, TypeVar

import structlog

from edgesync.clients import refusals
from edgesync.clients.auth import Auth
from edgesync.clients.listing import pages
from edgesync.clients.transport import Answer, Call, Observer, Sleep, Transport, parsed
from edgesync.clients.wire import ImageReader, MalformedError, read_stores, read_tasks
from edgesync.domain.image import Image, ImageId, ImportTask
from edgesync.domain.store import Store, StoreId
from edgesync.errors import EdgesyncError, PermanentError, TransientError

log = structlog.get_logger(__name__)

T = TypeVar("T")

# PATCH with absolute paths and explicit operations (v2.1 of the media type).
LOCATION_PATCH = "application/openstack-images-v2.1-json-patch"
TASKS_SINCE = (2, 12)
# The detailed store list connects to every cluster inside the request and blocks on one that is dead.
DETAIL_DEADLINE = 10.0
DETAIL_PAUSE = 300.0


def _unobserved(operation: str, status: str, seconds: float) -> None:
    """Nobody counts."""


class GlanceClient:
    """One Glance endpoint. `on_request(operation, status, seconds)` is told of every HTTP exchange."""

    def __init__(
        self,
        auth: Auth,
        *,
        deadline: float = 30.0,
        import_deadline: float = 120.0,
        attempts: int = 4,
        page_size: int = 1000,
        on_request: Observer = _unobserved,
        sleep: Sleep = asyncio.sleep,
        pause: float = 0.5,
    ) -> None:
        self._transport = Transport(
            auth, deadline=deadline, attempts=attempts, on_request=on_request, sleep=sleep, pause=pause
        )
        # The import request connects to its stores, too: it blocks until Ceph gives up.
        self._import_deadline = import_deadline
        self._page_size = page_size
        self._reader = ImageReader()
        self._tells_tasks = True
        self._details: dict[StoreId, Store] = {}
        self._details_from = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._transport.close()

    # What the server can do

    async def check(self) -> str:
        """Return the newest API version, such as "v2.18"; PermanentError when Glance can't copy between stores."""
        version = await self._version()
        call = Call(operation="stores", what="list the stores", path="/v2/info/stores")
        answer = await self._transport.send(call)
        if answer.status == 404:
            raise PermanentError(
                "This Glance has a single store.",
                remedy="Set enabled_backends in glance-api.conf, with one RBD store for each site.",
            )
        self._accepted(call, answer)
        call = Call(operation="import_info", what="read the import methods", path="/v2/info/import")
        methods = self._document(call, self._accepted(call, await self._transport.send(call)), _import_methods)
        if "copy-image" not in methods:
            raise PermanentError(
                f"This Glance does not offer copy-image, only {', '.join(methods) or 'no import method'}.",
                remedy="Add copy-image to enabled_import_methods in glance-api.conf.",
            )
        self._tells_tasks = version >= TASKS_SINCE
        text = "v" + ".".join(map(str, version))
        if not self._tells_tasks:
            log.warning("this Glance does not show tasks: copies have no progress, locks no age", version=text)
        return text

    async def _version(self) -> tuple[int, ...]:
        call = Call(operation="versions", what="read Glance's versions", path="/versions")
        answer = await self._transport.send(call)
        # Older releases answer 300 Multiple Choices, with the same body.
        document = parsed(call, answer if answer.status == 300 else self._accepted(call, answer))
        try:
            return max(_version(entry["id"]) for entry in document["versions"])
        except (KeyError, TypeError, ValueError) as error:
            raise TransientError(
                "Can't read Glance's versions: the answer is of an unknown form.",
                remedy="Look whether the image endpoint in Keystone's catalog leads to Glance.",
            ) from error

    # Reading

    async def stores(self) -> tuple[Store, ...]:
        """List the stores, with type, cluster and pool where Glance tells them."""
        call = Call(operation="stores", what="list the stores", path="/v2/info/stores")
        answer = self._accepted(call, await self._transport.send(call))
        known = self._document(call, answer, read_stores)
        if not {store.id for store in known} <= self._details.keys():
            await self._learn_details()
        return tuple(self._with_details(store) for store in known)

    async def _learn_details(self) -> None:
        """Ask for types and clusters: seldom, and never letting a dead cluster hold up the plain list."""
        now = asyncio.get_running_loop().time()
        if now < self._details_from:
            return
        self._details_from = now + DETAIL_PAUSE
        call = Call(
            operation="stores_detail",
            what="list the stores in detail",
            path="/v2/info/stores/detail",
            deadline=DETAIL_DEADLINE,
            repeat=False,
        )
        try:
            answer = self._accepted(call, await self._transport.send(call), policy="stores_info_detail")
            self._details = {store.id: store for store in self._document(call, answer, read_stores)}
        except (TransientError, PermanentError) as error:
            log.warning("the stores' types and clusters are unknown", why=error.message, remedy=error.remedy)

    def _with_details(self, store: Store) -> Store:
        detail = self._details.get(store.id)
        if detail is None:
            return store
        return Store(
            id=store.id,
            description=store.description,
            default=store.default,
            read_only=store.read_only,
            type=detail.type,
            fsid=detail.fsid,
            pool=detail.pool,
        )

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
        answer = self._of_image(image, call, await self._transport.send(call))
        return self._document(call, answer, self._reader.image)

    async def tasks(self, image: ImageId) -> tuple[ImportTask, ...]:
        """The image's tasks, newest first; none where Glance does not tell (before v2.12)."""
        if not self._tells_tasks:
            return ()
        call = Call(operation="tasks", what=f"list the tasks of image {image}", path=f"/v2/images/{image}/tasks")
        answer = self._of_image(image, call, await self._transport.send(call))
        return self._document(call, answer, read_tasks)

    # Changing

    async def copy_image(self, image: ImageId, stores: Sequence[StoreId], *, allow_failure: bool) -> None:
        """Ask for a copy-image import; see `edgesync.domain.ports.Glance`."""
        answer = await self._transport.send(
            Call(
                operation="copy_image",
                what=f"copy image {image} to {', '.join(stores)}",
                method="POST",
                path=f"/v2/images/{image}/import",
                # Always all three: the API's and its command's defaults differ.
                body={
                    "method": {"name": "copy-image"},
                    "stores": list(stores),
                    "all_stores_must_succeed": not allow_failure,
                },
                deadline=self._import_deadline,
            )
        )
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
        return self._document(call, answer, self._reader.image)

    # Answers

    def _accepted(self, call: Call, answer: Answer, *, policy: str = "") -> Answer:
        if answer.status < 300:
            return answer
        raise refusals.refused(call.what, answer.status, answer.said, policy=policy)

    def _of_image(self, image: ImageId, call: Call, answer: Answer) -> Answer:
        if answer.status == 404:
            raise refusals.gone(image)
        return self._accepted(call, answer, policy="get_image")

    def _document(self, call: Call, answer: Answer, read: Callable[[object], T]) -> T:
        try:
            return read(parsed(call, answer))
        except MalformedError as error:
            raise _malformed(call, error) from error


def _malformed(call: Call, error: MalformedError) -> EdgesyncError:
    return PermanentError(
        f"Can't {call.what}. Glance's answer is malformed: {error}",
        remedy="Compare with `openstack image show`; the record in Glance's database may be damaged.",
    )


def _import_methods(document: object) -> list[str]:
    methods = document.get("import-methods") if isinstance(document, dict) else None
    values = methods.get("value") if isinstance(methods, dict) else None
    if not isinstance(values, list):
        raise MalformedError("import-methods: expected a list")
    return [value for value in values if isinstance(value, str)]


def _version(name: str) -> tuple[int, ...]:
    """ "v2.18" -> (2, 18): as a text it would come before v2.9."""
    return tuple(int(part) for part in name.removeprefix("v").split("."))
