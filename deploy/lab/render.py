"""The text of every configuration file, from what the lab is. Pure: nothing is read or written here."""

import configparser
import io
from collections.abc import Mapping
from pathlib import Path

import yaml

from deploy.lab.layout import DISTRO, HUB, OPENSTACK, POOLS, Lab, Release, Site

# Seconds for which Glance goes on taking a token that Keystone has come to refuse.
TOKEN_CACHE = 5

Sections = Mapping[str, Mapping[str, object]]

_RBD_POOLS = ", ".join(f"profile rbd pool={pool}" for pool in POOLS)

# What each entity may do; README.md says what each capability is for, and test_lab_caps.py that none can be spared.
CAPS: Mapping[str, Mapping[str, str]] = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *", "mgr": "allow *", "mds": "allow *"},
    "mgr.x": {"mon": "allow profile mgr", "osd": "allow *", "mds": "allow *"},
    "osd.0": {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"},
    "client.glance": {"mon": "profile rbd", "osd": "profile rbd pool=images"},
    "client.edgesync": {"mon": "profile rbd", "mgr": "profile rbd", "osd": _RBD_POOLS},
}


class _Ini(configparser.ConfigParser):
    def optionxform(self, optionstr: str) -> str:
        return optionstr  # the case of a key matters


def ini(sections: Sections) -> str:
    parser = _Ini(interpolation=None)
    parser.read_dict(sections)
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def ceph_conf(site: Site) -> str:
    low, high = site.bind_range
    here = site.folder
    return ini(
        {
            "global": {
                "fsid": site.fsid,
                "mon host": f"v2:{site.address}:{site.port}",
                "auth cluster required": "cephx",
                "auth service required": "cephx",
                "auth client required": "cephx",
                "auth allow insecure global id reclaim": "false",
                "public addr": site.address,
                "cluster addr": site.address,
                "ms bind msgr1": "false",
                "ms bind port min": low,
                "ms bind port max": high,
                "osd pool default size": 1,
                "osd pool default min size": 1,
                "osd pool default pg num": 8,
                "osd pool default pg autoscale mode": "off",
                "osd crush chooseleaf type": 0,
                "run dir": here,
                "admin socket": "",  # its path would be limited to 107 characters, and nobody needs it
                "log to stderr": "false",
                "mon cluster log to file": "false",
            },
            "mon": {
                "mon data": here / "mon",
                "log file": here / "mon.log",
                "mon allow pool size one": "true",
                "mon allow pool delete": "true",
                "mon warn on pool no redundancy": "false",
                "mon warn on osd down out interval zero": "false",
                "mon data avail warn": 1,
                "mon data avail crit": 0,
                "mon max pg per osd": 1000,
                # One monitor has nobody to wait for; the defaults gather proposals for a second.
                "paxos propose interval": 0.05,
                "paxos min wait": 0.01,
                # A dead or paused OSD is noticed by its beacons only, having no peers.
                "mon osd min down reporters": 1,
            },
            "mgr": {
                "mgr data": here / "mgr",
                "log file": here / "mgr.log",
                # Loading them all is most of a manager's start; pool statistics need none.
                "mgr module path": here / "modules",
                "mgr initial modules": "",
                "mgr stats period": 1,
                "mgr tick period": 1,
            },
            "osd": {
                "osd data": here / "osd",
                "log file": here / "osd.log",
                "osd objectstore": "bluestore",
                "bluestore block size": 20 * 2**30,  # a sparse file
                "bluestore block create": "true",
                "osd memory target": 896 * 2**20,
                "osd mgr report interval": 1,
                # By default (0) it waits 5 s after each object of a removed snapshot, as for a disk that turns.
                "osd snap trim sleep": 0.001,
                # In a pause leases run out, and nobody sends a single OSD new ones: a placement group that was read
                # meanwhile may stay laggy for good, and delay every read (seen on 16.2).
                "osd pool default read lease ratio": 1000,
            },
            "client": {"keyring": here / "$name.keyring", "log file": "", "log to file": "false"},
        }
    )


def keyring(site: Site, *entities: str) -> str:
    lines = []
    for entity in entities:
        lines += [f"[{entity}]", f"\tkey = {site.key(entity)}"]
        lines += [f'\tcaps {service} = "{caps}"' for service, caps in CAPS[entity].items()]
    return "\n".join(lines) + "\n"


def keystone_conf(lab: Lab) -> str:
    here = lab.folder / "keystone"
    return ini(
        {
            "DEFAULT": {"use_stderr": "true"},
            "database": {"connection": f"sqlite:///{here}/keystone.db"},
            # Users and roles may be remembered; a token that was remembered would outlive its end by minutes.
            "token": {
                "provider": "fernet",
                "expiration": lab.token_lifetime,
                "caching": "false",
                "cache_on_issue": "false",
            },
            "cache": {"enabled": "true", "backend": "dogpile.cache.memory"},
            "fernet_tokens": {"key_repository": here / "fernet-keys"},
            "fernet_receipts": {"key_repository": here / "fernet-keys"},
            "credential": {"key_repository": here / "credential-keys"},
            "identity": {"password_hash_rounds": 4},
        }
    )


