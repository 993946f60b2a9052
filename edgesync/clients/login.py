"""The blocking side of authentication: keystoneauth, its errors as sentences.

Runs in the thread that `edgesync.clients.keystone` gives it, and nowhere else.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgesync.domain.checkup import Identity
from edgesync.errors import ConfigError, PermanentError, UnreachableError

if TYPE_CHECKING:
    from keystoneauth1.session import Session
    from openstack.config import OpenStackConfig
    from openstack.config.cloud_region import CloudRegion

# A token with less life than this is renewed first.
RENEW_BEFORE = timedelta(seconds=120)

_PLACES = "Put clouds.yaml into the working directory, ~/.config/openstack or /etc/openstack, or set OS_* variables."


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """What a log-in gives."""

    headers: dict[str, str]
    endpoint: str
    # When to log in anew; None: never (auth types without tokens).
    renew_at: datetime | None

    def __repr__(self) -> str:
        """Without the token: this may end up in a traceback."""
        return f"Access(endpoint={self.endpoint!r}, renew_at={self.renew_at})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """Whose a token is, and what it is for."""

    user: str
    # The user's, by name.
    domain: str
    # Empty for a token that is for no project.
    project: str
    project_id: str
    roles: frozenset[str]


class Login:
    """One identity in one cloud."""

    def __init__(
        self,
        *,
        cloud: str | None,
        config_files: Sequence[str] | None,
        region: str | None,
        load_envvars: bool,
        api_timeout: float,
    ) -> None:
        self._cloud = cloud
        self._region_name = region
        self._config_files = None if config_files is None else list(config_files)
        self._load_envvars = load_envvars
        self._api_timeout = api_timeout
        self._region: CloudRegion | None = None
        self._endpoint = ""

    def access(self, *, renew: bool = False) -> Access:
        """Return a token that is good for a while, and the image endpoint, logging in if need be."""
        region = self._open()
        with _sentences(self._where(region), region):
            session: Session = region.get_session()
            if renew:
                session.invalidate()
            headers, renew_at = _token(session)
            if renew or not self._endpoint:
                self._endpoint = region.get_session_endpoint("image") or ""
        if not self._endpoint:
            raise PermanentError(
                f"Keystone's catalog has no image endpoint for {self._name(region)} "
                f"(interface {region.get_interface('image')}, region {region.get_region_name('image') or 'any'}).",
                remedy="Name a project in clouds.yaml, correct region_name or interface there, or register the "
                "endpoint: `openstack endpoint create image ...`.",
            )
        return Access(headers=headers, endpoint=self._endpoint, renew_at=renew_at)

    def identity(self) -> Identity | None:
        """Whom Keystone takes us for; None for auth types without tokens."""
        region = self._open()
        with _sentences(self._where(region), region):
            session: Session = region.get_session()
            get_access = getattr(session.auth, "get_access", None)
            access = get_access(session) if get_access is not None else None
        if access is None:
            return None
        return Identity(
            user=str(access.username or access.user_id or ""),
            project=str(access.project_name or access.project_id or ""),
            roles=frozenset(str(role) for role in access.role_names or ()),
        )

    def holder(self, token: str) -> Holder | None:
        """Whose token that is; None: Keystone knows no such token (any more)."""
        from keystoneauth1 import exceptions  # noqa: PLC0415

        region = self._open()
        where = self._where(region)
        with _sentences(where, region):
            session: Session = region.get_session()
            # By itself, so that what is refused after it is the question and not the log-in.
            session.get_auth_headers()
            try:
                answer = session.get(f"{_versioned(where)}/auth/tokens?nocatalog", headers={"X-Subject-Token": token})
            except exceptions.NotFound:
                return None
            except (exceptions.Unauthorized, exceptions.Forbidden) as error:
                raise PermanentError(
                    f"Keystone at {where} does not let edgesync's user check tokens (HTTP {error.http_status}).",
                    remedy="Give that user the role admin or service (identity:validate_token in Keystone's policy).",
                ) from error
        return _holder(where, answer.text)

    def keystone(self) -> str:
        """Keystone's address, as configured."""
        return self._where(self._open())

    def tls(self) -> ssl.SSLContext | Literal[False]:
        """How clouds.yaml wants certificates verified (verify, cacert, cert, key), for other HTTP libraries."""
        verify, cert = self._open().get_requests_verify_args()
        if verify is False:
            return False
        try:
            context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
            if cert:
                context.load_cert_chain(*([cert] if isinstance(cert, str) else cert))
        except OSError as error:
            raise ConfigError(
                [f"clouds.yaml: cacert, cert or key can't be read: {error}"], remedy="Correct these paths."
            ) from error
        return context

    def close(self) -> None:
        if self._region is not None:
            self._region.get_session().close()
            self._region = None

    def _open(self) -> CloudRegion:
        """Read clouds.yaml and the environment, once."""
        if self._region is None:
            # 0.7 seconds that `edgesync --help` need not spend.
            from openstack.config import OpenStackConfig  # noqa: PLC0415
            from openstack.exceptions import ConfigException  # noqa: PLC0415

            for file in self._config_files or ():
                _check_readable(Path(file))
            try:
                config = OpenStackConfig(
                    app_name="edgesync", load_envvars=self._load_envvars, config_files=self._config_files
                )
            except ConfigException as error:
                raise ConfigError([f"clouds.yaml can't be read: {_first_line(error)}"], remedy=_PLACES) from error
            self._region = self._choose(config)
        return self._region

    def _choose(self, config: OpenStackConfig) -> CloudRegion:
        from keystoneauth1.exceptions import ClientException  # noqa: PLC0415
        from openstack.exceptions import ConfigException  # noqa: PLC0415

        if self._cloud and self._cloud not in config.get_cloud_names():
            raise self._unknown_cloud(config)
        try:
            chosen: dict[str, Any] = {"region_name": self._region_name} if self._region_name else {}
            region = config.get_one(cloud=self._cloud, api_timeout=self._api_timeout, **chosen)
        except (ClientException, ConfigException, ValueError) as error:
            # ValueError: what openstacksdk makes of an `auth` that is no mapping.
            raise self._unusable(_first_line(error)) from error
        # keystoneauth notices this late, and says it with a bare Exception.
        if _asks_password(region.config) and not region.config["auth"].get("password"):
            raise self._unusable("there is no password")
        return region

    def _unknown_cloud(self, config: OpenStackConfig) -> ConfigError:
        names = ", ".join(name for name in config.get_cloud_names() if name)
        if config.config_filename:
            problem = f"{config.config_filename} has no cloud named {self._cloud}, only {names or 'none at all'}."
        else:
            problem = f"There is no clouds.yaml, or it is not valid YAML, so nothing is known of cloud {self._cloud}."
        return ConfigError([problem], remedy=f"Correct `cloud` in edgesync.yaml, or OS_CLOUD. {_PLACES}")

    def _unusable(self, why: str) -> ConfigError:
        return ConfigError([f"The log-in of {self._cloud or 'the cloud'} can't be used: {why}"], remedy=_PLACES)

    def _where(self, region: CloudRegion) -> str:
        return str(region.config.get("auth", {}).get("auth_url") or "an unknown address")

    def _name(self, region: CloudRegion) -> str:
        return f"cloud {self._cloud or region.name or 'envvars'}"


