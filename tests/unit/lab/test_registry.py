"""Labs are made and worked on one caller at a time, and their names stay out of each other's way."""

import threading
from pathlib import Path

import pytest

from deploy.lab import registry
from deploy.lab.errors import LabError
from deploy.lab.layout import Lab


def make(name: str, home: Path) -> Lab:
    with registry.locked(name, home):
        return registry.create(name, edges=1, token_lifetime=3600, home=home)


def test_labs_made_at_the_same_moment_get_different_ports(tmp_path: Path) -> None:
    labs: list[Lab] = []
    threads = [threading.Thread(target=lambda n=n: labs.append(make(f"lab{n}", tmp_path))) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({lab.base_port for lab in labs}) == 6
    assert {Lab.load(lab.name, tmp_path) for lab in labs} == set(labs)


@pytest.mark.parametrize("name", ["", "images", "openstack-venv", "glance-distro", "../up", "a/b", ".hidden"])
def test_bad_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LabError), registry.locked(name, tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_lock_is_exclusive(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with registry.locked("try", tmp_path):
            order.append("second")

    with registry.locked("try", tmp_path):
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.3)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


def test_lock_survives_the_removal_of_the_folder(tmp_path: Path) -> None:
    """As when a `down` ends while an `up` waits."""
    entered: list[bool] = []

    def second() -> None:
        with registry.locked("try", tmp_path) as folder:
            entered.append(folder.exists())

    with registry.locked("try", tmp_path) as folder:
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.3)
        folder.rmdir()
    waiting.join()
    assert entered == [True]


def test_missing_lab_is_not_made_by_looking(tmp_path: Path) -> None:
    with pytest.raises(LabError), registry.locked_lab("none", tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
