"""What scenes of verifications and repairs have in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from edgesync.domain.image import ImageId
from edgesync.domain.job import CopyResult, Job
from edgesync.domain.site import Defect
from edgesync.domain.store import StoreId
from edgesync.expose.requests import VerificationRequest
from tests.fakes.blocks import FakeBlocks
from tests.scenario.stage import STORES, Stage, set_stage


@asynccontextmanager
async def compared(folder: Path, **document: Any) -> AsyncIterator[Stage]:
    """A stage where Glance makes the copies, and edgesync can look into them."""
    async with set_stage(folder, blocks=True, **{"rbd": {"enabled": False}, **document}) as stage:
        yield stage


async def spread(stage: Stage, name: str = "rhel", *, mebibytes: int = 24) -> ImageId:
    """An image whose hash is that of its data, with a copy everywhere."""
    image = stage.add_raw(name, mebibytes=mebibytes)
    await stage.until_at(image, *STORES)
    return image


async def verify(stage: Stage, image: str | None = None, **said: Any) -> tuple[Job, ...]:
    request = VerificationRequest(image=image, all=image is None, **said)
    return (await stage.running.intake.verify(request)).jobs


async def outcome(stage: Stage, image: str, **said: Any) -> dict[str, tuple[CopyResult, str]]:
    (job,) = await verify(stage, image, **said)
    ended = await stage.ended(job)
    return {entry.store: (entry.result, entry.reason) for entry in ended.stores}


def finding(stage: Stage, image: str, store: str) -> Defect | None:
    found = stage.picture.site(StoreId(store)).findings.get(ImageId(image))
    return found.defect if found else None


@asynccontextmanager
async def flattening(blocks: FakeBlocks) -> AsyncIterator[None]:
    """The site's manager does what it is told."""

    async def at_work() -> None:
        while True:
            blocks.flatten_now()
            await blocks.cluster.clock.sleep(1)

    task = asyncio.create_task(at_work())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
