"""Events: every filter, and paging that neither repeats nor loses one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from edgesync.domain.job import Event, EventKind, HistoryFilter, JobId
from edgesync.journal import SqlJournal
from tests.contract.journal.samples import IMAGE, LATER, NOON, OTHER_IMAGE, B, make_event

EVENTS = (
    make_event(EventKind.COPY_STARTED, job=JobId("job-a")),
    make_event(EventKind.COPY_FAILED, store=B, at=NOON + timedelta(minutes=1)),
    make_event(EventKind.COPY_DONE, image=OTHER_IMAGE, at=LATER),
    make_event(EventKind.GLANCE_UNREACHABLE, image=None, store=None, at=LATER),
    make_event(EventKind.COPY_REVERTED, image=OTHER_IMAGE, store=B, at=LATER + timedelta(minutes=1)),
)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (HistoryFilter(), [4, 3, 2, 1, 0]),
        (HistoryFilter(limit=2), [4, 3]),
        (HistoryFilter(limit=-1), []),
        (HistoryFilter(image=IMAGE), [1, 0]),
        (HistoryFilter(store=B), [4, 1]),
        (HistoryFilter(image=OTHER_IMAGE, store=B), [4]),
        (HistoryFilter(since=LATER), [4, 3, 2]),
        (HistoryFilter(failed_only=True), [4, 3, 1]),
        (HistoryFilter(failed_only=True, image=IMAGE, since=NOON), [1]),
    ],
    ids=str,
)
async def test_filters(journal: SqlJournal, wanted: HistoryFilter, expected: list[int]) -> None:
    await journal.add_events(EVENTS)
    assert [without_seq(event) for event in await journal.history(wanted)] == [EVENTS[number] for number in expected]


async def test_pages(journal: SqlJournal) -> None:
    written = [make_event(message=f"event {number}") for number in range(25)]
    await journal.add_events(written[:10])
    await journal.add_events(written[10:])
    pages: list[list[Event]] = []
    before = None
    while page := list(await journal.history(HistoryFilter(limit=10, before=before))):
        pages.append(page)
        before = page[-1].seq
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [without_seq(event) for page in pages for event in page] == written[::-1]
    sequence = [event.seq for page in pages for event in page]
    assert sequence == sorted(set(sequence), reverse=True)


async def test_no_events_are_no_work(journal: SqlJournal) -> None:
    await journal.add_events([])
    assert await journal.history(HistoryFilter()) == ()


def without_seq(event: Event) -> Event:
    return replace(event, seq=0)


async def test_what_has_happened_since_comes_oldest_first(journal: SqlJournal) -> None:
    await journal.add_events(EVENTS)
    first = (await journal.history(HistoryFilter()))[-1].seq
    since = await journal.history(HistoryFilter(after=first, limit=3))
    assert [without_seq(event) for event in since] == list(EVENTS[1:4])
    rest = await journal.history(HistoryFilter(after=since[-1].seq))
    assert [without_seq(event) for event in rest] == [EVENTS[4]]
    assert await journal.history(HistoryFilter(after=rest[-1].seq)) == ()
