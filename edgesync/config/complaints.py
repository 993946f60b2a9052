"""What the schema found -> sentences, each at its place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from edgesync.config.document import Document
from edgesync.config.file import File
from edgesync.config.places import Problem, known_part
from edgesync.config.section import Section
from edgesync.config.wording import found, quoted, unknown

_KINDS = {
    "bool_type": "true or false",
    "dict_type": "a mapping, one `key: value` on each line",
    "model_type": "a mapping, one `key: value` on each line",
    "list_type": "a list, each entry beginning with `- `",
}


def complaints(document: Document, error: ValidationError) -> Iterator[Problem]:
    """One problem for each of the schema's findings."""
    for detail in error.errors(include_url=False):
        path = detail["loc"]
        missing = detail["type"] == "missing"
        known = known_part(path, document.places)
        yield Problem(
            place=document.places[known],
            path=path if missing else known,
            message=_sentence(document, detail),
        )


def _sentence(document: Document, detail: ErrorDetails) -> str:
    path, value = detail["loc"], detail["input"]
    match detail["type"]:
        case "missing":
            section, key = _section(path[:-1]), str(path[-1])
            return f"missing; write {section.model_fields[key].description}"
        case "extra_forbidden":
            return unknown("key", str(path[-1]), _section(path[:-1]).model_fields)
        case "string_type":
            written = document.places[known_part(path, document.places)].text
            return f"expected text, found {_reading(value, written)}"
        case "value_error":
            return str(detail["ctx"]["error"])
    return f"expected {_KINDS.get(detail['type'], 'something else')}, found {found(value)}"


def _reading(value: object, written: str) -> str:
    if not isinstance(value, bool | int | float):
        return found(value)
    kind = "true or false" if isinstance(value, bool) else "a number"
    return f"{written}, which YAML reads as {kind}; write it in quotes: {quoted(written)}"


def _section(path: tuple[int | str, ...]) -> type[Section]:
    """The model that describes the mapping at a path."""
    section: type[Section] = File
    parts = iter(path)
    for part in parts:
        field = section.model_fields.get(str(part))
        section = (_section_in(field.annotation) if field else None) or section
        if field and get_origin(field.annotation) in {dict, list}:
            # A store's name or a position: not a field, though a store may be called like one.
            next(parts, None)
    return section


def _section_in(annotation: object) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for found in map(_section_in, get_args(annotation)) if found), None)
