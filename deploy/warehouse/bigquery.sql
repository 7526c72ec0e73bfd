-- Brings tables of BigQuery to what is published, once the output is mirrored to Cloud Storage with its paths.
--
-- This was parsed in its dialect and never run. It reads the current copies, so run it after an export and not beside
-- one.
-- Run it as one script: everything from BEGIN TRANSACTION to COMMIT TRANSACTION is one, and an error rolls it back.
-- Run one load at a time, after the mirroring and not beside it.
--
-- The place to edit: gs://CHANGE-ME-billing-exports/wickr, four times, and the data set wickr_billing, which has to
-- exist. If the job has `output.roster_url`: that for published_roster, twice.

CREATE EXTERNAL TABLE IF NOT EXISTS wickr_billing.published_summary (
    billing_period STRING,
    period_start TIMESTAMP,
    period_end TIMESTAMP,
    aws_account_id STRING,
    region STRING,
    network_id STRING,
    network_name STRING,
    status STRING,
    period_state STRING,
    guest_count INT64,
    api_guest_count INT64,
    reconciliation STRING,
    confirmed_by STRING,
    stable BOOL,
    revision INT64,
    exported_at TIMESTAMP,
    checked_at TIMESTAMP,
    content_sha256 STRING
)
OPTIONS (format = 'PARQUET', uris = ['gs://CHANGE-ME-billing-exports/wickr/summary/parquet/guest_counts.parquet']);

-- The keys are strings: a network may be 01234567.
CREATE EXTERNAL TABLE IF NOT EXISTS wickr_billing.published_roster (
    billing_period STRING,
    network_id STRING,
    username_hash STRING,
    username STRING
)
WITH PARTITION COLUMNS (period STRING, network STRING)
OPTIONS (
    format = 'PARQUET',
    uris = ['gs://CHANGE-ME-billing-exports/wickr/guest_roster/parquet/*'],
    hive_partition_uri_prefix = 'gs://CHANGE-ME-billing-exports/wickr/guest_roster/parquet'
);

-- No tab is in them, so a line is a column.
CREATE EXTERNAL TABLE IF NOT EXISTS wickr_billing.published_manifest_lines (
    line STRING
)
OPTIONS (
    format = 'CSV',
    uris = ['gs://CHANGE-ME-billing-exports/wickr/manifests/*/manifest.json'],
    field_delimiter = '\t',
    quote = ''
);

CREATE TABLE IF NOT EXISTS wickr_billing.guest_roster (
    billing_period STRING NOT NULL,
    network_id STRING NOT NULL,
    username_hash STRING NOT NULL,
    username STRING
);

-- Each revision that was ever loaded, with what the summary said of it last; and what was never published.
CREATE TABLE IF NOT EXISTS wickr_billing.guest_counts (
    billing_period STRING NOT NULL,
    period_start TIMESTAMP NOT NULL,
    period_end TIMESTAMP NOT NULL,
    aws_account_id STRING,
    region STRING,
    network_id STRING NOT NULL,
    network_name STRING,
    status STRING NOT NULL,
    period_state STRING NOT NULL,
    guest_count INT64,
    api_guest_count INT64,
    reconciliation STRING,
    confirmed_by STRING,
    stable BOOL,
    revision INT64,
    exported_at TIMESTAMP,
    checked_at TIMESTAMP,
    content_sha256 STRING
);

-- What guest_roster holds. A row deleted here is loaded again. No roster_file: counts only, or purged.
CREATE TABLE IF NOT EXISTS wickr_billing.load_state (
    billing_period STRING NOT NULL,
    network_id STRING NOT NULL,
    revision INT64 NOT NULL,
    content_sha256 STRING NOT NULL,
    roster_file STRING,
    loaded_at TIMESTAMP NOT NULL
);

