"""DuckDB: the script in one connection, the reader in another one.

Its extensions for buckets come from PyPI here, as the place that INSTALL takes them from may be out of reach.
"""

import importlib.resources
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from loads import recipe


def bucket_setup() -> str:
    """Return what the recipe has a person write for a bucket, and where this one is, which is not AWS's."""
    loads = []
    for name in ("httpfs", "aws"):
        package = importlib.resources.files(f"duckdb_extension_{name}")
        binary = f"extensions/v{duckdb.__version__}/{name}.duckdb_extension"
        loads.append(f"LOAD '{package / binary}'")
    endpoint = os.environ["AWS_ENDPOINT_URL_S3"].removeprefix("http://")
    secret = f"""CREATE SECRET (TYPE s3, PROVIDER credential_chain,
        ENDPOINT '{endpoint}', USE_SSL false, URL_STYLE 'path')"""
    return ";\n".join([*loads, secret])


class DuckDb:
    """A database file, which each load and each reader opens for itself."""

    def __init__(self, output: str, warehouse: Path) -> None:
        self.output = output
        self.file = warehouse / "billing.duckdb"

    def load(self, rosters: str | None) -> None:
        script = recipe("duckdb/load.sql", self.output, rosters)
        if self.output.startswith("s3://"):
            script = f"{bucket_setup()};\n{script}"
        with duckdb.connect(self.file) as connection:
            connection.execute(script)

    def rows(self, table: str) -> Iterable[dict[str, Any]]:
        with duckdb.connect(self.file) as connection:
            return connection.sql(f"FROM {table}").to_arrow_table().to_pylist()


@contextmanager
def opened(output: str, warehouse: Path) -> Iterator[DuckDb]:
    """Names the database; there is nothing to start."""
    yield DuckDb(output, warehouse)
