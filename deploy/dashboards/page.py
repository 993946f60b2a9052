"""What a dashboard is made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """Grafana's words."""

    NUMBER = "short"
    SECONDS = "s"
    AGO = "dateTimeFromNow"
    BYTES = "bytes"
    BYTES_PER_SECOND = "binBps"
    RATIO = "percentunit"
    PER_SECOND = "ops"


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """PromQL, and how its series are called: with {{label}}."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Graph:
    """Lines over time."""

    title: str
    # For whoever wonders what is shown, and what would be bad.
    description: str
    queries: tuple[Query, ...]
    unit: Unit = Unit.NUMBER
    # For parts of a whole.
    stacked: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One number, as it is now."""

    title: str
    description: str
    expr: str
    unit: Unit = Unit.NUMBER
    # From here on it is red; None: it is neither good nor bad.
    red_from: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Panels under one heading; figures go side by side, graphs two by two."""

    title: str
    panels: tuple[Graph | Figure, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One dashboard."""

    # Stable: links and bookmarks go by it.
    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    # Whether one store is picked, as $store.
    of_one_store: bool = False
