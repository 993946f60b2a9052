"""What systemd is told of the daemon: that it is ready, reloads or stops, how it is doing, and that it is alive.

One datagram of `NAME=value` lines each, as sd_notify(3) describes it. A daemon that was started by hand tells nobody.
Forbidden here: failing. A supervisor that does not listen stops no copy.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from edgesync.expose.picture import Showcase

# Seconds: each call of a turn has a deadline, so that one of so long has met a mistake of edgesync's own.
HANGS_AFTER = 900.0
# Seconds between two looks at how the daemon is doing, where no watchdog wants to know more often.
LOOK = 5.0


class Systemd:
    """The other end of NOTIFY_SOCKET, by the environment that systemd gives its services."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            # A name without a file: its first byte is zero.
            self._address = "\0" + self._address[1:]
        # Seconds of silence after which systemd kills the daemon; None when it does not watch.
        self.patience = _patience(environment)
        self._status = ""

    def ready(self) -> None:
        self._tell("READY=1")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Around a reload, whether or not the new configuration is taken over."""
        # The time, in microseconds, is what systemd 253 and later tells this reload from an earlier one by.
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            self.ready()

    async def attend(self, status: Callable[[], str], turning_for: Callable[[], float]) -> None:
        """Say how the daemon is doing, and that it is alive, until cancelled.

        It is alive while the event loop gets here and no turn has been going on for `HANGS_AFTER` (`turning_for`:
        seconds). A turn that fails is no reason to be killed: a Glance that is away comes back no sooner for a restart,
        and edgesync's own copies would be cut off.
        """
        if not self._address:
            return
        every = LOOK if self.patience is None else min(LOOK, self.patience / 3)
        while True:
            self._say(status())
            if self.patience is not None and turning_for() < HANGS_AFTER:
                self._tell("WATCHDOG=1")
            await asyncio.sleep(every)

    def _say(self, status: str) -> None:
        if status != self._status:
            self._status = status
            # A second line would be another assignment.
            self._tell("STATUS=" + " ".join(status.split()))

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaking:
            # Rather not told than held up by a supervisor that has stopped reading.
            speaking.setblocking(False)
            speaking.connect(self._address)
            speaking.send("\n".join(lines).encode())


def in_a_line(showcase: Showcase) -> str:
    """How the daemon is doing, for `systemctl status`: cheap, whatever the number of images."""
    health, picture = showcase.health, showcase.picture
    if health.trouble:
        return health.trouble
    if picture is None:
        return "the first look at Glance is not finished"
    down = sorted(store for store in picture.world.topology.stores if not picture.admits(store))
    closed = f"; held back: {', '.join(down)}" if down else ""
    moving, waiting = len(picture.ledger.attempts), len(picture.plan.waiting)
    return f"{len(picture.world.images)} images; {moving} under way, {waiting} waiting{closed}"


def _patience(environment: Mapping[str, str]) -> float | None:
    """WATCHDOG_USEC in seconds, where it is meant for this process."""
    try:
        patience = int(environment.get("WATCHDOG_USEC", "")) / 1e6
        meant = int(environment.get("WATCHDOG_PID", os.getpid())) == os.getpid()
    except ValueError:
        return None
    return patience if meant and patience > 0 else None
