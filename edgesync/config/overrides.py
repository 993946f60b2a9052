"""Environment variables and command-line flags, laid over what the file says.

Every setting outside `stores` and `policies` has its variable: `EDGESYNC_LIMITS__IMPORTS` is `limits.imports`. An empty
variable counts as unset. Flags come as dotted keys, `limits.imports`, and beat variables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from edgesync.config.document import BOOLEANS, Document, Value, printable
from edgesync.config.file import File
from edgesync.config.places import Place
from edgesync.config.section import Section
from edgesync.config.wording import nearest, quoted, unknown

PREFIX = "EDGESYNC_"
CONFIG_VARIABLE = "EDGESYNC_CONFIG"
# Variables that are not settings: other parts of edgesync, its lab and its tests read them.
RESERVED = frozenset(
    {
        CONFIG_VARIABLE,
        "EDGESYNC_API_CACERT",
        "EDGESYNC_API_CERT",
        "EDGESYNC_API_TOKEN",
        "EDGESYNC_API_URL",
        "EDGESYNC_LAB",
        "EDGESYNC_LAB_KEEP",
        "EDGESYNC_LAB_NAME",
        "EDGESYNC_SOAK",
    }
)
_ONLY_IN_FILE = {"stores", "policies"}


def _scalars(section: type[Section], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """The path and the type of every setting that is one value."""
    for name, field in section.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Section):
            yield from _scalars(annotation, (*above, name))
        elif name not in _ONLY_IN_FILE:
            yield (*above, name), annotation


_TYPES = dict(_scalars(File))
_BY_KEY = {".".join(path): path for path in _TYPES}
_BY_VARIABLE = {PREFIX + "__".join(path).upper(): path for path in _TYPES}


def variables() -> dict[str, str]:
    """The variable of every setting that has one, with the setting's dotted key."""
    return {variable: ".".join(path) for variable, path in _BY_VARIABLE.items()}


def lay_over(document: Document, environ: Mapping[str, str], flags: Mapping[str, str]) -> None:
    """Put variables, then flags, into the document; complain about those that nobody knows."""
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX) or name in RESERVED or not text:
            continue
        place = Place(source=f"environment {_shown(name)}", text=text)
        if path := _BY_VARIABLE.get(name):
            _put(document, path, text, place)
        else:
            guess = nearest(name, {*_BY_VARIABLE, *RESERVED}) or "; variables are named like EDGESYNC_LIMITS__IMPORTS"
            document.complain((), f"unknown variable{guess} (stores and policies can only be set in the file)", place)
    for key, text in sorted(flags.items()):
        place = Place(source=f"option {_shown(key)}", text=text)
        if known := _BY_KEY.get(key):
            _put(document, known, text, place)
        else:
            document.complain((), unknown("setting", key, _BY_KEY), place)


def _put(document: Document, path: tuple[str, ...], text: str, place: Place) -> None:
    if wrong := printable(text):
        document.complain(path, wrong, place)
        return
    section: Value = document.data
    for depth, part in enumerate(path[:-1], start=1):
        section = section.setdefault(part, {}) if isinstance(section, dict) else None
        document.places.setdefault(path[:depth], place)
    # Not a mapping: the file is wrong there, which the schema says.
    if isinstance(section, dict):
        section[path[-1]] = _typed(text, _TYPES[path])
        document.places[path] = place


def _typed(text: str, kind: object) -> Value:
    """Numbers and booleans as YAML would give them; all else, and what is none of them, stays text."""
    if kind is int and re.fullmatch("-?[0-9]{1,18}", text):
        return int(text)
    return BOOLEANS.get(text.lower(), text) if kind is bool else text


def _shown(name: str) -> str:
    return name if name.isprintable() and len(name) <= 80 else quoted(name)
