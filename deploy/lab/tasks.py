"""Make Glance's import tasks older than they are, so that nobody has to wait an hour for a lock to expire."""

import uuid

from deploy.lab import mariadb
from deploy.lab.errors import LabError
from deploy.lab.layout import Lab
from deploy.lab.wait import say

_TIMES = ("created_at", "updated_at")


def age(lab: Lab, image: str, minutes: float) -> None:
    """Move every task of the image into the past, so that their order stays as it was.

    Glance gives a lock away by its task's `updated_at`: after 60 minutes, 120 if the task is pending.
    """
    try:
        checked = uuid.UUID(image)
    except ValueError:
        raise LabError(f"{image!r} is no image's id") from None
    moved = ", ".join(f"{column} = {column} - INTERVAL {minutes * 60:.0f} SECOND" for column in _TIMES)
    # Checked above, and a person's own database.
    if mariadb.changed(lab, f"UPDATE tasks SET {moved} WHERE image_id = '{checked}'") == 0:  # noqa: S608
        raise LabError(f"image {image} has no task; `edgesync status {image}` shows what becomes of it")
    say(f"the tasks of image {image} are {minutes:g} minutes older")
