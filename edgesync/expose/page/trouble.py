"""Is anything wrong, and since when: what the page leads with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from urllib.parse import quote

from edgesync.domain.copy import CopyState, Failure
from edgesync.domain.store import StoreId
from edgesync.domain.words import counted
from edgesync.expose.figures import in_words
from edgesync.expose.lateness import Wait
from edgesync.expose.matrix import copy_view, natural
from edgesync.expose.page.filters import Filters
from edgesync.expose.picture import Health, Picture
from edgesync.expose.problems import problems
from edgesync.expose.views import ProblemView

# Failures that are looked at one by one.
LOOKED_AT = 2000
# Lines that stand above the matrix, and those that are folded in below them.
FIRST, FOLDED = 6, 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One thing that is wrong, or so on purpose."""

    problem: ProblemView
    # Where to see more of it; empty: nowhere.
    link: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    # The worst first; those that there is room for, then those that are folded in.
    lines: tuple[Line, ...]
    folded: tuple[Line, ...]
    # Problems beyond all those.
    left: int
    # How many of all are bad.
    wrong: int
    # Nothing is wrong, and somebody has paused something.
    paused: bool
    # The answer in one sentence.
    headline: str
    since: datetime | None


def trouble_of(
    picture: Picture | None,
    health: Health,
    counts: Mapping[CopyState, int],
    waits: Mapping[StoreId, tuple[Wait, ...]],
) -> Trouble:
    found = [
        Line(problem=problem, link=f"/stores/{quote(problem.store, safe='')}" if problem.store else "")
        for problem in problems(picture, health)
    ]
    failed = list(_failed(picture)) if picture else []
    wrong = [line for line in found if line.problem.bad] + failed + list(_late(waits))
    lines = [*wrong, *(line for line in found if not line.problem.bad)]
    began = [line.problem.since for line in wrong if line.problem.since]
    return Trouble(
        lines=tuple(lines[:FIRST]),
        folded=tuple(lines[FIRST : FIRST + FOLDED]),
        left=len(lines[FIRST + FOLDED :]),
        wrong=len(wrong),
        paused=not wrong and picture is not None and bool(picture.ledger.pauses),
        headline=_headline(len(wrong), picture, counts),
        since=min(began, default=None),
    )


def _headline(wrong: int, picture: Picture | None, counts: Mapping[CopyState, int]) -> str:
    if wrong:
        return "1 thing is wrong" if wrong == 1 else f"{wrong} things are wrong"
    if picture is None:
        return "edgesync has not finished its first look at Glance"
    if coming := counts.get(CopyState.COPYING, 0) + counts.get(CopyState.WAITING, 0):
        copies = "1 copy is" if coming == 1 else f"{coming:,} copies are"
        return f"Nothing is wrong{_paused(picture)}; {copies} still to come"
    return f"All is well{_paused(picture)}: every wanted copy is there"


def _paused(picture: Picture) -> str:
    pauses = picture.ledger.pauses
    if any(pause.image is None and pause.store is None for pause in pauses):
        return ", and everything is paused"
    if pauses:
        return f", and {counted(len(pauses), 'pause')} {'is' if len(pauses) == 1 else 'are'} in force"
    return ""


def _failed(picture: Picture) -> Iterator[Line]:
    """Copies that failed, all those in one store and for the same reason together; the most of them first."""
    groups: defaultdict[tuple[StoreId, str, str], list[Failure]] = defaultdict(list)
    for failure in islice(_open_failures(picture), LOOKED_AT):
        groups[failure.store, failure.error, failure.remedy].append(failure)
    at_least = "at least " if len(picture.ledger.failures) > LOOKED_AT else ""
    for (store, error, remedy), failures in sorted(
        groups.items(), key=lambda entry: (-len(entry[1]), natural(entry[0][0]))
    ):
        image = picture.world.images[failures[0].image]
        copies = image.name or image.id if len(failures) == 1 else f"{at_least}{len(failures):,} copies"
        since = min(failure.failed_at for failure in failures)
        yield Line(
            problem=ProblemView(bad=True, what=f"{copies} failed at {store}: {error}", remedy=remedy, since=since),
            link=Filters(state=CopyState.FAILED, store=store).link(),
        )


def _open_failures(picture: Picture) -> Iterator[Failure]:
    """Those that are shown as failed: nothing else is going on with the copy."""
    for (image_id, store), failure in picture.ledger.failures.items():
        image = picture.world.images.get(image_id)
        if image is not None and copy_view(picture, image, store).state is CopyState.FAILED:
            yield failure


def _late(waits: Mapping[StoreId, tuple[Wait, ...]]) -> Iterator[Line]:
    """Where a copy has been missing for longer than its policy allows."""
    for store in sorted(waits, key=natural):
        for wait in waits[store]:
            if wait.late and wait.objective is not None:
                allowed = in_words(wait.objective.total_seconds())
                yield Line(
                    problem=ProblemView(
                        bad=True,
                        what=f"copies that policy {wait.policy} wants at {store} have been missing for too long: "
                        f"it allows {allowed}",
                        remedy="the images below say what each of them waits for, or why it failed",
                        since=wait.since,
                        store=store,
                    ),
                    link=Filters(policy=wait.policy, store=store).link(),
                )
