"""`completion`: what a shell has to be told so that Tab completes edgesync's commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from edgesync.errors import RequestError

SHELLS = ("bash", "zsh", "fish")
# Click's own: with it set, edgesync completes what the shell has of a command, and runs nothing.
VARIABLE = "_EDGESYNC_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands, options, and the names of images, stores and jobs.

    Names are asked of the daemon. bash has to be 4.4 or newer.

    \b
    Example: edgesync completion bash > /etc/bash_completion.d/edgesync
             edgesync completion zsh > /usr/local/share/zsh/site-functions/_edgesync
             edgesync completion fish > ~/.config/fish/completions/edgesync.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise RequestError(f"this click completes nothing for {shell}", remedy=f"take one of {', '.join(SHELLS)}")
    click.echo(kind(context.find_root().command, {}, "edgesync", VARIABLE).source())
