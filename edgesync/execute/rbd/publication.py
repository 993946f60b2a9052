"""From a sealed image to a copy that Glance knows: its name, then its location.

Glance's own copy-image may be after the same name. Whoever gives it first has the copy: an RBD rename is refused while
the name is taken, and Glance can't make an image of a name that is (tried). So there is exactly one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from edgesync.domain.image import Image
from edgesync.errors import ConflictError, EdgesyncError, NotFoundError, TransientError, UnreachableError
from edgesync.execute.rbd.target import Target
from edgesync.execute.workbench import NotWaitedForError, Workbench

log = structlog.get_logger(__name__)

# How often a location is added that does not stay, and the seconds between two tries.
TRIES, PAUSE = 3, 2.0


class GlanceAwayError(UnreachableError):
    """Glance does not answer: what it knows of the copy is to be seen when it does."""


async def publish(bench: Workbench, target: Target, *, halted: Callable[[], bool]) -> str:
    """Make the copy known; what there is to tell of it, empty when it is simply ours.

    NotFoundError when the image is gone. GlanceAwayError: begin again later. ConflictError while somebody else is at
    it, or the image is not active; then, and after any other error that the site lets us mend, the sealed image has our
    own name (again): what Glance doesn't know must not be in the way of a copy of its own. NotWaitedForError when it is
    `halted` while an import may still forget the location: the copy keeps its name, for Glance may list it.
    """
    image = await _look(bench, target)
    if target.store in image.stores:
        return await _listed(bench, target, halted)
    if why := await _held(bench, image):
        raise ConflictError(why, remedy="it is waited for")
    # Asked before it has its name: the site is not needed any more then, so it can't die in between.
    url = await target.location()
    try:
        await target.name()
    except ConflictError:
        image = await _look(bench, target)
        if target.store in image.stores:
            return await _listed(bench, target, halted)
        raise
    except NotFoundError as gone:
        raise _taken_away(target) from gone
    except UnreachableError:
        # It may be done all the same.
        await withdraw(target)
        raise
    await _registered(bench, target, url, halted)
    return ""


async def withdraw(target: Target) -> None:
    """Give a copy that Glance doesn't know our own name again, if it has the image's."""
    try:
        await target.unname()
    except NotFoundError:
        return
    except EdgesyncError as trouble:
        # The next attempt takes it up under that name, too.
        log.warning("a copy that Glance doesn't know", image=target.image, store=target.store, why=trouble.message)


async def _look(bench: Workbench, target: Target) -> Image:
    with _asking_glance():
        return await bench.look(target.image)


async def _listed(bench: Workbench, target: Target, halted: Callable[[], bool]) -> str:
    """Glance lists a copy there already: ours, unless the site has another one, and then ours goes.

    It may list one that has no data: a request of ours that arrived late, or an import that wrote back what it had seen
    when it began. So ours is offered the name first; what it is refused for tells whose copy it is.
    """
    try:
        await target.name()
    except ConflictError:
        if not await target.has_name():
            # Half a copy of somebody else's: ours stays until it is clear what becomes of that.
            raise
        await target.discard()
        return "somebody else's copy came first"
    except NotFoundError as gone:
        if await target.has_name():
            return "somebody else's copy came first"
        raise _taken_away(target) from gone
    if target.store not in (await _at_rest(bench, target, halted)).stores:
        await _registered(bench, target, await target.location(), halted)
    return ""


def _taken_away(target: Target) -> TransientError:
    return TransientError(f"the finished image was taken away at {target.store}", remedy="it is made anew")


async def _held(bench: Workbench, image: Image) -> str:
    """Why nothing must be added to the image now; empty: go ahead."""
    if not image.active:
        return f"the image became {image.status} in the middle of it"
    with _asking_glance():
        locked = await bench.locked(image)
    return f"somebody else's import holds the image (task {image.lock})" if locked else ""


async def _registered(bench: Workbench, target: Target, url: str, halted: Callable[[], bool]) -> None:
    """Add the location of what has its name; it loses that again unless Glance lists it, or may still do so."""
    try:
        await _register(bench, target, url, halted)
    except (GlanceAwayError, NotWaitedForError):
        raise
    except EdgesyncError:
        await withdraw(target)
        raise


async def _register(bench: Workbench, target: Target, url: str, halted: Callable[[], bool]) -> None:
    """Add the location, and see that it stays.

    Of two changes at once Glance forgets one. And an import that began before writes its own idea of the locations back
    when it ends, ours not among them (both tried): so whoever holds the lock now is waited for.
    """
    trouble: EdgesyncError = TransientError(
        f"Glance takes the location of image {target.image} at {target.store}, and does not show it.",
        remedy="Look whether somebody else changes the image's locations all the time.",
    )
    # A request that had no answer. It may arrive after any look: only a location that is shown ends the doubt.
    doubt: UnreachableError | None = None
    for _ in range(TRIES):
        try:
            await bench.glance.add_location(target.image, url, target.store)
        except NotFoundError:
            raise
        except EdgesyncError as refusal:
            # It may have arrived all the same, or somebody may have been faster.
            trouble = refusal
            if isinstance(refusal, UnreachableError) and refusal.sent:
                doubt = refusal
        shown = await _at_rest(bench, target, halted)
        if target.store in shown.stores:
            return
        if doubt is None:
            if not shown.active:
                raise ConflictError(f"the image became {shown.status} in the middle of it")
            if not isinstance(trouble, TransientError):
                raise trouble
        await bench.clock.sleep(PAUSE)
    silence = doubt or trouble
    if isinstance(silence, UnreachableError):
        raise GlanceAwayError(silence.message, remedy=silence.remedy) from silence
    raise trouble


async def _at_rest(bench: Workbench, target: Target, halted: Callable[[], bool]) -> Image:
    with _asking_glance():
        return await bench.at_rest(target.image, halted=halted)


@contextmanager
def _asking_glance() -> Iterator[None]:
    """A silent Glance is told from a silent site."""
    try:
        yield
    except UnreachableError as silence:
        raise GlanceAwayError(silence.message, remedy=silence.remedy) from silence
