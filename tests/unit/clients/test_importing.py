"""Bringing new images in: what the client sends, what it makes of refusals, when it gives an upload up."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence

import pytest

from edgesync.clients.import_refusals import create_refused, deletion_refused, import_refused, stage_refused
from edgesync.domain.image import ImageId
from edgesync.domain.job import ImportSource
from edgesync.domain.store import StoreId
from edgesync.errors import (
    ConflictError,
    EdgesyncError,
    NotFoundError,
    PermanentError,
    RequestError,
    TransientError,
    UnreachableError,
)
from tests.fakes.glance import MIB, FakeGlance, Fault, Hang, LoseAnswer, Reset, TokenExpired, status
from tests.unit.clients.conftest import Watched

IMAGE = ImageId("7f2c4a5e-0000-4000-8000-000000000000")
STORES = [StoreId("central"), StoreId("dcn1")]
FILE = ImportSource(uri=None, name="rhel", hidden=True, min_disk=10, tags=("golden",), properties=(("os", "rhel"),))
WEB = ImportSource(uri="http://images/rhel", name="rhel")


def new_id() -> ImageId:
    return ImageId(str(uuid.uuid4()))


async def chunks(*sizes: int) -> AsyncIterator[bytes]:
    for size in sizes:
        yield bytes(size)


@pytest.fixture
async def queued(watched: Watched) -> ImageId:
    image = new_id()
    await watched.glance.create_image(image, FILE)
    return image


async def test_creating_says_everything(fake: FakeGlance, watched: Watched, queued: ImageId) -> None:
    assert fake.requests[-1].body == {
        "id": queued,
        "name": "rhel",
        "disk_format": "raw",
        "container_format": "bare",
        "visibility": "private",
        "os_hidden": True,
        "min_disk": 10,
        "min_ram": 0,
        "tags": ["golden"],
        "os": "rhel",
    }


async def test_a_property_does_not_take_a_fields_place(fake: FakeGlance, watched: Watched) -> None:
    with pytest.raises(RequestError, match="can't be called status"):
        await watched.glance.create_image(
            new_id(), ImportSource(uri=None, name="x", properties=(("status", "active"),))
        )
    assert fake.count("create_image") == 0


async def test_creating_once_more_after_a_lost_answer(fake: FakeGlance, watched: Watched) -> None:
    image = new_id()
    fake.faults.add(Fault(operation="create_image", kind=LoseAnswer()))
    with pytest.raises(UnreachableError) as lost:
        await watched.glance.create_image(image, FILE)
    assert lost.value.sent
    await watched.glance.create_image(image, FILE)
    assert fake.image(image).status == "queued"


@pytest.mark.parametrize(
    ("source", "method"),
    [(FILE, {"name": "glance-direct"}), (WEB, {"name": "web-download", "uri": "http://images/rhel"})],
    ids=["file", "uri"],
)
@pytest.mark.parametrize("allow_failure", [True, False])
async def test_an_import_says_everything(
    fake: FakeGlance,
    watched: Watched,
    queued: ImageId,
    source: ImportSource,
    method: dict[str, str],
    allow_failure: bool,
) -> None:
    if source is FILE:
        await watched.glance.stage(queued, chunks(MIB))
    await watched.glance.import_image(queued, source, STORES, allow_failure=allow_failure)
    assert fake.requests[-1].body == {
        "method": method,
        "stores": STORES,
        "all_stores_must_succeed": not allow_failure,
    }
    assert watched.seen[-1] == ("import_image", "202")


async def test_an_import_is_never_sent_twice(fake: FakeGlance, watched: Watched, queued: ImageId) -> None:
    fake.faults.add(Fault(operation="import_image", kind=LoseAnswer()))
    with pytest.raises(UnreachableError) as lost:
        await watched.glance.import_image(queued, WEB, STORES, allow_failure=True)
    assert lost.value.sent
    assert fake.count("import_image") == 1


async def test_a_stream_arrives_in_pieces(fake: FakeGlance, watched: Watched, queued: ImageId) -> None:
    await watched.glance.stage(queued, chunks(1, 5 * MIB, 0, 7))
    assert fake.image(queued).size == 5 * MIB + 8


async def test_a_long_upload_needs_no_longer_deadline(fake: FakeGlance, queued: ImageId) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(8):
            await asyncio.sleep(0.05)
            yield bytes(MIB)

    glance = Watched(fake, stage_deadline=0.2).glance
    await glance.stage(queued, slowly())
    assert fake.image(queued).size == 8 * MIB
    await glance.close()


async def test_a_sender_that_falls_silent_is_given_up(fake: FakeGlance, queued: ImageId) -> None:
    async def silent() -> AsyncIterator[bytes]:
        yield bytes(MIB)
        await asyncio.Event().wait()

    glance = Watched(fake, stage_deadline=0.1).glance
    with pytest.raises(UnreachableError, match=f"nothing came from the sender, after {MIB} bytes"):
        await glance.stage(queued, silent())
    await glance.close()


async def test_a_glance_that_does_not_answer_is_given_up(fake: FakeGlance, queued: ImageId) -> None:
    fake.faults.add(Fault(operation="stage", kind=Hang()))
    glance = Watched(fake, stage_deadline=0.1).glance
    with pytest.raises(UnreachableError, match="had everything and did not answer"):
        await glance.stage(queued, chunks(MIB))
    await glance.close()


async def test_a_source_that_breaks_is_not_glances_fault(watched: Watched, queued: ImageId) -> None:
    async def broken(error: Exception) -> AsyncIterator[bytes]:
        yield bytes(MIB)
        raise error

    with pytest.raises(RequestError, match="broke off after 1048576 bytes: disk gone"):
        await watched.glance.stage(queued, broken(OSError("disk gone")))


async def test_a_sources_own_words_are_passed_on(watched: Watched, queued: ImageId) -> None:
    async def refusing() -> AsyncIterator[bytes]:
        yield bytes(MIB)
        raise PermanentError("Too long.", remedy="Shorten it.")

    with pytest.raises(PermanentError, match="Too long") as refused:
        await watched.glance.stage(queued, refusing())
    assert refused.value.remedy == "Shorten it."


@pytest.mark.parametrize("kind", [Reset(), status(500), LoseAnswer()], ids=str)
async def test_a_stream_is_never_sent_twice(fake: FakeGlance, watched: Watched, queued: ImageId, kind: Reset) -> None:
    fake.faults.add(Fault(operation="stage", kind=kind))
    with pytest.raises(TransientError):
        await watched.glance.stage(queued, chunks(MIB))
    assert fake.count("stage") == 1


async def test_a_refusal_is_heard_before_the_data_are_sent(fake: FakeGlance, watched: Watched, queued: ImageId) -> None:
    """A server that closes on data which it does not want takes its answer with it."""
    taken: list[int] = []

    async def counted() -> AsyncIterator[bytes]:
        for number in range(8):
            taken.append(number)
            yield bytes(MIB)

    fake.faults.add(Fault(operation="stage", kind=status(403)))
    with pytest.raises(PermanentError):
        await watched.glance.stage(queued, counted())
    assert taken == [0]


async def test_a_closed_connection_sends_people_to_glances_log(
    fake: FakeGlance, watched: Watched, queued: ImageId
) -> None:
    """It closes on what it refuses without having read it, and the refusal may be lost."""
    fake.faults.add(Fault(operation="stage", kind=Reset()))
    with pytest.raises(UnreachableError, match="while the data were sent") as closed:
        await watched.glance.stage(queued, chunks(MIB))
    assert "Glance's log tells why" in closed.value.remedy


async def test_a_token_that_dies_during_the_upload_is_not_asked_for_again(
    fake: FakeGlance, watched: Watched, queued: ImageId
) -> None:
    fake.faults.add(Fault(operation="stage", kind=TokenExpired()))
    with pytest.raises(PermanentError, match="401"):
        await watched.glance.stage(queued, chunks(MIB))
    assert (fake.count("stage"), watched.auth.logins) == (1, 2)


async def test_a_part_that_got_lost_is_noticed(
    fake: FakeGlance, watched: Watched, queued: ImageId, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = fake.sim.intake.end_stage

    def lossy(image: str, *more: object, **options: object) -> None:
        fake.sim.intake.staged[image] -= 1
        end(image, *more, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(fake.sim.intake, "end_stage", lossy)
    with pytest.raises(PermanentError, match="1048575 of the 1048576 bytes"):
        await watched.glance.stage(queued, chunks(MIB))


async def test_a_method_that_is_not_offered_is_named(fake: FakeGlance, watched: Watched, queued: ImageId) -> None:
    fake.settings.import_methods = ("copy-image",)
    with pytest.raises(PermanentError, match="glance-direct") as refused:
        await watched.glance.stage(queued, chunks(MIB))
    assert "enabled_import_methods" in refused.value.remedy
    with pytest.raises(PermanentError, match="web-download") as refused:
        await watched.glance.import_image(queued, WEB, STORES, allow_failure=True)
    assert "enabled_import_methods" in refused.value.remedy


async def test_a_protected_image_is_not_deleted(fake: FakeGlance, watched: Watched) -> None:
    image = fake.add_image(protected=True)
    with pytest.raises(PermanentError, match="protected") as refused:
        await watched.glance.delete_image(image)
    assert "--unprotected" in refused.value.remedy


REFUSALS: Sequence[tuple[EdgesyncError, type[EdgesyncError], str]] = [
    (create_refused(IMAGE, 400, "'x' is not one of"), RequestError, "schema"),
    (create_refused(IMAGE, 403, "You may not complete publicize_image action."), PermanentError, "publicize_image"),
    (create_refused(IMAGE, 403, "You may not complete add_image action."), PermanentError, "add_image"),
    (create_refused(IMAGE, 403, "Attribute 'os_glance_x' is reserved."), RequestError, "os_glance"),
    (create_refused(IMAGE, 409, "Image ID 7f2c already exists!"), ConflictError, "another id"),
    (create_refused(IMAGE, 413, "image_count_total"), PermanentError, "limits"),
    (stage_refused(IMAGE, 404, "'glance-direct' method is not available at this site."), PermanentError, "enabled"),
    (stage_refused(IMAGE, 404, "No image found with ID 7f2c"), NotFoundError, ""),
    (stage_refused(IMAGE, 409, "The image 7f2c has data on staging"), ConflictError, "Delete the image"),
    (stage_refused(IMAGE, 413, "Image storage media is full: disk"), PermanentError, "os_glance_staging_store"),
    (stage_refused(IMAGE, 413, "The incoming image is too large: cap"), PermanentError, "image_size_cap"),
    (stage_refused(IMAGE, 413, "Request project limit image_stage_total"), PermanentError, "limits"),
    (import_refused(IMAGE, STORES, 400, "URI for web-download does not pass filtering: x"), RequestError, "filtering"),
    (import_refused(IMAGE, STORES, 400, "Unknown import method name 'x'."), PermanentError, "enabled_import_methods"),
    (import_refused(IMAGE, STORES, 400, "'stores' is not a list"), RequestError, "Correct"),
    (import_refused(IMAGE, STORES, 403, "not authorized"), PermanentError, "modify_image"),
    (import_refused(IMAGE, STORES, 404, "No image found"), NotFoundError, ""),
    (import_refused(IMAGE, STORES, 404, "Store for identifier dcn1 not found"), PermanentError, "enabled_backends"),
    (import_refused(IMAGE, STORES, 409, "Image has active task"), ConflictError, "60 minutes"),
    (import_refused(IMAGE, STORES, 409, "needs to be in 'queued' state to use 'x'"), ConflictError, "Delete"),
    (import_refused(IMAGE, STORES, 409, "Image needs to be staged before 'glance-direct'"), ConflictError, "Delete"),
    (import_refused(IMAGE, STORES, 409, "Image with status active cannot be target"), ConflictError, "Delete"),
    (import_refused(IMAGE, STORES, 413, "image_size_total"), PermanentError, "limits"),
    (deletion_refused(IMAGE, 403, "You are not authorized"), PermanentError, "delete_image"),
    (deletion_refused(IMAGE, 403, "Image 7f2c is protected and cannot be deleted."), PermanentError, "--unprotected"),
    (deletion_refused(IMAGE, 404, "Failed to find image"), NotFoundError, ""),
    (deletion_refused(IMAGE, 409, "Image 7f2c could not be deleted because it is in use"), ConflictError, "children"),
    (deletion_refused(IMAGE, 500, "RBD permission error (error listing children.)"), ConflictError, "children"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "kind", "words"), REFUSALS, ids=lambda value: str(value)[:60])
def test_refusals(error: EdgesyncError, kind: type[EdgesyncError], words: str) -> None:
    assert type(error) is kind
    assert error.message
    assert words in error.remedy
