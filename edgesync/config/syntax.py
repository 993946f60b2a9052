"""Text -> YAML nodes, within bounds; whatever PyYAML says against the text becomes one ConfigError."""

from __future__ import annotations

import yaml

from edgesync.config.places import Place, Problem
from edgesync.errors import ConfigError

# Far above any sensible configuration; they keep time and memory small whatever file is named by mistake.
MAX_BYTES = 2**20
_MAX_DEPTH = 16
_MAX_NODES = 20_000

# The tag of a node that stands for `*name`: aliases are not followed.
ALIAS = "edgesync:alias"

# Remedies for what PyYAML says most often.
_REMEDIES = {
    "mapping values are not allowed here": "quote text that contains `: `, and check the indentation",
    "that cannot start any token": "indent with spaces, and quote text that begins with a special character",
    "expected ',' or": "close the bracket, or quote text that contains special characters",
    "could not find expected ':'": "write `key: value`, and check the indentation",
    "but found another document": "keep everything in one document, without `---` between",
    "expected <block end>": "indent keys that belong together equally",
    "unexpected end of stream": "close the quotes",
    "special characters are not allowed": "remove the control character",
}


class _Loader(yaml.SafeLoader):
    """Composes nodes within bounds, without following aliases."""

    depth = 0
    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        is_alias = self.check_event(yaml.AliasEvent)
        event = self.current_event
        self.nodes += 1
        if self.depth >= _MAX_DEPTH or self.nodes > _MAX_NODES:
            what = "nested too deeply" if self.depth >= _MAX_DEPTH else f"more than {_MAX_NODES} values"
            raise yaml.composer.ComposerError(None, None, what, event.start_mark)
        if is_alias:
            self.current_event = None  # taken
            return yaml.ScalarNode(ALIAS, event.anchor, event.start_mark, event.end_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def compose(text: str, source: str) -> yaml.Node | None:
    """The root node, None for an empty file. After a syntax error nothing else can be told: ConfigError, alone."""
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        place = place_of(error.problem_mark or error.context_mark, source)
        problem = _syntax_problem(place, ", ".join(filter(None, (error.context, error.problem))))
    except yaml.reader.ReaderError as error:
        problem = _syntax_problem(place_at(text, error.position, source), error.reason)
    except (ValueError, OverflowError):
        # PyYAML lets these out for `"\UFFFFFFFF"`, and for `%YAML` followed by thousands of digits.
        place = place_of(loader.get_mark() if loader else None, source)
        problem = _syntax_problem(place, "a number in an escape or a directive is out of range")
    raise ConfigError([str(problem)], remedy="Correct this first: other mistakes can be told only after that.")


def place_of(mark: yaml.Mark | None, source: str, text: str = "") -> Place:
    """PyYAML's mark, counted from 1 as editors do."""
    line, column = (mark.line, mark.column) if mark else (0, 0)
    return Place(source=source, line=line + 1, column=column + 1, text=text)


def place_at(text: str, offset: int, source: str) -> Place:
    """The place of a character of the text."""
    before = text[:offset]
    return Place(source=source, line=before.count("\n") + 1, column=offset - before.rfind("\n"))


def _syntax_problem(place: Place, said: str) -> Problem:
    remedy = next((f"; {remedy}" for part, remedy in _REMEDIES.items() if part in said), "")
    return Problem(place=place, path=(), message=f"not valid YAML: {said}{remedy}")
