"""SIGHUP: a changed configuration is taken over whole, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import structlog

from edgesync.config import Settings, needs_restart
from edgesync.daemon.compose import Daemon
from edgesync.domain.job import Event, EventKind
from edgesync.domain.words import counted
from edgesync.errors import ConfigError, EdgesyncError
from edgesync.expose.picture import ConfigHealth

log = structlog.get_logger(__name__)

Read = Callable[[], Settings]


class Reloader:
    """Reads the configuration again when told to. One reading at a time; a signal in between asks for one more."""

    def __init__(
        self,
        daemon: Daemon,
        settings: Settings,
        read: Read,
        # What is told of each reload's beginning and end.
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._daemon = daemon
        self._settings = settings
        self._read = read
        self._around = around
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """For the signal handler."""
        self._asked.set()

    async def run(self) -> None:
        """Serve requests to reload until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                with self._around():
                    await self.reload()
            except Exception:
                # The next SIGHUP must find somebody who listens.
                log.exception("reload broke off, the old configuration goes on")

    async def reload(self) -> bool:
        """Take the new configuration over; False when it was refused and the old one goes on."""
        try:
            settings = await asyncio.to_thread(self._acceptable)
        except ConfigError as error:
            await self._refused(error)
            return False
        await self._daemon.configure(settings)
        self._settings = settings
        now = self._daemon.clock.now()
        self._show(ConfigHealth(loaded_at=now))
        told = f"configuration reloaded: {counted(len(settings.policies), 'policy', 'policies')}"
        log.info(told)
        await self._tell(EventKind.CONFIG_RELOADED, told)
        return True

    def _acceptable(self) -> Settings:
        """The new settings; ConfigError also when they would need a restart."""
        settings = self._read()
        if fixed := needs_restart(self._settings, settings):
            problems = [f"{key}: can't change while edgesync runs" for key in fixed]
            raise ConfigError(problems, remedy="put these back, or restart: systemctl restart edgesync")
        return settings

    async def _refused(self, error: ConfigError) -> None:
        loaded_at = self._daemon.showcase.health.config.loaded_at
        self._show(ConfigHealth(loaded_at=loaded_at, error=error.message, remedy=error.remedy))
        for problem in error.problems:
            log.error("configuration refused, the old one goes on", problem=problem, remedy=error.remedy)
        await self._tell(EventKind.CONFIG_REFUSED, f"the old one goes on: {error.message}")

    def _show(self, config: ConfigHealth) -> None:
        self._daemon.showcase.health = replace(self._daemon.showcase.health, config=config)

    async def _tell(self, kind: EventKind, message: str) -> None:
        try:
            await self._daemon.journal.add_events([Event(at=self._daemon.clock.now(), kind=kind, message=message)])
        except EdgesyncError as error:
            # The log has it; a journal in trouble shows in the daemon's health.
            log.error("event not recorded", kind=kind, why=error.message, remedy=error.remedy)  # noqa: TRY400
