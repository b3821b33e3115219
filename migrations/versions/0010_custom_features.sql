ALTER TABLE fields ADD COLUMN unit TEXT, ADD COLUMN minimum DOUBLE PRECISION, ADD COLUMN maximum DOUBLE PRECISION;

ALTER TABLE history.fields ADD COLUMN unit TEXT, ADD COLUMN minimum DOUBLE PRECISION, ADD COLUMN maximum DOUBLE PRECISION;

CREATE OR REPLACE FUNCTION history.keep_fields() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of fields that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.fields h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.fields ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "entity", "key", "label", "type", "options", "reference_to", "description", "is_required", "is_unique", "is_filterable", "is_feature", "is_sensitive", "known_at", "default_value", "read_only_for", "hidden_from", "position", "unit", "minimum", "maximum", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."entity", n."key", n."label", n."type", n."options", n."reference_to", n."description", n."is_required", n."is_unique", n."is_filterable", n."is_feature", n."is_sensitive", n."known_at", n."default_value", n."read_only_for", n."hidden_from", n."position", n."unit", n."minimum", n."maximum", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

-- The values of custom fields as text that features read; of what is long only that it is there. NULL where there are none.
CREATE FUNCTION known.custom_values(cf jsonb) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
    SELECT CASE WHEN cf IS NULL OR cf = '{}'::jsonb THEN NULL ELSE (
        SELECT jsonb_object_agg(e.key, CASE WHEN length(e.value::text) > 200 THEN 'true'::jsonb ELSE e.value END)::text
        FROM jsonb_each(cf) e
    ) END
$body$;

CREATE OR REPLACE VIEW known.opportunities AS
SELECT id, version, known_from AS from_at, known_to AS to_at, created_at, pipeline_id, stage, status, owner_id,
       account_id, coalesce(amount_home, amount) AS amount, close_date, closed_at, type, lead_source,
       forecast_category, coalesce(next_step, '') <> '' AS has_next_step,
       coalesce(cardinality(competitor_ids), 0) AS competitors, deleted_at IS NOT NULL AS is_deleted,
       known.custom_values(cf) AS custom
FROM history.opportunities;

CREATE OR REPLACE VIEW known.accounts AS
SELECT id, version, known_from AS from_at, known_to AS to_at, created_at, industry, type, segment,
       number_of_employees, annual_revenue, deleted_at IS NOT NULL AS is_deleted, known.custom_values(cf) AS custom
FROM history.accounts;

CREATE OR REPLACE VIEW known.leads AS
SELECT id, version, known_from AS from_at, known_to AS to_at, created_at, status, rating, lead_source, industry,
       number_of_employees, owner_id, mql_at, coalesce(phone, '') <> '' AS has_phone,
       coalesce(company, '') <> '' AS has_company, coalesce(title, '') AS title,
       lower(split_part(coalesce(email, ''), '@', 2)) AS email_domain, address ->> 'country' AS country, converted_at,
       deleted_at IS NOT NULL AS is_deleted, known.custom_values(cf) AS custom
FROM history.leads;

CREATE OR REPLACE VIEW known.users AS
SELECT id, version, CASE WHEN version = 1 THEN timestamptz '1900-01-01 00:00:00+00' ELSE known_from END AS from_at,
       known_to AS to_at, start_date, team_id, known.custom_values(cf) AS custom
FROM history.users;

CREATE VIEW known.contacts AS
SELECT id, version, known_from AS from_at, known_to AS to_at, deleted_at IS NOT NULL AS is_deleted,
       known.custom_values(cf) AS custom
FROM history.contacts;

CREATE VIEW known.teams AS
SELECT id, version, CASE WHEN version = 1 THEN timestamptz '1900-01-01 00:00:00+00' ELSE known_from END AS from_at,
       known_to AS to_at, deleted_at IS NOT NULL AS is_deleted, known.custom_values(cf) AS custom
FROM history.teams;

-- The custom fields that are declared as features, as they stand now.
CREATE VIEW known.declared_fields AS
SELECT f.entity, f.key, f.label, f.type, coalesce(f.unit, '') AS unit, f.minimum, f.maximum,
       coalesce(f.description, '') AS description, coalesce(u.name, '') AS owner, f.is_sensitive
FROM fields f LEFT JOIN users u ON u.id = f.created_by_id
WHERE f.is_feature AND f.deleted_at IS NULL AND f.known_at <> 'at_close'
ORDER BY f.entity, f.key;
