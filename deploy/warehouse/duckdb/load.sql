-- Brings the tables of this database to what is published. Run it after each export, as often as you like:
--
--     (umask 077; duckdb -bail -f deploy/warehouse/duckdb/load.sql billing.duckdb)
--
-- The file holds personal data, and without that umask everybody may read it.
-- Everything below BEGIN is one transaction: whoever reads sees the tables before it or after it.

-- The place to edit: what `output.url` of the job says, without a slash at the end. For a bucket: INSTALL httpfs;
-- INSTALL aws; CREATE SECRET (TYPE s3, PROVIDER credential_chain); and 's3://bucket/prefix' here.
SET VARIABLE output = '/var/lib/wickr-guest-export/billing';
-- If the job has `output.roster_url`: that.
SET VARIABLE rosters = getvariable('output');

CREATE TABLE IF NOT EXISTS guest_roster (
    billing_period VARCHAR NOT NULL,
    network_id VARCHAR NOT NULL,
    username_hash VARCHAR NOT NULL,
    username VARCHAR
);

-- Each revision that was ever loaded, with what the summary said of it last; and what was never published.
CREATE TABLE IF NOT EXISTS guest_counts (
    billing_period VARCHAR NOT NULL,
    period_start TIMESTAMPTZ NOT NULL,
    period_end TIMESTAMPTZ NOT NULL,
    aws_account_id VARCHAR,
    region VARCHAR,
    network_id VARCHAR NOT NULL,
    network_name VARCHAR,
    status VARCHAR NOT NULL,
    period_state VARCHAR NOT NULL,
    guest_count BIGINT,
    api_guest_count BIGINT,
    reconciliation VARCHAR,
    confirmed_by VARCHAR,
    stable BOOLEAN,
    revision BIGINT,
    exported_at TIMESTAMPTZ,
    checked_at TIMESTAMPTZ,
    content_sha256 VARCHAR
);

-- What guest_roster holds. A row deleted here is loaded again. No roster_file: counts only, or purged.
CREATE TABLE IF NOT EXISTS load_state (
    billing_period VARCHAR NOT NULL,
    network_id VARCHAR NOT NULL,
    revision BIGINT NOT NULL,
    content_sha256 VARCHAR NOT NULL,
    roster_file VARCHAR,
    loaded_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (billing_period, network_id)
);

-- Whose numbers all of this is: those of AWS (wickr), or of the simulator.
CREATE TABLE IF NOT EXISTS load_source (source_kind VARCHAR NOT NULL);

CREATE OR REPLACE VIEW guest_counts_current AS
SELECT guest_counts.*
FROM guest_counts
LEFT JOIN load_state USING (billing_period, network_id)
WHERE guest_counts.revision IS NOT DISTINCT FROM load_state.revision
  AND guest_counts.content_sha256 IS NOT DISTINCT FROM load_state.content_sha256;

BEGIN;

CREATE OR REPLACE TEMP TABLE summary AS
SELECT *
FROM read_parquet(getvariable('output') || '/summary/parquet/guest_counts.parquet', hive_partitioning = false);

-- Which roster a publication has, and whether it was purged, its manifest says and nothing else does: current copies
-- may be of another revision while a run is publishing, and a file that is not there may be lost.
SET VARIABLE manifest_files = (
    SELECT coalesce(list(concat(getvariable('output'), '/manifests/period=', billing_period,
                                '/network=', network_id, '/manifest.json')), [])
    FROM summary
    WHERE status = 'published'
);

CREATE OR REPLACE TEMP TABLE manifests AS
SELECT
    manifest ->> 'billing_period' AS billing_period,
    manifest ->> 'network_id' AS network_id,
    (manifest ->> 'revision')::BIGINT AS revision,
    manifest ->> 'content_sha256' AS content_sha256,
    manifest -> 'source' ->> 'kind' AS source_kind,
    CASE WHEN (manifest ->> 'rosters_purged_at') IS NULL THEN list_filter(
        from_json(manifest -> 'files', '[{"path": "VARCHAR", "dataset": "VARCHAR", "format": "VARCHAR"}]'),
        lambda file: file.dataset = 'guest_roster' AND file.format = 'parquet'
    )[1].path END AS roster_file
FROM (SELECT content::JSON AS manifest FROM read_text(getvariable('manifest_files')));

-- A check is a variable, as that prints nothing where there is nothing to say.
SET VARIABLE manifests_are_there = (
    SELECT error(concat('rolled back: publications have no manifest: ', count(*), ', the first of them ',
        min(billing_period || ' ' || network_id), '. See to `output` at the top, or run wickr-guest-export verify'))
    FROM summary
    ANTI JOIN manifests USING (billing_period, network_id)
    WHERE status = 'published'
    HAVING count(*) > 0
);

