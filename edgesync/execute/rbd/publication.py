"""From a sealed image to a copy that Glance knows: its name, then its location.

Glance's own copy-image may be after the same name. Whoever gives it first has the copy: an RBD rename is refused while
the name is taken, and Glance can't make an image of a name that is (tried). So there is exactly one.
"""

from __future__ import annotations

import structlog

from edgesync.domain.image import Image
from edgesync.errors import ConflictError, EdgesyncError, NotFoundError, TransientError, UnreachableError
from edgesync.execute.rbd.target import Target
from edgesync.execute.workbench import Workbench

log = structlog.get_logger(__name__)

# How often a location is added that does not stay, and the seconds between two tries.
TRIES, PAUSE = 3, 2.0


class GlanceAwayError(UnreachableError):
    """Glance does not answer: what it knows of the copy is to be seen when it does."""


async def publish(bench: Workbench, target: Target) -> str:
    """Make the copy known; what there is to tell of it, empty when it is simply ours.

    NotFoundError when the image is gone. GlanceAwayError: begin again later. ConflictError while somebody else is at
    it, or the image is not active; then, and after any other error that the site lets us mend, the sealed image has our
    own name (again): what Glance doesn't know must not be in the way of a copy of its own.
    """
    image = await _look(bench, target)
    if (told := await _overtaken(image, target)) is not None:
        return told
    if why := await _held(bench, image):
        raise ConflictError(why, remedy="it is waited for")
    try:
        await target.name()
    except ConflictError:
        image = await _look(bench, target)
        if (told := await _overtaken(image, target)) is not None:
            return told
        raise
    except NotFoundError as gone:
        raise TransientError(f"the finished image was taken away at {target.store}", remedy="it is made anew") from gone
    except UnreachableError:
        # It may be done all the same.
        await _unname(target)
        raise
    try:
        await _register(bench, image, target)
    except GlanceAwayError:
        raise
    except EdgesyncError:
        await _unname(target)
        raise
    return ""


async def _look(bench: Workbench, target: Target) -> Image:
    try:
        return await bench.look(target.image)
    except UnreachableError as silence:
        raise GlanceAwayError(silence.message, remedy=silence.remedy) from silence


async def _overtaken(image: Image, target: Target) -> str | None:
    """Somebody else's copy is there already: ours goes."""
    if target.store not in image.stores:
        return None
    await target.discard()
    return "somebody else's copy came first"


async def _held(bench: Workbench, image: Image) -> str:
    """Why nothing must be added to the image now; empty: go ahead."""
    if not image.active:
        return f"the image became {image.status} in the middle of it"
    return f"somebody else's import holds the image (task {image.lock})" if await _locked(bench, image) else ""


async def _unname(target: Target) -> None:
    try:
        await target.unname()
    except NotFoundError:
        return
    except EdgesyncError as trouble:
        # The next attempt takes it up under that name, too.
        log.warning("a copy that Glance doesn't know", image=target.image, store=target.store, why=trouble.message)


async def _register(bench: Workbench, image: Image, target: Target) -> None:
    """Add the location, and see that it stays.

    Of two changes at once Glance forgets one. And an import that began before writes its own idea of the locations back
    when it ends, ours not among them (both tried): so whoever holds the lock now is waited for.
    """
    url = await target.location()
    trouble: EdgesyncError = TransientError(
        f"Glance takes the location of image {image.id} at {target.store}, and does not show it.",
        remedy="Look whether somebody else changes the image's locations all the time.",
    )
    for _ in range(TRIES):
        try:
            await bench.glance.add_location(image.id, url, target.store)
        except NotFoundError:
            raise
        except EdgesyncError as refusal:
            # It may have arrived all the same, or somebody may have been faster.
            trouble = refusal
        shown = await _at_rest(bench, target)
        if target.store in shown.stores:
            return
        if not shown.active:
            raise ConflictError(f"the image became {shown.status} in the middle of it")
        if not isinstance(trouble, TransientError):
            raise trouble
        await bench.clock.sleep(PAUSE)
    if isinstance(trouble, UnreachableError):
        # It may arrive still.
        raise GlanceAwayError(trouble.message, remedy=trouble.remedy) from trouble
    raise trouble


async def _at_rest(bench: Workbench, target: Target) -> Image:
    """The image once nobody's import holds it, or its holder counts no more."""
    while await _locked(bench, image := await _look(bench, target)):
        await bench.clock.sleep(bench.tuning.poll)
    return image


async def _locked(bench: Workbench, image: Image) -> bool:
    try:
        return await bench.locked(image)
    except UnreachableError as silence:
        raise GlanceAwayError(silence.message, remedy=silence.remedy) from silence
