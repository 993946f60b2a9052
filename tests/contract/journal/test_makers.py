"""Who had a copy made, and what an attempt of ours was to make: what prune and repair must know before they remove."""

from __future__ import annotations

import pytest

from edgesync.domain.image import ImageId
from edgesync.domain.job import Job, Origin, Work
from edgesync.domain.store import StoreId
from edgesync.journal import SqlJournal
from tests.contract.journal.samples import (
    IMAGE,
    LATER,
    NOON,
    OTHER_IMAGE,
    A,
    B,
    C,
    finish,
    make_attempt,
    make_job,
    make_verdict,
)


def policys(*stores: StoreId, **fields: object) -> Job:
    return make_job(*stores, **({"origin": Origin.POLICY, "requested_by": "golden"} | fields))


def repairs(*stores: StoreId, **fields: object) -> Job:
    return make_job(*stores, **({"origin": Origin.REPAIR, "requested_by": "audit"} | fields))


async def made(journal: SqlJournal, job: Job, **results: str) -> None:
    await journal.add_job(job)
    await finish(journal, job, **results)


async def makers(journal: SqlJournal) -> dict[str, str]:
    """Of the copies of IMAGE, by store."""
    return {store: name for (_, store), name in (await journal.makers([IMAGE])).items()}


async def test_a_policy_had_it_made(journal: SqlJournal) -> None:
    await made(journal, policys(A, B, C), dcn0="copied", dcn1="failed", dcn2="interrupted")
    await made(journal, policys(A, image=OTHER_IMAGE, requested_by="other"), dcn0="copied")
    assert await makers(journal) == {A: "golden"}
    both = await journal.makers({IMAGE, OTHER_IMAGE, ImageId("unknown")})
    assert both == {(IMAGE, A): "golden", (OTHER_IMAGE, A): "other"}
    assert await journal.makers([]) == {}


async def test_a_person_had_it_made(journal: SqlJournal) -> None:
    await made(journal, make_job(A), dcn0="copied")
    assert await makers(journal) == {}
    # A policy that makes it again, after it vanished unseen, does not take it over.
    await made(journal, policys(A), dcn0="copied")
    assert await makers(journal) == {}


async def test_a_person_who_waited_too_has_it(journal: SqlJournal) -> None:
    leading, shares, elsewhere = policys(A, B), make_job(A), make_job(B, image=OTHER_IMAGE)
    await journal.add_job(shares)
    await journal.add_job(elsewhere)
    await made(journal, leading, dcn0="copied", dcn1="copied")
    assert await makers(journal) == {B: "golden"}


async def test_a_person_who_waits_for_its_removal_does_not(journal: SqlJournal) -> None:
    await journal.add_job(make_job(A, work=Work.REMOVE))
    await made(journal, policys(A), dcn0="copied")
    assert await makers(journal) == {A: "golden"}


async def test_a_person_who_cancelled_does_not(journal: SqlJournal) -> None:
    cancelled = make_job(A)
    await journal.add_job(cancelled)
    await journal.cancel(cancelled.id, by="alice", at=NOON)
    await made(journal, policys(A), dcn0="copied")
    assert await makers(journal) == {A: "golden"}


async def test_a_policy_whose_person_led_has_nothing(journal: SqlJournal) -> None:
    await journal.add_job(policys(A))
    await made(journal, make_job(A), dcn0="copied")
    assert await makers(journal) == {}


async def test_a_person_who_found_a_policys_copy_has_it(journal: SqlJournal) -> None:
    await made(journal, policys(A, B), dcn0="copied", dcn1="copied")
    asks = make_job(A)
    await journal.add_job(asks)
    await journal.settle(asks.id, make_verdict(dcn0="copied"), at=LATER)
    assert await makers(journal) == {B: "golden"}


async def test_what_a_policy_found_there_is_not_its_own(journal: SqlJournal) -> None:
    job = policys(A)
    await journal.add_job(job)
    await journal.settle(job.id, make_verdict(dcn0="copied"), at=LATER)
    assert await makers(journal) == {}


async def test_the_last_policy_counts(journal: SqlJournal) -> None:
    await made(journal, policys(A), dcn0="copied")
    await made(journal, policys(A, requested_by="newer"), dcn0="copied")
    assert await makers(journal) == {A: "newer"}


