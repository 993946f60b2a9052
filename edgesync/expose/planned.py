"""The plan, line by line: what is done next, and why the rest waits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from edgesync.domain.action import Check, Plan, Start
from edgesync.domain.image import ImageId
from edgesync.domain.job import Attempt, Work
from edgesync.domain.store import StoreId
from edgesync.expose.picture import Picture


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanRow:
    """One line of a plan."""

    # The work to start (copy, import, remove, trash, protect, unlist, renew, verify), or `running`, or `wait`.
    action: str
    image: ImageId
    name: str
    stores: tuple[StoreId, ...]
    # Bytes to be copied, over all stores.
    bytes: int
    why: str
    # When a wait ends, where that is known.
    until: str | None = None


def plan_rows(picture: Picture) -> Iterator[PlanRow]:
    """What starts, what goes on, and what waits."""
    return _rows(picture, picture.plan, picture.ledger.attempts)


def image_rows(picture: Picture, image: ImageId) -> Iterator[PlanRow]:
    """The same, of one image: of a plan of many thousand lines, only its own are made."""
    actions = tuple(
        action for action in picture.plan.actions if isinstance(action, Start | Check) and action.image == image
    )
    attempt = picture.attempts.get(image)
    plan = Plan(actions=actions, waiting=picture.waits.get(image, ()))
    return _rows(picture, plan, [attempt] if attempt is not None else [])


def _rows(picture: Picture, plan: Plan, attempts: Iterable[Attempt]) -> Iterator[PlanRow]:
    for start in plan.starts:
        yield _row(picture, start.work.value, start.image, start.stores, start.why, moves=start.work.brings)
    for check in plan.checks:
        why = f"{check.job.requested_by} asked for it (job {check.job.id})"
        yield _row(picture, Work.VERIFY.value, check.image, (check.store,), why, moves=False)
    for attempt in attempts:
        why = f"{attempt.work} for job {attempt.job}"
        yield _row(picture, "running", attempt.image, attempt.stores, why, moves=attempt.work.brings)
    for waiting in plan.waiting:
        row = _row(picture, "wait", waiting.image, tuple(sorted(waiting.stores)), f"{waiting.reason}: {waiting.why}")
        yield replace(row, until=waiting.until.isoformat() if waiting.until else None)


def _row(
    picture: Picture, action: str, image_id: ImageId, stores: tuple[StoreId, ...], why: str, *, moves: bool = True
) -> PlanRow:
    image = picture.world.images.get(image_id)
    name = image.name if image else next((job.image_name for job in picture.ledger.jobs if job.image == image_id), "")
    return PlanRow(
        action=action,
        image=image_id,
        name=name,
        stores=stores,
        bytes=(image.size or 0) * len(stores) if image and moves else 0,
        why=why,
    )
