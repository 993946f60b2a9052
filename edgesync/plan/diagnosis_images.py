"""The images: can they be cloned, are they where copies come from, does a dead import hold them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from edgesync.domain.image import Image, ImageId, ImportTask
from edgesync.domain.store import StoreId
from edgesync.domain.words import counted, some_of
from edgesync.errors import EdgesyncError
from edgesync.plan.diagnosis import Diagnosis, failed, ok, problem, unknown, warning
from edgesync.plan.wants import Want, Wants


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """Somebody's import holds the image."""

    image: Image
    # None: Glance does not tell.
    task: ImportTask | None = None
    # Glance tells of other tasks of the image but has forgotten this one: then it gives the lock to whoever asks.
    forgotten: bool = False


def judge_formats(images: Iterable[Image]) -> Diagnosis:
    """Nova and Cinder clone raw images only (read); others each VM downloads and converts."""
    others = [image for image in images if image.active and image.disk_format != "raw"]
    if not others:
        return ok("formats", "All images are raw, so that VMs can be cloned from them copy-on-write.")
    names = some_of([f"{_called(image)} ({image.disk_format})" for image in others])
    return warning(
        "formats",
        f"{counted(len(others), 'image is', 'images are')} not raw, so that every VM at an edge downloads and converts "
        f"the whole of it instead of cloning it: {names}.",
        "Convert with `qemu-img convert -O raw` and upload anew; or have Glance convert at import (image_conversion).",
        details=[f"{image.id} {image.name} ({image.disk_format})" for image in others],
    )


def judge_at_hub(
    wants: Wants, images: Mapping[ImageId, Image], hub: StoreId, *, edge_origin: bool
) -> Iterator[Diagnosis]:
    """Every copy is made from the hub's."""
    away = [image for image in _wanted(wants, images) if hub not in image.stores]
    if not away:
        yield ok("images at hub", f"Every image that a policy wants at an edge is at {hub}.")
        return
    found = f"{counted(len(away), 'wanted image is', 'wanted images are')} not at {hub}, where copies come from"
    names = f"{some_of([_called(image) for image in away])}."
    details = [f"{image.id} {image.name} is at {', '.join(sorted(image.stores))}" for image in away]
    if edge_origin:
        yield warning(
            "images at hub",
            f"{found}: {names}",
            f"edgesync copies them to {hub} first, by itself; upload there directly to spare the way.",
            details=details,
        )
    else:
        yield problem(
            "images at hub",
            f"{found}, and edge_origin is off: {names}",
            f"Copy them to {hub} by hand, or set edge_origin: true.",
            details=details,
        )


def judge_locks(
    locks: Sequence[Lock], *, patience: float, now: datetime, most: int, unseen: EdgesyncError | None = None
) -> Iterator[Diagnosis]:
    """`patience` is in seconds: a task that is not updated for so long has nobody at work on it any more.

    `most` is how many images are locked; if `locks` are less, `unseen` may tell why.
    """
    if unseen is not None:
        yield failed("locks", unseen)
    elif most > len(locks):
        yield unknown("locks", f"{most - len(locks)} more images are locked than were looked at.", "Run it again.")
    untold = [lock for lock in locks if lock.task is None and not lock.forgotten]
    free = [lock for lock in locks if lock.forgotten or (lock.task is not None and lock.task.expires_at <= now)]
    stale = [
        lock
        for lock in locks
        if lock.task is not None and lock not in free and (now - lock.task.updated_at).total_seconds() > patience
    ]
    if stale:
        yield problem(
            "locks",
            f"{counted(len(stale), 'image is', 'images are')} locked by an import that nobody works at any more, "
            f"probably since its glance-api was killed: {some_of([_held(lock) for lock in stale])}.",
            "Nothing to do: edgesync takes the lock then, puts away what was left half-written, and copies again.",
            details=[f"{lock.image.id} {_held(lock)}" for lock in stale],
        )
    if free:
        yield warning(
            "locks",
            f"{counted(len(free), 'image has', 'images have')} the lock of a dead import that has expired: "
            f"{some_of([_called(lock.image) for lock in free])}. Whoever asks for an import now gets it.",
            "Nothing to do: edgesync takes it with the next copy of the image.",
            details=[f"{lock.image.id} {_called(lock.image)}" for lock in free],
        )
    if untold:
        yield unknown(
            "locks",
            f"Imports hold {some_of([_called(lock.image) for lock in untold])}; since when, Glance does not tell.",
            "If nothing happens for two hours, its glance-api is dead, and the next import takes the lock.",
        )
    if len(locks) == most and not (stale or free or untold):
        yield ok(
            "locks", f"{counted(most, 'import')} under way, none of them stale." if most else "No image is locked."
        )


def _wanted(wants: Wants, images: Mapping[ImageId, Image]) -> list[Image]:
    """Those that are to have copies somewhere, and have data at all."""
    wanted: list[tuple[ImageId, Want]] = [(name, want) for name, want in wants.images.items() if want.stores]
    return [images[name] for name, _ in wanted if name in images and images[name].active]


def _called(image: Image) -> str:
    return image.name or image.id


def _held(lock: Lock) -> str:
    if lock.task is None:
        return _called(lock.image)
    return (
        f"{_called(lock.image)} (nothing was heard since {_clock(lock.task.updated_at)}, and until "
        f"{_clock(lock.task.expires_at)} nobody can copy it)"
    )


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M} UTC"