CREATE OR REPLACE VIEW wickr_billing.guest_counts_current AS
SELECT guest_counts.*
FROM wickr_billing.guest_counts
LEFT JOIN wickr_billing.load_state
    ON load_state.billing_period = guest_counts.billing_period AND load_state.network_id = guest_counts.network_id
WHERE (guest_counts.revision = load_state.revision AND guest_counts.content_sha256 = load_state.content_sha256)
   OR (guest_counts.status = 'missing' AND load_state.network_id IS NULL);

CREATE TEMP TABLE summary AS
SELECT * FROM wickr_billing.published_summary;

CREATE TEMP TABLE present AS
SELECT DISTINCT period, network
FROM wickr_billing.published_roster;

-- A manifest is read line by line, "key": value, as BigQuery reads no JSON over several lines. Which roster a
-- publication has, and whether it was purged, it says and nothing else does: a file that is not there may be lost.
CREATE TEMP TABLE manifests AS
SELECT
    MAX(REGEXP_EXTRACT(line, r'^ *"billing_period": "([^"]+)"')) AS billing_period,
    MAX(REGEXP_EXTRACT(line, r'^ *"network_id": "([^"]+)"')) AS network_id,
    CAST(MAX(REGEXP_EXTRACT(line, r'^ *"revision": ([0-9]+)')) AS INT64) AS revision,
    MAX(REGEXP_EXTRACT(line, r'^ *"content_sha256": "([^"]+)"')) AS content_sha256,
    CASE WHEN MAX(REGEXP_EXTRACT(line, r'^ *"rosters_purged_at": "([^"]+)"')) IS NULL
         THEN MAX(REGEXP_EXTRACT(line, r'^ *"path": "([^"]+/guest_roster[.]parquet)"')) END AS roster_file
FROM (SELECT _FILE_NAME AS manifest, line FROM wickr_billing.published_manifest_lines) AS manifest_lines
GROUP BY manifest;

-- A manifest that is ahead of the summary waits for the next load. No roster_file: counts only, or purged.
CREATE TEMP TABLE current_revisions AS
SELECT
    summary.billing_period, summary.network_id, summary.revision, summary.content_sha256, summary.guest_count,
    manifests.roster_file
FROM summary
JOIN manifests
    ON manifests.billing_period = summary.billing_period AND manifests.network_id = summary.network_id
    AND manifests.revision = summary.revision AND manifests.content_sha256 = summary.content_sha256
WHERE summary.status = 'published';

-- Fails if a manifest is not there.
SELECT IF(COUNT(*) = 0, NULL, ERROR(CONCAT(
    'publications have no manifest: ', CAST(COUNT(*) AS STRING), ', the first of them ',
    MIN(CONCAT(billing_period, ' ', network_id)), '. See to the uris of published_manifest_lines, or run ',
    'wickr-guest-export verify'
)))
FROM summary
WHERE status = 'published' AND NOT EXISTS (
    SELECT 1 FROM manifests
    WHERE manifests.billing_period = summary.billing_period AND manifests.network_id = summary.network_id
);

-- Fails if a roster is not there, unless its manifest says that it was purged.
SELECT IF(COUNT(*) = 0, NULL, ERROR(CONCAT(
    'rosters are not there, and their manifests do not say that they were purged: ', CAST(COUNT(*) AS STRING),
    ', the first of them ', MIN(CONCAT(billing_period, ' ', network_id)), '. See to the uris of published_roster, or ',
    'restore them: wickr-guest-export verify names each'
)))
FROM current_revisions
WHERE roster_file IS NOT NULL AND guest_count > 0 AND NOT EXISTS (
    SELECT 1 FROM present
    WHERE present.period = current_revisions.billing_period AND present.network = current_revisions.network_id
);

-- Another revision, another content, another file: restated, published anew from the start, or purged. To EXCEPT two
-- NULLs are the same.
CREATE TEMP TABLE changed AS
SELECT billing_period, network_id, revision, content_sha256, roster_file FROM current_revisions
EXCEPT DISTINCT
SELECT billing_period, network_id, revision, content_sha256, roster_file FROM wickr_billing.load_state;

