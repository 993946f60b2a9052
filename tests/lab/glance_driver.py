"""What the contract suite does to the Glance of a lab; log-ins go through the real Keystone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

from deploy.lab import api, faults, images, readback, tamper, tasks, upload
from deploy.lab import glance as glance_server
from deploy.lab.layout import Lab
from edgesync.clients.auth import Auth
from edgesync.clients.glance import GlanceClient
from edgesync.clients.keystone import OpenStackAuth
from edgesync.domain.image import ImageId
from edgesync.domain.ports import Glance
from edgesync.domain.store import StoreId
from tests.contract.glance.driver import SIZE
from tests.fakes.glance import FixedAuth
from tests.lab.pages import web_pages

VISIBILITY_OWNER = {"community": "member"}
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}


class LabDriver:
    """Moves the lab. Satisfies `Driver`."""

    hub = StoreId("central")

    def __init__(self, lab: Lab, stack: AsyncExitStack) -> None:
        self.edges: Sequence[StoreId] = [StoreId(site.name) for site in lab.sites[1:]]
        self._lab = lab
        self._stack = stack
        self._made: list[ImageId] = []
        self._held: list[StoreId] = []
        # Whether anything was broken, so that the lab has to be looked after.
        self.disturbed = False
        self._pages: str | None = None

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def make_image(
        self,
        *,
        name: str,
        visibility: str = "public",
        hidden: bool = False,
        tags: Sequence[str] = (),
        properties: dict[str, str] | None = None,
    ) -> ImageId:
        def make() -> str:
            return upload.upload(
                self._lab,
                images.random_image(SIZE, seed=3),
                name=name,
                visibility=visibility,
                tags=tags,
                properties=properties,
                user=VISIBILITY_OWNER.get(visibility, "admin"),
            )

        image = self.note(await asyncio.to_thread(make))
        if hidden:
            await self._patch(image, "os_hidden", True)
        return image

    async def make_queued_image(self) -> ImageId:
        record = {"name": "queued", "disk_format": "raw", "container_format": "bare"}
        return self.note((await self._ask("POST", "/v2/images", json=record)).json()["id"])

    async def rename(self, image: ImageId, name: str) -> None:
        await self._patch(image, "name", name)

    async def delete_image(self, image: ImageId) -> None:
        await self._ask("DELETE", f"/v2/images/{image}")

    async def hold(self, store: StoreId) -> None:
        self.disturbed = True
        self._held.append(store)
        await asyncio.to_thread(faults.break_site, self._lab, store, faults.How.PAUSE_OSD)

    async def release(self, store: StoreId) -> None:
        self._held.remove(store)
        await asyncio.to_thread(faults.heal_site, self._lab, store)

    async def place(self, image: ImageId, store: StoreId) -> str:
        return await asyncio.to_thread(tamper.make_copy, self._lab, self.hub, store, image)

    async def occupy(self, image: ImageId, store: StoreId) -> None:
        await asyncio.to_thread(tamper.make_partial, self._lab, store, image, SIZE)

    async def has_data(self, image: ImageId, store: StoreId) -> bool:
        return image in await asyncio.to_thread(readback.rbd_images, self._lab, store)

    async def lose(self, image: ImageId, store: StoreId) -> None:
        await asyncio.to_thread(tamper.remove_image, self._lab, store, image)

    async def clone(self, image: ImageId, store: StoreId) -> None:
        name = f"disk-{image}"
        await asyncio.to_thread(tamper.clone, self._lab, store, image, "vms", name)
        self._stack.callback(tamper.remove_image, self._lab, store, name, pool="vms")

    async def deactivate(self, image: ImageId) -> None:
        await self._ask("POST", f"/v2/images/{image}/actions/deactivate")

    async def serve(self, *, missing: bool = False, hangs: bool = False) -> str:
        if self._pages is None:
            self._pages = self._stack.enter_context(web_pages(bytes(SIZE)))
        return f"{self._pages}/{'missing' if missing else 'hangs' if hangs else 'image'}"

    def note(self, image: str) -> ImageId:
        self._made.append(ImageId(image))
        return self._made[-1]

    async def age(self, image: ImageId, *, minutes: int) -> None:
        await asyncio.to_thread(tasks.age, self._lab, image, minutes)

    async def crash(self) -> None:
        self.disturbed = True

        def kill_and_start() -> None:
            glance_server.kill(self._lab)
            glance_server.ensure(self._lab)

        await asyncio.to_thread(kill_and_start)

    def client(self, *, page_size: int = 1000) -> Glance:
        return self._client(self._login("edgesync"), page_size)

    def client_as_member(self) -> Glance:
        return self._client(self._login("member"))

    def client_with_bad_token(self) -> Glance:
        return self._client(FixedAuth(self._lab.glance_url, "wrong"))

    def repair(self) -> None:
        """Leave the lab whole for the next test."""
        if self.disturbed:
            for site in self._lab.sites:
                faults.repair(self._lab, site)
            glance_server.ensure(self._lab)

    async def clean_up(self) -> None:
        for store in list(self._held):
            await self.release(store)
        for image in self._made:
            await self._ask("DELETE", f"/v2/images/{image}", raise_exc=False)
        await asyncio.to_thread(self._remove_orphans)

    def _client(self, auth: Auth, page_size: int = 1000) -> Glance:
        client = GlanceClient(auth, page_size=page_size)
        self._stack.push_async_callback(client.close)
        return client

    def _login(self, cloud: str) -> OpenStackAuth:
        auth = OpenStackAuth(cloud=cloud, config_files=[str(self._lab.clouds_file)], load_envvars=False)
        self._stack.push_async_callback(auth.close)
        return auth

    async def _patch(self, image: ImageId, key: str, value: object) -> None:
        change = [{"op": "replace", "path": f"/{key}", "value": value}]
        await self._ask("PATCH", f"/v2/images/{image}", json=change, headers=PATCH)

    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        def ask() -> Any:
            with api.login(self._lab) as session:
                return session.request(self._lab.glance_url + path, method, **options)

        return await asyncio.to_thread(ask)

    def _remove_orphans(self) -> None:
        """What crashes and deletions in mid copy left at the edges."""
        for store in self.edges:
            for name in set(self._made) & set(readback.rbd_images(self._lab, store)):
                tamper.remove_image(self._lab, store, name)
