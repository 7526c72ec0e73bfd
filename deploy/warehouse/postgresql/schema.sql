-- The tables and the view that load.py fills. Run it once, as their owner:
--
--     psql --file deploy/warehouse/postgresql/schema.sql
--
-- The loader needs SELECT, INSERT, UPDATE and DELETE on the four tables.

BEGIN;

CREATE TABLE IF NOT EXISTS guest_roster (
    billing_period text NOT NULL,
    network_id text NOT NULL,
    username_hash text NOT NULL,
    username text,
    PRIMARY KEY (billing_period, network_id, username_hash)
);

-- Each revision that was ever loaded, with what the summary said of it last; and what was never published.
CREATE TABLE IF NOT EXISTS guest_counts (
    billing_period text NOT NULL,
    period_start timestamptz NOT NULL,
    period_end timestamptz NOT NULL,
    aws_account_id text,
    region text,
    network_id text NOT NULL,
    network_name text,
    status text NOT NULL,
    period_state text NOT NULL,
    guest_count bigint,
    api_guest_count bigint,
    reconciliation text,
    confirmed_by text,
    stable boolean,
    revision bigint,
    exported_at timestamptz,
    checked_at timestamptz,
    content_sha256 text,
    UNIQUE (billing_period, network_id, revision, content_sha256)
);

-- What guest_roster holds. A row deleted here is loaded again. No roster_file: counts only, or purged.
CREATE TABLE IF NOT EXISTS load_state (
    billing_period text NOT NULL,
    network_id text NOT NULL,
    revision bigint NOT NULL,
    content_sha256 text NOT NULL,
    roster_file text,
    loaded_at timestamptz NOT NULL,
    PRIMARY KEY (billing_period, network_id)
);

-- Whose numbers all of this is: those of AWS (wickr), or of the simulator.
CREATE TABLE IF NOT EXISTS load_source (source_kind text PRIMARY KEY);

CREATE OR REPLACE VIEW guest_counts_current AS
SELECT guest_counts.*
FROM guest_counts
LEFT JOIN load_state USING (billing_period, network_id)
WHERE guest_counts.revision IS NOT DISTINCT FROM load_state.revision
  AND guest_counts.content_sha256 IS NOT DISTINCT FROM load_state.content_sha256;

COMMIT;
