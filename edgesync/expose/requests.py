"""What the HTTP API accepts, and the counter that it hands it to.

Only the form is checked here; whether a request can be carried out, the daemon's intake says.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgesync.domain.image import ImageId, Visibility
from edgesync.domain.job import EngineChoice, Job, JobId
from edgesync.domain.layers import Flattened, SiteLayers
from edgesync.domain.pause import Pause
from edgesync.expose.picture import Picture

# No control characters: PostgreSQL takes no NUL in a text, and nothing is named so.
PLAIN = r"^[^\x00-\x1f\x7f]*$"
# Those and what Ceph's tools part a pool, an image and a snapshot by.
RBD_NAME = r"^[^\x00-\x1f\x7f/@]*$"
Word = Annotated[str, Field(max_length=255, pattern=PLAIN)]
# An image's id or name, a URI: what people write, never empty.
Name = Annotated[str, Field(min_length=1, max_length=255)]
Format = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,20}$")]
Stores = Annotated[tuple[str, ...], Field(default=(), max_length=1000, strict=False)]


class Request(BaseModel):
    """Any body that orders something."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    # For the history: who somebody is that shares a credential, or for whom its owner asks. Not a credential.
    requested_by: Word = ""

    @property
    def who(self) -> str:
        return self.requested_by or "api"


class CopyRequest(Request):
    """Body of `POST /v1/jobs`."""

    # Id or unique name.
    image: Name | None = None
    # Instead of an image: each image that this policy matches and that misses a copy.
    policy: Name | None = None
    stores: Stores = ()
    all_stores: bool = False
    allow_failure: bool = True
    # Before everything else.
    urgent: bool = False
    # Who moves the data; None: as the policy says, or auto.
    engine: Annotated[EngineChoice, Field(strict=False)] | None = None
    # Only tell what would be done.
    dry_run: bool = False

    @model_validator(mode="after")
    def _one_choice(self) -> CopyRequest:
        if (self.image is None) == (self.policy is None):
            raise ValueError('give either "image" (an id or a name) or "policy" (a name)')
        if self.policy is not None and (self.stores or self.all_stores):
            raise ValueError('a policy says itself which stores it means: leave "stores" and "all_stores" out')
        if self.image is not None and bool(self.stores) == self.all_stores:
            raise ValueError('give either "stores" (a list of store ids) or "all_stores": true')
        return self


class VerificationRequest(Request):
    """Body of `POST /v1/verifications`."""

    # Id or unique name; or all that have copies, those first that were verified longest ago.
    image: Name | None = None
    all: bool = False
    # None: every store with a copy.
    stores: Stores = ()
    # Read the hub's data again, and hash them.
    deep: bool = False
    # Mend what is found broken.
    repair: bool = False

    @model_validator(mode="after")
    def _one_choice(self) -> VerificationRequest:
        if self.all == (self.image is not None):
            raise ValueError('give either "image" (an id or a name) or "all": true')
        return self


class ImportRequest(Request):
    """Body of `POST /v1/imports`."""

    name: Annotated[str, Field(min_length=1, max_length=255, pattern=PLAIN)]
    # Glance fetches the data from there.
    uri: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    # The data is sent to `PUT /v1/jobs/{id}/data` afterwards.
    file: bool = False
    # Neither these nor all of them: the hub.
    stores: Stores = ()
    all_stores: bool = False
    allow_failure: bool = True
    urgent: bool = False
    # None: by the ending of the URI.
    disk_format: Format | None = None
    container_format: Format = "bare"
    visibility: Annotated[Visibility, Field(strict=False)] = Visibility.PRIVATE
    hidden: bool = False
    # GiB and MiB, Glance's units.
    min_disk: int = Field(default=0, ge=0, le=2**31 - 1)
    min_ram: int = Field(default=0, ge=0, le=2**31 - 1)
    tags: Annotated[tuple[Word, ...], Field(max_length=128, strict=False)] = ()
    properties: Annotated[dict[Word, Annotated[str, Field(max_length=65535)]], Field(max_length=128)] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _one_choice(self) -> ImportRequest:
        if (self.uri is not None) == self.file:
            raise ValueError('give either "uri" or "file": true')
        if self.stores and self.all_stores:
            raise ValueError('give either "stores" (a list of store ids) or "all_stores": true, or neither for the hub')
        return self


class RemovalRequest(Request):
    """`DELETE /v1/images/{image}/copies/{store}`, with these in its query."""

    model_config = ConfigDict(extra="forbid", strict=False, frozen=True)

    image: Name
    store: Name
    # Keep policies from bringing it back.
    pause: bool = False


class DiskRequest(Request):
    """Body of `POST /v1/images/{image}/copies/{store}/clones`."""

    # Of the cluster, not the one of its images.
    pool: Annotated[str, Field(min_length=1, max_length=255, pattern=RBD_NAME)]
    # Of the disk.
    name: Annotated[str, Field(min_length=1, max_length=255, pattern=RBD_NAME)]


class CloneRequest(DiskRequest):
    """The same, with what the path names."""

    image: Name
    store: Name


class FlattenRequest(Request):
    """`POST /v1/images/{image}/copies/{store}/flatten`."""

    image: Name
    store: Name


class Scope(Request):
    """What a pause covers: a store, an image, one copy, or everything. The query of `DELETE /v1/pauses`."""

    model_config = ConfigDict(extra="forbid", strict=False, frozen=True)

    image: Name | None = None
    store: Name | None = None
    all: bool = False

    @model_validator(mode="after")
    def _says_what(self) -> Scope:
        if self.all == (self.image is not None or self.store is not None):
            raise ValueError('name a "store", an "image", or both; or say "all": true')
        return self


class PauseRequest(Scope):
    """Body of `POST /v1/pauses`."""

    reason: Word = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """One image of many for which nothing can be done."""

    image: ImageId
    image_name: str
    detail: str
    remedy: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """What became of a request."""

    jobs: tuple[Job, ...]
    # Of a request for many images.
    refused: tuple[Refusal, ...] = ()
    # Images that were too many for one request.
    left: int = 0
    # Sentences for whoever asked: what was added or should be known.
    notes: tuple[str, ...] = ()
    # For a dry run: how everything would stand if the jobs were there.
    foreseen: Picture | None = None


class Counter(Protocol):
    """Takes requests; implemented by the daemon's intake. Refuses with the classes of `edgesync.errors`."""

    async def copy(self, request: CopyRequest) -> Taken: ...

    async def verify(self, request: VerificationRequest) -> Taken: ...

    async def import_image(self, request: ImportRequest) -> Taken: ...

    async def receive(self, job: JobId, data: AsyncIterable[bytes], by: str) -> Taken:
        """Take the data for an import from a file."""
        ...

    async def cancel(self, job: JobId, by: str) -> Taken: ...

    async def remove(self, request: RemovalRequest) -> Taken: ...

    async def layers(self, store: str | None) -> tuple[SiteLayers, ...]:
        """Of one store, or of all."""
        ...

    async def clone(self, request: CloneRequest) -> str:
        """Make a disk of a copy; where it is, as pool/name."""
        ...

    async def flatten(self, request: FlattenRequest) -> Flattened: ...

    async def flattened(self, image: str, store: str) -> Flattened:
        """How far that is."""
        ...

    async def pause(self, request: PauseRequest) -> Pause: ...

    async def resume(self, scope: Scope) -> Pause:
        """Lift the pause with exactly that scope; what it was."""
        ...