def glance_conf(lab: Lab) -> str:
    here = lab.folder / "glance"
    paste = OPENSTACK / "etc/glance"
    server: dict[str, object] = {}
    if lab.glance is Release.DISTRO:
        paste = DISTRO / "usr/share/glance-common"
        # A server of its own, whose green threads all stop while one of them waits for a dead cluster (tried). So it
        # has workers to spare, and connections that stay with none of them.
        server = {"bind_host": "127.0.0.1", "bind_port": lab.glance_port, "workers": 3, "http_keepalive": "false"}
    stores: dict[str, dict[str, object]] = {
        site.name: {
            "rbd_store_ceph_conf": site.conf,
            "rbd_store_user": "glance",
            "rbd_store_pool": "images",
            "store_description": "central site" if site.name == HUB else f"edge site {site.name}",
        }
        for site in lab.sites
    }
    return ini(
        {
            "DEFAULT": {
                "use_stderr": "true",
                "enabled_backends": ",".join(f"{name}:rbd" for name in stores),
                "enabled_import_methods": "[glance-direct,web-download,copy-image]",  # the brackets are needed
                "show_multiple_locations": "true",
                "worker_self_reference_url": lab.glance_url,
                "image_cache_dir": here / "cache",
                **server,
            },
            "database": {"connection": lab.glance_database},
            "glance_store": {"default_backend": HUB},
            **stores,
            "os_glance_tasks_store": {"filesystem_store_datadir": here / "tasks"},
            "os_glance_staging_store": {"filesystem_store_datadir": here / "staging"},
            # Glance refuses to fetch from the machine itself unless it is named; here, from any port of it.
            "import_filtering_opts": {"allowed_hosts": "[127.0.0.1]", "allowed_ports": "[]"},
            "task": {"work_dir": here / "work"},
            "paste_deploy": {
                "flavor": "keystone+cachemanagement",
                "config_file": paste / "glance-api-paste.ini",
            },
            "keystone_authtoken": {
                "www_authenticate_uri": lab.keystone_url,
                "auth_url": lab.keystone_url,
                "auth_type": "password",
                "username": "glance",
                "password": lab.secret("glance"),
                "project_name": "service",
                "user_domain_id": "default",
                "project_domain_id": "default",
                # Checking a token costs Keystone a third of a second of CPU here, so remember it; but shortly, so that
                # a token that Keystone refuses is soon refused by Glance, too.
                "token_cache_time": TOKEN_CACHE,
            },
        }
    )


def clouds(lab: Lab, application_credential: str) -> str:
    """The clouds.yaml of everybody who has a log-in here."""

    def password(user: str, project: str) -> dict[str, object]:
        return {
            "auth": {
                "auth_url": lab.keystone_url,
                "username": user,
                "password": lab.secret(user),
                "project_name": project,
                "user_domain_id": "default",
                "project_domain_id": "default",
            },
            **common,
        }

    common: dict[str, object] = {"region_name": "RegionOne", "identity_api_version": 3, "interface": "public"}
    entries: dict[str, object] = {
        "admin": password("admin", "admin"),
        "member": password("member", "tenant"),
        "edgesync": password("edgesync", "service"),
        "edgesync-appcred": {
            "auth_type": "v3applicationcredential",
            "auth": {
                "auth_url": lab.keystone_url,
                "application_credential_id": application_credential,
                "application_credential_secret": lab.secret("edgesync-appcred"),
            },
            **common,
        },
    }
    return yaml.safe_dump({"clouds": entries}, sort_keys=False)


def openrc(lab: Lab) -> str:
    """The admin's log-in for a shell: python-glanceclient reads no clouds.yaml."""
    settings = {
        "OS_AUTH_URL": lab.keystone_url,
        "OS_USERNAME": "admin",
        "OS_PASSWORD": lab.secret("admin"),
        "OS_PROJECT_NAME": "admin",
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_ID": "default",
        "OS_IDENTITY_API_VERSION": "3",
        "OS_REGION_NAME": "RegionOne",
    }
    return "".join(f"export {name}={value}\n" for name, value in settings.items())


def ceph_settings(site: Site) -> dict[str, str]:
    """How edgesync reaches the site's cluster: the `ceph` section of a store in its configuration."""
    return {"conf": str(site.conf), "user": "edgesync", "keyring": str(site.keyring("edgesync"))}


def edgesync(lab: Lab) -> str:
    """A configuration with which edgesync can be started at once, and with which nobody waits long for what it does."""
    return yaml.safe_dump(
        {
            "cloud": "edgesync",
            "clouds_file": str(lab.clouds_file),
            "hub": HUB,
            "stores": {
                site.name: {"ceph": ceph_settings(site), **({} if site.name == HUB else {"max_concurrent": 2})}
                for site in lab.sites
            },
            "policies": [
                {"name": "golden", "match": {"visibility": "public", "tags": ["golden"]}, "stores": "all"},
            ],
            "journal": {"url": f"sqlite+aiosqlite:///{lab.folder / 'journal.db'}"},
            "api": {"listen": f"127.0.0.1:{lab.api_port}"},
            "polling": {"active": "500ms", "idle": "5s"},
            "probes": {"every": "2s", "deadline": "3s"},
            "breaker": {"first": "1s", "ceiling": "5s"},
            "audit": {"every": "10s"},
        },
        sort_keys=False,
    )


def gunicorn(application: str, port: int, threads: int, folder: Path) -> str:
    """The server of one API: one worker, so that a background task and the requests about it share a process."""
    settings = {
        "wsgi_app": application,
        "bind": f"127.0.0.1:{port}",
        "worker_class": "gthread",
        "workers": 1,
        "threads": threads,
        "timeout": 0,  # an upload to a dead site may take for ever, as in the field
        "keepalive": 30,
        "control_socket_disable": True,  # by default it is in the home folder, the same for all
        "worker_tmp_dir": str(folder),
    }
    return "".join(f"{key} = {value!r}\n" for key, value in settings.items())