CREATE TEMP TABLE arrived AS
SELECT rosters.billing_period, rosters.network_id, rosters.username_hash, rosters.username
FROM wickr_billing.published_roster AS rosters
JOIN changed ON changed.billing_period = rosters.period AND changed.network_id = rosters.network
WHERE changed.roster_file IS NOT NULL;

-- Fails if a roster has not the guests that the summary counts: a run is publishing, or `verify` will tell.
SELECT IF(COUNT(*) = 0, NULL, ERROR(CONCAT(
    'rosters have not the guests that the summary counts: ', CAST(COUNT(*) AS STRING), ', the first of them ',
    MIN(CONCAT(billing_period, ' ', network_id)), '. Run wickr-guest-export verify'
)))
FROM (
    SELECT changed.billing_period, changed.network_id
    FROM changed
    JOIN current_revisions
        ON current_revisions.billing_period = changed.billing_period
        AND current_revisions.network_id = changed.network_id
    LEFT JOIN arrived
        ON arrived.billing_period = changed.billing_period AND arrived.network_id = changed.network_id
    WHERE changed.roster_file IS NOT NULL
    GROUP BY changed.billing_period, changed.network_id, current_revisions.guest_count
    HAVING COUNT(arrived.username_hash) <> current_revisions.guest_count
) AS differing;

BEGIN TRANSACTION;

DELETE FROM wickr_billing.guest_roster
WHERE EXISTS (
    SELECT 1 FROM changed
    WHERE changed.billing_period = guest_roster.billing_period AND changed.network_id = guest_roster.network_id
);

INSERT INTO wickr_billing.guest_roster (billing_period, network_id, username_hash, username)
SELECT billing_period, network_id, username_hash, username FROM arrived;

DELETE FROM wickr_billing.load_state
WHERE EXISTS (
    SELECT 1 FROM changed
    WHERE changed.billing_period = load_state.billing_period AND changed.network_id = load_state.network_id
);

INSERT INTO wickr_billing.load_state (billing_period, network_id, revision, content_sha256, roster_file, loaded_at)
SELECT billing_period, network_id, revision, content_sha256, roster_file, CURRENT_TIMESTAMP()
FROM changed;

-- Evidence grows without a new revision: a period closes, a count is confirmed. So these are always written anew.
DELETE FROM wickr_billing.guest_counts
WHERE EXISTS (
    SELECT 1 FROM summary
    WHERE summary.billing_period = guest_counts.billing_period AND summary.network_id = guest_counts.network_id
      AND summary.revision = guest_counts.revision AND summary.content_sha256 = guest_counts.content_sha256
);

DELETE FROM wickr_billing.guest_counts WHERE status = 'missing';

-- What the summary says is missing and was loaded once stays as it was loaded.
INSERT INTO wickr_billing.guest_counts (
    billing_period, period_start, period_end, aws_account_id, region, network_id, network_name, status,
    period_state, guest_count, api_guest_count, reconciliation, confirmed_by, stable, revision, exported_at, checked_at,
    content_sha256
)
SELECT
    summary.billing_period, summary.period_start, summary.period_end, summary.aws_account_id, summary.region,
    summary.network_id, summary.network_name, summary.status, summary.period_state, summary.guest_count,
    summary.api_guest_count, summary.reconciliation, summary.confirmed_by, summary.stable, summary.revision,
    summary.exported_at, summary.checked_at, summary.content_sha256
FROM summary
LEFT JOIN wickr_billing.load_state
    ON load_state.billing_period = summary.billing_period AND load_state.network_id = summary.network_id
WHERE (summary.revision = load_state.revision AND summary.content_sha256 = load_state.content_sha256)
   OR (summary.status = 'missing' AND load_state.network_id IS NULL);

COMMIT TRANSACTION;
