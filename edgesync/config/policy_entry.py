"""What an entry of `policies` may say, and the domain's record of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from edgesync.config.expectations import (
    ImageUuids,
    PolicyName,
    StoreName,
    Text,
    Texts,
    counting,
    member_of,
    one_of,
)
from edgesync.config.quantities import Seconds, Size, lasting
from edgesync.config.section import Section
from edgesync.config.units import format_size
from edgesync.config.wording import found
from edgesync.domain.image import Visibility
from edgesync.domain.job import EngineChoice
from edgesync.domain.policy import ALL, Match, Policy, Repair
from edgesync.domain.store import StoreId

# The last of a policy's waves: every store that no other wave names.
REST = "rest"


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


def _without_rest(value: object) -> object:
    waves = value[:-1] if isinstance(value, list) and value[-1:] == [REST] else value
    if waves == []:
        raise ValueError("names no wave of its own, which is all at once; name one like [dcn0], or remove the key")
    return waves


def _a_wave(value: object) -> object:
    if value == REST:
        raise ValueError("`rest` stands for all other stores; write it once, at the end")
    if value == [] or not isinstance(value, list):
        raise ValueError(f"expected a list of store ids like [dcn0]; found {_shown(value)}")
    if ALL in value or REST in value:
        raise ValueError("expected store ids only; for all other stores write `rest` at the end, without brackets")
    return value


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
    # Without `rest`: what is named in none is the last wave anyway.
    waves: (
        Annotated[list[Annotated[list[StoreName], BeforeValidator(_a_wave)]], BeforeValidator(_without_rest)] | None
    ) = None
    stop_after_failures: Annotated[int, counting(1, 1000)] = 1
    prune: bool = False
    prune_limit: Annotated[int, counting(1, 10_000)] = 10
    repair: Annotated[Repair, member_of(Repair)] | None = None
    engine: Annotated[EngineChoice, member_of(EngineChoice)] = EngineChoice.AUTO
    lag_objective: Annotated[Seconds, lasting("1m", "90d")] | None = None

    def to_domain(self) -> Policy:
        return Policy(
            name=self.name,
            match=self.match.to_domain() if self.match else Match(),
            stores=None if self.stores is None else frozenset(StoreId(store) for store in self.stores),
            allow_failure=self.allow_failure,
            priority=self.priority,
            waves=tuple(frozenset(map(StoreId, wave)) for wave in self.waves or ()),
            stop_after_failures=self.stop_after_failures,
            prune=self.prune,
            prune_limit=self.prune_limit,
            repair=self.repair,
            engine=self.engine,
            lag_objective=None if self.lag_objective is None else timedelta(seconds=self.lag_objective),
        )
