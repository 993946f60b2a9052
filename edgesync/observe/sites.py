"""What is known of all sites: which are alive, how full they are, what their pools really hold.

One prober and one auditor for each store whose Ceph is configured, each a task of its own, so that a dead site costs
only itself. Everybody else takes what they last found, which costs nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from edgesync.domain.blocks import Verification
from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import Event, EventKind
from edgesync.domain.ports import Clock, Cluster, Glance, Journal
from edgesync.domain.site import BreakerState, Finding, Site
from edgesync.domain.store import StoreId, Topology
from edgesync.observe.auditing import Auditor, AuditRules
from edgesync.observe.inspection import Inspector
from edgesync.observe.probing import Prober, ProbeRules

log = structlog.get_logger(__name__)

# Events that nobody has taken yet; the oldest are lost first.
MOST_EVENTS = 1000
# Seconds before a task that broke off for a reason nobody thought of starts again.
REST = 30.0


@dataclass(kw_only=True, slots=True)
class _Post:
    """All there is for one store."""

    prober: Prober
    auditor: Auditor
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class Sites:
    """The sites as last seen. `first` starts the watch, `close` ends it; the clusters stay their owner's."""

    def __init__(
        self,
        clusters: Mapping[StoreId, Cluster],
        clock: Clock,
        journal: Journal,
        glance: Glance,
        *,
        probes: ProbeRules,
        audit: AuditRules,
        rng: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._journal = journal
        self._probes = probes
        self._audit = audit
        self._rng = rng
        self._inspector = Inspector(glance, journal, dict(clusters), awake=self._awake)
        self._images: Mapping[ImageId, Image] | None = None
        self._posts: dict[StoreId, _Post] = {}
        self._news: deque[Event] = deque(maxlen=MOST_EVENTS)
        for store in clusters:
            self._post(store)

    @property
    def clusters(self) -> Mapping[StoreId, Cluster]:
        return self._inspector.clusters

    async def first(self, *, audit: bool = False) -> None:
        """Start, and return when each site has been probed once: within the deadline of a probe.

        With `audit`, also when those that answer have been audited, given that `see` has told of the images.
        """
        watched = {store: self._posts[store] for store in self._inspector.clusters}
        for post in watched.values():
            self._watch(post)
        await asyncio.gather(*(post.prober.first() for post in watched.values()))
        if audit and self._images is not None:
            await asyncio.gather(*(post.auditor.first() for store, post in watched.items() if self._awake(store)))

    async def configure(self, clusters: Mapping[StoreId, Cluster], *, probes: ProbeRules, audit: AuditRules) -> None:
        """Go on by other rules, and with other clusters where they are other objects; what was found stays."""
        self._probes, self._audit = probes, audit
        running = any(post.tasks for post in self._posts.values())
        changed = [
            store
            for store in {*clusters, *self._posts}
            if clusters.get(store) is not self._inspector.clusters.get(store)
        ]
        await asyncio.gather(*(_stop(self._posts[store]) for store in changed if store in self._posts))
        self._inspector.clusters = dict(clusters)
        for post in self._posts.values():
            post.prober.rules, post.auditor.rules = probes, audit
            post.prober.hasten()
            post.auditor.nudge()
        for store in changed:
            post = self._post(store)
            post.prober.change(clusters.get(store))
            if store not in clusters:
                post.auditor.forget()
            elif running:
                self._watch(post)

    async def close(self) -> None:
        """Stop all tasks."""
        await asyncio.gather(*(_stop(post) for post in self._posts.values()))

    def see(self, images: Mapping[ImageId, Image], topology: Topology) -> None:
        """These are the images and the hub now; the mapping is kept, not copied."""
        news = self._images is None
        self._images = images
        self._inspector.hub = topology.hub
        for post in self._posts.values():
            post.auditor.images = images
            if news and post.tasks:
                post.auditor.nudge()

    def sites(self, stores: Iterable[StoreId]) -> Mapping[StoreId, Site]:
        """What is known of these stores; it does not change any more."""
        return {store: self._site(store) for store in stores}

    async def check(self, store: StoreId) -> None:
        """Probe a site now; a result of the last second will do, too. Nothing happens where no Ceph is configured.

        Raises UnreachableError when it does not answer within the deadline, PermanentError when Ceph refuses to be
        asked, which says nothing of the site.
        """
        if store in self._posts:
            await self._posts[store].prober.check()

    def outcome(self, store: StoreId, *, good: bool, cause: str = "") -> None:
        """A copy into the store ended."""
        self._post(store).prober.outcome(good=good, cause=cause)

    def mended(self, image: ImageId, store: StoreId) -> None:
        """A finding was put right: forget it, and look again at those of the same image elsewhere."""
        for other, post in self._posts.items():
            if other == store:
                post.auditor.mended(image)
            else:
                post.auditor.revisit(image)

    async def re_examine(self, image: ImageId, store: StoreId) -> Finding | None:
        """A fresh look by whoever is about to mend a copy; None: nothing is wrong, or somebody is at work there.

        Raises what Glance, the cluster or the journal raise.
        """
        if store not in self._inspector.clusters:
            return None
        return await self._post(store).auditor.examine(image)

    async def verified(self, image: ImageId, store: StoreId, verification: Verification) -> None:
        """A copy was compared with its image; durable when it returns."""
        await self._inspector.verified.note(image, store, verification)

    async def verifications(self, store: StoreId) -> Mapping[ImageId, Verification]:
        """How the store's copies were last found. It goes on changing; raises what the journal raises."""
        return await self._inspector.verified.load(store)

    def unverified(self, image: ImageId, store: StoreId) -> None:
        """The copy was taken away, or made anew."""
        self._inspector.verified.forget(image, store)

    def lost(self, images: Iterable[ImageId]) -> None:
        """Glance has these images no more."""
        for image in images:
            self._inspector.verified.lost(image)

    def events(self) -> tuple[Event, ...]:
        """What happened since this was last asked."""
        events = tuple(self._news)
        self._news.clear()
        return events

    def _post(self, store: StoreId) -> _Post:
        """The store's post, set up if need be: stores without Ceph get theirs with their first outcome."""
        if store not in self._posts:
            prober = Prober(
                store,
                self._inspector.clusters.get(store),
                self._clock,
                self._probes,
                rng=self._rng,
                tell=lambda kind, message: self._tell(kind, message, store),
            )
            auditor = Auditor(
                store,
                self._inspector,
                self._journal,
                self._clock,
                self._audit,
                awake=lambda: self._awake(store),
                tell=lambda kind, message, image: self._tell(kind, message, store, image),
                bad_sign=prober.hasten,
            )
            auditor.images = self._images
            self._posts[store] = _Post(prober=prober, auditor=auditor)
        return self._posts[store]

    def _site(self, store: StoreId) -> Site:
        post = self._posts.get(store)
        if post is None:
            return Site(store=store)
        return Site(
            store=store,
            breaker=post.prober.breaker,
            refusal=post.prober.refusal,
            capacity=post.prober.capacity,
            findings=post.auditor.findings,
            bases=post.auditor.layers.bases,
            unfinished=post.auditor.unfinished,
            kept=post.auditor.kept.view,
            audited_at=post.auditor.audited_at,
            verified=self._inspector.verified.of(store),
        )

    def _awake(self, store: StoreId) -> bool:
        """Whether there is sense in asking the site's Ceph for more than a probe."""
        post = self._posts.get(store)
        return post is None or post.prober.breaker.state is not BreakerState.OPEN

    def _tell(self, kind: EventKind, message: str, store: StoreId, image: ImageId | None = None) -> None:
        event = Event(at=self._clock.now(), kind=kind, message=message, store=store, image=image)
        about = {"store": store} if image is None else {"store": store, "image": image}
        if kind is EventKind.STORE_BACK:
            log.info(message, **about)
            self._posts[store].auditor.nudge()
        else:
            log.warning(message, **about)
        if len(self._news) == MOST_EVENTS:
            log.error("too many events at once: one is not recorded", lost=self._news[0].message)
        self._news.append(event)

    def _watch(self, post: _Post) -> None:
        async def audit() -> None:
            # A dead site would keep its auditor waiting for one deadline after the other.
            await post.prober.first()
            await post.auditor.run()

        if not post.tasks:
            store = post.prober.store
            post.tasks = [self._keep_up(post.prober.run, f"prober {store}"), self._keep_up(audit, f"auditor {store}")]

    def _keep_up(self, run: Callable[[], Awaitable[None]], name: str) -> asyncio.Task[None]:
        """A task that goes on whatever happens in it: one site must not end its own watch for good."""

        async def keep_up() -> None:
            while True:
                try:
                    await run()
                except Exception:
                    log.exception("broke off", task=name, again_in=REST)
                    await self._clock.sleep(REST)

        return asyncio.create_task(keep_up(), name=name)


async def _stop(post: _Post) -> None:
    tasks, post.tasks = post.tasks, []
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await post.prober.stop()
