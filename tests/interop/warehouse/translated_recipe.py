"""Redshift, Snowflake and BigQuery, which cannot be run here: their loads, translated to DuckDB's dialect by sqlglot.

What is theirs alone stays untried: external tables, for which views stand in, stages, locks, and how each ends a script
at an error. All three must leave the same tables.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import sqlglot
from loads import RECIPES
from sqlglot import exp

# What each recipe calls the external tables of the summary, the rosters and the manifests, and what these hold.
EXTERNAL = {
    "redshift": ("published.guest_summary", "published.guest_roster", "published.guest_manifest_lines"),
    "snowflake": ("published_summary", "published_roster", "published_manifest"),
    "bigquery": (
        "wickr_billing.published_summary",
        "wickr_billing.published_roster",
        "wickr_billing.published_manifest_lines",
    ),
}
LINES = "SELECT filename AS {name}, unnest(string_split(content, '\n')) AS line FROM read_text('{manifests}')"
MANIFESTS = {
    "redshift": LINES.replace("{name}", '"$path"'),
    "snowflake": """
        SELECT
            json ->> 'billing_period' AS billing_period,
            json ->> 'network_id' AS network_id,
            CAST(json ->> 'revision' AS DECIMAL(19, 0)) AS revision,
            json ->> 'content_sha256' AS content_sha256,
            json ->> 'rosters_purged_at' AS rosters_purged_at,
            nullif(regexp_extract(json ->> 'files', 'revisions/[^"]+/guest_roster[.]parquet'), '') AS roster_file
        FROM (SELECT content::JSON AS json FROM read_text('{manifests}'))
    """,
    "bigquery": LINES.replace("{name}", "_FILE_NAME"),
}


def translated(dialect: str) -> str:
    """Return the statements of a recipe that are not of its engine alone."""
    text = (RECIPES / f"{dialect}.sql").read_text(encoding="utf-8")
    statements = sqlglot.parse(text, read=dialect)
    common = (one for one in statements if one is not None and not _is_its_own(one))
    return ";\n".join(statement.sql("duckdb") for statement in common)


def _is_its_own(statement: exp.Expression) -> bool:
    if isinstance(statement, exp.Command):
        return True
    is_external = any(statement.find_all(exp.ExternalProperty))
    is_stage = isinstance(statement, exp.Create) and statement.kind == "STAGE"
    return is_external or is_stage


class Translated:
    """A DuckDB database for each dialect."""

    def __init__(self, output: str, warehouse: Path) -> None:
        self.output = Path(output)
        self.files = {dialect: warehouse / f"{dialect}.duckdb" for dialect in EXTERNAL}
        self.scripts = {dialect: translated(dialect) for dialect in EXTERNAL}

    def views(self, dialect: str, place: Path) -> str:
        """Return what stands in for the external tables; one without files is an empty table to their engines."""
        summary_table, roster_table, manifest_table = EXTERNAL[dialect]
        summary = self.output / "summary/parquet/guest_counts.parquet"
        manifests = MANIFESTS[dialect].replace("{manifests}", f"{self.output}/manifests/*/*/manifest.json")
        rosters = place / "guest_roster/parquet"
        columns = ["period", "network", "billing_period", "network_id", "username_hash", "username"]
        if any(rosters.rglob("*.parquet")):
            keys = "hive_partitioning = true, hive_types = {'period': VARCHAR, 'network': VARCHAR}"
            read = f"FROM read_parquet('{rosters}/*/*/*.parquet', {keys})"
        else:
            read = f"SELECT {', '.join(f'NULL::VARCHAR AS {name}' for name in columns)} LIMIT 0"
        return f"""
            CREATE SCHEMA IF NOT EXISTS wickr_billing;
            CREATE SCHEMA IF NOT EXISTS published;
            CREATE OR REPLACE VIEW {summary_table} AS FROM read_parquet('{summary}');
            CREATE OR REPLACE VIEW {roster_table} AS {read};
            CREATE OR REPLACE VIEW {manifest_table} AS {manifests};
        """

    def load(self, rosters: str | None) -> None:
        failures = []
        place = Path(rosters) if rosters else self.output
        for dialect, script in self.scripts.items():
            try:
                with duckdb.connect(self.files[dialect]) as connection:
                    connection.execute(self.views(dialect, place) + script)
            except duckdb.Error as failure:
                failures.append(failure)
        if len(failures) == len(self.scripts):
            raise failures[0]
        if failures:
            raise SystemExit(f"some loads fail and others do not: {failures}")

    def rows(self, table: str) -> Iterable[dict[str, Any]]:
        of_each = []
        for dialect, file in self.files.items():
            schema = "wickr_billing." if dialect == "bigquery" else ""
            with duckdb.connect(file) as connection:
                seen = connection.sql(f"FROM {schema}{table}").to_arrow_table().to_pylist()
            # Snowflake's integers are decimals.
            rows = [
                {name: int(value) if isinstance(value, Decimal) else value for name, value in row.items()}
                for row in seen
            ]
            # Each loads at another moment.
            of_each.append(sorted(str(row | {"loaded_at": None}) for row in rows))
        if of_each.count(of_each[0]) != len(of_each):
            raise SystemExit(f"{table} is not the same in {list(EXTERNAL)}: {of_each}")
        return rows


@contextmanager
def opened(output: str, warehouse: Path) -> Iterator[Translated]:
    """Names the databases; there is nothing to start."""
    yield Translated(output, warehouse)
