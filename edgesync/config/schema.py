"""What the configuration may say: every key, its form, its default. Nothing here knows files or places.

The sections (`limits`, `journal`, ...) become part of `Settings` as they are; stores and policies are converted into
the domain's records.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from edgesync.config.expectations import (
    AbsolutePath,
    ImageUuids,
    JournalUrl,
    Listen,
    PolicyName,
    Size,
    StoreName,
    Text,
    Texts,
    counting,
    lasting,
    one_of,
    split_listen,
)
from edgesync.config.units import format_duration, format_size
from edgesync.config.wording import found
from edgesync.domain.image import Visibility
from edgesync.domain.policy import ALL, Match, Policy
from edgesync.domain.store import StoreId, StoreSettings


class Section(BaseModel):
    """A mapping whose keys are all known. A `description` tells what to write where a required key is missing."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class LimitSettings(Section):
    # Imports running at the same time, over all stores.
    imports: Annotated[int, counting(1, 256)] = 4
    # The same for one store, unless `stores` says otherwise.
    imports_per_store: Annotated[int, counting(1, 64)] = 2


class JournalSettings(Section):
    # Not in the repr: it may contain a password.
    url: JournalUrl = Field(default="sqlite+aiosqlite:////var/lib/edgesync/journal.db", repr=False)
    # Seconds after which ended jobs and their history are forgotten.
    retention: Annotated[float, lasting("1h", "3650d")] = Field(default="90d", validate_default=True)


class ApiSettings(Section):
    listen: Listen = "127.0.0.1:9780"

    @property
    def host(self) -> str:
        return split_listen(self.listen)[0]

    @property
    def port(self) -> int:
        return split_listen(self.listen)[1]


class GlanceSettings(Section):
    # Seconds that one request may take.
    timeout: Annotated[float, lasting("1s", "10m")] = 30.0
    page_size: Annotated[int, counting(1, 1000)] = 1000


class PollingSettings(Section):
    # Seconds between two looks while copies run, while none runs, and between complete listings.
    active: Annotated[float, lasting("100ms", "5m")] = 1.0
    idle: Annotated[float, lasting("100ms", "1h")] = 30.0
    full_pass: Annotated[float, lasting("1s", "1d")] = 900.0


class RetrySettings(Section):
    # Seconds; the delay doubles from `first` up to `ceiling`.
    first: Annotated[float, lasting("100ms", "1d")] = 30.0
    ceiling: Annotated[float, lasting("100ms", "7d")] = Field(default="1h", validate_default=True)
    # After so many failures the ceiling applies at once.
    attempts: Annotated[int, counting(1, 1000)] = 10

    @field_validator("ceiling")
    @classmethod
    def _not_below_first(cls, ceiling: float, info: ValidationInfo) -> float:
        first = info.data.get("first", 0)
        if ceiling < first:
            raise ValueError(
                f"the ceiling, {format_duration(ceiling)}, is shorter than the first delay, {format_duration(first)}; "
                "raise retry.ceiling or lower retry.first"
            )
        return ceiling


class LogSettings(Section):
    level: Annotated[str, one_of(("debug", "info", "warning", "error"))] = "info"
    # `auto`: console on a terminal, JSON elsewhere.
    format: Annotated[str, one_of(("auto", "json", "console"))] = "auto"


class StoreEntry(Section):
    max_concurrent: Annotated[int, counting(1, 64)] | None = None


def _some_properties(value: object) -> object:
    if value == {}:
        raise ValueError("the mapping is empty; name at least one property, or remove the key")
    return value


class MatchEntry(Section):
    id: ImageUuids | None = None
    name: Text | None = None
    visibility: Annotated[str, one_of(Visibility)] | None = None
    owner: Text | None = None
    tags: Texts | None = None
    properties: Annotated[dict[Text, str], BeforeValidator(_some_properties)] | None = None
    hidden: bool | None = None
    disk_format: Texts | None = None
    min_size: Size | None = None
    max_size: Size | None = None

    @field_validator("max_size")
    @classmethod
    def _not_below_min(cls, size: int | None, info: ValidationInfo) -> int | None:
        smallest = info.data.get("min_size")
        if size is not None and smallest is not None and size < smallest:
            raise ValueError(
                f"expected at least min_size, {format_size(smallest)}; found {format_size(size)}, so that no image fits"
            )
        return size

    def to_domain(self) -> Match:
        return Match(
            ids=frozenset(self.id or ()),
            name=self.name,
            visibility=self.visibility,
            owner=self.owner,
            tags=frozenset(self.tags or ()),
            properties=dict(self.properties or {}),
            hidden=self.hidden,
            disk_formats=frozenset(self.disk_format or ()),
            min_size=self.min_size,
            max_size=self.max_size,
        )


def _all_or_conditions(value: object) -> object:
    if value == {}:
        raise ValueError("no condition is left; write `match: all` if every image is meant")
    if value is not None and value != ALL and not isinstance(value, dict):
        raise ValueError(f"expected `all`, or conditions like {{tags: [golden]}}; found {found(value)}")
    return None if value == ALL else value


def _all_or_list(value: object) -> object:
    if value == [] or (value != ALL and not isinstance(value, list)):
        raise ValueError(f"expected `all`, or a list of store ids like [dcn0, dcn1]; found {_shown(value)}")
    return None if value == ALL else value


def _shown(value: object) -> str:
    return "an empty list" if value == [] else found(value)


def _distinct_stores(stores: list[str] | None) -> list[str] | None:
    if stores and ALL in stores:
        raise ValueError("`all` can't be part of a list; write `stores: all`")
    if stores and len(set(stores)) < len(stores):
        twice = next(store for store in stores if stores.count(store) > 1)
        raise ValueError(f"names {found(twice)} twice; remove one")
    return stores


class PolicyEntry(Section):
    name: PolicyName = Field(description="a word of your choice, by which commands and logs name the policy")
    match: Annotated[MatchEntry | None, BeforeValidator(_all_or_conditions)] = Field(
        description="conditions like {tags: [golden]}, or `match: all` for every image"
    )
    stores: Annotated[list[StoreName] | None, BeforeValidator(_all_or_list), AfterValidator(_distinct_stores)] = Field(
        description="`all`, or a list like [dcn0, dcn1]"
    )
    allow_failure: bool = True
    priority: Annotated[int, counting(-1000, 1000)] = 0

    def to_domain(self) -> Policy:
        return Policy(
            name=self.name,
            match=self.match.to_domain() if self.match else Match(),
            stores=None if self.stores is None else frozenset(StoreId(store) for store in self.stores),
            allow_failure=self.allow_failure,
            priority=self.priority,
        )


class File(Section):
    """The whole configuration."""

    cloud: Text | None = None
    clouds_file: AbsolutePath | None = None
    region: Text | None = None
    hub: StoreName = Field(description="the id of the central site's store, like `hub: central`")
    stores: dict[StoreName, StoreEntry] = {}
    limits: LimitSettings = LimitSettings()
    policies: list[PolicyEntry] = []
    journal: JournalSettings = JournalSettings()
    api: ApiSettings = ApiSettings()
    glance: GlanceSettings = GlanceSettings()
    polling: PollingSettings = PollingSettings()
    retry: RetrySettings = RetrySettings()
    log: LogSettings = LogSettings()

    def store_settings(self) -> dict[StoreId, StoreSettings]:
        default = self.limits.imports_per_store
        return {
            StoreId(name): StoreSettings(max_concurrent=entry.max_concurrent or default)
            for name, entry in self.stores.items()
        }
