"""Brings the tables of a Spark database to what is published. Run it after each export, one at a time:

    spark-submit deploy/warehouse/spark/load.py

It takes a catalog that keeps tables and views: a Hive metastore, or Glue's. Plain Parquet tables have no transaction,
so nothing that a reader sees is changed: a load is written beside the one before, and replacing the one view
current_load makes the others show it. What it replaced, purged guests too, is deleted at the start of the next load,
when no query can still be reading it. Every partition key is declared, as a string where it is one: 01234567 is a
network and 1234567 none.
"""

import json
import re
from typing import NamedTuple

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as f

# The place to edit: what `output.url` of the job says, with s3a:// for s3://. That takes hadoop-aws of the
# version that Spark's Hadoop has.
OUTPUT = "/var/lib/wickr-guest-export/billing"
# If the job has `output.roster_url`: that.
ROSTERS = OUTPUT
DATABASE = "billing"

TASK = ["billing_period", "network_id"]
REVISION = [*TASK, "revision", "content_sha256"]
ROSTER_SCHEMA = "billing_period STRING, network_id STRING, username_hash STRING, username STRING"
COUNTS_SCHEMA = """
    billing_period STRING, period_start TIMESTAMP, period_end TIMESTAMP, aws_account_id STRING, region STRING,
    network_id STRING, network_name STRING, status STRING, period_state STRING, guest_count BIGINT,
    api_guest_count BIGINT, reconciliation STRING, confirmed_by STRING, stable BOOLEAN, revision BIGINT,
    exported_at TIMESTAMP, checked_at TIMESTAMP, content_sha256 STRING
"""
COUNTS = re.findall(r"(\w+) [A-Z]+", COUNTS_SCHEMA)

TABLES = [
    f"CREATE DATABASE IF NOT EXISTS {DATABASE}",
    f"USE {DATABASE}",
    # Rows of rosters, by the immutable revision that they were loaded from.
    f"""CREATE TABLE IF NOT EXISTS loaded_rosters
        ({ROSTER_SCHEMA}, period STRING, network STRING, revision_folder STRING)
        USING parquet PARTITIONED BY (period, network, revision_folder)""",
    # Each load with all counts: those that it found current, what was never published, every revision before.
    f"""CREATE TABLE IF NOT EXISTS loaded_counts
        ({COUNTS_SCHEMA}, is_current BOOLEAN, roster_file STRING, loaded_at TIMESTAMP, load_id BIGINT)
        USING parquet PARTITIONED BY (load_id)""",
    "CREATE VIEW IF NOT EXISTS current_load AS SELECT 0L AS load_id",
    # Whose numbers all of this is: those of AWS (wickr), or of the simulator.
    "CREATE VIEW IF NOT EXISTS load_source AS SELECT CAST(NULL AS STRING) AS source_kind",
    f"""CREATE OR REPLACE VIEW guest_counts AS
        SELECT {', '.join(COUNTS)} FROM loaded_counts JOIN current_load USING (load_id)""",
    f"""CREATE OR REPLACE VIEW guest_counts_current AS
        SELECT {', '.join(COUNTS)} FROM loaded_counts JOIN current_load USING (load_id) WHERE is_current""",
    # What guest_roster holds. No roster_file: counts only, or purged.
    f"""CREATE OR REPLACE VIEW load_state AS
        SELECT {', '.join(REVISION)}, roster_file, loaded_at
        FROM loaded_counts JOIN current_load USING (load_id) WHERE is_current AND status = 'published'""",
    """CREATE OR REPLACE VIEW guest_roster AS
        SELECT rows.billing_period, rows.network_id, rows.username_hash, rows.username
        FROM loaded_rosters AS rows JOIN load_state AS loaded
        ON rows.period = loaded.billing_period AND rows.network = loaded.network_id
        AND rows.revision_folder = element_at(split(loaded.roster_file, '/'), 4)""",
]


class Revision(NamedTuple):
    """What of a network in a period is loaded, or is to be."""

    billing_period: str
    network_id: str
    revision: int
    content_sha256: str
    # None: counts only, or purged.
    roster_file: str | None

    @property
    def partition(self) -> str | None:
        """The partition of loaded_rosters that has its guests, as SHOW PARTITIONS writes it."""
        if self.roster_file is None:
            return None
        folder = self.roster_file.split("/")[3]
        return f"period={self.billing_period}/network={self.network_id}/revision_folder={folder}"


