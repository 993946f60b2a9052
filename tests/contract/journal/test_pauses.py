"""Pauses: one for each scope, kept until they are taken away."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from edgesync.domain.job import EventKind
from edgesync.domain.pause import Pause
from edgesync.journal import SqlJournal, open_journal
from tests.contract.journal.samples import IMAGE, LATER, NOON, A, B, make_event, told

PAUSED = make_event(EventKind.PAUSED, message="paused")
RESUMED = make_event(EventKind.RESUMED, message="resumed")
SCOPES = list(product((None, IMAGE), (None, A)))


def make_pause(**fields: Any) -> Pause:
    values: dict[str, Any] = {"by": "ana", "reason": "größere Arbeiten", "since": NOON}
    return Pause(**(values | fields))


async def test_none_at_first(journal: SqlJournal) -> None:
    assert (await journal.ledger()).pauses == await journal.paused() == ()


async def test_every_scope_by_itself(journal: SqlJournal) -> None:
    pauses = {scope: make_pause(image=scope[0], store=scope[1]) for scope in SCOPES}
    for pause in pauses.values():
        await journal.pause(pause, PAUSED)
    assert set((await journal.ledger()).pauses) == set(await journal.paused()) == set(pauses.values())
    for image, store in SCOPES:
        assert await journal.resume(image=image, store=store, event=RESUMED)
        del pauses[image, store]
        assert set((await journal.ledger()).pauses) == set(pauses.values())


@pytest.mark.parametrize(("image", "store"), SCOPES)
async def test_a_second_one_with_the_same_scope_replaces_the_first(journal: SqlJournal, image: Any, store: Any) -> None:
    await journal.pause(make_pause(image=image, store=store), PAUSED)
    second = make_pause(image=image, store=store, by="bob", reason="", since=LATER)
    await journal.pause(second, PAUSED)
    assert (await journal.ledger()).pauses == (second,)
    assert await told(journal, EventKind.PAUSED) == ["paused", "paused"]


async def test_resuming_what_is_not_paused_is_told_to_nobody(journal: SqlJournal) -> None:
    await journal.pause(make_pause(store=A), PAUSED)
    for image, store in ((None, None), (IMAGE, None), (None, B), (IMAGE, A)):
        assert not await journal.resume(image=image, store=store, event=RESUMED)
    assert await told(journal, EventKind.RESUMED) == []
    assert await journal.resume(image=None, store=A, event=RESUMED)
    assert not await journal.resume(image=None, store=A, event=RESUMED)
    assert await told(journal, EventKind.RESUMED) == ["resumed"]


async def test_they_survive_a_restart_and_any_age(url: str) -> None:
    pauses = (make_pause(store=A), make_pause(since=LATER))
    first = await open_journal(url)
    for pause in reversed(pauses):
        await first.pause(pause, PAUSED)
    await first.trim(LATER.replace(year=2030))
    await first.close()
    again = await open_journal(url)
    assert (await again.ledger()).pauses == pauses
    await again.close()
