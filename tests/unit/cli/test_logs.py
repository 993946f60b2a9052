"""Logs: JSON off a terminal, and never a secret."""

from __future__ import annotations

import json
import subprocess
import sys

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
