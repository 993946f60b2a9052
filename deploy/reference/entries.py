"""Every command as click describes it, in pieces that any kind of page is made from."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass

import click

from edgesync.cli.group import Commands
from edgesync.cli.main import cli

EXAMPLE = "Example:"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One command, or (without a name) what goes before every command."""

    name: str
    usage: str
    paragraphs: tuple[str, ...]
    examples: tuple[str, ...]
    # Each as it is written, and what it does.
    options: tuple[tuple[str, str], ...]


def entries() -> Iterator[Entry]:
    """The program itself first, then its commands by name."""
    # Wide enough that no usage is folded.
    unfolded = {"max_content_width": 1000, "terminal_width": 1000}
    root = click.Context(cli, info_name="edgesync", **{**cli.context_settings, **unfolded})
    yield _entry(cli, root)
    yield from _below(cli, root)


def _below(group: click.Group, above: click.Context) -> Iterator[Entry]:
    for name, command in sorted((group.all() if isinstance(group, Commands) else group.commands).items()):
        context = click.Context(command, info_name=name, parent=above)
        if isinstance(command, click.Group):
            yield from _below(command, context)
        else:
            yield _entry(command, context)


def _entry(command: click.Command, context: click.Context) -> Entry:
    text, _, examples = inspect.cleandoc(command.help or "").replace("\b\n", "").partition(EXAMPLE)
    records = (parameter.get_help_record(context) for parameter in command.get_params(context))
    return Entry(
        name=context.command_path.removeprefix("edgesync").strip(),
        usage=context.get_usage().removeprefix("Usage: "),
        paragraphs=tuple(re.sub(r"\s+", " ", part).strip() for part in text.split("\n\n") if part.strip()),
        examples=tuple(line.strip() for line in examples.splitlines() if line.strip()),
        # An argument has no more to say than its name in the usage.
        options=tuple(record for record in records if record and record[0].startswith("-")),
    )
