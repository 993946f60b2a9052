"""`python -m deploy.lab`: errors that a person can do something about end it with their sentence."""

import subprocess
import sys

import rados
import rbd
from keystoneauth1.exceptions import ClientException

from deploy.lab.cli import main
from deploy.lab.errors import LabError

if __name__ == "__main__":
    try:
        main(prog_name="python -m deploy.lab")
    except (LabError, rados.Error, rbd.Error, ClientException, subprocess.TimeoutExpired) as error:
        sys.exit(f"error: {error}")
