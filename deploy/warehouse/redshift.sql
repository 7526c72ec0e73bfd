-- Brings tables of Redshift to what is published, through Spectrum and the external tables of athena.sql.
--
-- This was parsed in its dialect and never run. It reads the current copies, so run it after an export and not beside
-- one.
-- Everything from BEGIN to COMMIT is one transaction; psql --set ON_ERROR_STOP=1 ends it at the first error. First run
-- the MSCK REPAIR of athena.sql, which makes Spectrum see new partitions.
--
-- The place to edit: the role that reads the bucket and Glue.

CREATE EXTERNAL SCHEMA IF NOT EXISTS published
FROM DATA CATALOG DATABASE 'wickr_billing'
IAM_ROLE 'arn:aws:iam::111122223333:role/CHANGE-ME-spectrum';

CREATE TABLE IF NOT EXISTS guest_roster (
    billing_period varchar(7) NOT NULL,
    network_id varchar(8) NOT NULL,
    username_hash varchar(65535) NOT NULL,
    username varchar(65535)
);

-- Each revision that was ever loaded, with what the summary said of it last; and what was never published.
CREATE TABLE IF NOT EXISTS guest_counts (
    billing_period varchar(7) NOT NULL,
    period_start timestamptz NOT NULL,
    period_end timestamptz NOT NULL,
    aws_account_id varchar(65535),
    region varchar(65535),
    network_id varchar(8) NOT NULL,
    network_name varchar(65535),
    status varchar(65535) NOT NULL,
    period_state varchar(65535) NOT NULL,
    guest_count bigint,
    api_guest_count bigint,
    reconciliation varchar(65535),
    confirmed_by varchar(65535),
    stable boolean,
    revision bigint,
    exported_at timestamptz,
    checked_at timestamptz,
    content_sha256 varchar(64)
);

-- What guest_roster holds. A row deleted here is loaded again. No roster_file: counts only, or purged.
CREATE TABLE IF NOT EXISTS load_state (
    billing_period varchar(7) NOT NULL,
    network_id varchar(8) NOT NULL,
    revision bigint NOT NULL,
    content_sha256 varchar(64) NOT NULL,
    roster_file varchar(65535),
    loaded_at timestamptz NOT NULL
);

CREATE OR REPLACE VIEW guest_counts_current AS
SELECT guest_counts.*
FROM guest_counts
LEFT JOIN load_state
    ON load_state.billing_period = guest_counts.billing_period AND load_state.network_id = guest_counts.network_id
WHERE (guest_counts.revision = load_state.revision AND guest_counts.content_sha256 = load_state.content_sha256)
   OR (guest_counts.status = 'missing' AND load_state.network_id IS NULL);

BEGIN;

-- One load at a time.
LOCK load_state;

CREATE TEMPORARY TABLE summary AS
SELECT * FROM published.guest_summary;

CREATE TEMPORARY TABLE present AS
SELECT DISTINCT period, network
FROM published.guest_roster;

-- A manifest is read line by line, "key": value, as Spectrum reads no JSON over several lines. Which roster a
-- publication has, and whether it was purged, it says and nothing else does: a file that is not there may be lost.
CREATE TEMPORARY TABLE manifests AS
SELECT
    MAX(CASE WHEN key = 'billing_period' THEN value END) AS billing_period,
    MAX(CASE WHEN key = 'network_id' THEN value END) AS network_id,
    CAST(MAX(CASE WHEN key = 'revision' THEN digits END) AS bigint) AS revision,
    MAX(CASE WHEN key = 'content_sha256' THEN value END) AS content_sha256,
    CASE WHEN MAX(CASE WHEN key = 'rosters_purged_at' THEN value END) IS NULL
         THEN MAX(CASE WHEN key = 'path' AND value LIKE '%/guest_roster.parquet' THEN value END) END AS roster_file
FROM (
    SELECT "$path" AS manifest, SPLIT_PART(line, '"', 2) AS key, SPLIT_PART(line, '"', 4) AS value,
        BTRIM(SPLIT_PART(line, '"', 3), ' :,') AS digits
    FROM published.guest_manifest_lines
    WHERE "$path" LIKE '%/manifest.json'
) AS lines
GROUP BY manifest;

-- A manifest that is ahead of the summary waits for the next load. No roster_file: counts only, or purged.
CREATE TEMPORARY TABLE current_revisions AS
SELECT
    summary.billing_period, summary.network_id, summary.revision, summary.content_sha256, summary.guest_count,
    manifests.roster_file
FROM summary
JOIN manifests
    ON manifests.billing_period = summary.billing_period AND manifests.network_id = summary.network_id
    AND manifests.revision = summary.revision AND manifests.content_sha256 = summary.content_sha256
WHERE summary.status = 'published';

-- Fails, as a text is no number, if a manifest is not there.
SELECT CAST(CASE WHEN COUNT(*) = 0 THEN '0' ELSE
    'publications have no manifest: ' || COUNT(*)::varchar || ', the first of them '
    || MIN(billing_period || ' ' || network_id)
    || '. See to the LOCATION of guest_manifest_lines in athena.sql, or run wickr-guest-export verify' END AS integer)
FROM summary
WHERE status = 'published' AND NOT EXISTS (
    SELECT 1 FROM manifests
    WHERE manifests.billing_period = summary.billing_period AND manifests.network_id = summary.network_id
);

-- Fails if a roster is not there, unless its manifest says that it was purged.
SELECT CAST(CASE WHEN COUNT(*) = 0 THEN '0' ELSE
    'rosters are not there, and their manifests do not say that they were purged: ' || COUNT(*)::varchar
    || ', the first of them ' || MIN(billing_period || ' ' || network_id)
    || '. See to the LOCATION of guest_roster and to MSCK REPAIR in athena.sql, or '
    || 'restore them: wickr-guest-export verify names each' END AS integer)
FROM current_revisions
WHERE roster_file IS NOT NULL AND guest_count > 0 AND NOT EXISTS (
    SELECT 1 FROM present
    WHERE present.period = current_revisions.billing_period AND present.network = current_revisions.network_id
);

-- Another revision, another content, another file: restated, published anew from the start, or purged. To EXCEPT two
-- NULLs are the same.
CREATE TEMPORARY TABLE changed AS
SELECT billing_period, network_id, revision, content_sha256, roster_file FROM current_revisions
EXCEPT
SELECT billing_period, network_id, revision, content_sha256, roster_file FROM load_state;

CREATE TEMPORARY TABLE arrived AS
SELECT rosters.billing_period, rosters.network_id, rosters.username_hash, rosters.username
FROM published.guest_roster AS rosters
JOIN changed ON changed.billing_period = rosters.period AND changed.network_id = rosters.network
WHERE changed.roster_file IS NOT NULL;

-- Fails if a roster has not the guests that the summary counts: a run is publishing, or `verify` will tell.
SELECT CAST(CASE WHEN COUNT(*) = 0 THEN '0' ELSE
    'rosters have not the guests that the summary counts: ' || COUNT(*)::varchar || ', the first of them '
    || MIN(billing_period || ' ' || network_id) || '. Run wickr-guest-export verify' END AS integer)
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
SELECT billing_period, network_id, revision, content_sha256, roster_file, GETDATE()
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

DROP TABLE arrived;
DROP TABLE changed;
DROP TABLE current_revisions;
DROP TABLE manifests;
DROP TABLE present;
DROP TABLE summary;

COMMIT;
