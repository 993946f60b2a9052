"""What the schema found -> sentences, each at its place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from edgesync.config.document import Document, Value
from edgesync.config.places import Problem, known_part
from edgesync.config.schema import File, Section
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


def repeated_names(document: Document) -> Iterator[Problem]:
    """Policies that share a name: the schema sees one policy at a time."""
    policies = document.data.get("policies")
    first: dict[str, int] = {}
    for index, entry in enumerate(policies if isinstance(policies, list) else []):
        name = _name(entry)
        if name is None:
            continue
        if name in first:
            line = document.places["policies", first[name], "name"].line
            message = f"{quoted(name)} is the name of another policy, in line {line}; choose another"
            path = ("policies", index, "name")
            yield Problem(place=document.places[path], path=path, message=message)
        first.setdefault(name, index)


def _name(entry: Value) -> str | None:
    name = entry.get("name") if isinstance(entry, dict) else None
    return name if isinstance(name, str) else None


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
    for part in path:
        # Neither names of stores nor positions in lists are fields: they stay in the section of their entries.
        field = section.model_fields.get(str(part))
        section = (_section_in(field.annotation) if field else None) or section
    return section


def _section_in(annotation: object) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for found in map(_section_in, get_args(annotation)) if found), None)
