"""How commands come to the daemon: the credential that they show, and how they know that it is the daemon's.

On the daemon's own host both are found in its files; elsewhere the environment names them.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from edgesync.errors import RequestError

TOKEN_VARIABLE, CA_VARIABLE, CERT_VARIABLE = "EDGESYNC_API_TOKEN", "EDGESYNC_API_CACERT", "EDGESYNC_API_CERT"
Tls = ssl.SSLContext | aiohttp.Fingerprint | bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """What a connection is made with."""

    # Empty: none is shown, which does for looking where reading is open.
    token: str = field(default="", repr=False)
    # Why there is none, and what to do: for those who need one.
    remedy: str = f"set {TOKEN_VARIABLE} to a token of an operator"
    # True: by the system's authorities.
    tls: Tls = True


def local_way(token: Path, certificate: Path | None, environ: Mapping[str, str]) -> Way:
    """To a daemon of this host, by its own files; a token in the environment beats that one."""
    tls = _pinned(certificate) if certificate else remote_way(environ).tls
    if given := environ.get(TOKEN_VARIABLE, "").strip():
        return Way(token=given, tls=tls)
    try:
        return Way(token=token.read_text().strip(), tls=tls)
    except FileNotFoundError:
        remedy = f"{token} is made by `edgesync run`: name the daemon's configuration with --config"
    except OSError as error:
        remedy = f"{token} can't be read ({error.strerror}): be root, or a member of the group that it belongs to"
    return Way(remedy=f"{remedy}; or set {TOKEN_VARIABLE}", tls=tls)


def remote_way(environ: Mapping[str, str]) -> Way:
    """To a daemon elsewhere, by what the environment names; RequestError for files that can't be used."""
    token = environ.get(TOKEN_VARIABLE, "").strip()
    authority, own = environ.get(CA_VARIABLE), environ.get(CERT_VARIABLE)
    if not authority and not own:
        return Way(token=token)
    try:
        context = ssl.create_default_context(cafile=authority or None)
        if own:
            context.load_cert_chain(own)
    except OSError as error:  # SSLError is one, too
        raise RequestError(
            f"{authority or own} can't be used: {error.strerror or error}",
            remedy=f"{CA_VARIABLE} names the PEM file of an authority, {CERT_VARIABLE} one of your certificate and key",
        ) from error
    return Way(token=token, tls=context)


def _pinned(certificate: Path) -> Tls:
    """Exactly that certificate, whoever signed it and whatever name it is for; RequestError when it can't be read."""
    try:
        text = certificate.read_text()
        end = text.index("-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----")
        first = text[text.index("-----BEGIN CERTIFICATE-----") : end]
        return aiohttp.Fingerprint(hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).digest())
    except (OSError, ValueError) as error:
        raise RequestError(
            f"{certificate} (api.certificate) can't be read, so the daemon's can't be known: {error}",
            remedy="let everybody read it; it holds no secret, which is in api.key",
        ) from error
