"""The image x store matrix: the state of every copy, from everything that is known of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from edgesync.domain.copy import CopyState, WaitReason
from edgesync.domain.image import Image, ImageId
from edgesync.domain.job import Attempt
from edgesync.domain.site import Finding
from edgesync.domain.store import StoreId
from edgesync.expose.picture import Picture
from edgesync.expose.views import CopyView, ImageView, finding_view
from edgesync.plan.audit import outlook
from edgesync.plan.wants import NOWHERE


def copy_view(picture: Picture, image: Image, store: StoreId) -> CopyView:
    """The state of one copy, from everything that is known of it."""
    finding = _finding(picture, image.id, store)
    if store in image.stores:
        if finding is not None and finding.defect.broken:
            return CopyView(state=CopyState.BROKEN, reason=finding.detail, next=what_next(picture, finding))
        return _present(picture, image, store)
    attempt = picture.attempts.get(image.id)
    if attempt is not None and attempt.work.brings and store in attempt.stores:
        return _being_made(picture, image, store, attempt)
    if image.moving and store in image.importing_to and not (attempt and attempt.work.brings):
        return _rivals(picture, image)
    if finding is not None:
        return CopyView(state=CopyState.ORPHAN, reason=finding.detail, next=what_next(picture, finding))
    return _missing(picture, image, store)


def _finding(picture: Picture, image: ImageId, store: StoreId) -> Finding | None:
    """What the last audit found there, unless Glance has come to say otherwise since."""
    site = picture.world.sites.get(store)
    finding = site.findings.get(image) if site is not None else None
    seen = picture.world.images.get(image)
    if finding is None or seen is None or finding.defect.broken != (store in seen.stores):
        return None
    return finding


def _present(picture: Picture, image: Image, store: StoreId) -> CopyView:
    wanted = store == picture.world.topology.hub or store in picture.wants.stores(image.id)
    attempt = picture.attempts.get(image.id)
    work = attempt.work if attempt is not None and store in attempt.stores and not attempt.work.brings else None
    verification = picture.site(store).verified.get(image.id)
    return CopyView(
        base=picture.site(store).bases.get(image.id),
        verified_at=verification.at if verification is not None and verification.sound else None,
        state=CopyState.PRESENT if wanted else CopyState.UNWANTED,
        reason=f"{work} is under way" if work else "",
    )


def _being_made(picture: Picture, image: Image, store: StoreId, attempt: Attempt) -> CopyView:
    stall = picture.stalls.get(attempt.id)
    progress = picture.progress.get((image.id, store))
    view = CopyView(state=CopyState.COPYING, bytes_done=0, bytes_total=image.size)
    if progress is not None:
        view.bytes_done, view.bytes_total = progress.bytes_done, progress.bytes_total
        view.rate, view.eta, view.since = progress.rate, progress.eta, progress.since
    if stall is None:
        return view
    if stall.store != store:
        view.reason = f"it comes after {stall.store} in the same import, which is stalled"
        return view
    view.state, view.since, view.rate, view.eta = CopyState.STALLED, stall.since, None, None
    view.cause, view.reason, view.next = stall.cause, stall.why, stall.next
    return view


def _rivals(picture: Picture, image: Image) -> CopyView:
    """Somebody else's import, as theirs."""
    task = picture.world.locks.get(image.id)
    return CopyView(
        state=CopyState.COPYING,
        reason=f"somebody else's import (task {image.lock})",
        bytes_total=image.size,
        since=task.created_at if task else None,
        until=task.expires_at if task else None,
        next="their lock can be taken when their task has not been updated until then" if task else "",
    )


def _missing(picture: Picture, image: Image, store: StoreId) -> CopyView:
    waits = [waiting for waiting in picture.waits.get(image.id, ()) if store in waiting.stores]
    # A job that waits for an engine by name keeps nobody else's copy away: what that waits for tells more.
    waits.sort(key=lambda waiting: waiting.reason is WaitReason.ENGINE)
    failure = picture.ledger.failures.get((image.id, store))
    wanted = store in picture.asked.get(image.id, ()) or store in picture.wants.stores(image.id)
    if failure is not None and not wanted:
        return CopyView(state=CopyState.ABSENT, reason=f"a copy was asked for and failed: {failure.error}")
    if failure is not None and (not waits or waits[0].reason is WaitReason.BACKOFF):
        return CopyView(
            state=CopyState.FAILED,
            reason=failure.error,
            attempts=failure.attempts,
            next_try=failure.next_try,
            remedy=failure.remedy,
        )
    if waits:
        return CopyView(state=CopyState.WAITING, reason=f"{waits[0].reason}: {waits[0].why}", until=waits[0].until)
    if wanted:
        return CopyView(state=CopyState.WAITING, reason=f"{WaitReason.READY}: it starts next")
    return CopyView(state=CopyState.ABSENT)


def what_next(picture: Picture, finding: Finding) -> str:
    """What becomes of a finding: what the plan has decided from the same world, or why it has decided nothing."""
    attempt = picture.attempts.get(finding.image)
    if attempt is not None and attempt.work.repairs and finding.store in attempt.stores:
        return f"it is being mended now ({attempt.work})"
    if any(
        start.image == finding.image and finding.store in start.stores and start.work.repairs
        for start in picture.plan.starts
    ):
        return "it is mended next"
    if finding.obstacle and (finding.image, finding.store) not in picture.situation.provable:
        return f"it is left alone: {finding.obstacle}; that passes" if finding.passing else f"it is {outlook(finding)}"
    return _why_not_mended(picture, finding, attempt)


