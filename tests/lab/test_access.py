"""Who may do what, of a daemon as a process, by the real Keystone and by the credential of this host."""

from __future__ import annotations

import requests

from deploy.lab import api
from deploy.lab.layout import Lab
from tests.lab.daemon import ANSWER, DaemonProcess


def pause(daemon: DaemonProcess, token: str = "") -> int:
    """Ask for a pause with a token of Keystone; how that is answered."""
    headers = {"X-Auth-Token": token} if token else {}
    answer = requests.post(f"{daemon.url}/v1/pauses", json={"store": "dcn0"}, headers=headers, timeout=ANSWER)
    if not answer.ok:
        assert answer.json()["remedy"]
    return answer.status_code


def test_keystones_roles_say_who_may_change_and_a_revoked_token_is_refused(daemon: DaemonProcess, lab: Lab) -> None:
    keystone = {"keystone_operators": ["admin"], "keystone_viewers": ["member"], "keystone_cache": "2s"}
    daemon.configure(api={**daemon.setting("api"), **keystone, "reading": "closed"})
    daemon.start()
    with api.login(lab) as admin, api.login(lab, "member") as member:
        operator, viewer = str(admin.get_token()), str(member.get_token())
        stores = [
            requests.get(f"{daemon.url}/v1/stores", headers=headers, timeout=ANSWER).status_code
            for headers in ({}, {"X-Auth-Token": "nonsense"}, {"X-Auth-Token": viewer}, {"X-Auth-Token": operator})
        ]
        assert stores == [401, 401, 200, 200]
        assert [pause(daemon), pause(daemon, "nonsense"), pause(daemon, viewer)] == [401, 401, 403]
        assert [event["kind"] for event in daemon.json("history")] == ["daemon-started"]
        assert pause(daemon, operator) == 201
        (event,) = daemon.json("history", "--store", "dcn0")
        assert event["message"].startswith("admin@Default paused store dcn0")
        with api.login(lab) as other:
            other.delete(f"{lab.keystone_url}/auth/tokens", headers={"X-Subject-Token": operator})
        daemon.until(lambda: pause(daemon, operator) == 401, "the revoked token is refused", seconds=10)


def test_commands_on_this_host_need_no_ceremony_and_others_are_told_what_to_do(daemon: DaemonProcess) -> None:
    daemon.start()
    token = daemon.config.parent / "local-token"
    assert token.stat().st_mode & 0o007 == 0
    assert daemon.command("pause", "--all", "--reason", "a test").returncode == 0
    kept = token.read_text()
    token.rename(token.with_suffix(".away"))
    refused = daemon.command("resume", "--all")
    assert refused.returncode == 1
    assert "needs a credential" in refused.stderr
    assert "EDGESYNC_API_TOKEN" in refused.stderr
    token.with_suffix(".away").rename(token)
    assert daemon.stop() == 0
    daemon.start()
    assert token.read_text() == kept
    assert daemon.command("resume", "--all").returncode == 0
