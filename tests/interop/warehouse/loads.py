"""Runs an engine's recipe of deploy/warehouse whenever it is told to, and prints what the tables then hold.

    loads.py ENGINE OUTPUT WAREHOUSE

OUTPUT is a folder or s3://bucket/prefix. Each line on stdin is one load of it into the tables that are kept below
WAREHOUSE, and says where its rosters are, if that is another place. Each line on stdout is the JSON of what a reader sees afterwards, beside the summary as pyarrow reads it,
and why the load failed, if it did. One process serves all loads of a test, as some engines take seconds to start.
"""

import argparse
import importlib
import json
import re
import sys
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

import pyarrow.parquet as pq

RECIPES = Path(__file__).resolve().parents[3] / "deploy" / "warehouse"
# What each recipe has at its one place to edit.
INSTALLED_OUTPUT = "/var/lib/wickr-guest-export/billing"
# How each says there that the rosters are in the same place.
INSTALLED_ROSTERS = re.compile(r"^(SET VARIABLE rosters|SET param_rosters|ROSTERS) = [^;\n]+", re.MULTILINE)
TABLES = ("guest_roster", "guest_counts", "guest_counts_current", "load_state")


class Warehouse(Protocol):
    """An engine with the tables of its recipe."""

    def load(self, rosters: str | None) -> None:
        """Run the recipe as its first lines tell a person to; raise if it fails."""

    def rows(self, table: str) -> Iterable[dict[str, Any]]:
        """Read a table or view as a reader who does not load."""


def recipe(path: str, output: str, rosters: str | None) -> str:
    """Return a recipe, edited where it says that it is to be edited."""
    text = (RECIPES / path).read_text(encoding="utf-8")
    edited = [number for number, line in enumerate(text.splitlines()) if INSTALLED_OUTPUT in line]
    if not edited or edited[-1] - edited[0] > 2:
        raise ValueError(f"{path} has more than one place to edit, or none")
    if rosters is not None:
        text, edits = INSTALLED_ROSTERS.subn(rf"\1 = '{rosters}'", text)
        if edits != 1:
            raise ValueError(f"{path} has no place for rosters, or more than one")
    return text.replace(INSTALLED_OUTPUT, output)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat()
    return value


def _listed(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    plain = [{name: _plain(value) for name, value in row.items()} for row in rows]
    return sorted(plain, key=lambda row: json.dumps(row, sort_keys=True))


def main() -> None:
    """Load once for each line, and tell what there is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engine")
    parser.add_argument("output")
    parser.add_argument("warehouse", type=Path)
    arguments = parser.parse_args()
    engine = importlib.import_module(f"{arguments.engine}_recipe")
    with engine.opened(arguments.output, arguments.warehouse) as warehouse:
        for line in sys.stdin:
            error = None
            try:
                warehouse.load(line.strip() or None)
            except Exception as failure:  # Each engine has its own; the test demands what it says.
                error = f"{type(failure).__name__}: {failure}"
            seen: dict[str, Any] = {name: _listed(warehouse.rows(name)) for name in TABLES}
            summary = f"{arguments.output}/summary/parquet/guest_counts.parquet"
            seen |= {"error": error, "summary": _listed(pq.read_table(summary).to_pylist())}
            print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    main()
