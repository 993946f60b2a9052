"""Damage where images end oddly, and in layers: the audit names it, the repair mends it, and touches nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.lab import tamper
from deploy.lab.layout import Lab
from deploy.lab.readback import Stored, objects, readback
from tests.lab.contents import BLOCK, MIB, Content, full
from tests.lab.daemon import EDGES, SITES, DaemonProcess
from tests.lab.test_verify import verify

SOUND = dict.fromkeys(SITES, "sound")
# Of an odd size, and one on top of it of which the first and the last byte are others.
BASE = full(8 * MIB + 1, seed=31)
UPPER = BASE.changed(0, 8 * MIB)


@pytest.fixture(scope="module")
def reporter(shared_mover: DaemonProcess) -> DaemonProcess:
    """A daemon that mends nothing by itself."""
    shared_mover.configure(audit={**shared_mover.setting("audit"), "repair": "report"})
    shared_mover.hang_up()
    return shared_mover


@pytest.fixture
def pair(reporter: DaemonProcess, tmp_path: Path, request: pytest.FixtureRequest) -> tuple[str, str]:
    """A base, and at both edges on top of it a version of which the first and the last byte are others.

    They are of a family of their own, or they would be layered on those of the test before: Glance deletes no base of
    what a repair has put into the trash.
    """
    family = request.function.__name__.replace("_", "")
    base = put(reporter, BASE, tmp_path, name=f"{family}-1")
    upper = put(reporter, UPPER, tmp_path, name=f"{family}-2")
    for store in EDGES:
        assert readback(reporter.lab, store, base).parent == ""
        assert readback(reporter.lab, store, upper).parent == base
    return base, upper


def put(daemon: DaemonProcess, content: Content, folder: Path, *, name: str) -> str:
    image = daemon.put_file(content.file(folder), name=name)
    daemon.until_at(image, *EDGES)
    return image


def named(*offsets: int, size: int) -> str:
    """How the blocks with these bytes are told of."""
    starts = [offset // BLOCK * BLOCK for offset in offsets]
    return "bytes " + ", ".join(f"{start}-{min(start + BLOCK, size) - 1}" for start in starts)


def results(found: dict[str, tuple[str, str]]) -> dict[str, str]:
    return {store: result for store, (result, _) in found.items()}


def everything(lab: Lab) -> dict[str, dict[str, Stored]]:
    return {site: objects(lab, site) for site in SITES}


def of(lab: Lab, image: str, at_site: dict[str, Stored]) -> dict[str, Stored]:
    """The image's own objects at dcn0."""
    prefix = readback(lab, "dcn0", image).prefix
    return {name: stored for name, stored in at_site.items() if name.startswith(f"{prefix}.")}


def whole(lab: Lab, image: str, content: Content) -> None:
    for site in SITES:
        found = readback(lab, site, image)
        assert (found.size, found.sha512, found.bootable) == (content.size, content.sha512, True), site


@pytest.mark.parametrize("size", [4 * MIB + 1, 8 * MIB + 1], ids=["short object", "object of one byte"])
def test_damage_in_the_last_byte_is_named_and_mended(
    reporter: DaemonProcess, lab: Lab, tmp_path: Path, size: int
) -> None:
    content = full(size, seed=32)
    image = put(reporter, content, tmp_path, name="odd")
    tamper.corrupt(lab, "dcn0", image, size - 1)
    before = everything(lab)
    found = verify(reporter, image)
    assert results(found) == {**SOUND, "dcn0": "damaged"}
    assert named(size - 1, size=size) in found["dcn0"][1]
    assert everything(lab) == before
    found = verify(reporter, image, "--repair", "--store", "dcn0")
    assert found["dcn0"][0] == "repaired"
    whole(lab, image, content)
    after = everything(lab)
    assert (after["central"], after["dcn1"]) == (before["central"], before["dcn1"])
    assert results(verify(reporter, image, "--deep")) == SOUND
    assert reporter.imported(image) == []


def test_damage_in_what_a_layer_has_itself_is_mended_and_its_base_untouched(
    reporter: DaemonProcess, lab: Lab, pair: tuple[str, str]
) -> None:
    base, upper = pair
    tamper.corrupt(lab, "dcn0", upper, 0, 10)
    tamper.corrupt(lab, "dcn0", upper, 8 * MIB)
    before = everything(lab)
    found = verify(reporter, upper)
    assert results(found) == {**SOUND, "dcn0": "damaged"}
    assert named(0, 8 * MIB, size=UPPER.size) in found["dcn0"][1]
    assert results(verify(reporter, base)) == SOUND
    found = verify(reporter, upper, "--repair", "--store", "dcn0")
    assert found["dcn0"][0] == "repaired"
    whole(lab, upper, UPPER)
    whole(lab, base, BASE)
    after = everything(lab)
    assert (after["central"], after["dcn1"]) == (before["central"], before["dcn1"])
    assert of(lab, base, after["dcn0"]) == of(lab, base, before["dcn0"])
    assert results(verify(reporter, upper, "--deep")) == SOUND


def test_damage_in_a_base_is_named_in_what_is_on_top_of_it_and_both_are_mended(
    reporter: DaemonProcess, lab: Lab, pair: tuple[str, str]
) -> None:
    base, upper = pair
    tamper.corrupt(lab, "dcn0", base, 3 * MIB)
    before = everything(lab)
    for image in pair:
        found = verify(reporter, image)
        assert results(found) == {**SOUND, "dcn0": "damaged"}
        assert named(3 * MIB, size=BASE.size) in found["dcn0"][1]
    found = verify(reporter, base, "--repair", "--store", "dcn0")
    assert found["dcn0"][0] == "repaired"
    assert upper in reporter.events(base, "copy-repaired")[-1]["message"]
    whole(lab, base, BASE)
    found = verify(reporter, upper, "--repair", "--store", "dcn0")
    assert found["dcn0"][0] == "repaired"
    whole(lab, upper, UPPER)
    after = everything(lab)
    assert (after["central"], after["dcn1"]) == (before["central"], before["dcn1"])
    for image in pair:
        assert results(verify(reporter, image, "--deep")) == SOUND