def _versioned(auth_url: str) -> str:
    url = auth_url.rstrip("/")
    return url if url.endswith("/v3") else f"{url}/v3"


def _holder(where: str, text: str) -> Holder:
    try:
        token = json.loads(text)["token"]
        user, project = token["user"], token.get("project", {})
        return Holder(
            user=str(user["name"]),
            domain=str(user["domain"]["name"]),
            project=str(project.get("name", "")),
            project_id=str(project.get("id", "")),
            roles=frozenset(str(role["name"]) for role in token.get("roles", ())),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PermanentError(
            f"What answers at {where} tells of a token in no form that Keystone has.", remedy="Correct auth_url."
        ) from error


def _check_readable(file: Path) -> None:
    """openstacksdk passes over a file that it can't read, as if nobody had named it."""
    try:
        file.open("rb").close()
    except OSError as error:
        raise ConfigError(
            [f"clouds_file: {file} can't be read: {error.strerror}"],
            remedy="Correct clouds_file in edgesync.yaml, or let edgesync's user read the file.",
        ) from error


def _asks_password(config: Mapping[str, Any]) -> bool:
    return str(config.get("auth_type") or "password") in {"password", "v3password"}


def _token(session: Session) -> tuple[dict[str, str], datetime | None]:
    """Headers with a token, and when to renew it.

    keystoneauth logs in anew at every single look-up when less than 120 seconds are left, so each is made once.
    """
    get_access = getattr(session.auth, "get_access", None)
    if get_access is None:
        return session.get_auth_headers() or {}, None
    access = get_access(session)
    left: timedelta = access.expires - datetime.now(UTC)
    # Tokens that live shorter than the usual margin are used for most of their life.
    return {"X-Auth-Token": access.auth_token}, access.expires - min(RENEW_BEFORE, left / 4)


@contextmanager
def _sentences(where: str, region: CloudRegion) -> Iterator[None]:
    """Translate keystoneauth's errors. Its texts carry no secrets, but they carry jargon."""
    from keystoneauth1 import exceptions  # noqa: PLC0415

    try:
        yield
    except exceptions.Unauthorized as error:
        raise PermanentError(
            f"Keystone at {where} refused the log-in: wrong user, project, password or application credential secret.",
            remedy="Correct the credentials in clouds.yaml (or OS_*); `openstack token issue` shows whether they work.",
        ) from error
    except exceptions.NotFound as error:
        raise PermanentError(_not_found(where, region), remedy=_NOT_FOUND) from error
    except exceptions.SSLError as error:
        raise PermanentError(
            f"Keystone at {where} has a certificate that can't be verified: {_first_line(error)}",
            remedy="Name the authority's certificate as cacert in clouds.yaml (or OS_CACERT).",
        ) from error
    except (exceptions.ConnectFailure, exceptions.DiscoveryFailure, exceptions.RetriableConnectionFailure) as error:
        raise UnreachableError(
            f"Keystone at {where} can't be reached, or is no Keystone: {_first_line(error)}",
            remedy="Check auth_url in clouds.yaml (or OS_AUTH_URL), and that Keystone runs.",
            sent=False,
        ) from error
    except exceptions.HttpError as error:
        if error.http_status and error.http_status >= 500:
            raise UnreachableError(
                f"Keystone at {where} answered HTTP {error.http_status}.",
                remedy="Look into Keystone's log.",
                sent=False,
            ) from error
        raise PermanentError(
            f"Keystone at {where} refused the log-in: {_first_line(error)}", remedy="Look into Keystone's log."
        ) from error
    except exceptions.ClientException as error:
        raise PermanentError(
            f"Logging in to Keystone at {where} failed: {_first_line(error)}",
            remedy="Compare clouds.yaml (or OS_*) with what `openstack token issue` accepts.",
        ) from error


_NOT_FOUND = (
    "Look whether the application credential still exists (`openstack application credential list`), and whether "
    "auth_url ends with what Keystone serves, usually /v3."
)


def _not_found(where: str, region: CloudRegion) -> str:
    # A wrong application-credential id gives 404, not 401.
    if "application_credential_id" in region.config.get("auth", {}):
        return f"Keystone at {where} knows no application credential with this id."
    return f"Keystone at {where} answered 404: there is no Keystone at this address, or what was named doesn't exist."


def _first_line(error: Exception) -> str:
    """What the error says, without the pool's innards that urllib3 appends to it."""
    return re.split(r"\n|: HTTPS?ConnectionPool", str(error).strip(), maxsplit=1)[0][:200]