Revisions = dict[tuple[str, str], Revision]


def loaded_revisions(spark: SparkSession) -> Revisions:
    """Read what is loaded."""
    rows = spark.table("load_state").select(*Revision._fields).collect()
    return {(row.billing_period, row.network_id): Revision(*row) for row in rows}


def delete_what_nobody_sees(spark: SparkSession, loaded: Revisions, current: int) -> None:
    """Delete what a load left behind that was not committed, and what the last one replaced."""
    seen = {revision.partition for revision in loaded.values()}
    for table, kept in {"loaded_rosters": seen, "loaded_counts": {f"load_id={current}"}}.items():
        for row in spark.sql(f"SHOW PARTITIONS {table}").collect():
            if row.partition not in kept:
                keys = (part.split("=", 1) for part in row.partition.split("/"))
                named = ", ".join(f"{key} = '{value}'" for key, value in keys)
                spark.sql(f"ALTER TABLE {table} DROP IF EXISTS PARTITION ({named})")


def rosters_there(spark: SparkSession) -> set[str]:
    """List the rosters of all revisions that are there, without reading them."""
    files = spark.read.format("binaryFile").option("recursiveFileLookup", True)
    files = files.option("pathGlobFilter", "guest_roster.parquet")
    try:
        paths = files.load(f"{ROSTERS}/revisions").select("path")
    except AnalysisException as error:
        if error.getCondition() != "PATH_NOT_FOUND":
            raise
        return set()
    relative = f.regexp_extract("path", "revisions/[^/]+/[^/]+/[^/]+/guest_roster[.]parquet$", 0)
    return {row.path for row in paths.select(relative.alias("path")).collect()}


def published_revisions(spark: SparkSession, published: list[Row]) -> tuple[Revisions, set[str]]:
    """Return the revisions that manifests publish and the summary counts, and whose numbers manifests have.

    Which roster a publication has, and whether it was purged, its manifest says and nothing else does: the current
    copies may be of another revision while a run is publishing, and a file that is not there may be lost. A manifest
    that is ahead of the summary waits for the next load.
    """
    if not published:
        return {}, set()
    counted = {tuple(row[field] for field in REVISION) for row in published}
    paths = [f"{OUTPUT}/manifests/period={task[0]}/network={task[1]}/manifest.json" for task in counted]
    revisions: Revisions = {}
    kinds = set()
    for row in spark.read.text(paths, wholetext=True).select("value").collect():
        manifest = json.loads(row.value)
        kinds.add(manifest["source"]["kind"])
        named = tuple(manifest[field] for field in REVISION)
        rosters = [
            entry["path"]
            for entry in manifest["files"]
            if (entry["dataset"], entry["format"]) == ("guest_roster", "parquet")
            and manifest.get("rosters_purged_at") is None
        ]
        if named in counted:
            revisions[named[:2]] = Revision(*named, next(iter(rosters), None))
    return revisions, kinds


def load_rosters(spark: SparkSession, revisions: list[Revision], counts: dict[tuple[str, str], int]) -> None:
    """Write the guests of revisions beside those of others, and hold their numbers against the summary's."""
    if not revisions:
        return
    paths = [f"{ROSTERS}/{revision.roster_file}" for revision in revisions]
    rows = spark.read.schema(ROSTER_SCHEMA).parquet(*paths)
    folder = f.regexp_extract("_metadata.file_path", "/(r[0-9]+-[0-9a-f]+)/guest_roster[.]parquet$", 1)
    columns = ["billing_period", "network_id", "username_hash", "username"]
    keys = [f.col("billing_period").alias("period"), f.col("network_id").alias("network")]
    rows.select(*columns, *keys, folder.alias("revision_folder")).write.insertInto("loaded_rosters", overwrite=True)

    stored = spark.table("loaded_rosters").groupBy("period", "network", "revision_folder").count().collect()
    found = {
        f"period={row.period}/network={row.network}/revision_folder={row.revision_folder}": row["count"]
        for row in stored
    }
    for revision in revisions:
        expected, has = counts[revision[:2]], found.get(revision.partition, 0)
        if has != expected:
            raise SystemExit(
                f"not committed: the roster of {revision.billing_period} {revision.network_id} has {has} guests and "
                f"the summary counts {expected}. Run wickr-guest-export verify"
            )


