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
    image.write(b"half", 0)
    print("written", flush=True)
    time.sleep(600)
"""


def write_and_die(lab: Lab, name: str) -> None:
    """At site dcn0: killed while its watch is there, and its exclusive lock."""
    command = [sys.executable, "-c", WRITES, lab.name, name]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
        writer.kill()
