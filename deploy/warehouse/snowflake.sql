-- Brings tables of Snowflake to what is published, through external tables.
--
-- This was parsed in its dialect and never run. It reads the current copies, so run it after an export and not beside
-- one.
-- Everything from BEGIN to COMMIT is one transaction; snowsql --option exit_on_error=true ends it at the first error,
-- and what is not committed is rolled back. Run one load at a time.
--
-- The place to edit: what `output.url` of the job says (azure:// for az://), and the integration that may read it. If
-- the job has `output.roster_url`, published_roster wants a stage of its own there.

CREATE STAGE IF NOT EXISTS published
    URL = 's3://CHANGE-ME-billing-exports/wickr/'
    STORAGE_INTEGRATION = CHANGE_ME_STORAGE_INTEGRATION;

CREATE EXTERNAL TABLE IF NOT EXISTS published_summary (
    billing_period VARCHAR AS (value:billing_period::VARCHAR),
    period_start TIMESTAMP_TZ AS (value:period_start::TIMESTAMP_TZ),
    period_end TIMESTAMP_TZ AS (value:period_end::TIMESTAMP_TZ),
    aws_account_id VARCHAR AS (value:aws_account_id::VARCHAR),
    region VARCHAR AS (value:region::VARCHAR),
    network_id VARCHAR AS (value:network_id::VARCHAR),
    network_name VARCHAR AS (value:network_name::VARCHAR),
    status VARCHAR AS (value:status::VARCHAR),
    period_state VARCHAR AS (value:period_state::VARCHAR),
    guest_count NUMBER(19, 0) AS (value:guest_count::NUMBER(19, 0)),
    api_guest_count NUMBER(19, 0) AS (value:api_guest_count::NUMBER(19, 0)),
    reconciliation VARCHAR AS (value:reconciliation::VARCHAR),
    confirmed_by VARCHAR AS (value:confirmed_by::VARCHAR),
    stable BOOLEAN AS (value:stable::BOOLEAN),
    revision NUMBER(19, 0) AS (value:revision::NUMBER(19, 0)),
    exported_at TIMESTAMP_TZ AS (value:exported_at::TIMESTAMP_TZ),
    checked_at TIMESTAMP_TZ AS (value:checked_at::TIMESTAMP_TZ),
    content_sha256 VARCHAR AS (value:content_sha256::VARCHAR)
)
LOCATION = @published/summary/parquet/
AUTO_REFRESH = FALSE
FILE_FORMAT = (TYPE = PARQUET);

-- The keys are strings: a network may be 01234567.
CREATE EXTERNAL TABLE IF NOT EXISTS published_roster (
    period VARCHAR AS (REGEXP_SUBSTR(METADATA$FILENAME, 'period=([^/]+)/', 1, 1, 'e')),
    network VARCHAR AS (REGEXP_SUBSTR(METADATA$FILENAME, 'network=([^/]+)/', 1, 1, 'e')),
    billing_period VARCHAR AS (value:billing_period::VARCHAR),
    network_id VARCHAR AS (value:network_id::VARCHAR),
    username_hash VARCHAR AS (value:username_hash::VARCHAR),
    username VARCHAR AS (value:username::VARCHAR)
)
PARTITION BY (period, network)
LOCATION = @published/guest_roster/parquet/
AUTO_REFRESH = FALSE
FILE_FORMAT = (TYPE = PARQUET);

CREATE EXTERNAL TABLE IF NOT EXISTS published_manifest (
    billing_period VARCHAR AS (value:billing_period::VARCHAR),
    network_id VARCHAR AS (value:network_id::VARCHAR),
    revision NUMBER(19, 0) AS (value:revision::NUMBER(19, 0)),
    content_sha256 VARCHAR AS (value:content_sha256::VARCHAR),
    rosters_purged_at VARCHAR AS (value:rosters_purged_at::VARCHAR),
    roster_file VARCHAR AS (REGEXP_SUBSTR(value:files::VARCHAR, 'revisions/[^"]+/guest_roster[.]parquet'))
)
LOCATION = @published/manifests/
PATTERN = '.*/manifest[.]json'
AUTO_REFRESH = FALSE
FILE_FORMAT = (TYPE = JSON);

CREATE TABLE IF NOT EXISTS guest_roster (
    billing_period VARCHAR NOT NULL,
    network_id VARCHAR NOT NULL,
    username_hash VARCHAR NOT NULL,
    username VARCHAR
);

-- Each revision that was ever loaded, with what the summary said of it last; and what was never published.
CREATE TABLE IF NOT EXISTS guest_counts (
    billing_period VARCHAR NOT NULL,
    period_start TIMESTAMP_TZ NOT NULL,
    period_end TIMESTAMP_TZ NOT NULL,
    aws_account_id VARCHAR,
    region VARCHAR,
    network_id VARCHAR NOT NULL,
    network_name VARCHAR,
    status VARCHAR NOT NULL,
    period_state VARCHAR NOT NULL,
    guest_count NUMBER(19, 0),
    api_guest_count NUMBER(19, 0),
    reconciliation VARCHAR,
    confirmed_by VARCHAR,
    stable BOOLEAN,
    revision NUMBER(19, 0),
    exported_at TIMESTAMP_TZ,
    checked_at TIMESTAMP_TZ,
    content_sha256 VARCHAR
);

-- What guest_roster holds. A row deleted here is loaded again. No roster_file: counts only, or purged.
CREATE TABLE IF NOT EXISTS load_state (
    billing_period VARCHAR NOT NULL,
    network_id VARCHAR NOT NULL,
    revision NUMBER(19, 0) NOT NULL,
    content_sha256 VARCHAR NOT NULL,
    roster_file VARCHAR,
    loaded_at TIMESTAMP_TZ NOT NULL
);

CREATE OR REPLACE VIEW guest_counts_current AS
SELECT guest_counts.*
FROM guest_counts
LEFT JOIN load_state
    ON load_state.billing_period = guest_counts.billing_period AND load_state.network_id = guest_counts.network_id
WHERE (guest_counts.revision = load_state.revision AND guest_counts.content_sha256 = load_state.content_sha256)
   OR (guest_counts.status = 'missing' AND load_state.network_id IS NULL);

ALTER EXTERNAL TABLE published_summary REFRESH;
ALTER EXTERNAL TABLE published_manifest REFRESH;
ALTER EXTERNAL TABLE published_roster REFRESH;

-- Tables are made before the transaction, which each would commit.
CREATE OR REPLACE TEMPORARY TABLE summary AS
SELECT * FROM published_summary;

CREATE OR REPLACE TEMPORARY TABLE present AS
SELECT DISTINCT period, network
FROM published_roster;

-- Which roster a publication has, and whether it was purged, its manifest says and nothing else does: a file that is
-- not there may be lost.
CREATE OR REPLACE TEMPORARY TABLE manifests AS
SELECT
    billing_period, network_id, revision, content_sha256,
    CASE WHEN rosters_purged_at IS NULL THEN roster_file END AS roster_file
FROM published_manifest;

-- A manifest that is ahead of the summary waits for the next load. No roster_file: counts only, or purged.
CREATE OR REPLACE TEMPORARY TABLE current_revisions AS
SELECT
    summary.billing_period, summary.network_id, summary.revision, summary.content_sha256, summary.guest_count,
    manifests.roster_file
FROM summary
JOIN manifests
    ON manifests.billing_period = summary.billing_period AND manifests.network_id = summary.network_id
    AND manifests.revision = summary.revision AND manifests.content_sha256 = summary.content_sha256
WHERE summary.status = 'published';

-- Fails, as a text is no number, if a manifest is not there.
SELECT CAST(IFF(COUNT(*) = 0, '0',
    'publications have no manifest: ' || COUNT(*)::VARCHAR || ', the first of them '
    || MIN(billing_period || ' ' || network_id)
    || '. See to the URL of the stage, or run wickr-guest-export verify') AS INTEGER)
FROM summary
WHERE status = 'published' AND NOT EXISTS (
    SELECT 1 FROM manifests
    WHERE manifests.billing_period = summary.billing_period AND manifests.network_id = summary.network_id
);

-- Fails if a roster is not there, unless its manifest says that it was purged.
SELECT CAST(IFF(COUNT(*) = 0, '0',
    'rosters are not there, and their manifests do not say that they were purged: ' || COUNT(*)::VARCHAR
    || ', the first of them ' || MIN(billing_period || ' ' || network_id)
    || '. See to the LOCATION of published_roster, or restore them: wickr-guest-export verify names each') AS INTEGER)
FROM current_revisions
WHERE roster_file IS NOT NULL AND guest_count > 0 AND NOT EXISTS (
    SELECT 1 FROM present
    WHERE present.period = current_revisions.billing_period AND present.network = current_revisions.network_id
);

-- Another revision, another content, another file: restated, published anew from the start, or purged. To EXCEPT two
-- NULLs are the same.
CREATE OR REPLACE TEMPORARY TABLE changed AS
SELECT billing_period, network_id, revision, content_sha256, roster_file FROM current_revisions
EXCEPT
SELECT billing_period, network_id, revision, content_sha256, roster_file FROM load_state;

CREATE OR REPLACE TEMPORARY TABLE arrived AS
SELECT rosters.billing_period, rosters.network_id, rosters.username_hash, rosters.username
FROM published_roster AS rosters
JOIN changed ON changed.billing_period = rosters.period AND changed.network_id = rosters.network
WHERE changed.roster_file IS NOT NULL;

-- Fails if a roster has not the guests that the summary counts: a run is publishing, or `verify` will tell.
SELECT CAST(IFF(COUNT(*) = 0, '0',
    'rosters have not the guests that the summary counts: ' || COUNT(*)::VARCHAR || ', the first of them '
    || MIN(billing_period || ' ' || network_id) || '. Run wickr-guest-export verify') AS INTEGER)
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

BEGIN;

DELETE FROM guest_roster
WHERE EXISTS (
    SELECT 1 FROM changed
    WHERE changed.billing_period = guest_roster.billing_period AND changed.network_id = guest_roster.network_id
);

INSERT INTO guest_roster (billing_period, network_id, username_hash, username)
SELECT billing_period, network_id, username_hash, username FROM arrived;

DELETE FROM load_state
WHERE EXISTS (
    SELECT 1 FROM changed
    WHERE changed.billing_period = load_state.billing_period AND changed.network_id = load_state.network_id
);

INSERT INTO load_state (billing_period, network_id, revision, content_sha256, roster_file, loaded_at)
SELECT billing_period, network_id, revision, content_sha256, roster_file, CURRENT_TIMESTAMP()
FROM changed;

-- Evidence grows without a new revision: a period closes, a count is confirmed. So these are always written anew.
DELETE FROM guest_counts
WHERE EXISTS (
    SELECT 1 FROM summary
    WHERE summary.billing_period = guest_counts.billing_period AND summary.network_id = guest_counts.network_id
      AND summary.revision = guest_counts.revision AND summary.content_sha256 = guest_counts.content_sha256
);

DELETE FROM guest_counts WHERE status = 'missing';

-- What the summary says is missing and was loaded once stays as it was loaded.
INSERT INTO guest_counts (
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
LEFT JOIN load_state
    ON load_state.billing_period = summary.billing_period AND load_state.network_id = summary.network_id
WHERE (summary.revision = load_state.revision AND summary.content_sha256 = load_state.content_sha256)
   OR (summary.status = 'missing' AND load_state.network_id IS NULL);

COMMIT;
