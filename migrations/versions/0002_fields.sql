CREATE TABLE fields (
	id UUID NOT NULL, 
	version INTEGER DEFAULT '1' NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	deleted_at TIMESTAMP WITH TIME ZONE, 
	created_by_id UUID, 
	updated_by_id UUID, 
	external_ids JSONB DEFAULT '{}' NOT NULL, 
	cf JSONB DEFAULT '{}' NOT NULL, 
	entity TEXT NOT NULL, 
	key TEXT NOT NULL, 
	label TEXT NOT NULL, 
	type TEXT NOT NULL CONSTRAINT ck_fields_type CHECK (type IN ('text', 'number', 'integer', 'boolean', 'date', 'datetime', 'currency', 'select', 'multi_select', 'email', 'url', 'user', 'reference')), 
	options TEXT[] DEFAULT '{}' NOT NULL, 
	reference_to TEXT, 
	description TEXT, 
	is_required BOOLEAN DEFAULT FALSE NOT NULL, 
	is_unique BOOLEAN DEFAULT FALSE NOT NULL, 
	is_filterable BOOLEAN DEFAULT TRUE NOT NULL, 
	is_feature BOOLEAN DEFAULT FALSE NOT NULL, 
	is_sensitive BOOLEAN DEFAULT FALSE NOT NULL, 
	known_at TEXT DEFAULT 'always' NOT NULL CONSTRAINT ck_fields_known_at CHECK (known_at IN ('always', 'at_close')), 
	default_value JSONB, 
	read_only_for TEXT[] DEFAULT '{}' NOT NULL, 
	hidden_from TEXT[] DEFAULT '{}' NOT NULL, 
	position INTEGER, 
	CONSTRAINT pk_fields PRIMARY KEY (id)
);

CREATE INDEX ix_fields_external ON fields USING gin (external_ids jsonb_path_ops);

CREATE UNIQUE INDEX uq_fields_key ON fields (entity, key) WHERE deleted_at IS NULL;

CREATE TABLE history.fields (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "entity" TEXT,
    "key" TEXT,
    "label" TEXT,
    "type" TEXT,
    "options" TEXT[],
    "reference_to" TEXT,
    "description" TEXT,
    "is_required" BOOLEAN,
    "is_unique" BOOLEAN,
    "is_filterable" BOOLEAN,
    "is_feature" BOOLEAN,
    "is_sensitive" BOOLEAN,
    "known_at" TEXT,
    "default_value" JSONB,
    "read_only_for" TEXT[],
    "hidden_from" TEXT[],
    "position" INTEGER,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_fields_change ON history.fields (change_id);

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
    INSERT INTO history.fields ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "entity", "key", "label", "type", "options", "reference_to", "description", "is_required", "is_unique", "is_filterable", "is_feature", "is_sensitive", "known_at", "default_value", "read_only_for", "hidden_from", "position", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."entity", n."key", n."label", n."type", n."options", n."reference_to", n."description", n."is_required", n."is_unique", n."is_filterable", n."is_feature", n."is_sensitive", n."known_at", n."default_value", n."read_only_for", n."hidden_from", n."position", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON fields REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_fields();

CREATE TRIGGER keep_update AFTER UPDATE ON fields REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_fields();

