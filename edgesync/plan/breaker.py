from datetime import datetime

from edgesync.domain.site import Breaker, BreakerState


def admits(breaker: Breaker, now: datetime, running: int) -> bool:
    return breaker.state is not BreakerState.OPEN


def explain(breaker: Breaker) -> str:
    return f"does not answer: {breaker.cause}"
