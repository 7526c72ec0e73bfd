-- Brings the tables of the current database to what is published. Run it after each export, one at a time:
--
--     clickhouse-client --database billing --queries-file deploy/warehouse/clickhouse/load.sql
--
-- ClickHouse has no transaction over several tables. So nothing that a reader sees is changed: a load is written
-- beside the one before, and one row in load_commits makes the views show it. What it replaced, purged guests too,
-- is deleted at the start of the next load, when no query can still be reading it.

-- The place to edit: what `output.url` of the job says, without a slash at the end. `file` reads what lies below the
-- server's user_files; for a bucket write s3( for every file( and https://BUCKET.s3.REGION.amazonaws.com/PREFIX here.
-- It signs with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the server's environment.
SET param_output = '/var/lib/wickr-guest-export/billing';
-- If the job has `output.roster_url`: that.
SET param_rosters = '/var/lib/wickr-guest-export/billing';

SET mutations_sync = 2, allow_nondeterministic_mutations = 1, join_use_nulls = 1, max_partitions_per_insert_block = 0;

CREATE TABLE IF NOT EXISTS load_commits (load_id UInt64, loaded_at DateTime64(6, 'UTC'))
ENGINE = MergeTree ORDER BY load_id;

-- Whose numbers all of this is: those of AWS (wickr), or of the simulator.
CREATE TABLE IF NOT EXISTS load_source (source_kind String) ENGINE = MergeTree ORDER BY source_kind;

-- Rows of rosters, by the file that they were loaded from: one of an immutable revision.
CREATE TABLE IF NOT EXISTS loaded_rosters (
    billing_period String,
    network_id String,
    username_hash String,
    username Nullable(String),
    roster_file String
)
ENGINE = MergeTree PARTITION BY billing_period ORDER BY (billing_period, network_id, roster_file, username_hash);

-- Each load with all counts: those that it found current, what was never published, and every revision before.
CREATE TABLE IF NOT EXISTS loaded_counts (
    load_id UInt64,
    billing_period String,
    period_start DateTime64(6, 'UTC'),
    period_end DateTime64(6, 'UTC'),
    aws_account_id Nullable(String),
    region Nullable(String),
    network_id String,
    network_name Nullable(String),
    status String,
    period_state String,
    guest_count Nullable(Int64),
    api_guest_count Nullable(Int64),
    reconciliation Nullable(String),
    confirmed_by Nullable(String),
    stable Nullable(Bool),
    revision Nullable(Int64),
    exported_at Nullable(DateTime64(6, 'UTC')),
    checked_at Nullable(DateTime64(6, 'UTC')),
    content_sha256 Nullable(String),
    is_current Bool,
    roster_file Nullable(String),
    loaded_at DateTime64(6, 'UTC')
)
ENGINE = MergeTree ORDER BY (load_id, billing_period, network_id);

CREATE OR REPLACE VIEW guest_counts AS
SELECT * EXCEPT (load_id, is_current, roster_file, loaded_at)
FROM loaded_counts
WHERE load_id = (SELECT max(load_id) FROM load_commits);

CREATE OR REPLACE VIEW guest_counts_current AS
SELECT * EXCEPT (load_id, is_current, roster_file, loaded_at)
FROM loaded_counts
WHERE load_id = (SELECT max(load_id) FROM load_commits) AND is_current;

-- What guest_roster holds. No roster_file: counts only, or purged.
CREATE OR REPLACE VIEW load_state AS
SELECT billing_period, network_id, revision, content_sha256, roster_file, loaded_at
FROM loaded_counts
WHERE load_id = (SELECT max(load_id) FROM load_commits) AND is_current AND status = 'published';

CREATE OR REPLACE VIEW guest_roster AS
SELECT billing_period, network_id, username_hash, username
FROM loaded_rosters
WHERE roster_file IN (SELECT roster_file FROM load_state WHERE roster_file IS NOT NULL);

-- What a load left behind that was not committed, and what the last one replaced.
ALTER TABLE loaded_rosters
DELETE WHERE roster_file NOT IN (SELECT assumeNotNull(roster_file) FROM load_state WHERE roster_file IS NOT NULL);
ALTER TABLE loaded_counts
DELETE WHERE load_id <> (SELECT max(load_id) FROM load_commits);

CREATE OR REPLACE TEMPORARY TABLE summary ENGINE = Memory AS
SELECT * FROM file({output:String} || '/summary/parquet/guest_counts.parquet', Parquet);

-- Which roster a publication has, and whether it was purged, its manifest says and nothing else does: current copies
-- may be of another revision while a run is publishing, and a file that is not there may be lost.
CREATE OR REPLACE TEMPORARY TABLE manifests ENGINE = Memory AS
SELECT
    JSONExtractString(json, 'billing_period') AS billing_period,
    JSONExtractString(json, 'network_id') AS network_id,
    JSONExtractInt(json, 'revision') AS revision,
    JSONExtractString(json, 'content_sha256') AS content_sha256,
    JSONExtractString(json, 'source', 'kind') AS source_kind,
    if(JSONExtractString(json, 'rosters_purged_at') = '', arrayFirstOrNull(
        path -> endsWith(path, '/guest_roster.parquet'),
        arrayMap(entry -> JSONExtractString(entry, 'path'), JSONExtractArrayRaw(json, 'files'))
    ), NULL) AS roster_file
FROM file({output:String} || '/manifests/*/*/manifest.json', JSONAsString, 'json String');

WITH kinds AS (SELECT source_kind FROM manifests UNION DISTINCT SELECT source_kind FROM load_source)
SELECT throwIf((SELECT count() FROM kinds) > 1, (
    SELECT concat('not committed: numbers of ', arrayStringConcat(arraySort(groupArray(source_kind)), ' and '),
        ' do not belong into the same tables. See to output at the top, or load it into a database of its own')
    FROM kinds
))
FORMAT Null;

