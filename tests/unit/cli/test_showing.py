"""`jobs` and `locations`: what they can be asked for, and what they say where there is nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from tests.builders import image, situation
from tests.unit.cli.running import Terminal, terminal
from tests.unit.expose.pictures import picture_of


@pytest.fixture
async def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Terminal]:
    """A cloud whose Glance doesn't tell where the clusters are, and in which one job was asked for."""
    async with terminal(picture_of(situation(image("a"))), capsys, monkeypatch) as ready:
        await ready.edgesync("copy", "a", "--stores", "dcn0")
        yield ready


async def test_jobs_are_listed_and_shown_one_by_one(shell: Terminal) -> None:
    job = shell.at.job.id
    assert (await shell.edgesync("jobs", "--image", "a", "-f", "value")).out == f"{job} queued\n"
    (listed,) = json.loads((await shell.edgesync("jobs", "-f", "json")).out)
    assert json.loads((await shell.edgesync("jobs", job, "-f", "json")).out) == listed


async def test_one_job_is_not_filtered(shell: Terminal) -> None:
    said = await shell.edgesync("jobs", shell.at.job.id, "--state", "queued")
    assert said.code == 2
    assert "give either a job, or --image and --state" in said.err


async def test_a_job_that_is_not_there_leads_to_those_that_are(shell: Terminal) -> None:
    said = await shell.edgesync("jobs", "a b")
    assert said.code == 1
    assert "there is no job" in said.err
    assert "edgesync jobs" in said.err


async def test_a_location_that_glance_does_not_tell_is_said_to_be_unknown(shell: Terminal) -> None:
    said = await shell.edgesync("locations", "a")
    assert said.code == 0
    assert [line.split() for line in said.out.splitlines()[1:]] == [["central", "✓", "present", "-", "not", "known"]]
    (row,) = json.loads((await shell.edgesync("locations", "a", "-f", "json")).out)
    assert (row["store"], row["location"]) == ("central", None)


async def test_the_locations_of_no_image_are_refused_with_the_way_out(shell: Terminal) -> None:
    said = await shell.edgesync("locations", "nothing")
    assert said.code == 1
    assert "there is no image 'nothing'\n  -> edgesync status --all" in said.err
