"""Digests and verifications: they come back as they went in, are whole whatever happens, and don't stay for ever."""

from __future__ import annotations

import asyncio
import sys
import zlib
from array import array
from dataclasses import replace

import pytest
from sqlalchemy import text

from edgesync.domain.blocks import (
    GIB,
    KIB,
    MIB,
    MOST_BLOCKS,
    SMALLEST_BLOCK,
    Digests,
    Verification,
    of_zeros,
)
from edgesync.domain.image import ImageId
from edgesync.domain.job import Work
from edgesync.errors import PermanentError
from edgesync.journal import SqlJournal, open_journal
from edgesync.journal.packing import pack, unpack
from tests.contract.journal.samples import (
    IMAGE,
    LATER,
    NOON,
    OTHER_IMAGE,
    A,
    B,
    finish,
    make_event,
    make_job,
    make_known,
)
from tests.contract.journal.shell import shell
from tests.fakes.block_notes import BlockNotes

SOUND = Verification(at=NOON, sound=True)
DAMAGED = Verification(at=LATER, sound=False, damage="4 MiB bis 8 MiB, „größer“ \N{PILE OF POO}", rbd_id="1a2b")
# Long after everything here happened.
MUCH_LATER = LATER.replace(year=2030)


@pytest.mark.parametrize(
    "size", [0, 1, SMALLEST_BLOCK, SMALLEST_BLOCK + 1, 4 * MIB + 1, GIB, SMALLEST_BLOCK * MOST_BLOCKS]
)
async def test_digests_come_back_as_they_went_in(journal: SqlJournal, size: int) -> None:
    known = make_known(size)
    await journal.keep_digests(IMAGE, known)
    assert await journal.digests(IMAGE) == known


async def test_every_number_that_a_digest_may_be(journal: SqlJournal) -> None:
    values = array("Q", [0, 1, 255, 1 << 31, 1 << 63, (1 << 64) - 1])
    known = replace(make_known(), digests=Digests(size=5 * 128 * KIB + 1, block=128 * KIB, values=values))
    await journal.keep_digests(IMAGE, known)
    assert await journal.digests(IMAGE) == known


async def test_the_size_of_the_largest_image_that_there_may_be(journal: SqlJournal) -> None:
    block = 1 << 42
    values = array("Q", [7]) * MOST_BLOCKS
    known = replace(make_known(), digests=Digests(size=MOST_BLOCKS * block - 1, block=block, values=values))
    await journal.keep_digests(IMAGE, known)
    assert await journal.digests(IMAGE) == known


async def test_digests_of_each_image_by_themselves(journal: SqlJournal) -> None:
    one, other = make_known(MIB, seed=1), make_known(MIB, seed=2)
    await journal.keep_digests(IMAGE, one)
    assert await journal.digests(OTHER_IMAGE) is None
    await journal.keep_digests(OTHER_IMAGE, other)
    assert (await journal.digests(IMAGE), await journal.digests(OTHER_IMAGE)) == (one, other)


async def test_which_images_have_digests_is_told_of_any_number_at_once(journal: SqlJournal) -> None:
    await journal.keep_digests(IMAGE, make_known(MIB))
    strangers = [ImageId(f"stranger-{number}") for number in range(1200)]
    assert await journal.digested([*strangers, IMAGE, OTHER_IMAGE]) == {IMAGE}
    assert await journal.digested([]) == frozenset()


async def test_those_kept_before_are_replaced(journal: SqlJournal) -> None:
    await journal.keep_digests(IMAGE, make_known(2 * MIB, seed=1))
    newer = replace(make_known(MIB, seed=2), hash_algo="sha256", hash_value="ff")
    await journal.keep_digests(IMAGE, newer)
    assert await journal.digests(IMAGE) == newer


async def test_what_can_not_be_read_any_more_is_not_known(journal: SqlJournal, url: str) -> None:
    await journal.keep_digests(IMAGE, make_known(MIB))
    await journal.add_verification(IMAGE, A, SOUND)
    async with shell(url) as database:
        whole = (await database.execute(text("SELECT packed FROM digests"))).scalar_one()
        damaged = whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:]
        for packed in (b"", whole[:-1], damaged, zlib.compress(bytes(8)), zlib.compress(bytes(MIB))):
            await database.execute(text("UPDATE digests SET packed = :packed"), {"packed": packed})
            assert await journal.digests(IMAGE) is None
    # Nothing else is in the way, and they can be kept again.
    assert await journal.verifications(IMAGE) == {A: SOUND}
    await journal.keep_digests(IMAGE, make_known(MIB))
    assert await journal.digests(IMAGE) == make_known(MIB)


