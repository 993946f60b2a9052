"""What the daemon remembers of its own doings."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from edgesync.daemon.recollection import HOUR, LONGEST_REST, REST, Recollection, recalled
from edgesync.domain.action import Start
from edgesync.domain.image import ImageId
from edgesync.domain.job import CopyResult, Engine, Origin, StoreResult, Work
from edgesync.domain.store import StoreId
from edgesync.domain.world import Ledger
from tests.builders import NOW, attempt, failure, image

DCN0, DCN1 = StoreId("dcn0"), StoreId("dcn1")
COPY_IMAGE, RBD = Engine.COPY_IMAGE, Engine.RBD


def start(store: StoreId, work: Work = Work.COPY) -> Start:
    return Start(
        image=ImageId("id-img"),
        stores=(store,),
        allow_failure=True,
        job=None,
        origin=Origin.POLICY,
        requested_by="golden",
        priority=0,
        why="policy golden wants it",
        work=work,
    )


def test_of_two_copies_started_in_the_same_turn_the_first_counts_as_earlier() -> None:
    memory = Recollection()
    memory.started(start(DCN1), Ledger(), NOW)
    memory.started(start(DCN0), Ledger(), NOW)
    assert memory.served[DCN1] < memory.served[DCN0]


def test_only_copies_that_failed_before_count_as_retries_and_only_for_an_hour() -> None:
    failed = failure(image(), "dcn0")
    memory = Recollection()
    memory.started(start(DCN0), Ledger(failures={(failed.image, failed.store): failed}), NOW)
    memory.started(start(DCN1), Ledger(failures={(failed.image, failed.store): failed}), NOW)
    assert memory.retries(NOW) == {DCN0: 1}
    assert memory.retries(NOW + HOUR + timedelta(seconds=1)) == {}


def test_what_was_mended_rests_for_a_while_and_what_was_copied_does_not() -> None:
    memory = Recollection()
    memory.started(start(DCN0, Work.TRASH), Ledger(), NOW)
    memory.started(start(DCN1), Ledger(), NOW)
    assert memory.resting(NOW) == {("id-img", "dcn0")}
    assert memory.resting(NOW + REST) == frozenset()
    assert memory.served.keys() == {DCN1}


def test_the_rate_of_a_store_follows_its_copies_slowly() -> None:
    memory = Recollection()
    memory.copied(DCN0, COPY_IMAGE, 100, 1.0)
    assert memory.rates[DCN0, COPY_IMAGE] == 100
    memory.copied(DCN0, COPY_IMAGE, 1000, 1.0)
    assert 100 < memory.rates[DCN0, COPY_IMAGE] < 1000
    memory.copied(DCN1, COPY_IMAGE, 0, 1.0)
    assert (DCN1, COPY_IMAGE) not in memory.rates
    # The other engine has a rate of its own.
    memory.copied(DCN0, RBD, 9000, 1.0)
    assert memory.rates[DCN0, RBD] == 9000
    assert memory.rates[DCN0, COPY_IMAGE] < 1000


@pytest.mark.parametrize(("work", "longest"), [(Work.PROTECT, HOUR), (Work.REMOVE, LONGEST_REST[Work.REMOVE])])
def test_what_could_not_be_done_rests_longer_each_time(work: Work, longest: timedelta) -> None:
    memory, now, rests = Recollection(), NOW, []
    failed = StoreResult(store=DCN0, result=CopyResult.FAILED, reason="clones")
    tried = attempt(image("img"), "dcn0", work=work)
    for _ in range(12):
        memory.started(start(DCN0, work), Ledger(), now)
        memory.cared_for(tried, failed, now)
        began = now
        while memory.resting(now):
            now += timedelta(minutes=5)
        rests.append(now - began)
    assert rests[:2] == [2 * REST, 4 * REST]
    assert rests[-1] == longest
    memory.started(start(DCN0, work), Ledger(), now)
    memory.cared_for(tried, StoreResult(store=DCN0, result=CopyResult.REPAIRED), now)
    memory.cared_for(tried, failed, now)
    assert memory.resting(now + 2 * REST) == frozenset()


def test_what_could_not_be_proven_whole_is_mended_otherwise_at_once() -> None:
    memory = Recollection()
    shown = image()
    sealing = replace(attempt(shown, "dcn0"), work=Work.SEAL)
    memory.started(start(DCN0, Work.SEAL), Ledger(), NOW)
    assert memory.resting(NOW)
    memory.cared_for(sealing, StoreResult(store=DCN0, result=CopyResult.FAILED), NOW)
    assert not memory.resting(NOW)
    assert memory.unproven(NOW) == {(shown.id, DCN0)}
    # It is tried again some day: somebody may have taken the digests meanwhile.
    assert memory.unproven(NOW + timedelta(days=1)) == frozenset()


def test_what_a_daemon_did_can_be_recalled_from_its_attempts() -> None:
    one, ended = image(size=600), NOW + timedelta(seconds=6)
    copied = StoreResult(store=DCN1, result=CopyResult.COPIED)
    failed = StoreResult(store=DCN0, result=CopyResult.FAILED)
    newest_first = [
        replace(attempt(one, "dcn0", work=Work.PROTECT), started_at=ended, ended_at=ended, results=(failed,)),
        replace(attempt(one, "dcn1"), ended_at=ended, results=(copied,)),
        replace(attempt(one, "dcn0", work=Work.SEAL), ended_at=NOW, results=(failed,)),
    ]
    memory = recalled(newest_first, {one.id: one})
    assert memory.rates == {(DCN1, COPY_IMAGE): 100}
    assert memory.served == {DCN1: NOW}
    assert memory.unproven(ended) == {(one.id, DCN0)}
    # As long as after a failure that the daemon saw itself.
    assert memory.resting(ended + REST) == {(one.id, DCN0)}
    assert memory.resting(ended + 2 * REST) == frozenset()


def test_attempts_that_have_not_ended_are_not_recalled() -> None:
    one = image()
    assert recalled([attempt(one, "dcn0", work=Work.PROTECT)], {one.id: one}).resting(NOW) == frozenset()


@pytest.mark.parametrize(("reason", "rests"), [("nothing to mend any more", False), ("protected again", True)])
def test_a_copy_of_which_nothing_had_to_be_mended_does_not_rest(reason: str, rests: bool) -> None:
    memory = Recollection()
    memory.started(start(DCN0, Work.PROTECT), Ledger(), NOW)
    tried = attempt(image("img"), "dcn0", work=Work.PROTECT)
    memory.cared_for(tried, StoreResult(store=DCN0, result=CopyResult.REPAIRED, reason=reason), NOW)
    assert bool(memory.resting(NOW)) is rests
