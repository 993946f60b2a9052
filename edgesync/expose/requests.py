"""What the HTTP API accepts."""

from __future__ import annotations

from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgesync.domain.job import Job


class CopyRequest(BaseModel):
    """Body of `POST /v1/jobs`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    # Id or unique name.
    image: str = Field(min_length=1, max_length=255)
    stores: tuple[str, ...] = Field(default=(), max_length=1000, strict=False)
    all_stores: bool = False
    allow_failure: bool = True
    # For the history; not a credential.
    requested_by: str = Field(default="", max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")

    @model_validator(mode="after")
    def _one_choice(self) -> CopyRequest:
        if bool(self.stores) == self.all_stores:
            raise ValueError('give either "stores" (a list of store ids) or "all_stores": true')
        return self


class Counter(Protocol):
    """Takes requests; implemented by the daemon's intake."""

    async def copy(self, request: CopyRequest) -> Job: ...
