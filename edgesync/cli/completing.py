"""What a shell completes: names of images, stores and jobs, asked of the daemon. Without an answer, nothing."""

from __future__ import annotations

import asyncio
import glob
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem
from click.types import StringParamType

from edgesync.cli.context import Context
from edgesync.domain.job import JobState
from edgesync.errors import EdgesyncError

# Seconds that somebody who has pressed Tab waits at most.
PATIENCE = 2.0
# Names that a screen shows.
SHOWN = 100

Items = list[CompletionItem]


class _Image(StringParamType):
    name = "image"

    def shell_complete(self, ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
        params = {"all": "true", "limit": str(SHOWN), "name": f"{glob.escape(incomplete)}*"}
        return _items(row["name"] for row in _ask(ctx, "/v1/images", params).get("images", ()))


class _Store(StringParamType):
    name = "store"

    def shell_complete(self, ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
        return _items(store for store in _stores(ctx) if store.startswith(incomplete))


class _Stores(StringParamType):
    """Several, separated by commas: the last of them is completed."""

    name = "stores"

    def shell_complete(self, ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
        before, comma, begun = incomplete.rpartition(",")
        named = before.split(",")
        found = (store for store in _stores(ctx) if store.startswith(begun) and store not in named)
        return _items(f"{before}{comma}{store}" for store in found)


class _Job(StringParamType):
    """The newest ones that have not ended come first."""

    name = "job"

    def shell_complete(self, ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
        rows = _ask(ctx, "/v1/jobs", {"limit": str(SHOWN)}).get("jobs", ())
        rows = [row for row in rows if row["id"].startswith(incomplete)]
        rows.sort(key=lambda row: JobState(row["state"]).ended)
        return [
            CompletionItem(row["id"], help=f"{row['work']} {row['image_name'] or row['image']}: {row['state']}")
            for row in rows
        ]


IMAGE, STORE, STORES, JOB = _Image(), _Store(), _Stores(), _Job()


def _stores(ctx: click.Context) -> list[str]:
    return list(_ask(ctx, "/v1/images", {"all": "true", "limit": "1"}).get("stores", ()))


def _items(names: Iterable[str]) -> Items:
    """Whoever may create images chooses their names: what a shell would take for more than a word is left out."""
    return [CompletionItem(name) for name in dict.fromkeys(names) if name and shlex.quote(name) == name]


def _ask(ctx: click.Context, path: str, params: Mapping[str, str]) -> dict[str, Any]:
    given = ctx.find_root().params
    return asyncio.run(_answer(Context(config=given.get("config_file"), api=given.get("api")), path, params))


async def _answer(context: Context, path: str, params: Mapping[str, str]) -> dict[str, Any]:
    try:
        async with asyncio.timeout(PATIENCE):
            return await context.ask(path, params)
    except (EdgesyncError, TimeoutError):
        return {}
