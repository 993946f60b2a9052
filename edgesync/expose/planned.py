"""The plan, line by line: what is done next, and why the rest waits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from edgesync.domain.action import Check, Plan, Start
from edgesync.domain.image import ImageId
from edgesync.domain.job import Attempt, Work
from edgesync.domain.store import StoreId
from edgesync.expose.picture import Picture
from edgesync.expose.ways import bytes_of, engine_of, way_of


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanRow:
    """One line of a plan."""

    # The work to start, by the words of `Work`; or `running`, or `wait`.
    action: str
    image: ImageId
    name: str
    stores: tuple[StoreId, ...]
    # Who moves the data of copies; empty: nobody, or that is not decided yet.
    engine: str
    # To all stores together: what goes over the lines where that is known, else the size of the copies.
    bytes: int
    why: str
    # Why that engine, and what it sends where that is known.
    way: str = ""
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
        engine = engine_of(start.work, start.engine)
        row = _row(picture, start.work.value, start.image, start.stores, start.why, engine, moves=start.work.brings)
        yield replace(row, way=way_of(picture, start, start.stores))
    for check in plan.checks:
        why = f"{check.job.requested_by} asked for it (job {check.job.id})"
        yield _row(picture, Work.VERIFY.value, check.image, (check.store,), why, moves=False)
    for attempt in attempts:
        why, engine = f"{attempt.work} for job {attempt.job}", engine_of(attempt.work, attempt.engine)
        yield _row(picture, "running", attempt.image, attempt.stores, why, engine, moves=attempt.work.brings)
    for waiting in plan.waiting:
        why, stores = f"{waiting.reason}: {waiting.why}", tuple(sorted(waiting.stores))
        row = _row(picture, "wait", waiting.image, stores, why, waiting.engine or "")
        yield replace(row, until=waiting.until.isoformat() if waiting.until else None)


def _row(
    picture: Picture,
    action: str,
    image_id: ImageId,
    stores: tuple[StoreId, ...],
    why: str,
    engine: str = "",
    *,
    moves: bool = True,
) -> PlanRow:
    image = picture.world.images.get(image_id)
    name = image.name if image else next((job.image_name for job in picture.ledger.jobs if job.image == image_id), "")
    return PlanRow(
        action=action,
        image=image_id,
        name=name,
        stores=stores,
        engine=engine,
        bytes=bytes_of(picture, image_id, stores) if moves else 0,
        why=why,
    )
