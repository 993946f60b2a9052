"""`edgesync verify`: what it sends and how it ends."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from edgesync.cli import jobs as watching
from edgesync.domain.store import StoreId
from tests.builders import image, situation
from tests.unit.cli.running import Terminal, terminal
from tests.unit.expose.pictures import picture_of

IMAGES = [image("a", stores=("central", "dcn0")), image("b", stores=("central",))]


@pytest.fixture
async def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Terminal]:
    monkeypatch.setattr(watching, "REFRESH", 0.01)
    async with terminal(picture_of(situation(*IMAGES)), capsys, monkeypatch) as ready:
        yield ready


@pytest.mark.parametrize("arguments", [(), ("a", "--all")])
async def test_one_image_or_all(shell: Terminal, arguments: tuple[str, ...]) -> None:
    said = await shell.edgesync("verify", *arguments)
    assert said.code == 2
    assert "give either an image or --all" in said.err


async def test_without_ceph_nothing_can_be_compared(shell: Terminal) -> None:
    said = await shell.edgesync("verify", "a")
    assert said.code == 1
    assert "can be compared" in said.err


async def test_a_job_for_each_image(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clusters = {StoreId("central"): object(), StoreId("dcn0"): object()}
    async with terminal(picture_of(situation(*IMAGES)), capsys, monkeypatch, clusters=clusters) as shell:
        said = await shell.edgesync("verify", "--all", "--deep", "--repair", "-f", "json")
        assert said.code == 0, said.err
        jobs = {job["image_name"]: [row["store"] for row in job["stores"]] for job in json.loads(said.out)}
        assert jobs == {"a": ["central", "dcn0"], "b": ["central"]}
        assert all(job.deep and job.mend for job in shell.at.journal.kept.values())
        said = await shell.edgesync("verify", "b", "--store", "dcn0")
        assert said.code == 1
        assert "no copy in dcn0" in said.err
        said = await shell.edgesync("verify", "a", "--store", "dcn0", "-f", "json")
        assert [row["store"] for row in json.loads(said.out)["stores"]] == ["dcn0"]
