"""The capabilities that README.md lists are enough, and no more than enough."""

import errno
import json
from collections.abc import Iterator

import pytest
import rados
import rbd

from deploy.lab import ceph, render
from deploy.lab.errors import LabError
from deploy.lab.layout import POOLS, Lab, Site

SIZE = 8 * 2**20
NAME = "caps"


@pytest.fixture
def site(lab: Lab) -> Site:
    return lab.site("dcn0")


@pytest.fixture
def image(site: Site) -> Iterator[str]:
    """An image with a protected snapshot, made and taken away by edgesync's own client."""
    with ceph.pool(site) as images:
        rbd.RBD().create(images, NAME, SIZE)
        with rbd.Image(images, NAME) as handle:
            handle.write(b"edge" * 1024, 0)
            handle.create_snap("snap")
            handle.protect_snap("snap")
        yield NAME
        with rbd.Image(images, NAME) as handle:
            handle.unprotect_snap("snap")
            handle.remove_snap("snap")
        rbd.RBD().remove(images, NAME)


def test_edgesync_probes_and_sees_capacity(site: Site) -> None:
    with ceph.connect(site, "edgesync") as cluster:
        ceph.touch(cluster)
        assert set(POOLS) <= set(cluster.list_pools())
        assert cluster.get_cluster_stats()["kb_avail"] > 0
        assert {pool["name"] for pool in ceph.ask(cluster, "df")["pools"]} == set(POOLS)
        assert ceph.ask(cluster, "health")["status"] == "HEALTH_OK"


def test_edgesync_reads_renames_and_trashes_images(site: Site, image: str) -> None:
    with ceph.pool(site) as images:
        with rbd.Image(images, image, "snap", read_only=True) as handle:
            assert handle.read(0, 4) == b"edge"
            assert handle.is_protected_snap("snap")
            assert handle.stat()["size"] == SIZE
        rbd.RBD().rename(images, image, "renamed")
        rbd.RBD().rename(images, "renamed", image)
        rbd.RBD().create(images, "orphan", SIZE)
        rbd.RBD().trash_move(images, "orphan", 0)
        (entry,) = [entry for entry in rbd.RBD().trash_list(images) if entry["name"] == "orphan"]
        rbd.RBD().trash_remove(images, entry["id"])


@pytest.mark.parametrize("target", ["vms", "volumes", "images"])
def test_edgesync_clones_and_sees_the_clones(site: Site, image: str, target: str) -> None:
    with ceph.pool(site) as images, ceph.pool(site, target) as children:
        rbd.RBD().clone(images, image, "snap", children, "child")
        with rbd.Image(images, image, "snap") as parent:
            assert [(child["pool"], child["image"]) for child in parent.list_children2()] == [(target, "child")]
        with rbd.Image(children, "child") as child_image:
            assert child_image.read(0, 4) == b"edge"
            child_image.flatten()
        rbd.RBD().remove(children, "child")


def test_only_edgesync_may_have_the_manager_flatten(site: Site) -> None:
    listing = json.dumps({"prefix": "rbd task list", "format": "json"})
    with ceph.connect(site, "edgesync") as cluster:
        assert cluster.mgr_command(listing, b"")[0] == 0
        # Nothing else is asked of it.
        assert cluster.mgr_command(json.dumps({"prefix": "config show", "who": "mgr.x"}), b"")[0] == -errno.EACCES
    with ceph.connect(site, "glance") as cluster:
        assert cluster.mgr_command(listing, b"")[0] == -errno.EACCES


@pytest.mark.parametrize("user", ["edgesync", "glance"])
def test_clients_may_not_administer(site: Site, user: str) -> None:
    with ceph.connect(site, user) as cluster:
        with pytest.raises(rados.PermissionError):
            cluster.create_pool("mine")
        for prefix in ("auth ls", "config-key ls", "osd pause"):
            with pytest.raises(LabError, match="access denied"):
                ceph.ask(cluster, prefix)


def test_clients_may_not_write_elsewhere(site: Site) -> None:
    with ceph.connect(site) as admin:
        ceph.ask(admin, "osd pool create", pool="private", pg_num=1)
    try:
        for user, pool in (("edgesync", "private"), ("glance", "private"), ("glance", "vms")):
            with ceph.connect(site, user) as cluster, pytest.raises(rados.PermissionError):
                ceph.touch(cluster, pool)
    finally:
        with ceph.connect(site) as admin:
            sure = {"yes_i_really_really_mean_it": True}
            ceph.ask(admin, "osd pool rm", pool="private", pool2="private", **sure)


def test_no_capability_can_be_spared(site: Site) -> None:
    """Without the monitor's profile no connection, without a pool's no access to it."""
    caps = render.CAPS["client.edgesync"]
    pools = caps["osd"].split(", ")
    with ceph.connect(site) as admin:
        for kept, lost in ((pools[1:], "images"), (pools[:1], "vms"), (pools[:1], "volumes")):
            ceph.ask(admin, "auth caps", entity="client.edgesync", caps=["mon", caps["mon"], "osd", ", ".join(kept)])
            try:
                with ceph.connect(site, "edgesync") as cluster, pytest.raises(rados.PermissionError):
                    ceph.touch(cluster, lost)
            finally:
                whole = [word for pair in caps.items() for word in pair]
                ceph.ask(admin, "auth caps", entity="client.edgesync", caps=whole)
