"""Glance's database, as in the field.

On SQLite two imports that start within the same moment can fail on "database is locked" before their first step; the
task stays `pending`, and its image locked for two hours. That is a fault of the lab, not of Glance.
"""

import shutil
import socket
import subprocess

from deploy.lab.errors import LabError
from deploy.lab.layout import Lab, write
from deploy.lab.processes import Process, environment, recorded, spawn
from deploy.lab.wait import say, until

PATIENCE = 60  # seconds


def ensure(lab: Lab, *, anew: bool) -> None:
    """Make an empty database if there is none, or `anew`; start the server if need be, and wait until it answers."""
    here = lab.folder / "mariadb"
    if anew or not (here / "made").exists():
        _make(lab)
    process = running(lab) or _start(lab)
    until(lambda: greets(lab), "mariadb", seconds=PATIENCE, process=process, log=here / "mariadb.log")
    say("mariadb: answers")


def running(lab: Lab) -> Process | None:
    return recorded(lab.folder / "mariadb" / "server.pid")


def greets(lab: Lab) -> bool:
    """Whether the server sends its greeting."""
    try:
        with socket.create_connection(("127.0.0.1", lab.mariadb_port), timeout=2) as connection:
            return bool(connection.recv(1))
    except OSError:
        return False


def query(lab: Lab, statements: str) -> list[tuple[str, ...]]:
    """Run SQL on Glance's database; the rows of what it selects, as text."""
    account = ("--host=127.0.0.1", f"--port={lab.mariadb_port}", "--user=glance", "--database=glance")
    argv = ["mariadb", "--no-defaults", "--protocol=tcp", *account, "--batch", "--skip-column-names"]
    done = subprocess.run(
        argv,
        input=statements,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**environment(lab.folder), "MYSQL_PWD": lab.secret("mariadb")},
        check=False,
    )
    if done.returncode != 0:
        raise LabError(f"Glance's database refused: {done.stderr.strip()}")
    return [tuple(line.split("\t")) for line in done.stdout.splitlines()]


def changed(lab: Lab, statement: str) -> int:
    """Run one UPDATE on Glance's database; the number of rows that it changed."""
    ((count,),) = query(lab, f"{statement}; SELECT ROW_COUNT()")
    return int(count)


def _make(lab: Lab) -> None:
    here = lab.folder / "mariadb"
    if process := running(lab):
        process.kill()
    shutil.rmtree(here, ignore_errors=True)
    (here / "scratch").mkdir(parents=True)
    account = "glance@'127.0.0.1'"
    statements = (
        "CREATE DATABASE IF NOT EXISTS glance CHARACTER SET utf8mb3",
        f"CREATE USER IF NOT EXISTS {account} IDENTIFIED BY '{lab.secret('mariadb')}'",
        f"GRANT ALL ON glance.* TO {account}",
    )
    write(here / "init.sql", "".join(f"{statement};\n" for statement in statements))
    folders = (f"--datadir={here}/data", f"--tmpdir={here}/scratch")
    argv = ["mariadb-install-db", "--no-defaults", "--user=root", "--skip-test-db", *folders]
    env = environment(lab.folder)  # so that `down` finds it, should we be killed
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, env=env, check=False)
    if done.returncode != 0:
        raise LabError(f"mariadb-install-db failed:\n{done.stdout[-1500:]}{done.stderr[-500:]}")
    (here / "made").touch()


def _start(lab: Lab) -> Process:
    here = lab.folder / "mariadb"
    argv = [
        "mariadbd",
        "--no-defaults",
        "--user=root",
        f"--datadir={here}/data",
        f"--tmpdir={here}/scratch",  # a server that starts deletes the temporary tables of others there
        f"--init-file={here}/init.sql",
        f"--port={lab.mariadb_port}",
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--socket=server.sock",  # relative to the data, for a path may have 107 characters only
        "--pid-file=server.pid",
        "--innodb-buffer-pool-size=32M",
        "--innodb-log-file-size=16M",
        "--innodb-flush-log-at-trx-commit=2",
        "--performance-schema=OFF",
    ]
    return spawn(argv, record=here / "server.pid", log=here / "mariadb.log", mark=lab.folder)
