"""What every mapping of the configuration is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A mapping whose keys are all known. A `description` tells what to write where a required key is missing."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
