"""Requests to pause and resume stores, images, or everything."""

from __future__ import annotations

from edgesync.daemon.desk import Desk, existing
from edgesync.domain.image import ImageId
from edgesync.domain.job import Event, EventKind
from edgesync.domain.pause import Pause
from edgesync.domain.store import StoreId
from edgesync.errors import NotFoundError
from edgesync.expose.requests import PauseRequest, Scope


class Pausing:
    """Takes requests to pause and resume."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def pause(self, request: PauseRequest) -> Pause:
        """Pause it; what was paused with the same scope before has a new reason now."""
        image = (await self._desk.find(request.image)).id if request.image is not None else None
        store = None
        if request.store is not None:
            (store,) = existing([request.store], self._desk.picture().world.topology)
        pause = Pause(image=image, store=store, by=request.who, reason=request.reason, since=self._desk.clock.now())
        why = f": {pause.reason}" if pause.reason else ""
        await self._desk.journal.pause(
            pause, self._event(EventKind.PAUSED, f"{pause.by} paused {pause.scope}{why}", pause)
        )
        self._desk.on_change()
        return pause

    async def resume(self, scope: Scope) -> Pause:
        """Lift the pause with exactly this scope; NotFoundError names what is paused instead."""
        pauses = await self._desk.journal.paused()
        store = StoreId(scope.store) if scope.store is not None else None
        images = self._images(scope.image)
        pause = next((pause for pause in pauses if pause.image in images and pause.store == store), None)
        if pause is not None:
            event = self._event(EventKind.RESUMED, f"{scope.who} resumed {pause.scope}", pause)
            if await self._desk.journal.resume(image=pause.image, store=pause.store, event=event):
                self._desk.on_change()
                return pause
        wanted = Pause(
            image=ImageId(scope.image) if scope.image else None, store=store, by="", since=self._desk.clock.now()
        )
        paused = "; ".join(pause.scope for pause in pauses) or "nothing"
        raise NotFoundError(f"{wanted.scope} is not paused", remedy=f"what is paused: {paused}")

    def _images(self, wanted: str | None) -> set[ImageId | None]:
        """The ids that may be meant: the image may have gone since it was paused, and its name with it."""
        if wanted is None:
            return {None}
        picture = self._desk.showcase.picture
        named = {image.id for image in picture.world.images.values() if image.name == wanted} if picture else set()
        return {ImageId(wanted), *named}

    def _event(self, kind: EventKind, message: str, pause: Pause) -> Event:
        return Event(at=self._desk.clock.now(), kind=kind, message=message, image=pause.image, store=pause.store)
