"""What is missing is named, with the command that installs it."""

import os
import shutil
from pathlib import Path

import pytest

from deploy.lab import distro, install
from deploy.lab.errors import LabError
from deploy.lab.layout import Release


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda program, **_: None if program == "ceph-osd" else program)
    with pytest.raises(LabError, match=r"ceph-osd.*; install it: python -m deploy\.lab install$"):
        install.check()


def test_missing_old_glance_is_named_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(install, "_missing_packages", list)
    monkeypatch.setattr(install, "_venv_is_current", lambda: True)
    monkeypatch.setattr(distro, "DISTRO", tmp_path)
    install.check()
    with pytest.raises(LabError, match=r"Debian's glance-api.*deploy\.lab install --glance distro$"):
        install.check(Release.DISTRO)
    (tmp_path / "made").touch()
    install.check(Release.DISTRO)


def test_root_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match=r"needs root; run: sudo python -m deploy\.lab up$"):
        install.check()


def test_every_requirement_is_pinned() -> None:
    for pins in (install.REQUIREMENTS, install.CONSTRAINTS):
        lines = [line for line in pins.read_text().splitlines() if not line.startswith("#")]
        assert lines
        assert all("==" in line for line in lines)