-- Listed after the manifests were read: a purge says so in those first.
CREATE OR REPLACE TEMPORARY TABLE roster_listing ENGINE = Memory AS
SELECT extract(_path, 'revisions/[^/]+/[^/]+/[^/]+/guest_roster[.]parquet$') AS roster_file
FROM file({rosters:String} || '/revisions/*/*/*/guest_roster.parquet', One);

-- A manifest that is ahead of the summary waits for the next load.
CREATE OR REPLACE TEMPORARY TABLE published ENGINE = Memory AS
SELECT billing_period, network_id, revision, content_sha256, guest_count, roster_file
FROM summary
JOIN manifests USING (billing_period, network_id, revision, content_sha256)
WHERE status = 'published';

-- What a message tells has to be a constant, as the answer to a query of its own is.
WITH missing AS (
    SELECT billing_period, network_id
    FROM summary
    WHERE status = 'published'
      AND (billing_period, network_id) NOT IN (SELECT billing_period, network_id FROM manifests)
)
SELECT throwIf((SELECT count() FROM missing) > 0, (
    SELECT concat('not committed: publications have no manifest: ', toString(count()), ', the first of them ',
        min(billing_period || ' ' || network_id), '. See to `output` at the top, or run wickr-guest-export verify')
    FROM missing
))
FORMAT Null;

WITH lost AS (
    SELECT billing_period, network_id
    FROM published
    WHERE isNotNull(roster_file) AND roster_file NOT IN (SELECT roster_file FROM roster_listing)
)
SELECT throwIf((SELECT count() FROM lost) > 0, (
    SELECT concat('not committed: rosters are not below ', {rosters:String}, '/revisions, and their manifests do not ',
        'say that they were purged: ', toString(count()), ', the first of them ',
        min(billing_period || ' ' || network_id),
        '. See to `rosters` at the top, or restore them: wickr-guest-export verify names each')
    FROM lost
))
FORMAT Null;

-- What is published: loaded anew if it is another revision, another content or another file, that is restated,
-- published anew from the start, or purged; and evidence grows without any of these. Then what was loaded and is not in
-- the summary, or waits. Then revisions before, then what is missing; what is missing and was loaded once stays as it
-- was loaded.
INSERT INTO loaded_counts
WITH (SELECT max(load_id) + 1 FROM load_commits) AS next_load
SELECT
    next_load, summary.*, true, published.roster_file,
    if(isNull(load_state.loaded_at) OR ifNull(published.roster_file, '') <> ifNull(load_state.roster_file, ''),
       now64(6, 'UTC'), assumeNotNull(load_state.loaded_at))
FROM summary
JOIN published USING (billing_period, network_id, revision, content_sha256)
LEFT JOIN load_state USING (billing_period, network_id, revision, content_sha256)
UNION ALL
SELECT next_load, loaded.* EXCEPT (load_id, is_current, roster_file, loaded_at), true, roster_file, loaded_at
FROM loaded_counts AS loaded
WHERE load_id = next_load - 1 AND is_current AND status = 'published'
  AND (billing_period, network_id) NOT IN (SELECT billing_period, network_id FROM published)
UNION ALL
SELECT next_load, loaded.* EXCEPT (load_id, is_current, roster_file, loaded_at), false, NULL, loaded_at
FROM loaded_counts AS loaded
WHERE load_id = next_load - 1 AND status = 'published'
  AND (NOT is_current OR (billing_period, network_id) IN (SELECT billing_period, network_id FROM published))
  AND (billing_period, network_id, revision, content_sha256)
      NOT IN (SELECT billing_period, network_id, revision, content_sha256 FROM published)
UNION ALL
SELECT next_load, summary.*, true, NULL, now64(6, 'UTC')
FROM summary
WHERE status = 'missing' AND (billing_period, network_id) NOT IN (SELECT billing_period, network_id FROM load_state);

INSERT INTO loaded_rosters
SELECT
    billing_period, network_id, username_hash, username,
    extract(_path, 'revisions/[^/]+/[^/]+/[^/]+/guest_roster[.]parquet$')
FROM file(
    {rosters:String} || '/revisions/*/*/*/guest_roster.parquet', Parquet,
    'billing_period String, network_id String, username_hash String, username Nullable(String)'
)
WHERE extract(_path, 'revisions/[^/]+/[^/]+/[^/]+/guest_roster[.]parquet$') IN (
    SELECT assumeNotNull(roster_file)
    FROM loaded_counts
    WHERE load_id > (SELECT max(load_id) FROM load_commits) AND roster_file IS NOT NULL
      AND roster_file NOT IN (SELECT roster_file FROM loaded_rosters)
);

WITH differing AS (
    SELECT billing_period, network_id
    FROM published
    LEFT JOIN (SELECT roster_file, count() AS guests FROM loaded_rosters GROUP BY roster_file) AS stored
        ON stored.roster_file = assumeNotNull(published.roster_file)
    WHERE isNotNull(published.roster_file) AND ifNull(toInt64(stored.guests), 0) <> published.guest_count
)
SELECT throwIf((SELECT count() FROM differing) > 0, (
    SELECT concat('not committed: rosters have not the guests that the summary counts: ', toString(count()),
        ', the first of them ', min(billing_period || ' ' || network_id), '. Run wickr-guest-export verify')
    FROM differing
))
FORMAT Null;

INSERT INTO load_source SELECT DISTINCT source_kind FROM manifests WHERE (SELECT count() FROM load_source) = 0;

INSERT INTO load_commits SELECT max(load_id) + 1, now64(6, 'UTC') FROM load_commits;