def test_packed_digests_are_the_same_on_every_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    values = array("Q", [1, 0x0807060504030201])
    packed = pack(values)
    assert zlib.decompress(packed) == bytes([1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
    # On a machine that counts the other way round, the same numbers lie in memory the other way round.
    swapped = array("Q", values)
    swapped.byteswap()
    monkeypatch.setattr(sys, "byteorder", "big" if sys.byteorder == "little" else "little")
    assert pack(swapped) == packed
    assert unpack(packed, 2) == swapped
    assert values[0] == 1


def test_zeros_take_next_to_no_room() -> None:
    image = of_zeros(64 * GIB, SMALLEST_BLOCK)
    assert len(image.values) * 8 == 8 * MIB
    assert len(pack(image.values)) < 64 * KIB


async def test_verifications_of_each_copy_by_itself(journal: SqlJournal) -> None:
    assert await journal.verifications(IMAGE) == {}
    await journal.add_verification(IMAGE, A, SOUND)
    await journal.add_verification(IMAGE, B, DAMAGED)
    await journal.add_verification(OTHER_IMAGE, A, DAMAGED)
    assert await journal.verifications(IMAGE) == {A: SOUND, B: DAMAGED}
    assert await journal.verifications(OTHER_IMAGE) == {A: DAMAGED}


async def test_the_last_verification_counts(journal: SqlJournal) -> None:
    await journal.add_verification(IMAGE, A, DAMAGED)
    await journal.add_verification(IMAGE, A, SOUND)
    assert await journal.verifications(IMAGE) == {A: SOUND}


@pytest.mark.parametrize(
    ("work", "result", "left"),
    [
        (Work.REMOVE, "removed", set()),
        (Work.REMOVE, "failed", {A}),
        (Work.UNLIST, "repaired", set()),
        (Work.PROTECT, "repaired", {A}),
        (Work.COPY, "reverted", set()),
        # It may have been verified before its end was recorded.
        (Work.COPY, "copied", {A}),
    ],
)
async def test_a_copy_that_is_gone_was_never_verified(
    journal: SqlJournal, work: Work, result: str, left: set[str]
) -> None:
    for store in (A, B):
        await journal.add_verification(IMAGE, store, SOUND)
    await journal.add_verification(OTHER_IMAGE, A, SOUND)
    job = make_job(A, work=work)
    await journal.add_job(job)
    await finish(journal, job, dcn0=result)
    assert set(await journal.verifications(IMAGE)) == left | {B}
    assert set(await journal.verifications(OTHER_IMAGE)) == {A}


async def test_an_image_that_is_gone_leaves_nothing(journal: SqlJournal) -> None:
    for image in (IMAGE, OTHER_IMAGE):
        await journal.keep_digests(image, make_known(MIB))
        await journal.add_verification(image, A, SOUND)
        await journal.add_verification(image, B, DAMAGED)
    for _ in range(2):
        await journal.forget_image(IMAGE)
        assert (await journal.digests(IMAGE), await journal.verifications(IMAGE)) == (None, {})
    assert await journal.digests(OTHER_IMAGE) == make_known(MIB)
    assert await journal.verifications(OTHER_IMAGE) == {A: SOUND, B: DAMAGED}
    await journal.forget_image(ImageId("never heard of"))


async def test_copies_that_are_gone_leave_nothing_and_their_image_what_it_is(journal: SqlJournal) -> None:
    await journal.keep_digests(IMAGE, make_known(MIB))
    for image in (IMAGE, OTHER_IMAGE):
        for store in (A, B):
            await journal.add_verification(image, store, SOUND)
    strangers = [(ImageId(f"stranger-{number}"), A) for number in range(1200)]
    await journal.forget_copies([*strangers, (IMAGE, A), (OTHER_IMAGE, B)])
    assert (await journal.verifications(IMAGE), await journal.verifications(OTHER_IMAGE)) == ({B: SOUND}, {A: SOUND})
    assert await journal.digests(IMAGE) == make_known(MIB)
    await journal.forget_copies([])


async def test_journals_on_paper_do_the_same(journal: SqlJournal) -> None:
    answers = []
    for book in (journal, BlockNotes()):
        seen: list[object] = [await book.digests(IMAGE), await book.verifications(IMAGE)]
        for number, image in enumerate((IMAGE, IMAGE, OTHER_IMAGE)):
            await book.keep_digests(image, make_known(seed=number))
            await book.add_verification(image, A, DAMAGED)
            await book.add_verification(image, (A, B)[number % 2], SOUND)
            seen += [await book.digests(IMAGE), await book.verifications(IMAGE)]
        await book.forget_copies([(IMAGE, A), (OTHER_IMAGE, B)])
        seen += [await book.verifications(of) for of in (IMAGE, OTHER_IMAGE)]
        seen.append(await book.digested([IMAGE, ImageId("never heard of")]))
        for image in (IMAGE, IMAGE, OTHER_IMAGE):
            await book.forget_image(image)
            for of in (IMAGE, OTHER_IMAGE):
                seen += [await book.digests(of), await book.verifications(of)]
        answers.append(seen)
    assert answers[0] == answers[1]


async def test_they_are_there_when_opened_again_and_for_readers(url: str) -> None:
    first = await open_journal(url)
    await first.keep_digests(IMAGE, make_known(MIB))
    await first.add_verification(IMAGE, A, DAMAGED)
    await first.close()
    reader = await open_journal(url, readonly=True)
    assert await reader.digests(IMAGE) == make_known(MIB)
    assert await reader.verifications(IMAGE) == {A: DAMAGED}
    for write in (
        reader.keep_digests(IMAGE, make_known()),
        reader.add_verification(IMAGE, A, SOUND),
        reader.forget_image(IMAGE),
        reader.forget_copies([(IMAGE, A)]),
    ):
        with pytest.raises(PermanentError, match="opened for reading"):
            await write
    await reader.close()


async def test_a_cancelled_write_is_whole_or_absent(journal: SqlJournal) -> None:
    before = make_known(GIB, seed=0)
    await journal.keep_digests(IMAGE, before)
    for number in range(1, 20):
        after = make_known(GIB + number, seed=number)
        writing = asyncio.create_task(journal.keep_digests(IMAGE, after))
        await asyncio.sleep(number * 0.0005)
        writing.cancel()
        await asyncio.wait([writing])
        found = await journal.digests(IMAGE)
        assert found in (before, after)
        # Asking again gets it done.
        await journal.keep_digests(IMAGE, after)
        before = after


async def test_what_was_acknowledged_survives_sigkill_whole(url: str) -> None:
    await (await open_journal(url)).close()
    for _ in range(3):
        command = (sys.executable, "-m", "tests.contract.journal.process", "keep", url)
        keeper = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert keeper.stdout is not None
        for _ in range(5):
            await keeper.stdout.readline()
        keeper.kill()
        rest, _ = await keeper.communicate()
        last = 4 + len(rest.split(b"\n")[:-1])
        journal = await open_journal(url)
        found, verified = await journal.digests(IMAGE), await journal.verifications(IMAGE)
        await journal.close()
        # What was under way when it was killed may be there, too.
        assert found in [make_known(GIB, seed=number) for number in (last, last + 1)]
        assert verified[A].damage in {str(last), str(last + 1)}


async def test_trimming_takes_what_nothing_names_and_nobody_renewed(journal: SqlJournal) -> None:
    """What is known of six images, of which each but the first has something that keeps it."""
    dead, of_open_job, of_event, recent, verified = (ImageId(name) for name in ("dead", "job", "event", "new", "again"))
    await journal.add_events([make_event(image=None)])
    for image in (dead, of_open_job, of_event, verified):
        await journal.keep_digests(image, make_known())
        await journal.add_verification(image, A, SOUND)
    await journal.add_job(make_job(B, image=of_open_job))
    await journal.add_events([make_event(image=of_event, at=LATER)])
    await journal.keep_digests(recent, make_known())
    await journal.add_verification(verified, B, replace(SOUND, at=LATER))
    # The event, the digests of the dead one, two old verifications that nothing names.
    assert await journal.trim(LATER) == 4
    assert [image for image in (dead, of_open_job, of_event, recent, verified) if await journal.digests(image)] == [
        of_open_job,
        of_event,
        recent,
        verified,
    ]
    assert await journal.verifications(dead) == {}
    assert set(await journal.verifications(of_open_job)) == set(await journal.verifications(of_event)) == {A}
    assert set(await journal.verifications(verified)) == {B}
    assert await journal.trim(LATER) == 0
    # The event, two verifications, three images' digests: only the open job keeps anything for ever.
    assert await journal.trim(MUCH_LATER) == 6
    assert await journal.digests(of_open_job) == make_known()


async def test_without_any_history_they_count_as_old(journal: SqlJournal) -> None:
    await journal.keep_digests(IMAGE, make_known())
    assert await journal.trim(NOON) == 1
    assert await journal.digests(IMAGE) is None


async def test_keeping_them_again_makes_them_young(journal: SqlJournal) -> None:
    await journal.add_events([make_event(image=None)])
    await journal.keep_digests(IMAGE, make_known())
    await journal.add_events([make_event(image=None, at=LATER)])
    await journal.keep_digests(IMAGE, make_known())
    assert await journal.trim(LATER) == 1
    assert await journal.digests(IMAGE) == make_known()
    assert await journal.trim(MUCH_LATER) == 2
    assert await journal.digests(IMAGE) is None


async def test_the_copies_of_a_store_are_told_together(journal: SqlJournal) -> None:
    await journal.add_verification(IMAGE, A, SOUND)
    await journal.add_verification(OTHER_IMAGE, A, DAMAGED)
    await journal.add_verification(IMAGE, B, DAMAGED)
    assert await journal.verified(A) == {IMAGE: SOUND, OTHER_IMAGE: DAMAGED}
    await journal.forget_image(IMAGE)
    assert await journal.verified(B) == {}


async def test_a_verification_says_how_it_is_to_be_made(journal: SqlJournal) -> None:
    asked = replace(make_job(), work=Work.VERIFY, deep=True, mend=True)
    await journal.add_job(asked)
    kept = await journal.job(asked.id)
    assert (kept.work, kept.deep, kept.mend) == (Work.VERIFY, True, True)
