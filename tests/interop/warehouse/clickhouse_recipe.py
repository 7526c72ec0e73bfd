"""ClickHouse as chdb brings it: the server's engine within this process, with its tables in a folder."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from chdb.session import Session
from loads import recipe

# JSON has no instants, and its integers are quoted by ClickHouse unless told otherwise.
READ = "SELECT * FROM {} SETTINGS output_format_json_quote_64bit_integers = 0"


class ClickHouse:
    """A session, which reads what it did not commit as another one would: all goes through the views."""

    def __init__(self, session: Session, output: str) -> None:
        self.session = session
        self.output = output

    def edited(self, rosters: str | None) -> str:
        """Return the script, for a bucket with what its place to edit says of one."""
        if not self.output.startswith("s3://"):
            return recipe("clickhouse/load.sql", self.output, rosters)
        script = recipe("clickhouse/load.sql", _bucket(self.output), rosters and _bucket(rosters))
        return script.replace(" file(", " s3(")

    def load(self, rosters: str | None) -> None:
        self.session.query(self.edited(rosters))

    def rows(self, table: str) -> Iterable[dict[str, Any]]:
        answer = json.loads(str(self.session.query(READ.format(table), "JSON")))
        instants = {
            column["name"]
            for column in answer["meta"]
            if "DateTime64" in column["type"]
        }
        for row in answer["data"]:
            yield {
                name: _instant(value) if name in instants and value else value
                for name, value in row.items()
            }


def _bucket(url: str) -> str:
    """Return what stands for https://BUCKET.s3.REGION.amazonaws.com/PREFIX where the bucket is not AWS's."""
    return f"{os.environ['AWS_ENDPOINT_URL_S3']}/{url.removeprefix('s3://')}"


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


@contextmanager
def opened(output: str, warehouse: Path) -> Iterator[ClickHouse]:
    """Opens the folder's database, and closes it."""
    session = Session(str(warehouse / "clickhouse"))
    try:
        yield ClickHouse(session, output)
    finally:
        session.close()
