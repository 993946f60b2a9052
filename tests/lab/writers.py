"""Somebody who writes an RBD image, and dies."""

from __future__ import annotations

import subprocess
import sys

from deploy.lab.layout import ROOT, Lab

WRITES = """
import sys, time
from deploy.lab import ceph
from deploy.lab.layout import Lab
import rbd
with ceph.pool(Lab.load(sys.argv[1]).site("dcn0"), user="glance") as pool, rbd.Image(pool, sys.argv[2]) as image:
    if "write" in sys.argv:
        image.write(b"half", 0)
    print("open", flush=True)
    time.sleep(600)
"""


def write_and_die(lab: Lab, name: str) -> None:
    """At site dcn0: killed while its watch is there, and its exclusive lock."""
    _die(lab, name, "write")


def open_and_die(lab: Lab, name: str) -> None:
    """The same, before it took the lock: that comes with the first write."""
    _die(lab, name)


def _die(lab: Lab, *arguments: str) -> None:
    command = [sys.executable, "-c", WRITES, lab.name, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"open\n"
        writer.kill()
