"""Spark on this machine, with a metastore in a folder; what reads is another session than what loads."""

import runpy
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loads import recipe
from pyspark.sql import SparkSession


class Spark:
    """A running Spark."""

    def __init__(self, session: SparkSession, output: str, folder: Path) -> None:
        self.session = session
        self.output = output
        self.script = folder / "load.py"

    def load(self, rosters: str | None) -> None:
        edited = recipe("spark/load.py", self.output, rosters)
        self.script.write_text(edited, encoding="utf-8")
        try:
            runpy.run_path(str(self.script), run_name="__main__")
        except SystemExit as refusal:
            raise RuntimeError(str(refusal)) from refusal

    def rows(self, table: str) -> Iterable[dict[str, Any]]:
        reader = self.session.newSession()
        # As Arrow, since Spark's own rows have instants in the zone of the machine and do not say so.
        return reader.table(f"billing.{table}").toArrow().to_pylist()


@contextmanager
def opened(output: str, warehouse: Path) -> Iterator[Spark]:
    """Starts Spark with the settings of a small machine."""
    metastore = f"jdbc:derby:;databaseName={warehouse / 'metastore'};create=true"
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "1g",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "America/New_York",
        "spark.sql.warehouse.dir": str(warehouse / "tables"),
        "spark.hadoop.javax.jdo.option.ConnectionURL": metastore,
        "spark.driver.extraJavaOptions": f"-Dderby.system.home={warehouse}",
    }
    builder = SparkSession.builder.master("local[2]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.enableHiveSupport().getOrCreate()
    gateway = session.sparkContext._gateway
    try:
        yield Spark(session, output, warehouse)
    finally:
        session.stop()
        # Java ends at the end of its input, and has its metastore's files in a folder that goes away.
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait()
