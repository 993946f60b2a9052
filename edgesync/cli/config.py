"""`edgesync config`: look at the configuration without starting anything."""

from __future__ import annotations

import json

import click

from edgesync.cli.context import Context, pass_context
from edgesync.config import show as shown
from edgesync.domain.words import counted


@click.group()
def config() -> None:
    """Check or show the configuration."""


@config.command()
@pass_context
def check(context: Context) -> None:
    """Say whether the configuration would be accepted; every mistake with file:line:column.

    \b
    Example: edgesync --config /etc/edgesync/edgesync.yaml config check
    """
    settings = context.settings()
    policies = counted(len(settings.policies), "policy", "policies")
    stores = counted(len(settings.stores), "store with settings of its own", "stores with settings of their own")
    click.echo(f"ok: hub {settings.hub}, {policies}, {stores}")


@config.command()
@click.option("-f", "--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@pass_context
def show(context: Context, form: str) -> None:
    """Print the settings in force: file, environment and flags together, defaults filled in, passwords masked.

    \b
    Example: EDGESYNC_LIMITS__IMPORTS=8 edgesync config show
    """
    settings = context.settings()
    if form == "json":
        click.echo(json.dumps(shown(settings), indent=2))
    else:
        click.echo(settings.to_yaml(), nl=False)
