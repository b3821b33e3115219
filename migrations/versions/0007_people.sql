-- Shares, saved views, validation rules and roles, each with its typed history; custom roles on users; territories looked up.

CREATE TABLE roles (
	id UUID NOT NULL, 
	version INTEGER DEFAULT '1' NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	deleted_at TIMESTAMP WITH TIME ZONE, 
	created_by_id UUID, 
	updated_by_id UUID, 
	external_ids JSONB DEFAULT '{}' NOT NULL, 
	cf JSONB DEFAULT '{}' NOT NULL, 
	key TEXT NOT NULL, 
	name TEXT NOT NULL, 
	description TEXT, 
	base_role TEXT NOT NULL CONSTRAINT ck_roles_base_role CHECK (base_role IN ('rep', 'manager', 'ops', 'data_scientist', 'admin', 'integration')), 
	is_built_in BOOLEAN DEFAULT FALSE NOT NULL, 
	removed_permissions TEXT[] DEFAULT '{}' NOT NULL, 
	hidden_fields TEXT[] DEFAULT '{}' NOT NULL, 
	read_only_fields TEXT[] DEFAULT '{}' NOT NULL, 
	CONSTRAINT pk_roles PRIMARY KEY (id)
);

CREATE INDEX ix_roles_external ON roles USING gin (external_ids jsonb_path_ops);

CREATE UNIQUE INDEX uq_roles_key ON roles (key) WHERE deleted_at IS NULL;

