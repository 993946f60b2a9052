"""The `edgesync` command: global options, and how errors become exit codes.

Exit codes: 0 done, 1 something failed, 2 usage or configuration, 130 interrupted.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import click

from edgesync import __version__
from edgesync.cli.cancel import cancel
from edgesync.cli.completion import completion
from edgesync.cli.config import config
from edgesync.cli.context import FAILED, INTERRUPTED, USAGE, Context
from edgesync.cli.copy import copy
from edgesync.cli.group import Commands
from edgesync.cli.history import history
from edgesync.cli.imports import import_
from edgesync.cli.joblist import jobs
from edgesync.cli.layers import clone, flatten, layers
from edgesync.cli.locations import locations
from edgesync.cli.output import complain
from edgesync.cli.pause import pause, resume
from edgesync.cli.removal import delete_copy
from edgesync.cli.status import status
from edgesync.cli.stores import stores
from edgesync.cli.verify import verify
from edgesync.errors import ConfigError, EdgesyncError

# Those that work without the daemon are made of its parts, which take longer to load than most commands to run.
LATE = {
    **dict.fromkeys(("run", "once", "plan"), "edgesync.cli.serve"),
    "doctor": "edgesync.cli.doctor",
    "journal": "edgesync.cli.journal",
}


@click.group(
    cls=Commands, late=LATE, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="Configuration file.  [default: $EDGESYNC_CONFIG, or /etc/edgesync/edgesync.yaml]",
)
@click.option("--os-cloud", help="Entry of clouds.yaml to log in with; beats the configuration.")
@click.option("--api", envvar="EDGESYNC_API_URL", help="Address of the daemon.  [default: api.listen of the file]")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="How much to log.")
@click.version_option(__version__, prog_name="edgesync", message="%(prog)s %(version)s")
@click.pass_context
def cli(
    context: click.Context, config_file: Path | None, os_cloud: str | None, api: str | None, log_level: str | None
) -> None:
    """Keeps OpenStack images where edge sites need them.

    `run` is the daemon. `once`, `plan`, `doctor`, `config`, `journal` and `completion` work without it; all other
    commands ask it. Those that change something show it a credential: on its host its own, which root and its group
    can read, else that in $EDGESYNC_API_TOKEN.

    \b
    Exit codes: 0 done, 1 something failed, 2 usage or configuration, 130 interrupted.
    Example: edgesync --config /etc/edgesync/edgesync.yaml plan
    """
    given = {"cloud": os_cloud, "log.level": log_level}
    overrides = {key: value for key, value in given.items() if value is not None}
    context.obj = Context(config=config_file, api=api, overrides=overrides)


ASKING = (
    status,
    stores,
    locations,
    copy,
    import_,
    verify,
    jobs,
    cancel,
    delete_copy,
    layers,
    clone,
    flatten,
    pause,
    resume,
    history,
)
for command in (*ASKING, config, completion):
    cli.add_command(command)


def main() -> None:
    """Entry point of the console script."""
    for stream in (sys.stdout, sys.stderr):
        # What can't show a sign or a name shows a question mark instead of failing.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.exit(_exit_code())


def _exit_code() -> int:
    try:
        result = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        complain("interrupted")
        return INTERRUPTED
    except ConfigError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        complain("the configuration is refused; nothing was started", error.remedy)
        return USAGE
    except EdgesyncError as error:
        complain(error.message, error.remedy)
        return FAILED
    return result if isinstance(result, int) else 0
