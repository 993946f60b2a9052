"""The order in which a Glance lists its images, prepared once: 10,000 of them are asked for page by page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from tests.fakes.glance.records import FakeImage
from tests.fakes.glance.refusal import RefusalError


class Listing:
    """Pages of a dictionary of images; newest first."""

    def __init__(self, images: Mapping[str, FakeImage]) -> None:
        # Entries that each page repeats from the one before, as happens when images come and go between two pages.
        self.overlap = 0
        self._images = images
        self._order: dict[tuple[bool, bool], list[FakeImage]] = {}
        self._positions: dict[tuple[bool, bool], dict[str, int]] = {}

    def forget(self) -> None:
        """Call after an image came or went, and after a change of what the listings are made by."""
        self._order.clear()

    def page(
        self, *, hidden: bool, everybody: bool, marker: str | None, limit: int, updated_since: datetime | None
    ) -> tuple[list[FakeImage], str | None]:
        """Return one page, newest image first, and the marker of the next one, if any."""
        listing, positions = self._listing(hidden, everybody)
        start = 0
        if marker is not None:
            if marker not in positions:
                # Also when it was there a moment ago: a deleted image can't be a marker.
                raise RefusalError(400, f"No image found with ID {marker}")
            start = max(0, positions[marker] + 1 - self.overlap)
        candidates: Iterable[FakeImage] = listing[start:] if updated_since else listing[start : start + limit]
        if updated_since:
            candidates = [image for image in candidates if image.updated_at >= updated_since][:limit]
        page = list(candidates)
        return page, page[-1].id if len(page) == limit and page else None

    def _listing(self, hidden: bool, everybody: bool) -> tuple[list[FakeImage], dict[str, int]]:
        key = (hidden, everybody)
        if key not in self._order:
            listing = [
                image
                for image in self._images.values()
                # Without visibility=all, Glance leaves out community images of other projects.
                if image.hidden is hidden and (everybody or image.visibility != "community" or image.owner == "project")
            ]
            listing.sort(key=lambda image: (image.created_at, image.id), reverse=True)
            self._order[key] = listing
            self._positions[key] = {image.id: index for index, image in enumerate(listing)}
        return self._order[key], self._positions[key]
