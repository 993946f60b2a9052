"""An in-process Glance for tests. Its behaviour is what `tests/contract/glance` proves of the real one too."""

from tests.fakes.glance.app import Settings
from tests.fakes.glance.auth import FixedAuth
from tests.fakes.glance.clock import RealClock, SettableClock, VirtualClock
from tests.fakes.glance.faults import (
    Fault,
    Hang,
    LoseAnswer,
    NotJson,
    Reset,
    Slow,
    Status,
    TokenExpired,
    Truncate,
    status,
)
from tests.fakes.glance.records import MIB, FakeImage, FakeStore, FakeTask, Timings
from tests.fakes.glance.server import FakeGlance
from tests.fakes.glance.simulation import RefusalError, Simulation

__all__ = [
    "MIB",
    "FakeGlance",
    "FakeImage",
    "FakeStore",
    "FakeTask",
    "Fault",
    "FixedAuth",
    "Hang",
    "LoseAnswer",
    "NotJson",
    "RealClock",
    "RefusalError",
    "Reset",
    "SettableClock",
    "Settings",
    "Simulation",
    "Slow",
    "Status",
    "Timings",
    "TokenExpired",
    "Truncate",
    "VirtualClock",
    "status",
]
