"""Ports and addresses for labs that run side by side.

A lab owns one contiguous block of ports, below the kernel's ephemeral ones so that no outgoing connection can sit on
one, and with the block the addresses of its links.
"""

import socket
import sys
from collections.abc import Callable, Collection
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from deploy.lab.errors import LabError

BLOCK = 200
FIRST = 20_000
BLOCKS = 60
# Set aside for trying out networks (RFC 2544), so no network in use has it: 256 addresses for each block.
ADDRESSES = IPv4Network("198.19.0.0/16")
_ROUTES = Path("/proc/net/route")


def block(base: int) -> range:
    return range(base, base + BLOCK)


def ends(base: int, edge: int) -> tuple[str, str]:
    """The addresses of the link to one edge, counted from 0: central's end, the edge's end."""
    first = ADDRESSES[(base - FIRST) // BLOCK * 256 + edge * 4]
    return str(first + 1), str(first + 2)


def linked(routes: Path = _ROUTES) -> set[int]:
    """The first ports of the blocks to whose addresses this machine has a route: of labs that are there, or left over.

    Other checkouts' labs are seen by this, too, before any of their services listens.
    """
    bases = set()
    for row in routes.read_text().splitlines()[1:]:
        destination = IPv4Address(int(row.split()[1], 16).to_bytes(4, sys.byteorder))
        if destination in ADDRESSES:
            bases.add(FIRST + destination.packed[2] * BLOCK)
    return bases


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
