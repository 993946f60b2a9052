"""Keystone, as far as edgesync asks it. What it says of tokens the real one says, too: `tests/contract/keystone`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from aiohttp import web

from edgesync.clients.login import Holder

PASSWORD = "p4ssw0rd-s3cret"


class FakeKeystone:
    """Logs in, and tells whose a token is; `holders` has those of people."""

    def __init__(self) -> None:
        self.logins = 0
        self.life = timedelta(hours=1)
        self.status = 201
        self.pause = 0.0
        self.endpoints = {"public": "http://glance.example:9292", "internal": "http://internal.example:9292"}
        self.url = ""
        # Tokens of people, beside those that it gives out itself.
        self.holders: dict[str, Holder] = {}
        # What GET answers whoever asks, instead.
        self.check_status = 0

    async def start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/v3/auth/tokens", self._login)
        app.router.add_get("/v3/auth/tokens", self._check)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v3"
        return runner

    async def _login(self, request: web.Request) -> web.Response:
        self.logins += 1
        await asyncio.sleep(self.pause)
        identity = (await request.json())["auth"]["identity"]
        if self.status >= 400:
            return self._refusal(self.status)
        if "password" in identity and identity["password"]["user"]["password"] != PASSWORD:
            return self._refusal(401)
        if "application_credential" in identity and identity["application_credential"]["id"] != "known":
            return self._refusal(404)
        catalog = [
            {
                "type": "image",
                "name": "glance",
                "endpoints": [
                    {
                        "interface": interface,
                        "region": region,
                        "region_id": region,
                        "url": url,
                        "id": interface + region,
                    }
                    for interface, url in self.endpoints.items()
                    for region in ("RegionOne",)
                ],
            }
        ]
        now = datetime.now(UTC)
        token = {
            "methods": list(identity["methods"]),
            "user": {"id": "u", "name": "edgesync", "domain": {"id": "default", "name": "Default"}},
            "issued_at": now.isoformat().replace("+00:00", "Z"),
            "expires_at": (now + self.life).isoformat().replace("+00:00", "Z"),
            "catalog": catalog,
            "project": {"id": "p", "name": "service", "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": "r", "name": "admin"}],
        }
        headers = {"X-Subject-Token": f"token-{self.logins}"}
        return web.json_response({"token": token}, status=201, headers=headers)

    def _refusal(self, status: int) -> web.Response:
        return web.json_response({"error": {"code": status, "message": "no", "title": "No"}}, status=status)

    async def _check(self, request: web.Request) -> web.Response:
        if self.check_status:
            return self._refusal(self.check_status)
        if not request.headers.get("X-Auth-Token", "").startswith("token-"):
            return self._refusal(401)
        holder = self.holders.get(request.headers["X-Subject-Token"])
        if holder is None:
            return self._refusal(404)
        token = {
            "user": {"id": "u", "name": holder.user, "domain": {"id": "default", "name": holder.domain}},
            "project": {"id": holder.project_id, "name": holder.project},
            "roles": [{"id": f"id-{role}", "name": role} for role in sorted(holder.roles)],
        }
        return web.json_response({"token": token})
