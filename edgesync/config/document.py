"""YAML nodes -> plain data, the place of every key, and what is wrong whatever the keys mean.

PyYAML's own constructor is not used: it forgets places, lets a second `hub:` replace the first, and turns `12:30` into
750. Aliases and merge keys are refused: with them, one line could stand for settings in many places.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

from edgesync.config.places import KeyPath, Place, Problem
from edgesync.config.syntax import ALIAS, compose, place_of
from edgesync.config.wording import quoted
from edgesync.errors import ConfigError

Value: TypeAlias = "str | int | float | bool | list[Value] | dict[str, Value] | None"

_STANDARD = "tag:yaml.org,2002:"
# Dates stay text: no setting is one.
_TEXT = {f"{_STANDARD}{kind}" for kind in ("str", "timestamp", "value")}
# Also for the environment's variables.
BOOLEANS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
# Only numbers that are what they look like: not 12:30 (750), 010 (8), 0x10 or 1_000.
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,99})")
_FLOAT = re.compile(r"[-+]?[0-9]{1,99}\.[0-9]{0,99}([eE][-+][0-9]{1,2})?")


@dataclass(kw_only=True)
class Document:
    """What was written, before anybody asks what it means."""

    source: str
    data: dict[str, Value] = field(default_factory=dict)
    # A key's place is that of the key, a list item's that of the item.
    places: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def complain(self, path: KeyPath, message: str, place: Place | None = None) -> None:
        self.problems.append(Problem(place=place or self.places[path], path=path, message=message))


def read_document(text: str, source: str) -> Document:
    """Read one YAML document. ConfigError when there is nothing in it that could be a setting."""
    root = compose(text, source)
    start = place_of(root.start_mark if root else None, source)
    if not isinstance(root, yaml.MappingNode) or root.tag != f"{_STANDARD}map":
        expected = "expected settings, one `key: value` on each line; only `hub: STORE` is required"
        found = "the file is empty" if root is None else "found something else"
        raise ConfigError([str(Problem(place=start, path=(), message=f"{expected}; {found}"))])
    document = Document(source=source, places={(): start})
    document.data = _mapping(document, root, ())
    return document


def printable(text: str) -> str:
    """Empty, or what is wrong with a text that does not show all of its characters."""
    hidden = next((character for character in text if not character.isprintable()), None)
    if hidden is None:
        return ""
    name = "a line break" if hidden in "\r\n" else f"the invisible character U+{ord(hidden):04X}"
    return f"contains {name}; write it again without"


def _value(document: Document, node: yaml.Node, path: KeyPath) -> Value:
    if isinstance(node, yaml.MappingNode) and node.tag == f"{_STANDARD}map":
        return _mapping(document, node, path)
    if isinstance(node, yaml.SequenceNode) and node.tag == f"{_STANDARD}seq":
        return _list(document, node, path)
    if isinstance(node, yaml.ScalarNode):
        return _scalar(document, node, path)
    document.complain(path, f"the YAML tag {quoted(node.tag)} isn't supported; remove it")
    return None


def _mapping(document: Document, node: yaml.MappingNode, path: KeyPath) -> dict[str, Value]:
    entries: dict[str, Value] = {}
    for key_node, value_node in node.value:
        key = _key(document, key_node, path)
        if key is None:
            continue
        place = _place_with_text(document, key_node, value_node)
        if key in entries:
            first = document.places[(*path, key)]
            document.complain((*path, key), f"written twice, first in line {first.line}; remove one", place)
            continue
        document.places[(*path, key)] = place
        entries[key] = _value(document, value_node, (*path, key))
    return entries


def _list(document: Document, node: yaml.SequenceNode, path: KeyPath) -> list[Value]:
    items: list[Value] = []
    for index, item in enumerate(node.value):
        document.places[(*path, index)] = _place_with_text(document, item, item)
        items.append(_value(document, item, (*path, index)))
    return items


def _place_with_text(document: Document, where: yaml.Node, value: yaml.Node) -> Place:
    text = value.value if isinstance(value, yaml.ScalarNode) else ""
    return place_of(where.start_mark, document.source, text)


def _key(document: Document, node: yaml.Node, path: KeyPath) -> str | None:
    """The key as text; None after a complaint."""
    written = node.value if isinstance(node, yaml.ScalarNode) else ""
    wrong = _wrong_key(node, written)
    if not wrong:
        return written
    below = (*path, written) if written else path
    document.complain(below, wrong, place_of(node.start_mark, document.source))
    return None


def _wrong_key(node: yaml.Node, written: str) -> str:
    if node.tag == f"{_STANDARD}merge":
        return "merge keys aren't supported; write the keys out"
    if not isinstance(node, yaml.ScalarNode) or node.tag == ALIAS:
        return "expected a plain word as key"
    if node.tag not in _TEXT:
        return f"YAML doesn't read this key as text; write it in quotes: {quoted(written)}"
    return printable(written)


def _scalar(document: Document, node: yaml.ScalarNode, path: KeyPath) -> Value:
    text: str = node.value
    kind = node.tag.removeprefix(_STANDARD)
    if node.tag in _TEXT:
        if wrong := printable(text):
            document.complain(path, wrong)
        return text if text.isprintable() else None
    if kind == "bool" and text.lower() in BOOLEANS:
        return BOOLEANS[text.lower()]
    if kind == "int" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "float" and _FLOAT.fullmatch(text):
        return float(text)
    document.complain(path, _refusal(node.tag, text))
    return None


def _refusal(tag: str, text: str) -> str:
    if tag == ALIAS:
        return f"aliases aren't supported; write out what {quoted('*' + text)} stands for"
    match tag.removeprefix(_STANDARD):
        case "null":
            return "has no value; give it one, or remove the key"
        case "int" | "float":
            return (
                f"YAML reads {quoted(text)[1:-1]} as a number, but not the one it looks like; "
                f"write it in quotes, {quoted(text)}, or as a plain decimal number"
            )
    return f"the YAML tag {quoted(tag)} isn't supported; remove it"
