"""Parses the recipes of engines that cannot be run here, and prints what they declare.

    declarations.py

Each recipe is one of deploy/warehouse and named for its dialect. A statement that sqlglot does not know ends up
unread, so those are printed too: what is not parsed is not to be called so.
"""

import json
import logging
import sys
from pathlib import Path

import sqlglot
from sqlglot import exp

RECIPES = Path(__file__).resolve().parents[3] / "deploy" / "warehouse"
DIALECTS = ("athena", "redshift", "snowflake", "bigquery")
# Types by what they hold, since each dialect has words of its own.
KINDS = {"TEXT": "text", "VARCHAR": "text", "BIGINT": "integer", "DECIMAL": "integer", "BOOLEAN": "boolean"}
KINDS |= dict.fromkeys(("TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMPNTZ"), "instant")


def columns(create: exp.Create) -> dict[str, str]:
    """Return the kind of each column of a table, partition keys too."""
    found = {}
    for column in create.find_all(exp.ColumnDef):
        kind = column.args["kind"]
        found[column.name] = KINDS.get(kind.this.name, kind.sql())
    return found


def declared(path: Path, dialect: str) -> dict[str, object]:
    """Return the tables and views of a recipe, and the beginnings of what was not understood."""
    statements = sqlglot.parse(path.read_text(encoding="utf-8"), read=dialect)
    known = [statement for statement in statements if statement is not None]
    tables = {
        statement.find(exp.Table).name: columns(statement)
        for statement in known
        if isinstance(statement, exp.Create) and isinstance(statement.this, exp.Schema)
    }
    views = [
        statement.find(exp.Table).name
        for statement in known
        if isinstance(statement, exp.Create) and statement.kind == "VIEW"
    ]
    unread = [
        " ".join(statement.sql(dialect, comments=False).split()[:3])
        for statement in known
        if isinstance(statement, exp.Command)
    ]
    return {"tables": tables, "views": views, "unread": unread}


def main() -> None:
    """Print what is declared, by dialect."""
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    found = {dialect: declared(RECIPES / f"{dialect}.sql", dialect) for dialect in DIALECTS}
    found["postgres"] = declared(RECIPES / "postgresql" / "schema.sql", "postgres")
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