CREATE TABLE history.roles (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "key" TEXT,
    "name" TEXT,
    "description" TEXT,
    "base_role" TEXT,
    "is_built_in" BOOLEAN,
    "removed_permissions" TEXT[],
    "hidden_fields" TEXT[],
    "read_only_fields" TEXT[],
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_roles_change ON history.roles (change_id);

CREATE OR REPLACE FUNCTION history.keep_roles() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of roles that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.roles h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.roles ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "key", "name", "description", "base_role", "is_built_in", "removed_permissions", "hidden_fields", "read_only_fields", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."key", n."name", n."description", n."base_role", n."is_built_in", n."removed_permissions", n."hidden_fields", n."read_only_fields", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON roles REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_roles();

CREATE TRIGGER keep_update AFTER UPDATE ON roles REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_roles();

CREATE TABLE shares (
	id UUID NOT NULL, 
	version INTEGER DEFAULT '1' NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	deleted_at TIMESTAMP WITH TIME ZONE, 
	created_by_id UUID, 
	updated_by_id UUID, 
	external_ids JSONB DEFAULT '{}' NOT NULL, 
	cf JSONB DEFAULT '{}' NOT NULL, 
	resource TEXT NOT NULL CONSTRAINT ck_shares_resource CHECK (resource IN ('accounts', 'contacts', 'leads', 'opportunities')), 
	record_id UUID NOT NULL, 
	user_id UUID, 
	team_id UUID, 
	level TEXT DEFAULT 'read' NOT NULL CONSTRAINT ck_shares_level CHECK (level IN ('read', 'write')), 
	reason TEXT, 
	expires_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT pk_shares PRIMARY KEY (id), 
	CONSTRAINT ck_shares_grantee CHECK (num_nonnulls(user_id, team_id) = 1), 
	CONSTRAINT fk_shares_user_id FOREIGN KEY(user_id) REFERENCES users (id), 
	CONSTRAINT fk_shares_team_id FOREIGN KEY(team_id) REFERENCES teams (id)
);

CREATE INDEX ix_shares_external ON shares USING gin (external_ids jsonb_path_ops);

CREATE INDEX ix_shares_record_id ON shares (record_id) WHERE deleted_at IS NULL;

CREATE INDEX ix_shares_team_id ON shares (team_id) WHERE deleted_at IS NULL AND team_id IS NOT NULL;

CREATE INDEX ix_shares_user_id ON shares (user_id) WHERE deleted_at IS NULL AND user_id IS NOT NULL;

CREATE UNIQUE INDEX uq_shares_grantee ON shares (record_id, coalesce(user_id, team_id)) WHERE deleted_at IS NULL;

CREATE TABLE history.shares (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "resource" TEXT,
    "record_id" UUID,
    "user_id" UUID,
    "team_id" UUID,
    "level" TEXT,
    "reason" TEXT,
    "expires_at" TIMESTAMP WITH TIME ZONE,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_shares_change ON history.shares (change_id);

CREATE INDEX ix_history_shares_user_id ON history.shares (user_id) WHERE user_id IS NOT NULL;

CREATE OR REPLACE FUNCTION history.keep_shares() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of shares that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.shares h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.shares ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "resource", "record_id", "user_id", "team_id", "level", "reason", "expires_at", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."resource", n."record_id", n."user_id", n."team_id", n."level", n."reason", n."expires_at", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON shares REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_shares();

CREATE TRIGGER keep_update AFTER UPDATE ON shares REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_shares();

CREATE TABLE views (
	id UUID NOT NULL, 
	version INTEGER DEFAULT '1' NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, 
	deleted_at TIMESTAMP WITH TIME ZONE, 
	created_by_id UUID, 
	updated_by_id UUID, 
	external_ids JSONB DEFAULT '{}' NOT NULL, 
	cf JSONB DEFAULT '{}' NOT NULL, 
	name TEXT NOT NULL, 
	resource TEXT NOT NULL, 
	filter JSONB DEFAULT '[]' NOT NULL, 
	sort TEXT[] DEFAULT '{}' NOT NULL, 
	columns TEXT[] DEFAULT '{}' NOT NULL, 
	shared_team_ids UUID[] DEFAULT '{}' NOT NULL, 
	CONSTRAINT pk_views PRIMARY KEY (id)
);

CREATE INDEX ix_views_created_by_id ON views (created_by_id, resource) WHERE deleted_at IS NULL;

CREATE INDEX ix_views_external ON views USING gin (external_ids jsonb_path_ops);

CREATE TABLE history.views (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "name" TEXT,
    "resource" TEXT,
    "filter" JSONB,
    "sort" TEXT[],
    "columns" TEXT[],
    "shared_team_ids" UUID[],
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_views_change ON history.views (change_id);

CREATE OR REPLACE FUNCTION history.keep_views() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of views that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.views h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.views ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "name", "resource", "filter", "sort", "columns", "shared_team_ids", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."name", n."resource", n."filter", n."sort", n."columns", n."shared_team_ids", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON views REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_views();

CREATE TRIGGER keep_update AFTER UPDATE ON views REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_views();

CREATE TABLE validation_rules (
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
	name TEXT NOT NULL, 
	"when" JSONB DEFAULT '[]' NOT NULL, 
	require JSONB NOT NULL, 
	field TEXT, 
	message TEXT NOT NULL, 
	is_active BOOLEAN DEFAULT TRUE NOT NULL, 
	CONSTRAINT pk_validation_rules PRIMARY KEY (id)
);

CREATE INDEX ix_validation_rules_external ON validation_rules USING gin (external_ids jsonb_path_ops);

CREATE UNIQUE INDEX uq_validation_rules_name ON validation_rules (entity, lower(name)) WHERE deleted_at IS NULL;

CREATE TABLE history.validation_rules (
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
    "name" TEXT,
    "when" JSONB,
    "require" JSONB,
    "field" TEXT,
    "message" TEXT,
    "is_active" BOOLEAN,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_validation_rules_change ON history.validation_rules (change_id);

CREATE OR REPLACE FUNCTION history.keep_validation_rules() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of validation_rules that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.validation_rules h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.validation_rules ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "entity", "name", "when", "require", "field", "message", "is_active", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."entity", n."name", n."when", n."require", n."field", n."message", n."is_active", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON validation_rules REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_validation_rules();

CREATE TRIGGER keep_update AFTER UPDATE ON validation_rules REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_validation_rules();

ALTER TABLE users ADD COLUMN role_id UUID CONSTRAINT fk_users_role_id REFERENCES roles (id);

ALTER TABLE history.users ADD COLUMN role_id UUID;

CREATE OR REPLACE FUNCTION history.keep_users() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of users that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.users h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.users ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "email", "name", "title", "role", "role_id", "is_active", "manager_id", "team_id", "time_zone", "locale", "start_date", "end_date", "capacity", "skills", "working_hours", "absences", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."email", n."name", n."title", n."role", n."role_id", n."is_active", n."manager_id", n."team_id", n."time_zone", n."locale", n."start_date", n."end_date", n."capacity", n."skills", n."working_hours", n."absences", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE INDEX ix_accounts_territory_id ON accounts (territory_id) WHERE deleted_at IS NULL AND territory_id IS NOT NULL;

CREATE INDEX ix_opportunities_territory_id ON opportunities (territory_id) WHERE deleted_at IS NULL AND territory_id IS NOT NULL;

-- The built-in roles, as the ledger's event.

SELECT set_config('sales.event', '01900000-0000-7000-8000-000000000700', TRUE),
       set_config('sales.change', '01900000-0000-7000-8000-000000000701', TRUE);

INSERT INTO ledger.events (id, kind, entity_type, door, change_id, occurred_at)
VALUES ('01900000-0000-7000-8000-000000000700', 'role.created', 'role', 'job',
        '01900000-0000-7000-8000-000000000701', now());

INSERT INTO roles (id, key, name, base_role, is_built_in)
VALUES ('01900000-0000-7000-8000-000000000711', 'rep', 'Rep', 'rep', TRUE),
       ('01900000-0000-7000-8000-000000000712', 'manager', 'Manager', 'manager', TRUE),
       ('01900000-0000-7000-8000-000000000713', 'ops', 'Sales operations', 'ops', TRUE),
       ('01900000-0000-7000-8000-000000000714', 'data_scientist', 'Data scientist', 'data_scientist', TRUE),
       ('01900000-0000-7000-8000-000000000715', 'admin', 'Administrator', 'admin', TRUE),
       ('01900000-0000-7000-8000-000000000716', 'integration', 'Integration', 'integration', TRUE);

SELECT set_config('sales.event', '', TRUE), set_config('sales.change', '', TRUE);
