"""Keystone and Glance: may we do what we have to, and does this Glance offer it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from edgesync.domain.checkup import Identity
from edgesync.domain.level import Level
from edgesync.errors import EdgesyncError
from edgesync.plan.diagnosis import Diagnosis, not_seen, ok, problem, unknown, warning

# Seconds between two clocks. Grace times and the age of locks are counted in minutes.
SKEW_WARNING, SKEW_PROBLEM = 5.0, 60.0

OPTIONAL = {
    "web-download": "no image can be imported from a URI (`edgesync import URI`).",
    "glance-direct": "no image can be imported from a file (`edgesync import --file`).",
}


def judge_login(identity: Identity | None) -> Diagnosis:
    if identity is None:
        return unknown(
            "log-in",
            "This log-in has no token of Keystone's: its roles can't be seen.",
            "Look at the other checks: they use it.",
        )
    roles = ", ".join(sorted(identity.roles)) or "no role"
    who = f"{identity.user} in project {identity.project or '(none)'} with {roles}"
    if "admin" not in {role.lower() for role in identity.roles}:
        return problem(
            "log-in",
            f"{who}: without the role admin, Glance hides other projects' images and refuses to copy them.",
            f"`openstack role add --user {identity.user} --project {identity.project or 'service'} admin`; an "
            "application credential has the roles that it was made with: make a new one.",
        )
    return ok("log-in", f"{who}.")


def judge_clock(who: str, ahead: float | EdgesyncError | None, *, subject: str) -> Diagnosis:
    """`ahead` is in seconds; None when `who` does not tell the time."""
    if isinstance(ahead, EdgesyncError):
        return not_seen("clock", ahead, subject=subject)
    if ahead is None:
        return unknown("clock", f"{who} does not tell the time.", "Look at the clocks by hand.", subject=subject)
    direction = "ahead of" if ahead > 0 else "behind"
    skewed = f"The clock of {who} is {_seconds(abs(ahead))} {direction} the clock here"
    remedy = "Have both synchronised: `chronyc tracking` or `timedatectl timesync-status` on either machine."
    why = "when a lock expires and whether a leftover is old enough to be put away are judged by both."
    if abs(ahead) > SKEW_PROBLEM:
        return problem("clock", f"{skewed}: {why}", remedy, subject=subject)
    if abs(ahead) > SKEW_WARNING:
        return warning("clock", f"{skewed}: {why}", remedy, subject=subject)
    return ok("clock", f"The clock of {who} and the clock here agree.", subject=subject)


def judge_level(level: Level) -> Iterator[Diagnosis]:
    """`find_level` has refused a Glance that can't copy between stores."""
    methods = ", ".join(sorted(level.methods))
    yield ok("glance", f"It speaks the image API {level.version} and offers {methods}.")
    for sentence in replace(level, methods=level.methods | OPTIONAL.keys()).misses:
        yield warning(
            "glance", f"{level.version}: {sentence}", "edgesync works with less detail; a newer Glance tells it."
        )
    for method, consequence in OPTIONAL.items():
        if method not in level.methods:
            yield warning(
                "import methods",
                f"Glance does not offer {method}: {consequence}",
                f"Add {method} to enabled_import_methods of every glance-api, if that is wanted.",
            )


def judge_locations(shown: bool | EdgesyncError | None) -> Diagnosis:
    if isinstance(shown, EdgesyncError):
        return not_seen("locations", shown)
    if shown is None:
        return unknown("locations", "There is no image to see by whether Glance shows locations.", "Upload one.")
    if not shown:
        return warning(
            "locations",
            "Glance does not show the images' locations: a copy that edgesync makes itself can't be registered.",
            "Set show_multiple_locations = true in the glance-api.conf that only administrators reach, and let its "
            "policy (get_image_location, set_image_location) be admin's.",
        )
    return ok("locations", "Glance shows the images' locations.")


def _seconds(number: float) -> str:
    return f"{number:.0f} s" if number < 600 else f"{number / 60:.0f} minutes"
