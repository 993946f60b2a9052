"""What a single value may be. Each check says in its error what was expected, with a remedy where one is known."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import PurePath
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticKnownError

from edgesync.config.windows import find_zone, parse_window
from edgesync.config.wording import found, nearest, quoted
from edgesync.domain.window import Window

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def matching(pattern: str, expected: str) -> AfterValidator:
    """Text of a certain form."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"expected {expected}, found {quoted(text)}")
        return text

    return AfterValidator(check)


def one_of(words: Iterable[str]) -> AfterValidator:
    """One of a few words."""
    known = tuple(words)
    return AfterValidator(lambda text: _known(text, known))


def member_of(kind: type[StrEnum]) -> BeforeValidator:
    """One of an enum's words, as that member."""
    known = tuple(kind)

    def check(value: object) -> StrEnum:
        if not isinstance(value, str):
            raise PydanticKnownError("string_type")
        return kind(_known(value, known))

    return BeforeValidator(check)


def _known(text: str, words: Sequence[str]) -> str:
    if text not in words:
        raise ValueError(f"expected one of {', '.join(words)}, found {quoted(text)}{nearest(text, words)}")
    return text


def counting(low: int, high: int) -> BeforeValidator:
    """A whole number within bounds."""

    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"expected a whole number from {low} to {high}, found {found(value)}")
        return value

    return BeforeValidator(check)


def _known_zone(name: str) -> str:
    find_zone(name)
    return name


def absolute(example: str) -> AfterValidator:
    """The path of a file or a folder, whatever folder edgesync was started in."""

    def check(text: str) -> str:
        if not PurePath(text).is_absolute():
            raise ValueError(f"expected an absolute path like {example}, found {quoted(text)}")
        return text

    return AfterValidator(check)


def several(value: object) -> object:
    """One value stands for a list of one. An empty list is refused: it could mean everything, or nothing."""
    if value == []:
        raise ValueError("the list is empty; name at least one, or remove the key")
    return value if isinstance(value, list | dict) else [value]


def _distinct(values: list[str]) -> list[str]:
    twice = next((value for index, value in enumerate(values) if value in values[:index]), None)
    if twice is not None:
        raise ValueError(f"names {quoted(twice)} twice; remove one")
    return values


def _uuid(text: str) -> str:
    if not _UUID.fullmatch(text):
        raise ValueError(f"expected an image id like 8f1a2b3c-0d4e-4f5a-9b6c-7d8e9f0a1b2c, found {quoted(text)}")
    return text


Text: TypeAlias = Annotated[str, matching(r".*\S.*", "text that isn't empty")]
StoreName: TypeAlias = Annotated[str, matching(r"[^\s,]+", "a store id without spaces and commas")]
PolicyName: TypeAlias = Annotated[str, matching(r"[a-z0-9_.-]{1,64}", "up to 64 of a-z, 0-9, `-`, `_`, `.`")]
ImageUuid: TypeAlias = Annotated[str, AfterValidator(_uuid)]
WindowList: TypeAlias = Annotated[list[Annotated[Window, BeforeValidator(parse_window)]], BeforeValidator(several)]
ZoneName: TypeAlias = Annotated[str, AfterValidator(_known_zone)]
Texts: TypeAlias = Annotated[list[Text], BeforeValidator(several), AfterValidator(_distinct)]
ImageUuids: TypeAlias = Annotated[list[ImageUuid], BeforeValidator(several), AfterValidator(_distinct)]