def load_counts(
    spark: SparkSession, summary: DataFrame, wanted: Revisions, loaded: Revisions, load_id: int
) -> None:
    """Write all counts of this load.

    What the summary says of loaded revisions is always taken anew, as evidence grows without a new revision: a period
    closes, a count is confirmed. What is missing and was loaded once stays as it was loaded.
    """
    plan = spark.createDataFrame(
        [(*revision, revision != loaded.get(task)) for task, revision in wanted.items()],
        "billing_period STRING, network_id STRING, revision BIGINT, content_sha256 STRING, roster_file STRING, "
        "is_new BOOLEAN",
    )
    before = spark.table("guest_counts").where("status = 'published'")
    loaded_at = spark.table("load_state").select(*TASK, "loaded_at")
    current = summary.unionByName(before.join(summary, REVISION, "left_anti")).join(plan, REVISION)
    current = current.join(loaded_at, TASK, "left").select(
        *COUNTS,
        f.lit(True),
        "roster_file",
        f.when(f.col("is_new"), f.current_timestamp()).otherwise(f.col("loaded_at")),
    )
    missing = summary.where("status = 'missing'").join(plan, TASK, "left_anti")
    replaced = before.join(plan, REVISION, "left_anti")
    nothing = [f.lit(None).cast("string"), f.current_timestamp()]
    rows = current.union(missing.select(*COUNTS, f.lit(True), *nothing))
    rows = rows.union(replaced.select(*COUNTS, f.lit(False), *nothing))
    rows.select("*", f.lit(load_id)).coalesce(1).write.insertInto("loaded_counts", overwrite=True)


def main() -> None:
    """Write a load, and commit it."""
    spark = SparkSession.builder.appName("wickr-guest-export").enableHiveSupport().getOrCreate()
    # Overwriting replaces the partitions that are written, which no reader sees yet, and no others.
    spark.conf.set("spark.sql.sources.partitionOverwriteMode", "dynamic")
    for statement in TABLES:
        spark.sql(statement)

    loaded = loaded_revisions(spark)
    load_id = spark.table("current_load").first().load_id
    delete_what_nobody_sees(spark, loaded, load_id)

    # Read once, as a run may put another one in its place.
    summary = spark.read.schema(COUNTS_SCHEMA).parquet(f"{OUTPUT}/summary/parquet/guest_counts.parquet")
    summary = summary.localCheckpoint()
    published = summary.where("status = 'published'").select(*REVISION, "guest_count").collect()
    counts = {(row.billing_period, row.network_id): row.guest_count for row in published}
    current, kinds = published_revisions(spark, published)
    kinds |= {row.source_kind for row in spark.table("load_source").where("source_kind IS NOT NULL").collect()}
    if len(kinds) > 1:
        raise SystemExit(
            f"not committed: numbers of {' and '.join(sorted(kinds))} do not belong into the same tables. See to "
            "OUTPUT at the top, or load it into a database of its own"
        )
    # Listed after the manifests were read: a purge says so in those first.
    there = rosters_there(spark) | {None}
    if lost := sorted(task for task, revision in current.items() if revision.roster_file not in there):
        raise SystemExit(
            f"not committed: rosters are not below {ROSTERS}/revisions, and their manifests do not say that they were "
            f"purged: {len(lost)}, the first of them {' '.join(lost[0])}. See to ROSTERS at the top, or "
            "restore them: wickr-guest-export verify names each"
        )
    # Another revision, another content, another file: restated, published anew from the start, or purged.
    new = [revision for task, revision in current.items() if revision != loaded.get(task)]
    load_rosters(spark, [revision for revision in new if revision.roster_file], counts)
    load_counts(spark, summary, loaded | current, loaded, load_id + 1)
    for kind in kinds:
        spark.sql(f"CREATE OR REPLACE VIEW load_source AS SELECT '{kind}' AS source_kind")
    # The commit.
    spark.sql(f"CREATE OR REPLACE VIEW current_load AS SELECT {load_id + 1}L AS load_id")


if __name__ == "__main__":
    main()
