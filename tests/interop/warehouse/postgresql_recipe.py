"""PostgreSQL: a cluster of its own that listens on a socket in its folder, and ends with the test."""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from loads import RECIPES, recipe
from psycopg.rows import dict_row


class PostgreSql:
    """A running cluster."""

    def __init__(self, output: str, socket: Path, folder: Path) -> None:
        self.connection = f"host={socket} user=postgres dbname=postgres"
        self.environment = dict(
            os.environ, PGHOST=str(socket), PGUSER="postgres", PGDATABASE="postgres"
        )
        self.output = output
        self.script = folder / "load.py"
        schema = (RECIPES / "postgresql/schema.sql").read_text(encoding="utf-8")
        with psycopg.connect(self.connection, autocommit=True) as connection:
            connection.execute(schema)

    def load(self, rosters: str | None) -> None:
        edited = recipe("postgresql/load.py", self.output, rosters)
        self.script.write_text(edited, encoding="utf-8")
        loaded = subprocess.run(
            [sys.executable, self.script],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if loaded.returncode:
            raise RuntimeError(loaded.stderr)

    def rows(self, table: str) -> Iterable[dict[str, Any]]:
        with psycopg.connect(self.connection, row_factory=dict_row) as connection:
            return connection.execute(f"SELECT * FROM {table}").fetchall()


def _programs() -> Path:
    """Find the server's programs, which Debian keeps off the PATH, a folder a version."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not installed:
        raise FileNotFoundError("no initdb: install Debian's package postgresql")
    return installed[-1].parent


@contextmanager
def opened(output: str, warehouse: Path) -> Iterator[PostgreSql]:
    """Starts a cluster below the folder, as another user if this one is root, whom PostgreSQL refuses."""
    programs, data = _programs(), warehouse / "data"
    user: dict[str, Any] = {}
    if os.getuid() == 0:
        postgres = pwd.getpwnam("postgres")
        user = {"user": postgres.pw_uid, "group": postgres.pw_gid, "extra_groups": []}
        os.chown(warehouse, postgres.pw_uid, postgres.pw_gid)
        # On the way there only this user may pass.
        warehouse.parent.chmod(0o711)

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [programs / program, "--pgdata", data, *arguments],
            stdout=subprocess.DEVNULL,
            cwd=warehouse,
            check=True,
            **user,
        )

    run("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync")
    options = f"-c unix_socket_directories='{warehouse}' -c listen_addresses='' -c fsync=off"
    run("pg_ctl", "start", "--wait", f"--log={warehouse / 'log'}", f"--options={options}")
    try:
        yield PostgreSql(output, warehouse, warehouse.parent)
    finally:
        run("pg_ctl", "stop", "--wait", "--mode=fast")
