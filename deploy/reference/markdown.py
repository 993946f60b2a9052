"""The reference as a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from deploy.reference.entries import Entry, entries
from deploy.reference.words import EXIT_CODES, VARIABLES
from edgesync.config.overrides import variables

HEAD = """\
# Commands

Every command, option, variable and exit code, written by `python -m deploy.reference` from the code. What each is for
is in the [README](../README.md).
"""


def page() -> str:
    first, *commands = entries()
    parts = [HEAD, *_entry(first, "Before the command")]
    parts += ["## Exit codes\n", _table(("code", "meaning"), ((str(code), text) for code, text in EXIT_CODES.items()))]
    parts += ["## Environment\n", _table(("variable", "meaning"), _named(VARIABLES))]
    parts.append("Each setting of the file that is one value has its variable, which beats the file:\n")
    parts.append(_table(("variable", "setting"), ((f"`{name}`", f"`{key}`") for name, key in variables().items())))
    for command in commands:
        parts += _entry(command, f"edgesync {command.name}")
    return "\n".join(parts)


def _entry(entry: Entry, title: str) -> Iterator[str]:
    yield f"## {title}\n"
    yield f"```\n{entry.usage}\n```\n"
    yield from (f"{paragraph}\n" for paragraph in entry.paragraphs)
    if entry.examples:
        yield "```console\n" + "".join(f"$ {example}\n" for example in entry.examples) + "```\n"
    yield _table(("option", "what it does"), _named(dict(entry.options)))


def _named(rows: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((f"`{_cell(name)}`", _cell(text)) for name, text in rows.items())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _table(head: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    lines = [head, ("---", "---"), *rows]
    return "".join(f"| {first} | {second} |\n" for first, second in lines)
