"""DuckDB: the script in one connection, the reader in another one."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from loads import recipe


class DuckDb:
    """A database file, which each load and each reader opens for itself."""

    def __init__(self, output: Path, warehouse: Path) -> None:
        self.script = recipe("duckdb/load.sql", output)
        self.file = warehouse / "billing.duckdb"

    def load(self) -> None:
        with duckdb.connect(self.file) as connection:
            connection.execute(self.script)

    def rows(self, table: str) -> Iterable[dict[str, Any]]:
        with duckdb.connect(self.file) as connection:
            return connection.sql(f"FROM {table}").to_arrow_table().to_pylist()


@contextmanager
def opened(output: Path, warehouse: Path) -> Iterator[DuckDb]:
    """Names the database; there is nothing to start."""
    yield DuckDb(output, warehouse)
