"""What a person has chosen to see, as the page's address says it: it can be kept, sent and reloaded."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

from edgesync.domain.copy import CopyState
from edgesync.expose.requests import Word

# Rows of the matrix on one page: with 100 stores, the most that a browser still shows at once.
ROWS = 50
MOST_ROWS = 200
MOST_PAGES = 1_000_000


class Group(StrEnum):
    """Several states at once."""

    WRONG = "wrong"  # what a person should look at


class Filters(BaseModel):
    """The query of `/`. What is not known is left out: addresses get things added on their way."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    # A part of the name or of the id; or a pattern with * and ?.
    name: Word = ""
    # Images that have a copy in this state.
    state: CopyState | Group | None = None
    # The columns, as a part of their names or a pattern; a state means copies in these.
    store: Word = ""
    policy: Word = ""
    # All images, not only those that concern edgesync.
    all: bool = False
    page: Annotated[int, Field(ge=1, le=MOST_PAGES)] = 1
    rows: Annotated[int, Field(ge=1, le=MOST_ROWS)] = ROWS

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Filters:
        """An empty field of the form is one that was not filled in. ValidationError for what can't be."""
        return cls.model_validate({key: value for key, value in query.items() if value})

    @property
    def states(self) -> frozenset[CopyState]:
        """Empty: any."""
        if self.state is None:
            return frozenset()
        if isinstance(self.state, CopyState):
            return frozenset({self.state})
        return frozenset(state for state in CopyState if state.alarming)

    @property
    def narrow(self) -> bool:
        """Whether anything is left out."""
        return bool(self.name or self.state or self.store or self.policy)

    def link(self, **changes: Any) -> str:
        """The address with something else chosen: from its first page, unless that is what changes."""
        fields = self.model_dump(mode="json", exclude_defaults=True) | {"page": 1} | changes
        chosen = Filters.model_validate(fields).model_dump(mode="json", exclude_defaults=True)
        query = urlencode({key: str(value).lower() if value is True else value for key, value in chosen.items()})
        return f"/?{query}" if query else "/"
