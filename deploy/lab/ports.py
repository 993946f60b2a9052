"""Ports for labs that run side by side.

A lab owns one contiguous block, below the kernel's ephemeral ports so that no outgoing connection can sit on one.
"""

import socket
from collections.abc import Callable, Collection

from deploy.lab.errors import LabError

BLOCK = 200
FIRST = 20_000
BLOCKS = 60


def block(base: int) -> range:
    return range(base, base + BLOCK)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def allot(taken: Collection[int], start: int = 0, free: Callable[[int], bool] = is_free) -> int:
    """The first port of a block that no other lab has been given and in which nobody listens.

    `taken` holds the first ports of the other labs. `start` spreads projects that don't know of each other over the
    range, since between allotting a block and binding it there is nothing to see.
    """
    for turn in range(BLOCKS):
        base = FIRST + (start + turn) % BLOCKS * BLOCK
        if base not in taken and all(map(free, block(base))):
            return base
    raise LabError(
        f"no free block of {BLOCK} ports from {FIRST} on; take a lab down: python -m deploy.lab down --name NAME"
    )
