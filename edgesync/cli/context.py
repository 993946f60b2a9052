"""What the commands share: the global options, and the settings or the daemon's address made from them."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from yarl import URL

from edgesync.cli.logs import set_up_logs
from edgesync.clients.daemon_api import DaemonApi
from edgesync.clients.daemon_way import Way, local_way, remote_way
from edgesync.config import Reach, Settings, load, reach
from edgesync.config.addresses import is_loopback
from edgesync.errors import ConfigError, NotFoundError, RequestError

# Exit codes, beside 0.
FAILED, USAGE, INTERRUPTED = 1, 2, 130


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """The options before the command."""

    config: Path | None
    api: str | None
    overrides: Mapping[str, str] = field(default_factory=dict)

    def settings(self) -> Settings:
        return load(self.config, os.environ, self.overrides)

    def settings_for_work(self, *, quiet: bool = False) -> Settings:
        """The settings, with logging set up as they say; `quiet` leaves out what a progress display shows anyway."""
        settings = self.settings()
        level = "warning" if quiet and settings.log.level == "info" else settings.log.level
        set_up_logs(level=level, form=settings.log.format)
        return settings

    def daemon(self) -> DaemonApi:
        return DaemonApi(*self.way())

    def way(self) -> tuple[str, Way]:
        """The daemon's address, and what a connection to it is made with.

        This host's own credential goes to this host only.
        """
        if self.api is not None and not _is_here(self.api):
            return self.api, remote_way(os.environ)
        found = self._reach()
        url = (self.api or found.url).rstrip("/")
        # Another port may be another daemon's, with another certificate.
        return url, local_way(found.token, found.certificate if url == found.url else None, os.environ)

    async def ask(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        """One question to the daemon."""
        async with self.daemon() as daemon:
            return await daemon.get(path, params)

    async def image_id(self, image: str) -> str:
        """The id of an image given by id or name; one that is gone may be in the journal all the same."""
        try:
            rows = (await self.ask("/v1/images", {"image": image}))["images"]
        except NotFoundError:
            return image
        if len(rows) > 1:
            ids = ", ".join(row["id"] for row in rows)
            raise RequestError(f"{len(rows)} images are named {image!r}", remedy=f"name one by its id: {ids}")
        return str(rows[0]["id"])

    def _reach(self) -> Reach:
        """By the configuration; an operator who can't read that file still reaches the usual place."""
        try:
            return reach(self.config, os.environ, self.overrides)
        except ConfigError as error:
            if self.config is not None and self.api is None:
                remedy = f"{error.remedy} A running daemon can be asked all the same: edgesync --api ADDRESS ..."
                raise ConfigError(error.problems, remedy=remedy.strip()) from error
            return Reach()


def _is_here(url: str) -> bool:
    """Whether that is on this host."""
    try:
        return is_loopback(URL(url).host or "")
    except ValueError:
        return False


def caller() -> str:
    """Who asks, for the history."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # In a container, the user may have no name.
        return f"uid {os.getuid()}"


def names(text: str | None) -> list[str]:
    """What was separated by commas."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


pass_context = click.make_pass_decorator(Context)
