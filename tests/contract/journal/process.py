"""Processes that the tests start: `python -m tests.contract.journal.process hold|write|keep URL [NAME COUNT]`."""

from __future__ import annotations

import asyncio
import itertools
import sys
from dataclasses import replace

from edgesync.domain.blocks import GIB, Verification
from edgesync.domain.job import JobId
from edgesync.journal import open_journal
from tests.contract.journal.samples import IMAGE, NOON, A, make_event, make_job, make_known


async def hold(url: str) -> None:
    """Claim the journal, say so, and keep it."""
    journal = await open_journal(url)
    await journal.claim()
    print("claimed", flush=True)
    await asyncio.Event().wait()


async def write(url: str, name: str, count: int) -> None:
    """Write jobs and events one after the other, and print the name of each once it is acknowledged."""
    journal = await open_journal(url)
    for number in range(count):
        job = replace(make_job(A), id=JobId(f"{name}-{number}"))
        await journal.add_job(job)
        await journal.add_events([make_event(job=job.id, message=job.id)])
        print(job.id, flush=True)
    await journal.close()


async def keep(url: str) -> None:
    """Replace the digests and the verification of one image again and again; print a line each time both are kept."""
    journal = await open_journal(url)
    for number in itertools.count():
        await journal.keep_digests(IMAGE, make_known(GIB, seed=number))
        await journal.add_verification(IMAGE, A, Verification(at=NOON, sound=False, damage=str(number)))
        print(number, flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["hold", url]:
            asyncio.run(hold(url))
        case ["write", url, name, count]:
            asyncio.run(write(url, name, int(count)))
        case ["keep", url]:
            asyncio.run(keep(url))
        case _:
            sys.exit(2)
