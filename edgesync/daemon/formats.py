"""What an image's file tells of its format, by its first bytes or its name, and what the format means at an edge."""

from __future__ import annotations

from pathlib import PurePosixPath

from edgesync.errors import RequestError

# How much of a file's start `guessed_format` may want to see.
START = 0x8001 + 5
# Offset and bytes there. A raw disk may begin with anything.
_MAGIC = (
    (0, b"QFI\xfb", "qcow2"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vhd"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
    (0x8001, b"CD001", "iso"),
)
_ENDINGS = {"img": "raw", "bin": "raw"} | {
    ending: ending for ending in ("raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx", "iso")
}
_PACKED_MAGIC = (b"\x1f\x8b", b"\xfd7zXZ\x00", b"BZh", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"7z\xbc\xaf\x27\x1c")
_PACKED = frozenset({"gz", "xz", "bz2", "zst", "zip", "tar", "tgz", "7z"})
# Nova clones these from Ceph as they are; it downloads and converts all others on the compute node, for each VM.
_CLONED = frozenset({"raw", "iso"})


def guessed_format(name: str, start: bytes = b"") -> tuple[str, tuple[str, ...]]:
    """The disk format of a file, and what to tell of the guess; RequestError for a packed file."""
    ending = PurePosixPath(name).suffix.lstrip(".").lower()
    if ending in _PACKED or start.startswith(_PACKED_MAGIC):
        raise RequestError(
            f"{PurePosixPath(name).name} looks packed, and Glance does not unpack what it imports",
            remedy="unpack it first; or, if it is none of that, say --disk-format",
        )
    for offset, magic, disk_format in _MAGIC:
        if start[offset : offset + len(magic)] == magic:
            return disk_format, ()
    if ending in _ENDINGS:
        return _ENDINGS[ending], ()
    return "raw", ("it is taken for a raw image: nothing tells its format; --disk-format would",)


def format_notes(disk_format: str) -> tuple[str, ...]:
    """A warning for what can't be booted from copy-on-write."""
    if disk_format in _CLONED:
        return ()
    return (
        f"a {disk_format} image can't be cloned copy-on-write at the edge: each VM's first boot copies all of it; "
        "convert it first: qemu-img convert -O raw",
    )
