"""Reads what the exporter published with the engines that its users have, and prints what each one sees.

    readers.py OUTPUT

Each Parquet prefix is read as one table by pyarrow, DuckDB and Polars, with the partition keys declared as
strings (a network may be `01234567`) and also with each engine's defaults, where the keys may be guessed but
the columns must still be right. Each CSV prefix is read by Python's csv module and by DuckDB, with the types
that the Parquet side of the same data has.
"""

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

Rows = list[dict[str, Any]]

# Each dataset with the partition keys of its folders and the column that each key repeats.
DATASETS: dict[str, dict[str, str]] = {
    "guest_roster": {"period": "billing_period", "network": "network_id"},
    "guest_counts": {"period": "billing_period", "network": "network_id"},
    "summary": {},
}
ORDER = ("billing_period", "network_id", "username_hash")
SQL_TYPES = {"string": "VARCHAR", "int64": "BIGINT", "bool": "BOOLEAN"}


def pyarrow_declared(prefix: Path, keys: dict[str, str]) -> Rows:
    """Read a prefix with pyarrow's dataset and a declared hive partitioning."""
    schema = pa.schema([(key, pa.string()) for key in keys])
    partitioning = ds.partitioning(schema, flavor="hive")
    table = ds.dataset(prefix, format="parquet", partitioning=partitioning).to_table()
    return _declared(table, keys)


def pyarrow_defaults(prefix: Path, keys: dict[str, str]) -> Rows:
    """Read a prefix with `pyarrow.parquet.read_table` as a newcomer would."""
    return _own_columns(pq.read_table(prefix), keys)


def duckdb_declared(prefix: Path, keys: dict[str, str]) -> Rows:
    """Read a prefix with DuckDB and declared types of the partition keys."""
    query = f"SELECT * FROM read_parquet(?, {_hive_options(keys)})"
    return _declared(_duckdb(query, prefix / "**" / "*.parquet"), keys)


def duckdb_defaults(prefix: Path, keys: dict[str, str]) -> Rows:
    """Read a prefix with DuckDB's automatic partitioning."""
    table = _duckdb("SELECT * FROM read_parquet(?)", prefix / "**" / "*.parquet")
    return _own_columns(table, keys)


def polars_declared(prefix: Path, keys: dict[str, str]) -> Rows:
    """Scan a prefix with Polars and a declared hive schema."""
    frame = pl.scan_parquet(
        prefix,
        hive_partitioning=bool(keys),
        hive_schema=dict.fromkeys(keys, pl.String) if keys else None,
    )
    return _declared(frame.collect().to_arrow(), keys)


def polars_defaults(prefix: Path, keys: dict[str, str]) -> Rows:
    """Read a prefix with `polars.read_parquet` as a newcomer would."""
    return _own_columns(pl.read_parquet(prefix).to_arrow(), keys)


def csv_module(prefix: Path, keys: dict[str, str]) -> Rows:
    """Read a prefix's files with Python's csv module; every value is text."""
    rows: Rows = []
    for path in sorted(prefix.rglob("*.csv")):
        folders = dict(part.split("=", 1) for part in path.parts if "=" in part)
        with path.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines, strict=True):
                wrong = [key for key in keys if row[keys[key]] != folders[key]]
                if wrong or None in row or None in row.values():
                    raise ValueError(f"{path}: a row out of its place: {row}")
                rows.append(row)
    return _sorted(rows)


def duckdb_csv(prefix: Path, keys: dict[str, str], schema: pa.Schema) -> Rows:
    """Read a prefix's files with DuckDB, with the types of the Parquet schema; null is not empty."""
    types = {column.name: _sql_type(column.type) for column in schema}
    # No timestamp of ours is without its offset, so the session's zone must not matter.
    query = f"""
        SELECT * FROM read_csv(?, {_hive_options(keys)},
            header = true, delim = ',', quote = '"', escape = '"', new_line = '\\n',
            auto_detect = false, allow_quoted_nulls = false, max_line_size = 33554432,
            columns = {types})
    """
    return _declared(_duckdb(query, prefix / "**" / "*.csv"), keys)


PARQUET_READERS: dict[str, Callable[[Path, dict[str, str]], Rows]] = {
    "pyarrow": pyarrow_declared,
    "pyarrow defaults": pyarrow_defaults,
    "duckdb": duckdb_declared,
    "duckdb defaults": duckdb_defaults,
    "polars": polars_declared,
    "polars defaults": polars_defaults,
}


def _duckdb(query: str, files: Path) -> pa.Table:
    with duckdb.connect(":memory:") as connection:
        return connection.sql(query, params=[str(files)]).to_arrow_table()


def _hive_options(keys: dict[str, str]) -> str:
    types = ", ".join(f"'{key}': VARCHAR" for key in keys)
    declared = f", hive_types = {{{types}}}" if keys else ""
    return f"hive_partitioning = {bool(keys)}{declared}"


def _sql_type(column_type: pa.DataType) -> str:
    if pa.types.is_timestamp(column_type):
        return "TIMESTAMPTZ"
    return SQL_TYPES[str(column_type)]


def _declared(table: pa.Table, keys: dict[str, str]) -> Rows:
    """Hold the partition keys, read as strings, against the columns that repeat them."""
    for key, column in keys.items():
        texts = table[key].cast(pa.string())
        if not texts.equals(table[column].cast(pa.string())):
            raise ValueError(f"partition key {key} is not column {column}")
    return _own_columns(table, keys)


def _own_columns(table: pa.Table, keys: dict[str, str]) -> Rows:
    columns = {
        name: [_plain(value) for value in _values(table[name])]
        for name in table.column_names
        if name not in keys
    }
    rows = zip(*columns.values(), strict=True)
    return _sorted(dict(zip(columns, row, strict=True)) for row in rows)


def _values(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        if column.type.tz is None:
            raise ValueError("a timestamp without a time zone")
        # Microseconds since the epoch say the same in every zone of a session.
        utc = column.cast(pa.timestamp("us", "UTC"))
        epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
        return [
            None if value is None else epoch + timedelta(microseconds=value)
            for value in utc.cast(pa.int64()).to_pylist()
        ]
    return list(column.to_pylist())


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _sorted(rows: Iterable[dict[str, Any]]) -> Rows:
    """Order rows by what they are about; a guarded cell stands where the value it guards would."""
    return sorted(
        rows, key=lambda row: [row.get(name, "").removeprefix("'") for name in ORDER]
    )


def read_all(output: Path) -> dict[str, dict[str, Rows]]:
    """Read each dataset with every engine; return rows by dataset and engine."""
    seen: dict[str, dict[str, Rows]] = {}
    for dataset, keys in DATASETS.items():
        parquet, text = output / dataset / "parquet", output / dataset / "csv"
        files = sorted(parquet.rglob("*.parquet"))
        if not files:
            raise FileNotFoundError(f"no Parquet file below {parquet}")
        schema = pq.read_schema(files[0])
        seen[dataset] = {
            name: read(parquet, keys) for name, read in PARQUET_READERS.items()
        }
        seen[dataset]["csv module"] = csv_module(text, keys)
        seen[dataset]["duckdb csv"] = duckdb_csv(text, keys, schema)
    return seen


def main() -> None:
    """Print as JSON what every engine reads below the output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    json.dump(read_all(parser.parse_args().output), sys.stdout)


if __name__ == "__main__":
    main()
