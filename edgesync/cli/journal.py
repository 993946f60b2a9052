"""`journal`: look after the journal itself, without a daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict

import click
from click.shell_completion import CompletionItem
from click.types import StringParamType
from rich.console import Group
from rich.text import Text

from edgesync.cli.context import FAILED, Context, pass_context
from edgesync.cli.output import complain, emit, format_option, table_of
from edgesync.config.masking import mask_password
from edgesync.expose.figures import size
from edgesync.journal import Facts, Loss, Rollback, look_at, revisions, roll_back


class _Schema(StringParamType):
    name = "schema"

    def shell_complete(self, _ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [
            CompletionItem(known.id, help=known.brought) for known in revisions() if known.id.startswith(incomplete)
        ]


@click.group()
def journal() -> None:
    """Show the journal itself, or bring it back to an older version's schema."""


@journal.command()
@format_option
@pass_context
def show(context: Context, form: str) -> None:
    """Show where the journal is, its schema, who has it at present, its size, and the schemas known here.

    Works with and without a running daemon, and changes nothing.

    \b
    Example: edgesync journal show
    """
    url = context.settings().journal.url
    facts = asyncio.run(look_at(url))
    known = [asdict(revision) for revision in revisions()]
    shown = {"url": mask_password(url), "schema": facts.revision, "writer": facts.writer, "size": facts.size}
    rows = [
        ("Schema", _schema(facts)),
        ("Used by", facts.writer or "nobody"),
        ("Size", size(facts.size)),
    ]
    schemas = table_of(("Known", "Brought"), [(revision["id"], revision["brought"]) for revision in known])
    table = Group(table_of(("Journal", mask_password(url)), rows), Text(), schemas)
    emit({**shown, "known": known}, table, [tuple(shown.values())], form)


@journal.command()
@click.option("--to", type=_Schema(), metavar="SCHEMA", required=True, help="The schema that the older version knows.")
@click.option("--yes", is_flag=True, help="Do it although something is lost.")
@format_option
@pass_context
def rollback(context: Context, to: str, yes: bool, form: str) -> int:
    """Bring the journal back to an older schema, so that an older version of edgesync can go on with it.

    Done by the newer version, with no daemon running, in one transaction. What the older version can't read is lost:
    without --yes it is shown, and nothing is changed (exit code 1) unless nothing would be lost. A newer version that
    is started afterwards brings the journal forward again.

    \b
    Example: edgesync journal show
             edgesync journal rollback --to 0002
             edgesync journal rollback --to 0002 --yes
    """

    def agreed(losses: Sequence[Loss]) -> bool:
        return yes or not losses

    went = asyncio.run(roll_back(context.settings().journal.url, to, agreed=agreed))
    table = table_of(
        ("Lost" if went.done else "Would be lost", "Rows"), [(loss.what, loss.rows) for loss in went.losses]
    )
    emit(asdict(went), table if went.losses else Group(), [(loss.what, loss.rows) for loss in went.losses], form)
    return _told(went)


def _told(went: Rollback) -> int:
    if not went.done:
        complain(f"nothing was changed: the journal has the schema {went.before}", "make a backup, then say --yes")
        return FAILED
    if went.before == went.to:
        click.echo(f"the journal has the schema {went.to} already", err=True)
    else:
        click.echo(
            f"the journal has the schema {went.to} (it was {went.before}): start the older version now", err=True
        )
    return 0


def _schema(facts: Facts) -> str:
    known = [revision.id for revision in revisions()]
    if facts.revision is None:
        return "none: there is no journal yet"
    if facts.revision not in known:
        return f"{facts.revision}, of a newer edgesync"
    return facts.revision if facts.revision == known[-1] else f"{facts.revision}, of an older edgesync"
