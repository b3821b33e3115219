-- Schema `known`: what the feature store may read, and all that it may read.
--
-- Each view shows versions with the span [from_at, to_at) in which they were what one could know; an open span ends
-- in the year 9999. Catalogues (stages, users, products) hold from the beginning of time with their first version:
-- a stage means what it means for deals that are older than its row here.

CREATE SCHEMA IF NOT EXISTS known;

CREATE OR REPLACE VIEW known.opportunities AS
SELECT id, version, known_from AS from_at, known_to AS to_at, created_at, pipeline_id, stage, status, owner_id,
       account_id, coalesce(amount_home, amount) AS amount, close_date, closed_at, type, lead_source,
       forecast_category, coalesce(next_step, '') <> '' AS has_next_step,
       coalesce(cardinality(competitor_ids), 0) AS competitors, deleted_at IS NOT NULL AS is_deleted
FROM history.opportunities;

CREATE OR REPLACE VIEW known.activities AS
SELECT id, version, known_from AS from_at, known_to AS to_at, greatest(occurred_at, known_from) AS seen_at,
       occurred_at, type, coalesce(direction, '') AS direction, status, coalesce(outcome, '') AS outcome,
       owner_id, account_id, opportunity_id, lead_id, deleted_at IS NOT NULL AS is_deleted,
       CAST(extract(YEAR FROM occurred_at AT TIME ZONE 'UTC') * 12
            + extract(MONTH FROM occurred_at AT TIME ZONE 'UTC') AS integer) AS occurred_month
FROM history.activities;

CREATE OR REPLACE VIEW known.accounts AS
SELECT id, version, known_from AS from_at, known_to AS to_at, created_at, industry, type, segment,
       number_of_employees, annual_revenue, deleted_at IS NOT NULL AS is_deleted
FROM history.accounts;

CREATE OR REPLACE VIEW known.leads AS
SELECT id, version, known_from AS from_at, known_to AS to_at, created_at, status, rating, lead_source, industry,
       number_of_employees, owner_id, mql_at, coalesce(phone, '') <> '' AS has_phone,
       coalesce(company, '') <> '' AS has_company, coalesce(title, '') AS title,
       lower(split_part(coalesce(email, ''), '@', 2)) AS email_domain, address ->> 'country' AS country, converted_at,
       deleted_at IS NOT NULL AS is_deleted
FROM history.leads;

CREATE OR REPLACE VIEW known.products AS
SELECT id, version, CASE WHEN version = 1 THEN timestamptz '1900-01-01 00:00:00+00' ELSE known_from END AS from_at,
       known_to AS to_at, code, family
FROM history.products;

CREATE OR REPLACE VIEW known.lines AS
SELECT id, version, known_from AS from_at, known_to AS to_at, opportunity_id, product_id, quantity,
       coalesce(unit_price, 0) AS unit_price, coalesce(discount_percent, 0) AS discount_percent,
       deleted_at IS NOT NULL AS is_deleted
FROM history.lines;

CREATE OR REPLACE VIEW known.stakeholders AS
SELECT id, version, known_from AS from_at, known_to AS to_at, opportunity_id, contact_id, role,
       coalesce(influence, '') AS influence, coalesce(sentiment, '') AS sentiment, deleted_at IS NOT NULL AS is_deleted
FROM history.stakeholders;

CREATE OR REPLACE VIEW known.stages AS
SELECT id, version, CASE WHEN version = 1 THEN timestamptz '1900-01-01 00:00:00+00' ELSE known_from END AS from_at,
       known_to AS to_at, pipeline_id, key, position, status, probability, deleted_at IS NOT NULL AS is_deleted
FROM history.stages;

CREATE OR REPLACE VIEW known.users AS
SELECT id, version, CASE WHEN version = 1 THEN timestamptz '1900-01-01 00:00:00+00' ELSE known_from END AS from_at,
       known_to AS to_at, start_date, team_id
FROM history.users;

CREATE OR REPLACE VIEW known.company AS
SELECT fiscal_year_start, time_zone FROM company;

-- Windows over all that an owner did are found by month.
CREATE INDEX IF NOT EXISTS ix_history_activities_owner_month ON history.activities (
    owner_id, CAST(extract(YEAR FROM occurred_at AT TIME ZONE 'UTC') * 12
                   + extract(MONTH FROM occurred_at AT TIME ZONE 'UTC') AS integer)
) WHERE owner_id IS NOT NULL;
