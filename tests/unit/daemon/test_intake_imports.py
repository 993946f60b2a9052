"""Imports: where a new image may go, which URIs and files are taken, and how its data comes in."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from typing import Any

import pytest

from edgesync.daemon import imports
from edgesync.daemon.formats import guessed_format
from edgesync.domain.job import CopyResult, JobId, JobState, StoreResult, Work
from edgesync.errors import ConflictError, NotFoundError, RequestError, TransientError
from edgesync.expose.requests import ImportRequest
from tests.builders import image, job, situation
from tests.unit.daemon.paper import Counter, counter
from tests.unit.expose.pictures import picture_of

URI = "https://images.example/rhel-9.4.raw"


def empty(**more: Any) -> Counter:
    return counter(picture_of(situation()), **more)


def request(**given: Any) -> ImportRequest:
    source = {} if given.get("file") else {"uri": URI}
    return ImportRequest(**{"name": "rhel", "requested_by": "alice", **source, **given})


async def test_an_import_becomes_a_job_with_an_image_of_our_choosing() -> None:
    at = empty()
    await at.intake.import_image(
        request(tags=("golden",), properties={"os_distro": "rhel"}, hidden=True, min_disk=10, visibility="public")
    )
    assert at.job.work is Work.IMPORT
    assert uuid.UUID(at.job.image).version == 4
    assert [entry.store for entry in at.job.stores] == ["central"]
    source = at.job.source
    assert source is not None
    assert (source.uri, source.name, source.disk_format, source.visibility) == (URI, "rhel", "raw", "public")
    assert (source.hidden, source.min_disk, source.tags, source.properties) == (
        True,
        10,
        ("golden",),
        (("os_distro", "rhel"),),
    )
    (event,) = at.journal.events
    assert event.message == f"alice asked for the import of rhel from {URI} to central"


@pytest.mark.parametrize(
    ("given", "stores", "note"),
    [
        ({}, ["central"], ""),
        ({"stores": ("central",)}, ["central"], ""),
        ({"stores": ("dcn1",)}, ["central", "dcn1"], "central was added"),
        ({"stores": ("dcn1", "dcn0")}, ["central", "dcn0", "dcn1"], "central was added"),
        ({"stores": ("dcn1", "central")}, ["central", "dcn1"], ""),
        ({"all_stores": True}, ["central", "dcn0", "dcn1"], ""),
    ],
)
async def test_the_hub_is_always_among_the_stores_and_the_first(
    given: dict[str, Any], stores: list[str], note: str
) -> None:
    at = empty()
    taken = await at.intake.import_image(request(**given))
    assert [entry.store for entry in at.job.stores] == stores
    assert note in "".join(taken.notes)
    assert bool(taken.notes) == bool(note)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"uri": "ftp://images.example/x.raw"}, "http and https only, not ftp"),
        ({"uri": "/srv/x.raw"}, "http and https only, not a path"),
        ({"uri": "https:///x.raw"}, "host"),
        ({"uri": "https://images.example:port/x.raw"}, "is no URI"),
        ({"uri": "https://bob:secret@images.example/x.raw"}, "user name or password"),
        ({"uri": "https://images.example/x.qcow2.xz"}, "looks packed"),
        ({"stores": ("dcn7",)}, "no store dcn7"),
        ({"properties": {"os_glance_import_task": "x"}}, "keeps it for itself"),
        ({"properties": {"min_disk": "1"}}, "keeps it for itself"),
        ({"properties": {"": "1"}}, "has no name"),
    ],
)
async def test_what_glance_would_not_take_is_refused_at_once(given: dict[str, Any], said: str) -> None:
    at = empty()
    with pytest.raises(RequestError, match=said) as refused:
        await at.intake.import_image(request(**given))
    assert refused.value.remedy
    assert "secret" not in refused.value.message
    assert at.journal.kept == {}


async def test_a_method_that_is_off_is_refused_with_the_way_around_it() -> None:
    async def methods() -> Collection[str]:
        return {"glance-direct", "copy-image"}

    at = empty(methods=methods)
    with pytest.raises(RequestError, match="does not offer web-download, only copy-image, glance-direct") as refused:
        await at.intake.import_image(request())
    assert "use --file" in refused.value.remedy
    assert (await at.intake.import_image(request(file=True))).jobs


@pytest.mark.parametrize(
    ("name", "start", "expected"),
    [
        ("a.raw", b"", "raw"),
        ("a.img", b"", "raw"),
        ("a.qcow2", b"", "qcow2"),
        ("a.img", b"QFI\xfb\0\0\0\3", "qcow2"),
        ("a", b"KDMV", "vmdk"),
        ("a.ISO", b"", "iso"),
        ("a", b"\0" * 0x8001 + b"CD001", "iso"),
        ("a", b"\0" * 0x40 + b"\x7f\x10\xda\xbe", "vdi"),
        ("a-9.4", b"\x33\xc0", "raw"),
    ],
)
def test_formats_are_guessed_by_the_first_bytes_and_the_ending(name: str, start: bytes, expected: str) -> None:
    assert guessed_format(name, start)[0] == expected


@pytest.mark.parametrize(("name", "start"), [("a.raw.gz", b""), ("a.raw", b"\x1f\x8b\x08"), ("a", b"\xfd7zXZ\0")])
def test_packed_files_are_refused(name: str, start: bytes) -> None:
    with pytest.raises(RequestError, match="looks packed"):
        guessed_format(name, start)


async def test_a_format_that_can_not_be_cloned_comes_with_a_warning() -> None:
    taken = await empty().intake.import_image(request(uri="https://images.example/x.qcow2"))
    assert "can't be cloned copy-on-write" in taken.notes[0]
    unknown = await empty().intake.import_image(request(uri="https://images.example/download?id=5"))
    assert "taken for a raw image" in unknown.notes[0]


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece


async def test_a_files_data_is_passed_on_piece_by_piece() -> None:
    at = empty()
    (made,) = (await at.intake.import_image(request(file=True, disk_format="raw"))).jobs
    assert made.source is not None
    assert made.source.uri is None
    told = len(at.told)
    assert (await at.intake.receive(made.id, pieces(b"a" * 10, b"b" * 10), "alice")).jobs == (made,)
    assert at.staging.got == {made.id: b"a" * 10 + b"b" * 10}
    assert at.staging.pieces == 2
    assert len(at.told) == told + 1


async def test_data_is_taken_only_by_a_job_that_waits_for_it() -> None:
    at = empty()
    (web,) = (await at.intake.import_image(request())).jobs
    with pytest.raises(RequestError, match="takes no data"):
        await at.intake.receive(web.id, pieces(b"x"), "alice")
    copying = job(image(), "dcn0")
    at.journal.kept[copying.id] = copying
    with pytest.raises(RequestError, match="takes no data"):
        await at.intake.receive(copying.id, pieces(b"x"), "alice")
    with pytest.raises(NotFoundError):
        await at.intake.receive(JobId("nothing"), pieces(b"x"), "alice")
    (made,) = (await at.intake.import_image(request(file=True))).jobs
    there = StoreResult(store=made.stores[0].store, result=CopyResult.COPIED)
    at.journal.kept[made.id] = replace(made, stores=(there,))
    with pytest.raises(ConflictError, match="has its data"):
        await at.intake.receive(made.id, pieces(b"x"), "alice")
    assert at.staging.got == {}


async def test_uploads_are_bounded_and_never_two_for_one_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "UPLOADS", 1)
    at = empty()
    first, second = [(await at.intake.import_image(request(file=True))).jobs[0] for _ in range(2)]
    begun, more = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        begun.set()
        yield b"x"
        await more.wait()

    sending = asyncio.create_task(at.intake.receive(first.id, slow(), "alice"))
    await begun.wait()
    with pytest.raises(ConflictError, match="is coming in already"):
        await at.intake.receive(first.id, pieces(b"y"), "alice")
    with pytest.raises(TransientError, match="1 files are being taken in already"):
        await at.intake.receive(second.id, pieces(b"y"), "alice")
    more.set()
    await sending
    assert (await at.intake.receive(second.id, pieces(b"y"), "alice")).jobs


async def test_a_job_cancelled_while_its_data_came_in_is_said_to_be() -> None:
    at = empty()
    (made,) = (await at.intake.import_image(request(file=True))).jobs

    async def cancelled_midway() -> AsyncIterator[bytes]:
        yield b"x"
        await at.intake.cancel(made.id, "bob")
        yield b"y"

    with pytest.raises(ConflictError, match="was cancelled while its data came in"):
        await at.intake.receive(made.id, cancelled_midway(), "alice")
    assert at.journal.kept[made.id].state is JobState.CANCELLED
