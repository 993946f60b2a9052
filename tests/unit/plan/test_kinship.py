"""Where a base is looked for first."""

from __future__ import annotations

from edgesync.plan.kinship import Kinship, kinship
from tests.builders import image

NEW = image("rhel-9.4-20260901", properties={"base_image_ref": "id-golden"})


def test_what_rbd_and_nova_know_comes_before_names() -> None:
    parent = image("whatever")
    assert kinship(NEW, parent, parent=parent.id) is Kinship.PARENT
    assert kinship(NEW, image("golden")) is Kinship.ORIGIN
    assert kinship(NEW, parent) is Kinship.STRANGER
    assert list(Kinship) == sorted(Kinship)


def test_names_that_begin_alike_are_one_family() -> None:
    assert kinship(NEW, image("rhel-9.4-20260901")) is Kinship.NAMESAKE
    assert kinship(NEW, image("RHEL 8")) is kinship(image("RHEL 8"), NEW) is Kinship.FAMILY
    assert kinship(NEW, image("rhelish")) is Kinship.STRANGER
    assert kinship(image(""), image("")) is Kinship.STRANGER, "without names"
    assert kinship(image("12"), image("12-b")) is Kinship.STRANGER, "numbers alone"


def test_the_distribution_counts_more_than_the_name() -> None:
    debian = image("base-1", properties={"os_distro": "debian"})
    assert kinship(debian, image("other", properties={"os_distro": "debian"})) is Kinship.FAMILY
    assert kinship(debian, image("base-2", properties={"os_distro": "rhel"})) is Kinship.STRANGER
    assert kinship(debian, image("base-2")) is Kinship.FAMILY