SET VARIABLE numbers_are_of_one_source = (
    SELECT error(concat('rolled back: numbers of ', string_agg(DISTINCT source_kind, ' and ' ORDER BY source_kind),
        ' do not belong into the same tables. See to `output` at the top, or load it into a database of its own'))
    FROM (SELECT source_kind FROM manifests UNION SELECT source_kind FROM load_source)
    HAVING count(DISTINCT source_kind) > 1
);

INSERT INTO load_source
SELECT DISTINCT source_kind FROM manifests WHERE NOT EXISTS (SELECT 1 FROM load_source);

-- A manifest that is ahead of the summary waits for the next load.
CREATE OR REPLACE TEMP TABLE published AS
SELECT billing_period, network_id, revision, content_sha256, roster_file
FROM summary
JOIN manifests USING (billing_period, network_id, revision, content_sha256);

-- Listed after the manifests were read: a purge says so in those first.
SET VARIABLE rosters_are_there = (
    SELECT error(concat('rolled back: rosters are not below ', getvariable('rosters'), '/revisions, and their ',
        'manifests do not say that they were purged: ', count(*), ', the first of them ',
        min(billing_period || ' ' || network_id),
        '. See to `rosters` at the top, or restore them: wickr-guest-export verify names each'))
    FROM published
    ANTI JOIN (
        SELECT regexp_extract(file, 'revisions/[^/]+/[^/]+/[^/]+/guest_roster[.]parquet$') AS roster_file
        FROM glob(getvariable('rosters') || '/revisions/*/*/*/guest_roster.parquet')
    ) USING (roster_file)
    WHERE roster_file IS NOT NULL
    HAVING count(*) > 0
);

-- Another revision, another content, another file: restated, published anew from the start, or purged. To EXCEPT two
-- NULLs are the same.
CREATE OR REPLACE TEMP TABLE changed AS
FROM published
EXCEPT
SELECT billing_period, network_id, revision, content_sha256, roster_file FROM load_state;

DELETE FROM guest_roster USING changed
WHERE guest_roster.billing_period = changed.billing_period AND guest_roster.network_id = changed.network_id;

-- A list of files must not be empty, so the summary stands at its head and is filtered out.
SET VARIABLE changed_rosters = (
    SELECT list_prepend(getvariable('output') || '/summary/parquet/guest_counts.parquet',
                        coalesce(list(concat(getvariable('rosters'), '/', roster_file)), []))
    FROM changed
    WHERE roster_file IS NOT NULL
);

INSERT INTO guest_roster BY NAME
SELECT COLUMNS('^(billing_period|network_id|username_hash|username)$')
FROM read_parquet(getvariable('changed_rosters'), hive_partitioning = false, union_by_name = true)
WHERE suffix(filename, '/guest_roster.parquet');

INSERT OR REPLACE INTO load_state BY NAME
SELECT billing_period, network_id, revision, content_sha256, roster_file, now() AS loaded_at
FROM changed;

-- Evidence grows without a new revision: a period closes, a count is confirmed. So these are always written anew.
DELETE FROM guest_counts USING summary
WHERE guest_counts.billing_period = summary.billing_period
  AND guest_counts.network_id = summary.network_id
  AND guest_counts.revision = summary.revision
  AND guest_counts.content_sha256 = summary.content_sha256;

DELETE FROM guest_counts WHERE status = 'missing';

-- What the summary says is missing and was loaded once stays as it was loaded.
INSERT INTO guest_counts BY NAME
SELECT * FROM summary SEMI JOIN load_state USING (billing_period, network_id, revision, content_sha256)
UNION ALL
SELECT * FROM summary ANTI JOIN load_state USING (billing_period, network_id) WHERE status = 'missing';

SET VARIABLE rosters_are_whole = (
    SELECT error(concat('rolled back: rosters have not the guests that the summary counts: ', count(*),
        ', the first of them ', min(billing_period || ' ' || network_id), '. Run wickr-guest-export verify'))
    FROM (
        SELECT billing_period, network_id
        FROM guest_counts_current
        JOIN changed USING (billing_period, network_id)
        LEFT JOIN guest_roster USING (billing_period, network_id)
        WHERE roster_file IS NOT NULL
        GROUP BY billing_period, network_id, guest_count
        HAVING count(username_hash) <> guest_count
    )
    HAVING count(*) > 0
);

COMMIT;
