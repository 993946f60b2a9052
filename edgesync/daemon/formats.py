"""What an image's file name tells of its format, and what its format means at an edge."""

from __future__ import annotations

from pathlib import PurePosixPath

from edgesync.errors import RequestError

_FORMATS = {
    "raw": "raw",
    "img": "raw",
    "bin": "raw",
    "qcow2": "qcow2",
    "vmdk": "vmdk",
    "vdi": "vdi",
    "vhd": "vhd",
    "vhdx": "vhdx",
    "iso": "iso",
}
_PACKED = frozenset({"gz", "xz", "bz2", "zst", "zip", "tar", "tgz", "7z"})
# Nova clones these from Ceph as they are; it downloads and converts all others on the compute node, for each VM.
_CLONED = frozenset({"raw", "iso"})


def guessed_format(name: str) -> tuple[str, tuple[str, ...]]:
    """The disk format that a file name stands for, and what to tell of it; RequestError for a packed file."""
    ending = PurePosixPath(name).suffix.lstrip(".").lower()
    if ending in _PACKED:
        raise RequestError(
            f"{PurePosixPath(name).name} looks packed, and Glance does not unpack what it imports",
            remedy="unpack it first; or, if it is none of that, say --disk-format",
        )
    if ending in _FORMATS:
        return _FORMATS[ending], ()
    return "raw", ("it is taken for a raw image: nothing tells its format; --disk-format would",)


def format_notes(disk_format: str) -> tuple[str, ...]:
    """A warning for what can't be booted from copy-on-write."""
    if disk_format in _CLONED:
        return ()
    return (
        f"a {disk_format} image can't be cloned copy-on-write at the edge: each VM's first boot copies all of it; "
        f"convert it first: qemu-img convert -O raw",
    )