async def test_a_repair_takes_nothing_from_anybody(journal: SqlJournal) -> None:
    await made(journal, policys(A), dcn0="copied")
    await made(journal, repairs(A, B), dcn0="copied", dcn1="copied")
    assert await makers(journal) == {A: "golden"}


@pytest.mark.parametrize(
    ("work", "result", "left"),
    [
        (Work.REMOVE, "removed", {}),
        (Work.REMOVE, "failed", {A: "golden"}),
        (Work.SEAL, "repaired", {A: "golden"}),
        (Work.UNLIST, "repaired", {}),
        (Work.UNLIST, "failed", {A: "golden"}),
        (Work.PROTECT, "repaired", {A: "golden"}),
        (Work.TRASH, "repaired", {A: "golden"}),
        (Work.COPY, "reverted", {}),
    ],
)
async def test_until_it_is_gone(journal: SqlJournal, work: Work, result: str, left: dict[str, str]) -> None:
    await made(journal, policys(A), dcn0="copied")
    await made(journal, make_job(A, work=work), dcn0=result)
    assert await makers(journal) == left


async def test_a_copy_found_gone_is_nobodys(journal: SqlJournal) -> None:
    await made(journal, policys(A), dcn0="copied")
    removal = make_job(A, work=Work.REMOVE)
    await journal.add_job(removal)
    await journal.settle(removal.id, make_verdict(dcn0="removed"), at=LATER)
    assert await makers(journal) == {}


async def test_once_removed_a_persons_claim_is_over(journal: SqlJournal) -> None:
    await made(journal, make_job(A), dcn0="copied")
    await made(journal, make_job(A, work=Work.REMOVE), dcn0="removed")
    await made(journal, policys(A), dcn0="copied")
    assert await makers(journal) == {A: "golden"}


async def test_it_is_known_however_old_it_is(journal: SqlJournal) -> None:
    await made(journal, policys(A), dcn0="copied")
    await made(journal, make_job(B), dcn1="copied")
    assert await journal.trim(LATER.replace(year=2030)) > 0
    assert await journal.jobs() == ()
    await made(journal, policys(B), dcn1="copied")
    assert await makers(journal) == {A: "golden"}


async def test_attempts_prove_what_is_ours(journal: SqlJournal) -> None:
    copying, removing, dropped, running = (
        make_job(A, B),
        make_job(C, work=Work.REMOVE),
        make_job(C),
        make_job(A, image=OTHER_IMAGE, work=Work.IMPORT),
    )
    await made(journal, copying, dcn0="copied", dcn1="interrupted")
    await made(journal, removing, dcn2="removed")
    attempt = make_attempt(dropped)
    await journal.start_attempt(attempt, job=dropped)
    await journal.drop_attempt(attempt.id)
    await journal.start_attempt(make_attempt(running), job=running)
    asked = [(image, store) for image in (IMAGE, OTHER_IMAGE, ImageId("unknown")) for store in (A, B, C)]
    assert await journal.attempted(asked) == {(IMAGE, A), (IMAGE, B), (OTHER_IMAGE, A)}
    assert await journal.attempted([(IMAGE, B)]) == {(IMAGE, B)}
    assert await journal.attempted([]) == frozenset()


async def test_they_prove_it_until_they_are_trimmed(journal: SqlJournal) -> None:
    await made(journal, make_job(A), dcn0="failed")
    await journal.trim(LATER)
    assert await journal.attempted([(IMAGE, A)]) == {(IMAGE, A)}
    await journal.trim(LATER.replace(year=2030))
    assert await journal.attempted([(IMAGE, A)]) == frozenset()


async def test_of_many_thousands(journal: SqlJournal) -> None:
    """More than either database takes parameters in one statement."""
    await made(journal, policys(A), dcn0="copied")
    images = [ImageId(f"image-{number}") for number in range(40_000)]
    images.insert(20_000, IMAGE)
    assert await journal.makers(images) == {(IMAGE, A): "golden"}
    assert await journal.attempted([(image, A) for image in images]) == {(IMAGE, A)}
