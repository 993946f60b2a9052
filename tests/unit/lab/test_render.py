"""The configuration files say what the lab is."""

import configparser
import dataclasses
from pathlib import Path

import pytest
import yaml

from deploy.lab import render
from deploy.lab.layout import Lab, Network, Release
from edgesync.config import load


@pytest.fixture
def lab() -> Lab:
    return Lab(name="try", edges=2, base_port=20_000, seed="5eed", token_lifetime=77, home=Path("/somewhere"))


def parsed(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return parser


def test_ceph_keeps_to_its_folder_and_ports(lab: Lab) -> None:
    conf = parsed(render.ceph_conf(lab.site("dcn0")))
    assert conf["global"]["mon host"] == "v2:127.0.0.1:20040"
    assert (conf["global"]["ms bind port min"], conf["global"]["ms bind port max"]) == ("20041", "20059")
    assert conf["osd"]["osd data"] == "/somewhere/try/dcn0/osd"
    assert conf["client"]["keyring"] == "/somewhere/try/dcn0/$name.keyring"


def test_ceph_of_an_edge_listens_in_its_own_network(lab: Lab) -> None:
    linked = dataclasses.replace(lab, network=Network.NAMESPACES)
    conf = parsed(render.ceph_conf(linked.site("dcn1")))
    assert conf["global"]["mon host"] == "v2:198.19.0.6:20060"
    assert (conf["global"]["public addr"], conf["global"]["cluster addr"]) == ("198.19.0.6", "198.19.0.6")
    central = parsed(render.ceph_conf(linked.site("central")))
    assert central["global"]["mon host"] == "v2:127.0.0.1:20020"


def test_keyring_names_key_and_caps(lab: Lab) -> None:
    site = lab.site("central")
    conf = parsed(render.keyring(site, "client.edgesync"))
    assert conf["client.edgesync"]["key"] == site.key("client.edgesync")
    assert conf["client.edgesync"]["caps mon"] == '"profile rbd"'
    assert conf["client.edgesync"]["caps mgr"] == '"profile rbd"'
    assert conf["client.edgesync"]["caps osd"] == (
        '"profile rbd pool=images, profile rbd pool=vms, profile rbd pool=volumes"'
    )


def test_glance_has_a_store_for_each_site(lab: Lab) -> None:
    conf = parsed(render.glance_conf(lab))
    assert conf["DEFAULT"]["enabled_backends"] == "central:rbd,dcn0:rbd,dcn1:rbd"
    assert conf["glance_store"]["default_backend"] == "central"
    assert conf["dcn1"]["rbd_store_ceph_conf"] == "/somewhere/try/dcn1/ceph.conf"
    assert 0 < int(conf["keystone_authtoken"]["token_cache_time"]) <= 10


def test_keystone_has_the_lifetime_asked_for(lab: Lab) -> None:
    assert parsed(render.keystone_conf(lab))["token"]["expiration"] == "77"


def test_clouds_has_everybody(lab: Lab) -> None:
    clouds = yaml.safe_load(render.clouds(lab, "the-id"))["clouds"]
    assert set(clouds) == {"admin", "member", "edgesync", "edgesync-appcred"}
    assert clouds["edgesync"]["auth"]["password"] == lab.secret("edgesync")
    assert clouds["edgesync-appcred"]["auth"]["application_credential_id"] == "the-id"


def test_edgesync_configuration_is_accepted(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "edgesync.yaml"
    file.write_text(render.edgesync(lab))
    settings = load(file, {})
    assert [store for store in settings.stores if settings.stores[store].ceph] == ["central", "dcn0", "dcn1"]


def test_edgesync_configuration_is_complete(lab: Lab) -> None:
    def ceph(site: str) -> dict[str, str]:
        here = f"/somewhere/try/{site}"
        return {"conf": f"{here}/ceph.conf", "user": "edgesync", "keyring": f"{here}/client.edgesync.keyring"}

    assert yaml.safe_load(render.edgesync(lab)) == {
        "cloud": "edgesync",
        "clouds_file": "/somewhere/try/clouds.yaml",
        "hub": "central",
        "stores": {
            "central": {"ceph": ceph("central")},
            "dcn0": {"ceph": ceph("dcn0"), "max_concurrent": 2},
            "dcn1": {"ceph": ceph("dcn1"), "max_concurrent": 2},
        },
        "policies": [{"name": "golden", "match": {"visibility": "public", "tags": ["golden"]}, "stores": "all"}],
        "journal": {"url": "sqlite+aiosqlite:////somewhere/try/journal.db"},
        "api": {"listen": "127.0.0.1:20002"},
        "polling": {"active": "500ms", "idle": "5s"},
        "probes": {"every": "2s", "deadline": "3s"},
        "breaker": {"first": "1s", "ceiling": "5s"},
        "audit": {"every": "10s"},
    }


def test_server_has_one_worker(lab: Lab) -> None:
    settings: dict[str, object] = {}
    exec(render.gunicorn("some:app", 20_001, 4, Path("/somewhere")), settings)  # noqa: S102  # gunicorn does just this
    assert settings["wsgi_app"] == "some:app"
    assert settings["bind"] == "127.0.0.1:20001"
    assert (settings["workers"], settings["threads"]) == (1, 4)


def test_the_old_glance_is_a_server_of_its_own(lab: Lab) -> None:
    conf = parsed(render.glance_conf(dataclasses.replace(lab, glance=Release.DISTRO)))
    assert (conf["DEFAULT"]["bind_port"], conf["DEFAULT"]["http_keepalive"]) == ("20001", "false")
    assert "glance-distro" in conf["paste_deploy"]["config_file"]
    assert "bind_port" not in parsed(render.glance_conf(lab))["DEFAULT"]


def test_how_edgesync_reaches_a_sites_cluster(lab: Lab) -> None:
    assert render.ceph_settings(lab.site("dcn0")) == {
        "conf": "/somewhere/try/dcn0/ceph.conf",
        "user": "edgesync",
        "keyring": "/somewhere/try/dcn0/client.edgesync.keyring",
    }
