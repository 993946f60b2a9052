"""From settings to what each part goes by. At a reload, everything here is made anew and handed out again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from edgesync.config import Settings
from edgesync.daemon.scrub import ScrubRules
from edgesync.domain.policy import Policy
from edgesync.domain.store import StoreId
from edgesync.execute.tuning import Tuning
from edgesync.observe.auditing import AuditRules
from edgesync.observe.probing import ProbeRules
from edgesync.plan.breaker import BreakerRules
from edgesync.plan.budget import Budget
from edgesync.plan.layering import LayeringRules
from edgesync.plan.retry import Backoff
from edgesync.plan.situation import Rules

# Seconds between two looks for images that appeared or vanished in a pool behind Glance's back.
QUICK_AUDIT = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """Seconds between ticks: while something moves, and at rest."""

    active: float
    idle: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What the operator wants, from the configuration."""

    policies: tuple[Policy, ...]
    budget: Budget
    rules: Rules
    # How long ended jobs and their history are kept.
    retention: timedelta
    # Where the configuration names the hub, for the message when there is no such store.
    hub_from: str


def wishes_of(settings: Settings) -> Wishes:
    return Wishes(
        policies=settings.policies,
        budget=Budget(
            imports=settings.limits.imports,
            default=settings.default_store,
            stores=settings.stores,
            retries=settings.retry.per_store,
        ),
        rules=Rules(
            split=settings.limits.split_imports,
            edge_origin=settings.edge_origin,
            rbd=settings.rbd.enabled,
            trash_orphans=settings.audit.trashes,
            repair=settings.audit.repair,
            upload_patience=timedelta(seconds=settings.upload.timeout),
        ),
        retention=timedelta(seconds=settings.journal.retention),
        hub_from=settings.where("hub"),
    )


def tuning_of(settings: Settings) -> Tuning:
    retry = settings.retry

    def allowed(store: StoreId | None, now: datetime) -> float | None:
        line = settings.uplink if store is None else settings.store(store).bandwidth
        return line.rate_at(now)

    return Tuning(
        poll=settings.polling.active,
        stall_after=settings.stall.after,
        trash_delay=timedelta(seconds=settings.audit.trash_delay),
        backoff=Backoff(first=retry.first, ceiling=retry.ceiling, attempts=retry.attempts),
        layering=LayeringRules(max_depth=settings.rbd.max_depth, min_gain=settings.rbd.min_gain),
        allowed=allowed,
    )


def probe_rules(settings: Settings) -> ProbeRules:
    breaker = settings.breaker
    return ProbeRules(
        every=settings.probes.every,
        deadline=settings.probes.deadline,
        breaker=BreakerRules(failures=breaker.failures, first=breaker.first, ceiling=breaker.ceiling),
    )


def audit_rules(settings: Settings) -> AuditRules:
    audit = settings.audit
    return AuditRules(every=audit.every, grace=audit.grace, quick=min(audit.every, QUICK_AUDIT))


def scrub_rules(settings: Settings) -> ScrubRules:
    return ScrubRules(every=settings.scrub.every, bandwidth=settings.scrub.bandwidth)


def pace_of(settings: Settings) -> Pace:
    return Pace(active=settings.polling.active, idle=settings.polling.idle)
