"""The commands that order something: what they send, what they say, and how they end."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgesync.cli import jobs as watching
from edgesync.domain.job import CopyResult, EngineChoice, JobState, StoreResult, Work
from edgesync.domain.store import CephSettings, StoreSettings
from tests.builders import attempt, image, policy, situation
from tests.unit.cli.running import Terminal, terminal
from tests.unit.expose.pictures import pause, picture_of

GOLDEN = policy()
IMAGES = [image("a"), image("b", stores=("central", "dcn0")), image("lone", tags=(), stores=("central", "dcn0"))]


@pytest.fixture
async def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Terminal]:
    """A cloud in which policy golden misses two copies of a and one of b."""
    able = dict.fromkeys(("central", "dcn0", "dcn1"), StoreSettings(ceph=CephSettings(conf="ceph.conf", user="glance")))
    case = situation(*IMAGES, policies=[GOLDEN], attempts=[attempt(IMAGES[1], "dcn1")], settings=able, locations=True)
    picture = picture_of(case)
    monkeypatch.setattr(watching, "REFRESH", 0.01)
    async with terminal(picture, capsys, monkeypatch, policies=lambda: (GOLDEN,)) as ready:
        yield ready


async def test_one_image_is_answered_with_one_job(shell: Terminal) -> None:
    said = await shell.edgesync("copy", "a", "--all-stores", "-f", "json")
    assert said.code == 0
    job = json.loads(said.out)
    assert (job["id"], job["image_name"]) == (shell.at.job.id, "a")


async def test_several_images_are_all_tried_before_the_command_fails(shell: Terminal) -> None:
    said = await shell.edgesync("copy", "a", "nothing", "b", "gone", "--stores", "dcn1", "--urgent")
    assert said.code == 1
    assert "edgesync: there is no image 'nothing'\n  -> " in said.err
    assert "edgesync: 2 of 4 requests failed" in said.err
    assert [(job.image_name, job.urgent) for job in shell.at.journal.kept.values()] == [("a", True), ("b", True)]
    assert [line.split()[1:4] for line in said.out.splitlines()[1:]] == [
        ["a", "dcn1", "pending"],
        ["b", "dcn1", "pending"],
    ]


@pytest.mark.parametrize("choice", EngineChoice)
async def test_who_moves_the_data_can_be_chosen(shell: Terminal, choice: EngineChoice) -> None:
    said = await shell.edgesync("copy", "a", "--stores", "dcn1", "--engine", choice.value, "-f", "json")
    assert (said.code, json.loads(said.out)["engine"], shell.at.job.engine) == (0, choice, choice)


async def test_an_unknown_engine_is_a_mistake(shell: Terminal) -> None:
    said = await shell.edgesync("copy", "a", "--stores", "dcn1", "--engine", "rsync")
    assert said.code == 2
    assert "'auto', 'rbd', 'copy-image'" in said.err
    assert shell.at.journal.kept == {}


async def test_a_policy_is_copied_by_its_name(shell: Terminal) -> None:
    said = await shell.edgesync("copy", "--policy", "golden", "-f", "value")
    assert said.code == 0
    assert said.out.split() == [job.id for job in shell.at.journal.kept.values()]
    unknown = await shell.edgesync("copy", "--policy", "silver")
    assert unknown.code == 1
    assert "there is no policy 'silver'\n  -> the configuration has: golden" in unknown.err


async def test_a_dry_run_tells_bytes_and_waits_and_writes_nothing(shell: Terminal) -> None:
    said = await shell.edgesync("copy", "--policy", "golden", "--dry-run", "--wait")
    assert said.code == 0
    rows = [line.split() for line in said.out.splitlines()[1:]]
    assert [row[:5] for row in rows] == [
        ["a", "id-a", "dcn0", "1.0", "GiB"],
        ["a", "id-a", "dcn1", "1.0", "GiB"],
        ["b", "id-b", "dcn1", "1.0", "GiB"],
    ]
    by_rbd = "rbd: the image is raw, and edgesync reaches the clusters of central and dcn0, dcn1"
    assert rows[0][5:] == ["would", "start", "now;", *by_rbd.split()]
    assert all(row[5] == "would" for row in rows)
    assert shell.at.journal.kept == {}


async def ending(shell: Terminal, result: CopyResult, state: JobState, *arguments: str) -> Any:
    """Run a command that waits, for a job that ends like this as soon as it is looked at."""
    journal = shell.at.journal
    known = journal.job

    async def ended(job: Any) -> Any:
        now = await known(job)
        stores = tuple(StoreResult(store=entry.store, result=result, reason="it is so") for entry in now.stores)
        return replace(now, stores=stores, state=state)

    shell.patch.setattr(journal, "job", ended)
    return await shell.edgesync(*arguments)


async def test_waiting_for_copies_that_fail_ends_in_failure(shell: Terminal) -> None:
    said = await ending(shell, CopyResult.FAILED, JobState.FAILED, "copy", "a", "--all-stores", "--wait")
    assert said.code == 1
    assert "edgesync: 2 of 2 copies failed\n  -> edgesync history id-a --failed" in said.err


async def test_waiting_for_a_job_that_somebody_cancels_is_no_success(shell: Terminal) -> None:
    said = await ending(shell, CopyResult.CANCELLED, JobState.CANCELLED, "copy", "a", "--all-stores", "--wait")
    assert said.code == 1
    assert "2 of 2 copies were cancelled" in said.err


async def test_a_copy_is_deleted_and_waited_for(shell: Terminal) -> None:
    said = await ending(shell, CopyResult.REMOVED, JobState.DONE, "delete-copy", "lone", "--store", "dcn0", "--wait")
    assert said.code == 0, said.err
    assert "lone at dcn0: removed" in said.err
    assert shell.at.job.work is Work.REMOVE


async def test_what_can_not_be_deleted_says_why_and_what_to_do(shell: Terminal) -> None:
    said = await shell.edgesync("delete-copy", "b", "--store", "dcn0")
    assert (said.code, said.out) == (1, "")
    assert "policy golden would bring the copy of image id-b straight back to dcn0\n  -> " in said.err
    paused = await shell.edgesync("delete-copy", "b", "--store", "dcn0", "--pause")
    assert paused.code == 0
    assert "note: image id-b is paused at dcn0" in paused.err


async def test_jobs_are_cancelled_each_on_its_own(shell: Terminal) -> None:
    await shell.edgesync("copy", "a", "--all-stores")
    job = shell.at.job.id
    said = await shell.edgesync("cancel", job, "nothing", "no/such?job")
    assert said.code == 1
    assert "2 of 3 jobs failed" in said.err
    assert "cancelled" in said.out
    assert shell.at.job.state is JobState.CANCELLED


async def test_pauses_are_made_and_lifted(shell: Terminal) -> None:
    said = await shell.edgesync("pause", "--store", "dcn0", "--image", "a", "--reason", "odd")
    assert said.code == 0
    assert "image id-a at dcn0" in said.out
    wrong = await shell.edgesync("resume", "--store", "dcn0")
    assert (wrong.code, wrong.out) == (1, "")
    assert "store dcn0 is not paused\n  -> what is paused: image id-a at dcn0" in wrong.err
    assert (await shell.edgesync("resume", "--store", "dcn0", "--image", "a", "-f", "value")).out == "id-a dcn0\n"
    assert (await shell.edgesync("pause", "--all")).code == 0
    assert [entry.scope for entry in shell.at.journal.pauses] == ["everything"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("copy",),
        ("copy", "a", "--policy", "golden"),
        ("copy", "--policy", "golden", "--all-stores"),
        ("pause",),
        ("pause", "--all", "--store", "dcn0"),
        ("resume",),
        ("cancel",),
        ("delete-copy", "a"),
        ("import", "--name", "x"),
        ("import", "http://a/b", "--file", __file__, "--name", "x"),
        ("import", "http://a/b"),
        ("import", "--file", "/no/such/file", "--name", "x"),
        ("import", "http://a/b", "--name", "x", "--store", "a", "--all-stores"),
        ("import", "http://a/b", "--name", "x", "--property", "novalue"),
    ],
)
async def test_wrong_usage_is_exit_code_2_and_sends_nothing(shell: Terminal, arguments: tuple[str, ...]) -> None:
    assert (await shell.edgesync(*arguments)).code == 2
    assert shell.at.journal.kept == {}


async def test_an_image_is_imported_from_a_uri_with_all_that_describes_it(shell: Terminal) -> None:
    described = ("--hidden", "--min-disk", "10", "--property", "a=b=c", "--tag", "golden", "--visibility", "public")
    asked = ("--name", "x", "--stores", "dcn1,dcn0", "--urgent")
    said = await shell.edgesync("import", "http://images/x.qcow2", *asked, *described)
    assert said.code == 0, said.err
    assert shell.at.job.urgent
    assert "note: central was added" in said.err
    assert "note: a qcow2 image can't be cloned copy-on-write" in said.err
    source = shell.at.job.source
    assert source is not None
    assert (source.hidden, source.min_disk, source.visibility, source.tags) == (True, 10, "public", ("golden",))
    assert source.properties == (("a", "b=c"),)
    assert [entry.store for entry in shell.at.job.stores] == ["central", "dcn0", "dcn1"]


async def test_a_file_is_sent_whole_and_its_format_seen_in_it(shell: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "disk.img"
    file.write_bytes(b"QFI\xfb" + bytes(3 << 20))
    said = await shell.edgesync("import", "--file", str(file), "--name", "x")
    assert said.code == 0, said.err
    assert "disk.img -> staging: sent" in said.err
    assert shell.at.staging.got == {shell.at.job.id: file.read_bytes()}
    assert shell.at.job.source is not None
    assert shell.at.job.source.disk_format == "qcow2"


async def test_the_job_of_a_file_that_could_not_be_sent_is_cancelled(shell: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "disk.raw"
    file.write_bytes(bytes(1 << 20))

    async def broken(*_: object) -> None:
        raise OSError("no space left on device")

    shell.patch.setattr(shell.at.staging, "stage", broken)
    said = await shell.edgesync("import", "--file", str(file), "--name", "x")
    assert said.code == 1
    assert f"the file was not sent whole; job {shell.at.job.id} is over, and its image is deleted again" in said.err
    assert shell.at.job.state is JobState.CANCELLED


async def test_a_pipe_is_not_read_twice(shell: Terminal, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    said = await shell.edgesync("import", "--file", str(pipe), "--name", "x")
    assert said.code == 2
    assert "can be read only once; say its --disk-format" in said.err
    assert shell.at.journal.kept == {}
    writing = asyncio.create_task(asyncio.to_thread(pipe.write_bytes, b"all of it"))
    said = await shell.edgesync("import", "--file", str(pipe), "--name", "x", "--disk-format", "raw")
    await writing
    assert said.code == 0, said.err
    assert shell.at.staging.got == {shell.at.job.id: b"all of it"}


async def test_status_and_stores_lead_with_what_is_paused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = picture_of(situation(*IMAGES, policies=[GOLDEN]), pauses=[pause(store="dcn1", reason="new switches")])
    async with terminal(picture, capsys, monkeypatch) as shell:
        line = "store dcn1 is paused by alice since 2026-03-01 12:00:00Z: new switches -> edgesync resume --store dcn1"
        assert (await shell.edgesync("status")).out.splitlines()[0] == line
        stores = (await shell.edgesync("stores")).out.splitlines()
        assert stores[0] == line
        assert "up, paused" in stores[-1]
