"""When copies to a store are held back, and when they are let through again.

A store whose Ceph is probed is judged by the probes alone: one that fails is enough, since it has just been to the
monitors and to an OSD, which is all that a copy needs of the site. The outcomes of copies say less: a copy also fails
for the hub, for Glance's staging area, for a quota or a leftover image. So a bad one never opens the breaker there (the
copy's own backoff is for that), and a good one only confirms what a good probe has found.

Where nothing can be probed, outcomes are all there is: some bad ones in a row open the breaker, and after its pause one
copy is let through to see.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from edgesync.domain.site import Breaker, BreakerState


@dataclass(frozen=True, kw_only=True, slots=True)
class BreakerRules:
    """How patient a breaker is. The pause doubles from `first` to `ceiling` (seconds)."""

    # Bad outcomes in a row that open it where nothing is probed.
    failures: int
    first: float
    ceiling: float

    def pause(self, beyond: int, jitter: float) -> timedelta:
        """How long it stays open after `beyond` bad signs more than the one that opened it.

        `jitter` in [0, 1) spreads the upper half, so that stores that went down together are not tried together.
        """
        whole = min(self.ceiling, self.first * 2.0 ** min(max(beyond, 0), 60))
        return timedelta(seconds=whole * (1 + jitter) / 2)


def after_probe(breaker: Breaker, error: str | None, now: datetime, jitter: float, rules: BreakerRules) -> Breaker:
    """The breaker after a probe; `error` says why it failed, None that it went well."""
    probed = replace(breaker, probed=True)
    if error is not None:
        return _opened(probed, error, now, rules.pause(breaker.failures, jitter))
    match breaker.state:
        case BreakerState.CLOSED:
            return replace(probed, failures=0, cause="")
        case BreakerState.OPEN:
            # The count stays until it is closed: a site that comes and goes waits longer each time.
            return replace(probed, state=BreakerState.HALF_OPEN, since=now, retry_at=None)
        case BreakerState.HALF_OPEN:
            return _closed(probed, now)


def after_refusal(breaker: Breaker, why: str) -> Breaker:
    """The breaker after a probe that Ceph refused to us (caps, keyring): nothing is known of the site's health.

    Glance has its own keys, so copies go on and their outcomes count; `why` is shown as the cause.
    """
    known = breaker.failures > 0 or breaker.state is not BreakerState.CLOSED
    return replace(breaker, probed=False, cause=breaker.cause if known else why)


def after_outcome(
    breaker: Breaker, good: bool, cause: str, now: datetime, jitter: float, rules: BreakerRules
) -> Breaker:
    """The breaker after a copy into the store ended; `cause` says why a bad one did."""
    if good:
        return _after_good(breaker, now)
    if breaker.probed or (breaker.state is BreakerState.OPEN and not trial_due(breaker, now)):
        # Where it is open: one of those that were under way when it opened.
        return breaker
    failures = breaker.failures + 1
    if breaker.state is BreakerState.CLOSED and failures < rules.failures:
        return replace(breaker, failures=failures, cause=cause)
    return _opened(breaker, cause, now, rules.pause(failures - rules.failures, jitter))


def trial_due(breaker: Breaker, now: datetime) -> bool:
    """True when an open breaker has waited long enough."""
    return breaker.state is BreakerState.OPEN and breaker.retry_at is not None and breaker.retry_at <= now


def admits(breaker: Breaker, now: datetime, running: int) -> bool:
    """Whether one more copy may be sent to the store into which `running` are being made."""
    match breaker.state:
        case BreakerState.CLOSED:
            return True
        case BreakerState.HALF_OPEN:
            return running == 0
        case BreakerState.OPEN:
            return not breaker.probed and trial_due(breaker, now) and running == 0


def explain(breaker: Breaker) -> str:
    """One clause for people, after the name of the store."""
    since = _time(breaker.since, breaker.retry_at) if breaker.since else "an unknown time"
    cause = breaker.cause.rstrip(".")
    match breaker.state:
        case BreakerState.CLOSED if cause and breaker.failures:
            return f"answers, but its last {_copies(breaker.failures)} failed ({cause})"
        case BreakerState.CLOSED if cause:
            return f"takes copies, but its Ceph can't be asked ({cause})"
        case BreakerState.CLOSED:
            return "answers"
        case BreakerState.HALF_OPEN:
            return f"answers again since {since}; one copy at a time until that is sure (it was down: {cause})"
        case BreakerState.OPEN:
            again = f"; next try {breaker.retry_at:%H:%M:%S} UTC" if breaker.retry_at else ""
            if breaker.probed:
                return f"does not answer since {since} ({cause}){again}"
            return f"gets no copies since {since} ({_copies(breaker.failures)} failed, the last: {cause}){again}"


def _after_good(breaker: Breaker, now: datetime) -> Breaker:
    match breaker.state:
        case BreakerState.CLOSED:
            # Without failures, the cause is a refused probe, of which a copy through Glance says nothing.
            return replace(breaker, failures=0, cause="" if breaker.failures else breaker.cause)
        case BreakerState.OPEN if breaker.probed:
            # It ended before the site went down, and we hear of it late.
            return breaker
        case _:
            return _closed(breaker, now)


def _opened(breaker: Breaker, cause: str, now: datetime, pause: timedelta) -> Breaker:
    return replace(
        breaker,
        state=BreakerState.OPEN,
        since=breaker.since if breaker.state is BreakerState.OPEN else now,
        failures=breaker.failures + 1,
        cause=cause,
        retry_at=now + pause,
    )


def _closed(breaker: Breaker, now: datetime) -> Breaker:
    return Breaker(state=BreakerState.CLOSED, since=now, probed=breaker.probed)


def _time(moment: datetime, today: datetime | None = None) -> str:
    """Hours and minutes; with the date when it is another than that of `today`."""
    other_day = today is not None and moment.date() != today.date()
    return f"{moment:%Y-%m-%d %H:%M} UTC" if other_day else f"{moment:%H:%M} UTC"


def _copies(number: int) -> str:
    return "copy" if number == 1 else f"{number} copies"
