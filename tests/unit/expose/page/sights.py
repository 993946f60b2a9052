"""A cloud in which there is everything that the page can show, and the page of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import time, timedelta
from typing import Any, cast

from aiohttp import CookieJar, web
from aiohttp.test_utils import TestClient, TestServer

from edgesync.domain.blocks import Verification
from edgesync.domain.copy import CopyState, Progress, Stall, StallCause
from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import Attempt, AttemptId, CopyResult, Event, EventKind, HistoryFilter, Job, StoreResult
from edgesync.domain.ports import Journal
from edgesync.domain.site import Breaker, BreakerState, Capacity, Defect, Finding, Site
from edgesync.domain.store import Store, StoreId, StoreSettings, Topology
from edgesync.domain.window import Window, Windows
from edgesync.expose.access import Access
from edgesync.expose.api import Api
from edgesync.expose.lag import Lags
from edgesync.expose.metrics import Metrics
from edgesync.expose.picture import Health, Picture, Showcase
from edgesync.expose.requests import Counter
from tests.builders import NOW, attempt, failure, finding, image, job, pause, policy, situation
from tests.fakes.block_notes import BlockNotes
from tests.fakes.credentials import known_access
from tests.unit.expose.pictures import picture_of

GIB = 1 << 30
HOSTILE = "<script>alert(1)</script>\"'&{{ 7 * 7 }}"
STORES = ("central", "dcn0", "dcn1", "dcn2", "dcn10")
EVERYWHERE = frozenset(STORES)
CLOSED = Windows(windows=(Window(days=frozenset(range(7)), start=time(22), end=time(6)),))
# An image in each state, and where it is in that.
WHERE: Mapping[CopyState, tuple[str, str]] = {
    CopyState.PRESENT: ("rhel-9.4", "dcn0"),
    CopyState.ABSENT: ("cirros", "dcn0"),
    CopyState.WAITING: ("ubuntu-24.04", "dcn2"),
    CopyState.COPYING: ("debian-12", "dcn0"),
    CopyState.FAILED: ("centos-10", "dcn0"),
    CopyState.STALLED: ("windows-2022", "dcn1"),
    CopyState.BROKEN: ("fedora-42", "dcn0"),
    CopyState.ORPHAN: ("sles-15", "dcn0"),
    CopyState.UNWANTED: ("cirros", "dcn10"),
}


def golden(name: str, *missing: str, size: int = 8 * GIB) -> Image:
    return image(name, stores=EVERYWHERE - set(missing), size=size)


@dataclass(kw_only=True)
class Notes(BlockNotes):
    """As much of a journal as the page reads."""

    attempted: tuple[Attempt, ...] = ()
    events: tuple[Event, ...] = ()
    known_jobs: tuple[Job, ...] = ()

    async def attempts(self, *, image: ImageId | None = None, limit: int = 100) -> tuple[Attempt, ...]:
        return tuple(entry for entry in self.attempted if entry.image == image)[:limit]

    async def history(self, filter: HistoryFilter) -> tuple[Event, ...]:  # noqa: A002 - the port's own word
        wanted = {"image": filter.image, "store": filter.store}
        return tuple(
            event
            for event in self.events
            if all(value is None or getattr(event, key) == value for key, value in wanted.items())
        )

    async def jobs(self, *, image: ImageId | None = None, **_: Any) -> tuple[Job, ...]:
        return tuple(entry for entry in self.known_jobs if entry.image == image)


def sick(*, hostile: bool = True) -> Picture:
    """Every state, and every kind of trouble at the sites; and an image whose name is an attack."""
    waiting, copying, failed = golden("ubuntu-24.04", "dcn2"), golden("debian-12", "dcn0"), golden("centos-10", "dcn0")
    stalled, broken, orphaned = (
        golden("windows-2022", "dcn1", size=40 * GIB),
        golden("fedora-42"),
        golden("sles-15", "dcn0"),
    )
    attack = replace(golden(HOSTILE, "dcn2"), id=ImageId("id-hostile"))
    cirros = image("cirros", stores=("central", "dcn10"), tags=(), size=21 << 20)
    images = [
        golden("rhel-9.4"),
        waiting,
        copying,
        failed,
        stalled,
        broken,
        orphaned,
        cirros,
        *([attack] if hostile else []),
    ]
    under_way = attempt(copying, "dcn0", number=1)
    stuck = attempt(stalled, "dcn1", number=2)
    case = situation(
        *images,
        policies=[policy()],
        jobs=[job(copying, "dcn0", number=1), job(cirros, "dcn2", number=3)],
        attempts=[under_way, stuck],
        failures=[failure(failed, "dcn0", next_in=600, attempts=3)],
        stores=Topology(
            hub=StoreId("central"),
            stores={
                StoreId(name): Store(id=StoreId(name), type="rbd", fsid=f"fsid-of-{name}", pool="images")
                for name in STORES
            },
        ),
        settings={"dcn2": StoreSettings(windows=CLOSED)},
    )
    return picture_of(
        case,
        Progress(
            image=copying.id,
            store=StoreId("dcn0"),
            bytes_done=3 * GIB,
            bytes_total=8 * GIB,
            rate=40 << 20,
            since=NOW - timedelta(seconds=77),
        ),
        sites=sites(broken, orphaned),
        pauses=[pause(store="dcn10", reason="new switches"), pause(of=cirros)],
        stalls={
            AttemptId("attempt-2"): Stall(
                since=NOW - timedelta(minutes=14),
                store=StoreId("dcn1"),
                cause=StallCause.STORE_DOWN,
                why="dcn1 does not answer",
                next="it goes on when dcn1 is back",
            )
        },
    )


def sites(broken: Image, orphaned: Image) -> list[Site]:
    def pool(used: int, *findings: Finding, store: str) -> Site:
        return Site(
            store=StoreId(store),
            capacity=Capacity(used=used * GIB, available=(1000 - used) * GIB),
            findings={entry.image: entry for entry in findings},
            audited_at=NOW - timedelta(minutes=9),
            verified={ImageId("id-rhel-9.4"): Verification(at=NOW - timedelta(days=2), sound=True)},
        )

    orphan = finding(orphaned, "dcn0", Defect.ORPHAN, obstacle="a client has it open")
    return [
        pool(412, store="central"),
        pool(644, finding(broken, "dcn0", Defect.UNPROTECTED), orphan, store="dcn0"),
        replace(
            pool(120, store="dcn1"),
            breaker=Breaker(
                state=BreakerState.OPEN,
                since=NOW - timedelta(minutes=15),
                failures=4,
                cause="no monitor answers within 5 s",
                retry_at=NOW + timedelta(minutes=2),
            ),
        ),
        pool(871, store="dcn2"),
        replace(pool(88, store="dcn10"), refusal="client.edgesync may not list pool images"),
    ]


def well() -> Picture:
    """A cloud in which nothing is wrong and nothing moves."""
    names = ("rhel-9.4", "rhel-10.0", "ubuntu-24.04", "debian-12")
    case = situation(*(golden(name) for name in names), policies=[policy()], stores=sick().world.topology)
    return picture_of(case, sites=[Site(store=StoreId(store)) for store in STORES])


def notes() -> Notes:
    failed, copying = image("centos-10"), image("debian-12")
    tried = replace(
        attempt(failed, "dcn0", number=7),
        ended_at=NOW + timedelta(seconds=95),
        results=(StoreResult(store=StoreId("dcn0"), result=CopyResult.FAILED, reason="it broke"),),
    )
    return Notes(
        attempted=(tried, attempt(copying, "dcn0", number=1)),
        events=(
            event(EventKind.COPY_FAILED, "the copy of centos-10 to dcn0 failed: it broke", failed.id, "dcn0"),
            event(EventKind.STORE_DOWN, "dcn1 is down: no monitor answers within 5 s", None, "dcn1"),
            event(EventKind.COPY_STARTED, f"{HOSTILE} is copied to dcn2", ImageId("id-hostile"), "dcn2"),
        ),
        known_jobs=(job(copying, "dcn0", number=1),),
    )


def event(kind: EventKind, message: str, of: ImageId | None, store: str) -> Event:
    return Event(at=NOW, kind=kind, message=message, image=of, store=StoreId(store), seq=1)


def showcase(picture: Picture | None, **health: Any) -> Showcase:
    return Showcase(health=Health(started_at=NOW, ticked_at=NOW, **health), picture=picture)


def application(
    shown: Showcase,
    counter: object = None,
    journal: Notes | None = None,
    access: Access | None = None,
    lags: Lags | None = None,
) -> web.Application:
    """The whole API on a picture."""
    metrics = Metrics(shown)
    metrics.lags = lags or metrics.lags
    return Api(
        showcase=shown,
        journal=cast("Journal", journal or notes()),
        counter=cast("Counter", counter),
        metrics=metrics,
        access=access or known_access(),
    ).application()


Client = TestClient[web.Request, web.Application]


@asynccontextmanager
async def client_of(app: web.Application) -> AsyncIterator[Client]:
    # Cookies of addresses, and not of names, count as unsafe.
    async with TestClient(TestServer(app), cookie_jar=CookieJar(unsafe=True)) as client:
        yield client


async def text(client: Client, path: str, status: int = 200, **params: str) -> str:
    async with client.get(path, params=params) as answer:
        body = await answer.text()
        assert answer.status == status, body
        return body
