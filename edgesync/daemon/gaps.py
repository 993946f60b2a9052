"""Since when copies have been missing, kept in the journal: a daemon that starts goes on counting where one ended."""

from __future__ import annotations

from collections.abc import Mapping

from edgesync.domain.image import ImageId
from edgesync.domain.lag import Epochs
from edgesync.domain.ports import Journal
from edgesync.expose.lag import Lags

Gaps = Mapping[ImageId, Epochs]


def changes(kept: Gaps, now: Gaps) -> tuple[dict[ImageId, Epochs], frozenset[ImageId]]:
    """What is to be kept of which images in place of what was, and which of them miss nothing any more."""
    # Where nothing has changed it is mostly the same object.
    changed = {image: epochs for image, epochs in now.items() if kept.get(image) != epochs}
    return changed, frozenset(kept.keys() - now.keys())


class GapKeeper:
    """Between the lags and the journal. Nothing is written while no image's gap changes."""

    def __init__(self, journal: Journal, lags: Lags) -> None:
        self._journal = journal
        self._lags = lags
        # What the journal has; None before it was read.
        self._kept: Gaps | None = None

    async def recall(self) -> None:
        """Before the first picture: what an earlier daemon has kept."""
        if self._kept is None:
            self._kept = await self._journal.gaps()
            self._lags.recall(self._kept)

    async def turn(self) -> None:
        """Keep what the last picture has changed, all in one transaction."""
        now = self._lags.gaps
        if self._kept is None or now is self._kept:
            return
        changed, closed = changes(self._kept, now)
        if changed or closed:
            await self._journal.keep_gaps(changed, closed)
        self._kept = now
