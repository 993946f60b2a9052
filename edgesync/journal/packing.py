"""Digests in few bytes: eight each, the least first on every machine, then zlib.

Digests are as good as random and stay as large as they are. But an image's zeros have one digest, and millions of it in
a row come to next to nothing. The fastest level does that as well as the best.
"""

from __future__ import annotations

import sys
import zlib
from array import array

_LEVEL = 1
_WIDTH = 8


def pack(values: array[int]) -> bytes:
    """For 8 MiB of digests this takes 0.2 s: not for the event loop."""
    return zlib.compress(_little_endian(values).tobytes(), _LEVEL)


def unpack(packed: bytes, count: int) -> array[int] | None:
    """None where it is not what `pack` made of so many digests: zlib keeps a checksum. Takes no more room than they."""
    stream = zlib.decompressobj()
    try:
        # One byte more than there may be: only at its end the checksum is looked at.
        data = stream.decompress(packed, count * _WIDTH + 1)
    except zlib.error:
        return None
    if not stream.eof or len(data) != count * _WIDTH:
        return None
    return _little_endian(array("Q", data))


def _little_endian(values: array[int]) -> array[int]:
    """From this machine's order to that one, or back."""
    if sys.byteorder == "little":
        return values
    swapped = array("Q", values)
    swapped.byteswap()
    return swapped
