"""This host: its journal, the room in Glance's staging area, the daemon that may run here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgesync.domain.image import Image, ImageId
from edgesync.domain.pause import Pause
from edgesync.domain.words import counted, some_of
from edgesync.errors import EdgesyncError
from edgesync.plan.diagnosis import Diagnosis, failed, ok, problem, said, size, unknown, warning
from edgesync.plan.wants import Wants


def judge_journal(error: EdgesyncError | None) -> Diagnosis:
    """`error` is what kept it from being read."""
    if error is not None:
        return failed("journal", error)
    return ok("journal", "It can be read, or is yet to be made.")


def judge_pauses(pauses: tuple[Pause, ...]) -> Iterator[Diagnosis]:
    """What waits because somebody said so; nothing where nobody did."""
    told = [
        f"{pause.scope} is paused by {pause.by} since {pause.since:%Y-%m-%d %H:%M:%SZ}"
        + (f": {pause.reason}" if pause.reason else "")
        for pause in pauses
    ]
    if len(pauses) == 1:
        yield warning("pauses", f"{_begun(told[0].rstrip('.'))}.", f"If that is over: `{pauses[0].resume}`.")
    elif pauses:
        yield warning(
            "pauses",
            f"{counted(len(pauses), 'pause')} are in force: {some_of([pause.scope for pause in pauses])}.",
            "`edgesync resume` lifts those that are over.",
            details=[f"{line} -> {pause.resume}" for line, pause in zip(told, pauses, strict=True)],
        )


def judge_staging(
    path: str | None,
    free: int | EdgesyncError | None,
    wants: Wants | None,
    images: Mapping[ImageId, Image],
    *,
    at_once: int,
) -> Diagnosis:
    """Glance reads the whole image into its staging area before it writes a store.

    `free` is in bytes. `path` and `free` are None where the settings name none; `wants` is None where Glance did not
    tell of its images.
    """
    if path is None or free is None:
        return unknown(
            "staging",
            "How much room Glance's staging area has can't be seen.",
            "Where glance-api runs on this host, name its folder as glance.staging; elsewhere compare `df` there with "
            "the largest image.",
        )
    if isinstance(free, EdgesyncError):
        return failed("staging", free)
    has = f"{path} has {size(free)} free"
    if wants is None:
        return unknown("staging", f"{has}; what is to be copied can't be seen.", "Have Glance answer first.")
    sizes = sorted((images[image].size or 0 for image in wants.gaps if image in images), reverse=True)[:at_once]
    remedy = "Make room there, or move the staging area ([os_glance_staging_store] filesystem_store_datadir)."
    if not sizes:
        return ok("staging", f"{has}, and no copy is missing.")
    if free < sizes[0]:
        return problem("staging", f"{has}, and the largest image that is to be copied has {size(sizes[0])}.", remedy)
    if free < sum(sizes):
        return warning(
            "staging",
            f"{has}; the {len(sizes)} largest images that are to be copied, which may go at once (limits.imports), "
            f"have {size(sum(sizes))}.",
            remedy,
        )
    return ok("staging", f"{has}; the images that may be copied at once have {size(sum(sizes))}.")


def judge_daemon(address: str, health: Mapping[str, Any] | EdgesyncError) -> Diagnosis:
    """`health` is what the daemon thinks of itself."""
    if isinstance(health, EdgesyncError):
        return warning("daemon", f"{_begun(said(health))}: nothing is copied.", _begun(health.remedy))
    if health.get("trouble"):
        return problem("daemon", f"The daemon at {address} is in trouble: {health['trouble']}", str(health["remedy"]))
    return ok("daemon", f"One answers at {address}, and all is well with it.")


def _begun(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
