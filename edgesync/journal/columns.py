"""Column types: what goes in comes out the same on both databases."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import DateTime, Dialect, Text
from sqlalchemy.types import TypeDecorator

from edgesync.domain.job import ImportSource
from edgesync.errors import PermanentError


class Utc(TypeDecorator[datetime]):
    """A moment. SQLite has no time zones and keeps what it is given: so it is always given UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without its zone can't be recorded: {value}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Word(TypeDecorator[Any]):
    """A member of an enum, by its value. Plain text in the database, so that a new word needs no migration."""

    impl = Text
    cache_ok = True

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: Any, _dialect: Dialect) -> str | None:
        return None if value is None else self.words(value).value

    def process_result_value(self, value: str | None, _dialect: Dialect) -> StrEnum | None:
        if value is None:
            return None
        try:
            return self.words(value)
        except ValueError as error:
            raise PermanentError(
                f"The journal says {value!r} where this edgesync knows only {', '.join(self.words)}.",
                remedy="Run the edgesync version that wrote the journal, or a newer one.",
            ) from error


class Prose(TypeDecorator[str]):
    """Text from elsewhere (names, error messages), without the characters that a database refuses."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        return None if value is None else value.replace("\0", "").encode(errors="replace").decode()


class Source(TypeDecorator[ImportSource]):
    """Where an import's data comes from: JSON, in which whatever a database would refuse is escaped."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: ImportSource | None, _dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(asdict(value))

    def process_result_value(self, value: str | None, _dialect: Dialect) -> ImportSource | None:
        if value is None:
            return None
        fields = json.loads(value)
        fields["tags"] = tuple(fields["tags"])
        fields["properties"] = tuple((name, content) for name, content in fields["properties"])
        try:
            return ImportSource(**fields)
        except TypeError as error:
            raise PermanentError(
                f"The journal describes an import that this edgesync does not understand: {error}.",
                remedy="Run the edgesync version that wrote the journal, or a newer one.",
            ) from error
