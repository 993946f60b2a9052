"""Memory is shared by all threads, as glibc itself tells."""

from __future__ import annotations

import subprocess
import sys

COUNT = """
import ctypes, sys, threading
from edgesync.clients.arenas import share_arenas

if sys.argv[1] == "shared":
    share_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
together = threading.Barrier(6)

def use() -> None:
    libc.malloc(5000)
    together.wait(60)

threads = [threading.Thread(target=use) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


def arenas(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", COUNT, how], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.count("<heap nr=")


def test_threads_share_two_arenas() -> None:
    assert arenas("shared") <= 2
    assert arenas("left alone") > 2, "glibc does that by itself now"