def _why_not_mended(picture: Picture, finding: Finding, attempt: Attempt | None) -> str:
    image = picture.world.images.get(finding.image)
    if attempt is not None or (image is not None and image.moving):
        return "it is looked at again when the import or other work on the image is over"
    if not picture.admits(finding.store):
        return f"its repair waits until {finding.store} is up again"
    for pause in picture.ledger.pauses:
        if pause.covers(finding.image, finding.store):
            return f"its repair waits: {pause.scope} is paused"
    for waiting in picture.waits.get(finding.image, ()):
        if finding.store in waiting.stores:
            return f"its repair waits: {waiting.why}"
    return "it is reported; edgesync mends it by itself where the configuration lets it (repair: fix)"


def image_view(picture: Picture, image: Image, stores: Sequence[StoreId] | None = None) -> ImageView:
    """A row of the matrix; `stores`: only these columns of it."""
    want = picture.wants.images.get(image.id)
    if stores is None:
        stores = ordered_stores(picture)
    found = [finding for store in stores if (finding := _finding(picture, image.id, store)) is not None]
    return ImageView(
        id=image.id,
        name=image.name,
        status=image.status,
        visibility=image.visibility,
        size=image.size,
        policies=[policy.name for policy in want.policies] if want else [],
        copies={store: copy_view(picture, image, store) for store in stores},
        findings=[finding_view(finding, what_next(picture, finding)) for finding in found],
    )


def ordered_stores(picture: Picture) -> list[StoreId]:
    """The hub first, then the edges by name, numbers in their order (dcn2 before dcn10)."""
    topology = picture.world.topology
    return sorted(topology.stores, key=lambda store: (store != topology.hub, natural(store)))


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key under which `dcn2` comes before `dcn10`."""
    parts: list[tuple[int, int, str]] = []
    word = ""
    for char in f"{text}\0":
        if word and char.isdecimal() != word[-1].isdecimal():
            parts.append((0, int(word), "") if word.isdecimal() else (1, 0, word))
            word = ""
        word += char
    return tuple(parts)


def everything(picture: Picture) -> Sequence[Image]:
    """All images, by name."""
    return picture.once(_everything)


def managed(picture: Picture) -> Sequence[Image]:
    """The images that concern edgesync: wanted by a policy, asked for, failed or found wanting; by name."""
    return picture.once(_managed)


def _everything(picture: Picture) -> Sequence[Image]:
    return by_name(picture.world.images.values())


def _managed(picture: Picture) -> Sequence[Image]:
    ids: set[ImageId] = set(picture.wants.images)
    ids.update(_noteworthy(picture))
    return by_name(picture.world.images[image] for image in ids if image in picture.world.images)


def _noteworthy(picture: Picture) -> Iterator[ImageId]:
    """Images, few of all, with something open: jobs, attempts, failures, findings."""
    yield from picture.attempts
    yield from (job.image for job in picture.ledger.jobs)
    yield from (image for image, _ in picture.ledger.failures)
    for site in picture.world.sites.values():
        yield from site.findings


def by_name(images: Iterable[Image]) -> list[Image]:
    return sorted(images, key=lambda image: (image.name, image.id))


def count_copies(picture: Picture) -> Counter[tuple[StoreId, CopyState]]:
    """How many copies each store has in each state, `absent` left out.

    Copies of which nothing particular is known are counted together for all images in the same position: a million of
    them, all there or all missing, take a fraction of a second. Only the others are looked at one by one.
    """
    counts: Counter[tuple[StoreId, CopyState]] = Counter()
    particular = _particular(picture)
    present: Counter[tuple[frozenset[StoreId], frozenset[StoreId]]] = Counter()
    waiting: Counter[frozenset[StoreId]] = Counter()
    stores = frozenset(picture.world.topology.stores)
    for image in picture.world.images.values():
        looked_at = particular.get(image.id, NOWHERE) & stores
        if image.moving:
            looked_at |= image.importing_to & stores
        if looked_at:
            counts.update((store, copy_view(picture, image, store).state) for store in looked_at)
        present[image.stores - looked_at, picture.wants.stores(image.id)] += 1
        if image.id in picture.wants.gaps or image.id in picture.asked or image.id in picture.waits:
            waiting[(picture.due(image.id) - image.stores - looked_at) & stores] += 1
    hub = picture.world.topology.hub
    for (there, wanted), number in present.items():
        for store in there:
            state = CopyState.PRESENT if store == hub or store in wanted else CopyState.UNWANTED
            counts[store, state] += number
    for missing, number in waiting.items():
        for store in missing:
            counts[store, CopyState.WAITING] += number
    for store in stores:
        del counts[store, CopyState.ABSENT]
    return counts


def _particular(picture: Picture) -> dict[ImageId, set[StoreId]]:
    """The copies of which more is known than whether they are there and wanted."""
    known: defaultdict[ImageId, set[StoreId]] = defaultdict(set)
    for attempt in picture.ledger.attempts:
        known[attempt.image].update(attempt.stores)
    for image, store in picture.ledger.failures:
        known[image].add(store)
    for store, site in picture.world.sites.items():
        for image in site.findings:
            known[image].add(store)
    return known
