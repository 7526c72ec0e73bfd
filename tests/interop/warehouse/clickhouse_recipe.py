"""ClickHouse as chdb brings it: the server's engine within this process, with its tables in a folder."""

import json
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

    def __init__(self, session: Session, output: Path) -> None:
        self.session = session
        self.script = recipe("clickhouse/load.sql", output)

    def load(self) -> None:
        self.session.query(self.script)

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


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


@contextmanager
def opened(output: Path, warehouse: Path) -> Iterator[ClickHouse]:
    """Opens the folder's database, and closes it."""
    session = Session(str(warehouse / "clickhouse"))
    try:
        yield ClickHouse(session, output)
    finally:
        session.close()
