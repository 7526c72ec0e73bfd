-- Brings tables of BigQuery to what is published, once the output is mirrored to Cloud Storage with its paths.
--
-- This was parsed in its dialect and never run. It reads the current copies, so run it after an export and not beside
-- one.
-- Run it as one script: everything from BEGIN TRANSACTION to COMMIT TRANSACTION is one, and an error rolls it back.
-- Run one load at a time, after the mirroring and not beside it.
--
-- The place to edit: gs://CHANGE-ME-billing-exports/wickr, three times, and the data set wickr_billing, which has to
-- exist.

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

-- What guest_roster holds. A row deleted here is loaded again. Without a roster: counts only, or purged.
CREATE TABLE IF NOT EXISTS wickr_billing.load_state (
    billing_period STRING NOT NULL,
    network_id STRING NOT NULL,
    revision INT64 NOT NULL,
    content_sha256 STRING NOT NULL,
    has_roster BOOL NOT NULL,
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

-- What the summary says is new or another revision, and rosters that were loaded and are there no more: purged.
CREATE TEMP TABLE changed AS
SELECT
    summary.billing_period, summary.network_id, summary.revision, summary.content_sha256, summary.guest_count,
    present.network IS NOT NULL AS has_roster
FROM summary
LEFT JOIN present ON present.period = summary.billing_period AND present.network = summary.network_id
LEFT JOIN wickr_billing.load_state
    ON load_state.billing_period = summary.billing_period AND load_state.network_id = summary.network_id
WHERE summary.status = 'published'
  AND (load_state.network_id IS NULL
       OR load_state.revision <> summary.revision
       OR load_state.content_sha256 <> summary.content_sha256
       OR load_state.has_roster <> (present.network IS NOT NULL));

CREATE TEMP TABLE arrived AS
SELECT published.billing_period, published.network_id, published.username_hash, published.username
FROM wickr_billing.published_roster AS published
JOIN changed ON changed.billing_period = published.period AND changed.network_id = published.network;

-- Fails if a roster has not the guests that the summary counts: a run is publishing, or `verify` will tell.
SELECT IF(COUNT(*) = 0, NULL, ERROR('a roster has not the guests that the summary counts'))
FROM (
    SELECT changed.billing_period, changed.network_id
    FROM changed
    LEFT JOIN arrived
        ON arrived.billing_period = changed.billing_period AND arrived.network_id = changed.network_id
    WHERE changed.has_roster
    GROUP BY changed.billing_period, changed.network_id, changed.guest_count
    HAVING COUNT(arrived.username_hash) <> changed.guest_count
) AS differing;

-- Fails if no roster is there at all and some were: the place is another one than before.
SELECT IF(COUNT(*) = 0, NULL, ERROR('no roster at all is there'))
FROM wickr_billing.load_state
WHERE has_roster AND NOT EXISTS (SELECT 1 FROM present);

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

INSERT INTO wickr_billing.load_state (billing_period, network_id, revision, content_sha256, has_roster, loaded_at)
SELECT billing_period, network_id, revision, content_sha256, has_roster, CURRENT_TIMESTAMP()
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
WHERE summary.status = 'published' OR load_state.network_id IS NULL;

COMMIT TRANSACTION;
