"""What is asked for and not done yet, and what is paused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from edgesync.expose.jobs import job_view
from edgesync.expose.picture import Picture
from edgesync.expose.views import JobView, PauseView, pause_view

# Jobs that are shown; more are open only where thousands of copies are asked for at once.
MOST = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class JobsPage:
    jobs: tuple[JobView, ...]
    # Jobs beyond those.
    left: int
    pauses: tuple[PauseView, ...]
    # Whether everything is paused.
    halted: bool
    at: datetime


def jobs_page(picture: Picture) -> JobsPage:
    jobs = picture.ledger.jobs
    images = picture.world.images
    pauses = picture.ledger.pauses
    return JobsPage(
        jobs=tuple(job_view(job, picture) for job in jobs[:MOST]),
        left=len(jobs[MOST:]),
        pauses=tuple(pause_view(pause, images.get(pause.image) if pause.image else None) for pause in pauses),
        halted=any(pause.image is None and pause.store is None for pause in pauses),
        at=picture.world.at,
    )
