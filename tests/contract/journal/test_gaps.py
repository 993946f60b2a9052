"""Since when copies have been missing: it comes back as it went in, image by image, all of a turn's or nothing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import text

from edgesync.domain.image import ImageId
from edgesync.domain.lag import Epochs
from edgesync.domain.store import StoreId
from edgesync.errors import PermanentError
from edgesync.journal import SqlJournal, open_journal
from tests.contract.journal.samples import IMAGE, LATER, NOON, OTHER_IMAGE, A, B, C, make_job
from tests.contract.journal.shell import shell

ONE: Epochs = ((NOON, frozenset({A, B})), (LATER, frozenset({C})))
OTHER: Epochs = ((LATER, frozenset({A})),)


async def test_it_comes_back_as_it_went_in(journal: SqlJournal, url: str) -> None:
    assert await journal.gaps() == {}
    await journal.keep_gaps({IMAGE: ONE, OTHER_IMAGE: OTHER}, ())
    assert await journal.gaps() == {IMAGE: ONE, OTHER_IMAGE: OTHER}
    await journal.close()
    again = await open_journal(url, readonly=True)
    assert await again.gaps() == {IMAGE: ONE, OTHER_IMAGE: OTHER}
    await again.close()


async def test_each_image_by_itself(journal: SqlJournal) -> None:
    await journal.keep_gaps({IMAGE: ONE, OTHER_IMAGE: OTHER}, ())
    await journal.keep_gaps({IMAGE: OTHER}, ())
    assert await journal.gaps() == {IMAGE: OTHER, OTHER_IMAGE: OTHER}
    await journal.keep_gaps({}, {IMAGE, ImageId("never-seen")})
    assert await journal.gaps() == {OTHER_IMAGE: OTHER}
    await journal.keep_gaps({IMAGE: ONE}, {OTHER_IMAGE})
    assert await journal.gaps() == {IMAGE: ONE}


@pytest.mark.parametrize("since", [NOON.replace(microsecond=0), datetime.min.replace(tzinfo=UTC), NOON])
async def test_any_moment(journal: SqlJournal, since: datetime) -> None:
    await journal.keep_gaps({IMAGE: ((since, frozenset({A})),)}, ())
    assert await journal.gaps() == {IMAGE: ((since, frozenset({A})),)}


async def test_moments_elsewhere_are_the_same_moments(journal: SqlJournal) -> None:
    there = NOON.astimezone(timezone(timedelta(hours=-3)))
    await journal.keep_gaps({IMAGE: ((there, frozenset({A})),)}, ())
    ((since, _),) = (await journal.gaps())[IMAGE]
    assert (since, since.tzinfo) == (NOON, UTC)


async def test_epochs_of_one_moment_are_all_there(journal: SqlJournal) -> None:
    twice: Epochs = ((NOON, frozenset({A})), (NOON, frozenset({B})))
    await journal.keep_gaps({IMAGE: twice}, ())
    assert await journal.gaps() == {IMAGE: twice}


async def test_names_that_a_database_would_refuse(journal: SqlJournal) -> None:
    odd: Epochs = (
        (
            NOON,
            frozenset(map(StoreId, ("a\0b", "\udcff", "größer, \N{PILE OF POO}", '"'))),
        ),
    )
    await journal.keep_gaps({IMAGE: odd}, ())
    assert await journal.gaps() == {IMAGE: odd}


async def test_thousands_at_once(journal: SqlJournal) -> None:
    """More than one statement of either database could take."""
    many = {ImageId(f"image-{number}"): ONE if number % 2 else OTHER for number in range(2000)}
    await journal.keep_gaps(many, ())
    await journal.keep_gaps(dict.fromkeys(list(many)[:1000], OTHER), set(list(many)[1000:]))
    assert await journal.gaps() == dict.fromkeys(list(many)[:1000], OTHER)


async def test_images_in_the_same_position_share_what_is_read(journal: SqlJournal) -> None:
    await journal.keep_gaps({IMAGE: ONE, OTHER_IMAGE: ONE}, ())
    found = await journal.gaps()
    assert found[IMAGE] is found[OTHER_IMAGE]


async def test_whoever_is_cancelled_has_written_all_or_nothing(journal: SqlJournal) -> None:
    many = {ImageId(f"image-{number}"): ONE for number in range(1000)}
    writing = asyncio.create_task(journal.keep_gaps(many, ()))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    # After it in turn.
    await journal.add_job(make_job(A))
    assert len(await journal.gaps()) in {0, 1000}


async def test_who_only_reads_does_not_keep(journal: SqlJournal, url: str) -> None:
    reader = await open_journal(url, readonly=True)
    with pytest.raises(PermanentError, match="opened for reading"):
        await reader.keep_gaps({IMAGE: ONE}, ())
    await reader.close()


async def test_a_row_for_each_image_and_no_more(journal: SqlJournal, url: str) -> None:
    for epochs in (ONE, OTHER, ONE):
        await journal.keep_gaps({IMAGE: epochs, OTHER_IMAGE: epochs}, ())
    async with shell(url) as database:
        assert (await database.execute(text("SELECT count(*) FROM gaps"))).scalar_one() == 2
