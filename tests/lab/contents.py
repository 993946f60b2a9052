"""What images hold, to the byte, without a file of it: the odd and the huge as well."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deploy.lab.images import random_image
from deploy.lab.layout import Lab
from deploy.lab.readback import Readback, objects, readback
from tests.lab.daemon import EDGES

KIB, MIB, GIB = 2**10, 2**20, 2**30
BLOCK = 64 * KIB
_STEP = 8 * MIB


@dataclass(frozen=True, kw_only=True)
class Content:
    """Zeros, but for some parts, which are in order and don't overlap."""

    size: int
    parts: Mapping[int, bytes]

    @property
    def sha512(self) -> str:
        digest = hashlib.sha512()
        for piece in self._pieces():
            digest.update(piece)
        return digest.hexdigest()

    def objects(self, size: int) -> set[int]:
        """The indices of the RBD objects, each of so many bytes, that hold more than zeros."""
        return {
            index
            for offset, data in self.parts.items()
            for index in range(offset // size, -(-(offset + len(data)) // size))
        }

    def file(self, folder: Path) -> Path:
        path = folder / "content.raw"
        with path.open("wb") as file:
            file.truncate(self.size)
            for offset, data in self.parts.items():
                file.seek(offset)
                file.write(data)
        return path

    def changed(self, *offsets: int) -> Content:
        """Another version: the bytes at these offsets are others. Only of what is one part, without any hole."""
        data = bytearray(self.parts[0])
        for offset in offsets:
            data[offset] ^= 0xFF
        return Content(size=self.size, parts={0: bytes(data)})

    def _pieces(self) -> Iterator[bytes]:
        end, zeros = 0, bytes(_STEP)
        for offset, data in (*self.parts.items(), (self.size, b"")):
            while end < offset:
                piece = zeros[: min(_STEP, offset - end)]
                end += len(piece)
                yield piece
            yield data
            end += len(data)


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that are the same for the same seed, and none of them is zero."""
    return random_image(size, seed=seed).read_bytes().replace(b"\0", b"\1")


def full(size: int, seed: int = 0) -> Content:
    """An image without any zero."""
    return Content(size=size, parts={0: noise(size, seed)})


def copies(lab: Lab, image: str) -> dict[str, Readback]:
    """What the edges have of it, read by both at the same time."""
    with ThreadPoolExecutor(len(EDGES)) as pool:
        return dict(zip(EDGES, pool.map(lambda store: readback(lab, store, image), EDGES), strict=True))


def held(lab: Lab, store: str, copy: Readback) -> set[int]:
    """The indices of the objects that a copy has at its site."""
    return {int(name.rpartition(".")[2], 16) for name in objects(lab, store) if name.startswith(f"{copy.prefix}.")}
