"""Brings the tables of schema.sql to what is published. Run it after each export, as often as you like:

    pip install pyarrow 'psycopg[binary]'
    PGHOST=… PGDATABASE=… python3 deploy/warehouse/postgresql/load.py

PostgreSQL reads no Parquet, and the CSV guards cells against spreadsheets; so rows go from the Parquet, which is exact,
through COPY. One transaction does it all: whoever reads sees the tables before it or after it. PostgreSQL's text
holds no NUL: in a username it becomes U+2400, the picture of one.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from functools import partial
from typing import Any, NamedTuple

import psycopg
import pyarrow.parquet as pq
from pyarrow.fs import FileSelector, FileSystem

# The place to edit: what `output.url` of the job says, a folder or s3://bucket/prefix.
OUTPUT = "/var/lib/wickr-guest-export/billing"
# If the job has `output.roster_url`: that.
ROSTERS = OUTPUT
# How to connect is what the environment says: PGHOST, PGDATABASE, PGUSER, PGPASSFILE, …
CONNECTION = ""

ROSTER_COLUMNS = ["billing_period", "network_id", "username_hash", "username"]


class Task(NamedTuple):
    """A network in a period."""

    billing_period: str
    network_id: str


class Revision(NamedTuple):
    """What of a task is loaded, or is to be."""

    revision: int
    content_sha256: str
    # None: counts only, or purged.
    roster_file: str | None

    def is_of(self, row: dict[str, Any]) -> bool:
        """Says whether a row of the summary, or a manifest, is of this revision."""
        return (self.revision, self.content_sha256) == (
            row["revision"],
            row["content_sha256"],
        )


class Place:
    """A folder or a bucket."""

    def __init__(self, url: str) -> None:
        self.files, self.root = FileSystem.from_uri(url)

    def path(self, relative: str) -> str:
        """Return what the file system calls a path of the output."""
        return f"{self.root.rstrip('/')}/{relative}"

    def rosters(self) -> set[str]:
        """List the rosters of all revisions that are there."""
        below = FileSelector(
            self.path("revisions"), allow_not_found=True, recursive=True
        )
        root = self.path("")
        found = (info.path.removeprefix(root) for info in self.files.get_file_info(below))
        return {path for path in found if path.endswith("/guest_roster.parquet")}


def task_of(row: dict[str, Any]) -> Task:
    """Return what a row is about."""
    return Task(row["billing_period"], row["network_id"])


def published_revision(output: Place, row: dict[str, Any]) -> tuple[Revision | None, str]:
    """Return the revision that a manifest publishes, none if it is not the summary's, and whose numbers it has.

    Which roster a publication has, and whether it was purged, its manifest says and nothing else does: the current
    copies may be of another revision while a run is publishing, and a file that is not there may be lost. A manifest
    that is ahead of the summary waits for the next load.
    """
    task = task_of(row)
    path = output.path(
        f"manifests/period={task.billing_period}/network={task.network_id}/manifest.json"
    )
    with output.files.open_input_stream(path) as stream:
        manifest = json.loads(stream.read())
    rosters = [
        entry["path"]
        for entry in manifest["files"]
        if (entry["dataset"], entry["format"]) == ("guest_roster", "parquet")
        and manifest.get("rosters_purged_at") is None
    ]
    revision = Revision(
        manifest["revision"], manifest["content_sha256"], next(iter(rosters), None)
    )
    return revision if revision.is_of(row) else None, manifest["source"]["kind"]


def loaded_revisions(cursor: psycopg.Cursor) -> dict[Task, Revision]:
    """Read what is loaded, and keep other loads waiting until this one has ended."""
    cursor.execute("LOCK TABLE load_state IN SHARE ROW EXCLUSIVE MODE")
    cursor.execute(
        "SELECT billing_period, network_id, revision, content_sha256, roster_file FROM load_state"
    )
    return {Task(*row[:2]): Revision(*row[2:]) for row in cursor}


def keep_sources_apart(cursor: psycopg.Cursor, kinds: set[str]) -> None:
    """Refuse numbers of the simulator beside those of AWS."""
    loaded = {kind for kind, in cursor.execute("SELECT source_kind FROM load_source")}
    if len(kinds | loaded) > 1:
        raise SystemExit(
            f"rolled back: numbers of {' and '.join(sorted(kinds | loaded))} do not belong into the same tables. "
            "See to OUTPUT at the top, or load it into a database of its own"
        )
    cursor.executemany("INSERT INTO load_source VALUES (%s)", [(kind,) for kind in kinds - loaded])


def replace_roster(
    cursor: psycopg.Cursor, rosters: Place, task: Task, revision: Revision
) -> int:
    """Delete the guests of a task and copy those of its revision; return how many these are."""
    cursor.execute(
        "DELETE FROM guest_roster WHERE (billing_period, network_id) = (%s, %s)", task
    )
    cursor.execute(
        """
        INSERT INTO load_state VALUES (%s, %s, %s, %s, %s, %s)
        ON CONFLICT (billing_period, network_id) DO UPDATE SET
            revision = excluded.revision, content_sha256 = excluded.content_sha256,
            roster_file = excluded.roster_file, loaded_at = excluded.loaded_at
        """,
        (*task, *revision, datetime.now(timezone.utc)),
    )
    if revision.roster_file is None:
        return 0
    copied = 0
    with (
        rosters.files.open_input_file(rosters.path(revision.roster_file)) as file,
        cursor.copy(
            f"COPY guest_roster ({', '.join(ROSTER_COLUMNS)}) FROM STDIN (FORMAT BINARY)"
        ) as copy,
    ):
        copy.set_types(["text"] * len(ROSTER_COLUMNS))
        for row in rows_of(pq.ParquetFile(file)):
            copy.write_row(row)
            copied += 1
    return copied


def rows_of(roster: pq.ParquetFile) -> Iterator[tuple[str | None, ...]]:
    """Read the rows of a roster, batch by batch."""
    for batch in roster.iter_batches(columns=ROSTER_COLUMNS):
        *keys, usernames = (column.to_pylist() for column in batch.columns)
        names = [name and name.replace("\0", "\u2400") for name in usernames]
        yield from zip(*keys, names, strict=True)


def replace_counts(
    cursor: psycopg.Cursor,
    summary: list[dict[str, Any]],
    loaded: dict[Task, Revision],
) -> None:
    """Write anew what the summary says of loaded revisions and of what is missing.

    Evidence grows without a new revision: a period closes, a count is confirmed. What is missing and was loaded once
    stays as it was loaded.
    """
    current = [
        row for row in summary if task_of(row) in loaded and loaded[task_of(row)].is_of(row)
    ]
    missing = [
        row for row in summary if row["status"] == "missing" and task_of(row) not in loaded
    ]
    cursor.execute("DELETE FROM guest_counts WHERE status = 'missing'")
    cursor.executemany(
        """
        DELETE FROM guest_counts
        WHERE (billing_period, network_id, revision, content_sha256)
            = (%(billing_period)s, %(network_id)s, %(revision)s, %(content_sha256)s)
        """,
        current,
    )
    columns = list(summary[0]) if summary else []
    cursor.executemany(
        f"INSERT INTO guest_counts ({', '.join(columns)}) "
        f"VALUES ({', '.join(f'%({column})s' for column in columns)})",
        current + missing,
    )


def load(output: Place, rosters: Place, cursor: psycopg.Cursor) -> None:
    """Do what the transaction does."""
    loaded = loaded_revisions(cursor)
    with output.files.open_input_file(
        output.path("summary/parquet/guest_counts.parquet")
    ) as file:
        summary = pq.read_table(file).to_pylist()
    rows = [row for row in summary if row["status"] == "published"]
    # A bucket takes its time to answer, and there is a manifest for each network and period.
    with ThreadPoolExecutor(16) as readers:
        read = list(readers.map(partial(published_revision, output), rows))
    published = {task_of(row): revision for row, (revision, _) in zip(rows, read) if revision}
    keep_sources_apart(cursor, {kind for _, kind in read})

    # Listed after the manifests were read: a purge says so in those first.
    there = rosters.rosters() | {None}
    if lost := sorted(task for task, named in published.items() if named.roster_file not in there):
        raise SystemExit(
            f"rolled back: rosters are not below {ROSTERS}/revisions, and their manifests do not say that they were "
            f"purged: {len(lost)}, the first of them {' '.join(lost[0])}. See to ROSTERS at the top, or restore them: "
            "wickr-guest-export verify names each"
        )

    counts = {task_of(row): row["guest_count"] for row in rows}
    for task, revision in published.items():
        # Another revision, another content, another file: restated, published anew from the start, or purged.
        if revision == loaded.get(task):
            continue
        copied = replace_roster(cursor, rosters, task, revision)
        if revision.roster_file and copied != counts[task]:
            raise SystemExit(
                f"rolled back: the roster of {task.billing_period} {task.network_id} has {copied} guests and the "
                f"summary counts {counts[task]}. Run wickr-guest-export verify"
            )
    replace_counts(cursor, summary, loaded | published)


def main() -> None:
    """Load in one transaction, which any error rolls back."""
    with psycopg.connect(CONNECTION) as connection, connection.cursor() as cursor:
        load(Place(OUTPUT), Place(ROSTERS), cursor)


if __name__ == "__main__":
    main()
