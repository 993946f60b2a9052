"""The fake as a process of its own, so that a benchmark can tell its CPU time from edgesync's.

    python -m tests.fakes.glance --images 10000 --stores 100 --port 0

The first line on stdout is its URL. SIGTERM ends it. Any token is accepted.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from datetime import UTC, datetime, timedelta

from tests.fakes.glance.records import MIB
from tests.fakes.glance.server import FakeGlance


def fill(fake: FakeGlance, images: int, copies: int) -> None:
    """Images of all ages, each with copies in the hub and the first `copies - 1` edges."""
    names = list(fake.sim.stores)
    now = datetime.now(UTC)
    for index in range(images):
        fake.add_image(
            name=f"image-{index:05}",
            size=64 * MIB,
            tags=["golden"] if index % 10 == 0 else [],
            properties={"os_distro": "rhel", "hw_disk_bus": "virtio"},
            stores=names[:copies],
            created_at=now - timedelta(minutes=images - index),
            updated_at=now - timedelta(minutes=images - index),
        )


async def serve(arguments: argparse.Namespace) -> None:
    stores = ["central", *(f"dcn{index}" for index in range(arguments.stores - 1))]
    fake = FakeGlance(stores, port=arguments.port)
    fake.sim.show_locations = arguments.locations
    fill(fake, arguments.images, arguments.stores if arguments.copies is None else arguments.copies)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with fake:
        print(fake.url, flush=True)
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="A fake Glance.")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--stores", type=int, default=3)
    parser.add_argument("--copies", type=int, help="stores that hold each image; default: all")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--locations", action="store_true", help="show locations, as show_multiple_locations does")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
