"""What `/metrics` shows of a daemon that has met with everything: each metric, with each label that it can have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from edgesync.domain.blocks import Verification
from edgesync.domain.copy import StallCause
from edgesync.domain.image import Image, temporary_name
from edgesync.domain.job import CopyResult, Engine, StoreResult, Work
from edgesync.domain.policy import Policy
from edgesync.domain.site import Breaker, BreakerState, Capacity, Defect, Finding, Site
from edgesync.domain.store import StoreId
from edgesync.expose.metrics import Metrics
from edgesync.expose.picture import Health, Picture, Showcase
from edgesync.plan.situation import Situation
from edgesync.plan.wants import Wants, update_wants
from tests.builders import NOW, attempt, failure, image, policy, situation, task
from tests.unit.expose.pictures import picture_of

# Glance's, as the client calls them, and what may come of each.
OPERATIONS = 24
STATUSES = ("200", "202", "204", "401", "403", "404", "409", "500", "503", "timeout", "unreachable")


@dataclass(frozen=True, kw_only=True, slots=True)
class FixedThreads:
    limit: int = 4
    busy: int = 1
    stuck: int = 0


def metrics_on(picture: Picture) -> Metrics:
    """Of a daemon that has just made this picture."""
    showcase = Showcase(health=Health(started_at=NOW, ticked_at=NOW))
    showcase.picture = picture
    metrics = Metrics(showcase)
    metrics.seen(picture)
    return metrics


def everything() -> str:
    """The exposition of a small cloud in which each metric has something to tell."""
    one, locked = image("one"), image("locked", lock="theirs")
    wanted = policy(lag_objective=timedelta(hours=4))
    case = situation(one, locked, policies=[wanted], attempts=[attempt(one, "dcn0")], failures=[failure(one, "dcn1")])
    stores = case.world.topology.stores
    metrics = metrics_on(picture_of(case, sites=sites(stores, one), locks={locked.id: task("theirs")}))
    experience(metrics, stores, one)
    return text(metrics)


def sites(stores: Iterable[StoreId], of: Image, state: BreakerState = BreakerState.CLOSED) -> Iterator[Site]:
    """Each of them full of findings."""
    for store in stores:
        found = (
            Finding(image=of.id, store=store, defect=defect, detail="", obstacle="a clone", seen_at=NOW)
            for defect in Defect
        )
        yield Site(
            store=store,
            breaker=Breaker(state=state, since=NOW),
            capacity=Capacity(used=1 << 40, available=9 << 40),
            findings={replace_id(of, number).id: finding for number, finding in enumerate(found)},
            audited_at=NOW,
            verified={of.id: Verification(at=NOW, sound=True)},
        )


def wants_of(case: Situation, policies: Sequence[Policy]) -> Wants:
    """What these policies want in the same world."""
    return update_wants(Wants(), case.world, policies)


def replace_id(of: Image, number: int) -> Image:
    return replace(of, id=type(of.id)(f"{of.id}-{number}"))


def experience(metrics: Metrics, stores: Iterable[StoreId], of: Image) -> None:
    """Let everything happen at each of these stores that is counted."""
    stores = list(stores)
    metrics.tick(1.0, False)
    for result in ("ok", "refused", "unreachable"):
        metrics.login(result, 0.1)
    for kind in ("read", "write"):
        metrics.transaction(kind, 0.1, 0.2, True)
    for operation, status in product(range(OPERATIONS), STATUSES):
        metrics.request(f"operation_{operation}", status, 0.1)
    metrics.certificate("glance", NOW)
    metrics.machinery.allowed = lambda _: 25e6
    metrics.machinery.threads = {(store, pool): FixedThreads() for store in stores for pool in ("ceph", "rbd")}
    for store in stores:
        metrics.copies.sent(store, temporary_name(of.id), 1 << 20)
        for cause in StallCause:
            metrics.copies.stalled(store, cause)
        for result in (CopyResult.SOUND, CopyResult.DAMAGED, CopyResult.FAILED):
            metrics.compared(store, result)
        for work, engine, outcome in product(Work, Engine, CopyResult):
            doing = replace(attempt(of, store, work=work), engine=engine)
            metrics.ended(doing, StoreResult(store=store, result=outcome), 1.0)


def text(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def samples(exposition: str) -> dict[str, dict[str, set[str]]]:
    """By the name that PromQL has: the labels of its series, each with its values."""
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found
