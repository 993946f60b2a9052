"""Reads PromQL, and finds in it what no daemon shows: metrics, and labels that they don't have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import promql_parser as promql

from tests.unit.expose import exposition

# By metric and label: the values that a daemon shows which has met with everything.
VALUES = exposition.samples(exposition.everything())
# What Prometheus itself adds to every series, and shows of each target.
TARGET = frozenset({"instance", "job"})
OWN = {"up": TARGET, "ALERTS": TARGET | {"alertname", "alertstate", "severity"}}
# Labels that may have values which the exposition of the tests doesn't have.
OPEN = TARGET | {"store", "policy", "operation", "status", "service", "version", "le"}
# Functions whose argument's label goes away.
EATS = {"histogram_quantile": {"le"}}
# Aggregations that give series as they are.
KEEPS = {"topk", "bottomk"}


def shown() -> dict[str, frozenset[str]]:
    """The labels of each series that Prometheus has of a daemon."""
    return {**OWN, **{name: TARGET | labels.keys() for name, labels in VALUES.items()}}


def shown_with_recordings(groups: Iterable[Any]) -> dict[str, frozenset[str]]:
    """The same with those of recording rules, each of which may build on those before it."""
    known = shown()
    for group in groups:
        for rule in group["rules"]:
            if "record" in rule:
                known[rule["record"]] = _Reader(known).labels(promql.parse(rule["expr"]))
    return known


def wrong_in(query: str, known: Mapping[str, frozenset[str]]) -> list[str]:
    """Complaints, for people; ValueError for what isn't PromQL."""
    reader = _Reader(known)
    reader.labels(promql.parse(query))
    return reader.complaints


class _Reader:
    def __init__(self, known: Mapping[str, frozenset[str]]) -> None:
        self._known = known
        self.complaints: list[str] = []

    def labels(self, expr: Any) -> frozenset[str]:
        """Those of the result."""
        match expr:
            case promql.VectorSelector():
                return self._selected(expr)
            case promql.MatrixSelector():
                return self._selected(expr.vector_selector)
            case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
                return self.labels(expr.expr)
            case promql.Call():
                given = frozenset[str]().union(*(self.labels(argument) for argument in expr.args))
                return given - EATS.get(expr.func.name, set())
            case promql.AggregateExpr():
                return self._aggregated(expr)
            case promql.BinaryExpr():
                return self._combined(expr)
            case promql.NumberLiteral() | promql.StringLiteral():
                return frozenset()
        raise ValueError(f"unknown: {expr!r}")

    def _selected(self, selector: Any) -> frozenset[str]:
        if selector.name not in self._known:
            self.complaints.append(f"no daemon shows {selector.name}")
            return frozenset()
        has = self._known[selector.name]
        matchers = selector.matchers.matchers
        self._expect({matcher.name for matcher in matchers}, has, str(selector.name))
        for matcher in matchers:
            values = VALUES.get(selector.name, {}).get(matcher.name, set())
            if values and matcher.name not in OPEN:
                # What is excluded has to exist, too; a pattern stands for all of its alternatives.
                wanted = matcher.value.split("|")
                missing = [word for word in wanted if not any(re.fullmatch(word, value) for value in values)]
                self.complaints += [f"{selector.name} has no {matcher.name} {word}" for word in missing]
        return has

    def _aggregated(self, expr: Any) -> frozenset[str]:
        has = self.labels(expr.expr)
        named = frozenset(expr.modifier.labels) if expr.modifier is not None else frozenset()
        self._expect(named, has, expr.prettify())
        if str(expr.op) in KEEPS:
            return has
        without = expr.modifier is not None and expr.modifier.type == promql.AggModifierType.Without
        return has - named if without else named

    def _combined(self, expr: Any) -> frozenset[str]:
        left, right = self.labels(expr.lhs), self.labels(expr.rhs)
        if expr.modifier is not None and expr.modifier.matching is not None:
            named = set(expr.modifier.matching.labels)
            self._expect(named, left, expr.lhs.prettify())
            self._expect(named, right, expr.rhs.prettify())
        return left or right

    def _expect(self, named: Iterable[str], has: frozenset[str], what: str) -> None:
        if missing := set(named) - has:
            self.complaints.append(f"{what} has no label {', '.join(sorted(missing))}")
