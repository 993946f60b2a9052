"""The reference as a man page, in the macros of man(7)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from deploy.reference.entries import Entry, entries
from deploy.reference.words import EXIT_CODES, VARIABLES
from edgesync.config.overrides import variables


def page() -> str:
    first, *commands = entries()
    summary, *more = first.paragraphs
    lines = [
        '.TH EDGESYNC 1 "" edgesync',
        ".SH NAME",
        _text(f"edgesync - {summary[0].lower()}{summary[1:].rstrip('.')}"),
    ]
    lines += [".SH SYNOPSIS", _text(first.usage), ".SH DESCRIPTION", *_paragraphs(more)]
    lines += [".SH OPTIONS", *_list(first.options), ".SH COMMANDS"]
    for command in commands:
        lines += _command(command)
    lines += [".SH EXIT STATUS", *_list((str(code), text) for code, text in EXIT_CODES.items())]
    lines += [".SH ENVIRONMENT", *_list([*VARIABLES.items(), *_settings()])]
    return "".join(f"{line}\n" for line in lines)


def _command(entry: Entry) -> Iterator[str]:
    yield f".SS {_text(entry.name)}"
    yield _text(entry.usage)
    yield from _paragraphs(entry.paragraphs)
    if entry.examples:
        yield from (".PP", ".RS", ".nf", *(_text(example) for example in entry.examples), ".fi", ".RE")
    yield from _list(entry.options)


def _settings() -> Iterator[tuple[str, str]]:
    return ((name, f"Sets {key}, and beats the file.") for name, key in variables().items())


def _paragraphs(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield ".PP"
        yield _text(text)


def _list(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, text in rows:
        yield ".TP"
        yield f"\\fB{_text(term)}\\fR"
        yield _text(text)


def _text(text: str) -> str:
    """As it is: no line begins with a request, and every dash can be copied."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
