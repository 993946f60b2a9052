"""An in-process Glance for tests. Its behaviour is what `tests/contract/glance` proves of the real one too."""

from tests.fakes.glance.app import Settings
from tests.fakes.glance.auth import FixedAuth
from tests.fakes.glance.clock import RealClock, SettableClock, VirtualClock
from tests.fakes.glance.data import Event, Listener, What
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
from tests.fakes.glance.importing import Page
from tests.fakes.glance.records import MIB, FakeImage, FakeStore, FakeTask, Timings
from tests.fakes.glance.refusal import RefusalError
from tests.fakes.glance.server import FakeGlance
from tests.fakes.glance.simulation import Simulation

__all__ = [
    "MIB",
    "Event",
    "FakeGlance",
    "FakeImage",
    "FakeStore",
    "FakeTask",
    "Fault",
    "FixedAuth",
    "Hang",
    "Listener",
    "LoseAnswer",
    "NotJson",
    "Page",
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
    "What",
    "status",
]
