"""What the OSDs of one store compute, where they can and we may. Everything here blocks."""

from __future__ import annotations

import errno
from collections.abc import Sequence

import structlog

from edgesync.clients.ceph_connection import ANSWERS, options_of
from edgesync.clients.ceph_refusals import FORBIDDEN, Refusals
from edgesync.clients.checksum import ChecksumError, Checksums, Told, UnsupportedError
from edgesync.clients.lending import OverError, Renewed
from edgesync.clients.rbd_handle import Place
from edgesync.domain.blocks import Extent
from edgesync.domain.store import CephSettings

log = structlog.get_logger(__name__)

REFUSED = FORBIDDEN | {errno.EOPNOTSUPP}


class OsdDigests:
    """Raises the classes of `edgesync.errors`."""

    def __init__(self, settings: CephSettings, refusals: Refusals) -> None:
        self._settings = settings
        self._refusals = refusals
        self._renewed: Renewed[Checksums] = Renewed(Checksums.close)
        # What was said already.
        self._said: set[str] = set()

    def close(self) -> None:
        self._renewed.close()

    def told(self, what: str, place: Place, objects: Sequence[Extent], block: int) -> Sequence[Told | None] | None:
        """The digests of objects, by where they are in their image.

        None in place of one that has to be read; in place of all where the OSDs don't compute for us, or can't.
        """
        if place.striped or place.object_size % block:
            return None
        try:
            return self._asked(what, place, objects, block)
        except UnsupportedError as error:
            self._say(f"librados can't: {error}")
        except ChecksumError as error:
            if error.errno == errno.EIO:
                # Which blocks are lost shows when they are read.
                return [None] * len(objects)
            if error.errno not in REFUSED:
                raise self._refusals.refused(what, error, error.errno) from error
            self._say(f"pool {place.pool} refuses: {error}")
        return None

    def _asked(self, what: str, place: Place, objects: Sequence[Extent], block: int) -> list[Told]:
        try:
            shared = self._renewed.enter(lambda: self._connect(what), patience=self._refusals.deadline)
        except TimeoutError as error:
            raise self._refusals.silent(what, sent=False) from error
        except OverError as error:
            raise self._refusals.closed(what) from error
        # The image's last block may be short, and is not the object's.
        wanted = [(place.name(extent.offset), extent.length // block * block) for extent in objects]
        try:
            with shared.thing.pool(place.pool, place.snapshot) as pool:
                return pool.digests(wanted, block)
        except ChecksumError as error:
            if error.errno not in ANSWERS:
                self._renewed.retire(shared.thing)
            raise
        finally:
            shared.leave()

    def _connect(self, what: str) -> Checksums:
        settings = self._settings
        try:
            return Checksums(settings.conf, settings.user, options_of(settings, self._refusals.deadline))
        except ChecksumError as error:
            raise self._refusals.not_connected(what, error, error.errno) from error

    def _say(self, why: str) -> None:
        if why not in self._said:
            self._said.add(why)
            log.warning("images are read to compare them, the OSDs don't", store=self._refusals.store, why=why)
