"""The images are what the tests of layering need: real, and alike."""

from pathlib import Path

from deploy.lab import images

BLOCK = 64 * 2**10


def blocks(file: Path) -> list[bytes]:
    with file.open("rb") as data:
        return list(iter(lambda: data.read(BLOCK), b""))


def test_two_versions_share_nearly_everything() -> None:
    first, second = blocks(images.debian_v1()), blocks(images.debian_v2())
    assert len(first) == len(second) == images.SIZE // BLOCK
    used = sum(any(block) for block in first) * BLOCK
    changed = sum(old != new for old, new in zip(first, second, strict=True)) * BLOCK
    assert 100 * 2**20 < used < 600 * 2**20
    assert 2**20 < changed < 16 * 2**20


def test_random_images_can_be_repeated(tmp_path: Path) -> None:
    sizes = [3 * 2**20 + 5, 3 * 2**20 + 5]
    first, again = (images.random_image(size, 1, tmp_path / str(n)).read_bytes() for n, size in enumerate(sizes))
    assert first == again
    assert len(first) == sizes[0]
    assert images.random_image(sizes[0], 2, tmp_path).read_bytes() != first
