-- Athena on what is published, through Glue: nothing is loaded, so nothing has to be brought up to date but partitions.
--
-- This was parsed in its dialect and never run. It reads the current copies, so run it after an export and not beside
-- one.
-- A restatement is seen file by file: guest_counts_current, which reads the one file of the summary, is always whole;
-- guest_roster may be ahead of it for seconds, and guest_roster_differences says where it is.
--
-- The place to edit: s3://CHANGE-ME-billing-exports/wickr, what `output.url` of the job says, four times. If the job
-- has `output.roster_url`: that for guest_roster.

CREATE DATABASE IF NOT EXISTS wickr_billing;

CREATE EXTERNAL TABLE IF NOT EXISTS wickr_billing.guest_summary (
    billing_period string,
    period_start timestamp,
    period_end timestamp,
    aws_account_id string,
    region string,
    network_id string,
    network_name string,
    status string,
    period_state string,
    guest_count bigint,
    api_guest_count bigint,
    reconciliation string,
    confirmed_by string,
    stable boolean,
    revision bigint,
    exported_at timestamp,
    checked_at timestamp,
    content_sha256 string
)
STORED AS PARQUET
LOCATION 's3://CHANGE-ME-billing-exports/wickr/summary/parquet/';

CREATE EXTERNAL TABLE IF NOT EXISTS wickr_billing.guest_counts (
    billing_period string,
    network_id string,
    guest_count bigint
)
PARTITIONED BY (period string, network string)
STORED AS PARQUET
LOCATION 's3://CHANGE-ME-billing-exports/wickr/guest_counts/parquet/';

-- The keys are strings: a network may be 01234567.
CREATE EXTERNAL TABLE IF NOT EXISTS wickr_billing.guest_roster (
    billing_period string,
    network_id string,
    username_hash string,
    username string
)
PARTITIONED BY (period string, network string)
STORED AS PARQUET
LOCATION 's3://CHANGE-ME-billing-exports/wickr/guest_roster/parquet/';

-- The manifests, line by line, as no JSON is read here that spans several. No tab is in them, so a line is a column.
CREATE EXTERNAL TABLE IF NOT EXISTS wickr_billing.guest_manifest_lines (
    line string
)
ROW FORMAT DELIMITED FIELDS TERMINATED BY '\t'
STORED AS TEXTFILE
LOCATION 's3://CHANGE-ME-billing-exports/wickr/manifests/';

-- After each export that may have brought a new network or period. Partitions of purged rosters stay, and are empty.
MSCK REPAIR TABLE wickr_billing.guest_counts;
MSCK REPAIR TABLE wickr_billing.guest_roster;

CREATE OR REPLACE VIEW wickr_billing.guest_counts_current AS
SELECT * FROM wickr_billing.guest_summary;

-- When rosters were purged, as only a manifest says: each of its lines is "key": value.
CREATE OR REPLACE VIEW wickr_billing.guest_rosters_purged AS
SELECT billing_period, network_id, rosters_purged_at
FROM (
    SELECT
        MAX(CASE WHEN SPLIT_PART(line, '"', 2) = 'billing_period' THEN SPLIT_PART(line, '"', 4) END) AS billing_period,
        MAX(CASE WHEN SPLIT_PART(line, '"', 2) = 'network_id' THEN SPLIT_PART(line, '"', 4) END) AS network_id,
        MAX(CASE WHEN SPLIT_PART(line, '"', 2) = 'rosters_purged_at' THEN SPLIT_PART(line, '"', 4) END)
            AS rosters_purged_at
    FROM wickr_billing.guest_manifest_lines
    WHERE "$path" LIKE '%/manifest.json'
    GROUP BY "$path"
) AS manifests
WHERE rosters_purged_at IS NOT NULL;

-- Empty, unless a run is publishing, rosters are not published at all, or one is lost: see to the LOCATION of
-- guest_roster and to its partitions, or run wickr-guest-export verify.
CREATE OR REPLACE VIEW wickr_billing.guest_roster_differences AS
SELECT summary.billing_period, summary.network_id, summary.guest_count, COUNT(roster.username_hash) AS guests_listed
FROM wickr_billing.guest_summary AS summary
LEFT JOIN wickr_billing.guest_rosters_purged AS purged
    ON purged.billing_period = summary.billing_period AND purged.network_id = summary.network_id
LEFT JOIN wickr_billing.guest_roster AS roster
    ON roster.period = summary.billing_period AND roster.network = summary.network_id
WHERE summary.status = 'published' AND purged.network_id IS NULL
GROUP BY summary.billing_period, summary.network_id, summary.guest_count
HAVING COUNT(roster.username_hash) <> summary.guest_count;
