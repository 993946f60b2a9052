"""Words that all complaints share. Whatever a person wrote comes back short and on one line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

_LONGEST = 60


def quoted(text: str) -> str:
    """The text in double quotes; what can't be printed is escaped, what is long is cut."""
    if not text.isprintable():
        text = ascii(text)[1:-1]
    return f'"{text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."}"'


def spell(path: Iterable[str | int]) -> str:
    """("policies", 0, "name") as people write it: `policies[0].name`."""
    spelled = ""
    for part in path:
        if isinstance(part, int):
            spelled += f"[{part}]"
        else:
            word = part if re.fullmatch(r"[\w.:-]{1,60}", part) else quoted(part)
            spelled += f".{word}" if spelled else word
    return spelled


def found(value: object) -> str:
    """What was written instead of what was expected."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value)
        case int() | float():
            return str(value)
        case list():
            return "a list"
        case dict():
            return "a mapping"
    return "nothing"


def nearest(word: str, known: Iterable[str], most: int = 1) -> str:
    """`; did you mean X?`, or nothing when nothing comes near."""
    by_lower = {name.lower(): name for name in sorted(known, reverse=True)}
    close = difflib.get_close_matches(word[:_LONGEST].lower(), by_lower, n=most, cutoff=0.7)
    return did_you_mean([by_lower[name] for name in close])


def did_you_mean(names: Sequence[str]) -> str:
    """`; did you mean X, Y or Z?`, nothing without names."""
    *others, last = names or [""]
    return f"; did you mean {' or '.join(filter(None, (', '.join(others), last)))}?" if last else ""


def unknown(what: str, word: str, known: Iterable[str]) -> str:
    """The sentence for a name that nobody knows."""
    names = sorted(known)
    return f"unknown {what}{nearest(word, names) or ';'} known here: {', '.join(names)}"
