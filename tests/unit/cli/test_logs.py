"""Logs: JSON off a terminal, and never a secret."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import structlog
from edgesync.cli.logs import set_up_logs
set_up_logs(level="info", form="{form}")
log = structlog.get_logger()
log.debug("not shown")
with structlog.contextvars.bound_contextvars(image="an-image", job="a-job"):
    log.info("copied", store="dcn0", password="hunter2", headers={{"X-Auth-Token": "abc"}})
"""


def logged(form: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(form=form)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "", "logs go to stderr"
    return done.stderr


def test_json_lines_with_image_store_and_job() -> None:
    (line,) = logged("auto").splitlines()
    entry = json.loads(line)
    assert (entry["event"], entry["image"], entry["job"], entry["store"]) == ("copied", "an-image", "a-job", "dcn0")
    assert entry["level"] == "info"


def test_libraries_log_in_the_same_form() -> None:
    program = (
        "import logging; from edgesync.cli.logs import set_up_logs; set_up_logs(level='info', form='json'); "
        "logging.getLogger('keystoneauth').warning('Failed to %s', 'discover'); logging.getLogger('x').info('quiet')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    (line,) = done.stderr.splitlines()
    assert (json.loads(line)["event"], json.loads(line)["level"]) == ("Failed to discover", "warning")


def test_secrets_are_not_printed() -> None:
    for form in ("json", "console"):
        text = logged(form)
        assert "hunter2" not in text
        assert "abc" not in text


STUMBLING = """
import asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from edgesync.cli.logs import set_up_logs
from edgesync.domain.access import Caller, Role
from edgesync.expose.access import Access, admission
from edgesync.expose.refusals import refusals

class Known:
    async def caller(self, token):
        return Caller(name="alice", role=Role.OPERATOR)

async def stumble(request):
    password = "hunter2"
    raise RuntimeError("the defect")

async def main():
    app = web.Application(middlewares=[refusals, admission(Access(files=[Known()]))])
    app.router.add_get("/stumble", stumble)
    async with TestClient(TestServer(app)) as client:
        token = "".join(("very", "-", "secret", "-", "token"))
        assert (await client.get("/stumble", headers={{"X-Auth-Token": token}})).status == 500

set_up_logs(level="info", form="{form}")
asyncio.run(main())
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_credential_of_whoever_asked(form: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STUMBLING.format(form=form)], capture_output=True, text=True, check=True, timeout=60
    )
    assert "request failed" in done.stderr
    assert "the defect" in done.stderr
    assert "very-secret-token" not in done.stderr
    assert "locals" not in done.stderr
