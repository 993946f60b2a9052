"""The commands of the lab."""

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from deploy.lab import (
    faults,
    glance,
    images,
    install,
    keystone,
    lifecycle,
    links,
    readback,
    registry,
    status,
    tasks,
    upload,
)
from deploy.lab.faults import How
from deploy.lab.layout import HUB, Lab, Network, Release

which = click.option(
    "--glance",
    "release",
    type=click.Choice([release.value for release in Release]),
    help="pinned: the current one (default for a new lab); distro: Debian's glance-api 25.1.",
)
named = click.option("--name", default="dev", show_default=True, envvar="EDGESYNC_LAB_NAME", help="Which lab.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A real cloud with edge sites on this machine: Ceph per site, Keystone, Glance."""


@main.command("install")
@which
def install_command(release: str | None) -> None:
    """Install what is missing: Debian's packages, and OpenStack in an environment of its own."""
    install.install(Release(release or Release.PINNED))


@main.command()
@named
@click.option("--sites", type=int, help="Edges beside central; 2 for a new lab.")
@click.option(
    "--token-lifetime",
    type=click.IntRange(min=5),
    metavar="SECONDS",
    help="How long a token is good; an hour for a new lab.",
)
@which
@click.option(
    "--network",
    type=click.Choice([network.value for network in Network]),
    help="Edges behind links of their own (default for a new lab, where the machine allows it), or all on loopback.",
)
@click.option("--rate", metavar="RATE", help="Limit every link, each way: 500kbit, 200mbit, 1gbit; none lifts it.")
def up(
    name: str, sites: int | None, token_lifetime: int | None, release: str | None, network: str | None, rate: str | None
) -> None:
    """Bring a lab up, or repair the one that is there."""
    lifecycle.up(
        name,
        sites,
        token_lifetime,
        release=Release(release) if release else None,
        network=Network(network) if network else None,
        rate=None if rate is None else links.parse(rate),
    )


@main.command()
@named
def down(name: str) -> None:
    """End every process of a lab and remove its links and files."""
    lifecycle.down(name)


@main.command("status")
@named
@click.pass_context
def status_command(context: click.Context, name: str) -> None:
    """Show each service; exit 1 when one is unhealthy."""
    services = status.status(Lab.load(name))
    table = Table("service", "pid", "port", "health", "note", box=None)
    for service in services:
        health = "[green]good[/]" if service.healthy else "[red]bad[/]"
        table.add_row(service.name, str(service.pid or "-"), str(service.port or ""), health, service.note)
    Console().print(table)
    context.exit(0 if all(service.healthy for service in services) else 1)


@main.command("break")
@named
@click.argument("site")
@click.option("--how", type=click.Choice([how.value for how in How]), required=True)
def break_command(name: str, site: str, how: str) -> None:
    """Break a site: its OSD stops answering, dies, or is full; or nothing there answers; or its link is cut."""
    with registry.locked_lab(name) as lab:
        faults.break_site(lab, site, How(how))


@main.command()
@named
@click.argument("site")
@click.option("--how", type=click.Choice([how.value for how in How]), help="Undo this fault only.")
def heal(name: str, site: str, how: str | None) -> None:
    """Undo what `break` did to a site."""
    with registry.locked_lab(name) as lab:
        faults.heal_site(lab, site, How(how) if how else None)


@main.command("limit")
@named
@click.argument("site")
@click.argument("rate")
def limit_command(name: str, site: str, rate: str) -> None:
    """Limit the link to a site, each way: 500kbit, 200mbit, 1gbit; none lifts the limit."""
    with registry.locked_lab(name) as lab:
        links.limit(lab, lab.site(site), links.parse(rate))


@main.command("wire")
@named
@click.argument("sites", nargs=-1, metavar="[SITE]...")
def wire_command(name: str, sites: tuple[str, ...]) -> None:
    """Bytes on the links since they were made, headers included, as central's interfaces count them."""
    lab = Lab.load(name)
    table = Table("site", "received", "sent", box=None)
    for site in sites or [edge.name for edge in lab.sites if edge.name != HUB]:
        table.add_row(site, *map(str, links.wire(lab, site)))
    Console().print(table)


@main.command("kill-glance")
@named
def kill_glance(name: str) -> None:
    """Kill Glance's API and its worker with SIGKILL, whatever it is doing."""
    with registry.locked_lab(name) as lab:
        glance.kill(lab)


@main.command("restart-glance")
@named
def restart_glance(name: str) -> None:
    """Stop Glance's API if it runs, and start it."""
    with registry.locked_lab(name) as lab:
        glance.stop(lab)
        glance.ensure(lab)


@main.command("age-task")
@named
@click.argument("image")
@click.option(
    "--minutes", type=float, default=61, show_default=True, help="60 free a lock; 120 if its task is pending."
)
def age_task(name: str, image: str, minutes: float) -> None:
    """Make an image's import tasks older, so that the lock of a dead one can be taken over now."""
    tasks.age(Lab.load(name), image, minutes)


@main.command("expire-tokens")
@named
def expire_tokens(name: str) -> None:
    """Make every token issued so far invalid at once."""
    with registry.locked_lab(name) as lab:
        keystone.expire_tokens(lab)


@main.command("images")
def images_command() -> None:
    """Build debian-v1 and debian-v2, unless they are there; print where."""
    for image in (images.debian_v1(), images.debian_v2()):
        click.echo(image)


@main.command("upload")
@named
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--as", "image_name", help="The image's name; the file's without its ending, if not given.")
@click.option(
    "--visibility", type=click.Choice(["public", "private", "shared", "community"]), default="public", show_default=True
)
@click.option("--tag", "tags", multiple=True)
@click.option("--property", "properties", multiple=True, metavar="KEY=VALUE")
@click.option("--user", default="admin", show_default=True, help="Who owns it: admin, member or edgesync.")
def upload_command(
    name: str,
    file: Path,
    image_name: str | None,
    visibility: str,
    tags: tuple[str, ...],
    properties: tuple[str, ...],
    user: str,
) -> None:
    """Upload a raw image to central through Glance, and print its id."""
    pairs = dict(text.partition("=")[::2] for text in properties)
    lab = Lab.load(name)
    click.echo(
        upload.upload(
            lab, file, name=image_name or file.stem, visibility=visibility, tags=tags, properties=pairs, user=user
        )
    )


@main.command("readback")
@named
@click.argument("site")
@click.argument("image")
def readback_command(name: str, site: str, image: str) -> None:
    """Read an image straight from a site's Ceph: size, protected snapshot, SHA-512."""
    click.echo(readback.readback(Lab.load(name), site, image))


@main.command("rbd-images")
@named
@click.argument("site")
@click.option("--pool", default="images", show_default=True)
def rbd_images_command(name: str, site: str, pool: str) -> None:
    """List what is in a site's pool, orphans included."""
    for image in readback.rbd_images(Lab.load(name), site, pool):
        click.echo(image)
