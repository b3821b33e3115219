-- Campaigns, price books, quotes, splits, pools, routing rules, relationships; what deals, leads and stages ask of them.
-- Written once; later migrations change it, nothing rewrites it.

CREATE SEQUENCE quote_numbers;

CREATE TABLE pools (
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
    description TEXT,
    method TEXT NOT NULL CONSTRAINT ck_pools_method CHECK (method IN ('round_robin', 'weighted', 'capacity', 'best_score')),
    members JSONB DEFAULT '[]' NOT NULL,
    respect_working_hours BOOLEAN DEFAULT FALSE NOT NULL,
    is_active BOOLEAN DEFAULT TRUE NOT NULL,
    CONSTRAINT pk_pools PRIMARY KEY (id)
);

CREATE INDEX ix_pools_external ON pools USING gin (external_ids jsonb_path_ops);

CREATE UNIQUE INDEX uq_pools_name ON pools (lower(name)) WHERE deleted_at IS NULL;

CREATE TABLE history.pools (
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
    "description" TEXT,
    "method" TEXT,
    "members" JSONB,
    "respect_working_hours" BOOLEAN,
    "is_active" BOOLEAN,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_pools_change ON history.pools (change_id);

CREATE OR REPLACE FUNCTION history.keep_pools() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of pools that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.pools h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.pools ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "name", "description", "method", "members", "respect_working_hours", "is_active", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."name", n."description", n."method", n."members", n."respect_working_hours", n."is_active", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON pools REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_pools();

CREATE TRIGGER keep_update AFTER UPDATE ON pools REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_pools();

CREATE TABLE price_books (
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
    description TEXT,
    currency TEXT CONSTRAINT ck_price_books_currency CHECK (currency ~ '^[A-Z]{3}$'),
    is_default BOOLEAN DEFAULT FALSE NOT NULL,
    is_active BOOLEAN DEFAULT TRUE NOT NULL,
    entries JSONB DEFAULT '[]' NOT NULL,
    CONSTRAINT pk_price_books PRIMARY KEY (id)
);

CREATE INDEX ix_price_books_external ON price_books USING gin (external_ids jsonb_path_ops);

CREATE UNIQUE INDEX uq_price_books_default ON price_books (is_default) WHERE deleted_at IS NULL AND is_default;

CREATE UNIQUE INDEX uq_price_books_name ON price_books (lower(name)) WHERE deleted_at IS NULL;

CREATE TABLE history.price_books (
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
    "description" TEXT,
    "currency" TEXT,
    "is_default" BOOLEAN,
    "is_active" BOOLEAN,
    "entries" JSONB,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_price_books_change ON history.price_books (change_id);

CREATE OR REPLACE FUNCTION history.keep_price_books() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of price_books that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.price_books h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.price_books ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "name", "description", "currency", "is_default", "is_active", "entries", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."name", n."description", n."currency", n."is_default", n."is_active", n."entries", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON price_books REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_price_books();

CREATE TRIGGER keep_update AFTER UPDATE ON price_books REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_price_books();

CREATE TABLE campaigns (
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
    type TEXT,
    status TEXT DEFAULT 'planned' NOT NULL CONSTRAINT ck_campaigns_status CHECK (status IN ('planned', 'active', 'completed', 'aborted')),
    description TEXT,
    start_date DATE,
    end_date DATE,
    budget NUMERIC(19, 4),
    cost NUMERIC(19, 4),
    expected_revenue NUMERIC(19, 4),
    currency TEXT CONSTRAINT ck_campaigns_currency CHECK (currency ~ '^[A-Z]{3}$'),
    parent_id UUID,
    owner_id UUID,
    CONSTRAINT pk_campaigns PRIMARY KEY (id),
    CONSTRAINT fk_campaigns_parent_id FOREIGN KEY(parent_id) REFERENCES campaigns (id),
    CONSTRAINT fk_campaigns_owner_id FOREIGN KEY(owner_id) REFERENCES users (id)
);

CREATE INDEX ix_campaigns_external ON campaigns USING gin (external_ids jsonb_path_ops);

CREATE INDEX ix_campaigns_name_sorted ON campaigns (lower(name) COLLATE "C", id) WHERE deleted_at IS NULL;

CREATE INDEX ix_campaigns_parent_id ON campaigns (parent_id) WHERE deleted_at IS NULL AND parent_id IS NOT NULL;

CREATE TABLE history.campaigns (
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
    "type" TEXT,
    "status" TEXT,
    "description" TEXT,
    "start_date" DATE,
    "end_date" DATE,
    "budget" NUMERIC(19, 4),
    "cost" NUMERIC(19, 4),
    "expected_revenue" NUMERIC(19, 4),
    "currency" TEXT,
    "parent_id" UUID,
    "owner_id" UUID,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_campaigns_change ON history.campaigns (change_id);

CREATE INDEX ix_history_campaigns_owner_id ON history.campaigns (owner_id) WHERE owner_id IS NOT NULL;

CREATE OR REPLACE FUNCTION history.keep_campaigns() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of campaigns that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.campaigns h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.campaigns ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "name", "type", "status", "description", "start_date", "end_date", "budget", "cost", "expected_revenue", "currency", "parent_id", "owner_id", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."name", n."type", n."status", n."description", n."start_date", n."end_date", n."budget", n."cost", n."expected_revenue", n."currency", n."parent_id", n."owner_id", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON campaigns REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_campaigns();

CREATE TRIGGER keep_update AFTER UPDATE ON campaigns REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_campaigns();

CREATE TABLE routing_rules (
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
    description TEXT,
    position INTEGER NOT NULL,
    is_active BOOLEAN DEFAULT TRUE NOT NULL,
    entity TEXT DEFAULT 'lead' NOT NULL CONSTRAINT ck_routing_rules_entity CHECK (entity IN ('lead', 'account')),
    criteria JSONB DEFAULT '[]' NOT NULL,
    match TEXT DEFAULT 'all' NOT NULL CONSTRAINT ck_routing_rules_match CHECK (match IN ('all', 'any')),
    target TEXT NOT NULL CONSTRAINT ck_routing_rules_target CHECK (target IN ('pool', 'user', 'account_owner', 'territory_owner')),
    pool_id UUID,
    user_id UUID,
    sla_minutes INTEGER,
    fallback_pool_id UUID,
    CONSTRAINT pk_routing_rules PRIMARY KEY (id),
    CONSTRAINT fk_routing_rules_pool_id FOREIGN KEY(pool_id) REFERENCES pools (id),
    CONSTRAINT fk_routing_rules_user_id FOREIGN KEY(user_id) REFERENCES users (id),
    CONSTRAINT fk_routing_rules_fallback_pool_id FOREIGN KEY(fallback_pool_id) REFERENCES pools (id)
);

CREATE INDEX ix_routing_rules_external ON routing_rules USING gin (external_ids jsonb_path_ops);

CREATE INDEX ix_routing_rules_position ON routing_rules (entity, position) WHERE deleted_at IS NULL;

CREATE TABLE history.routing_rules (
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
    "description" TEXT,
    "position" INTEGER,
    "is_active" BOOLEAN,
    "entity" TEXT,
    "criteria" JSONB,
    "match" TEXT,
    "target" TEXT,
    "pool_id" UUID,
    "user_id" UUID,
    "sla_minutes" INTEGER,
    "fallback_pool_id" UUID,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_routing_rules_change ON history.routing_rules (change_id);

CREATE INDEX ix_history_routing_rules_user_id ON history.routing_rules (user_id) WHERE user_id IS NOT NULL;

CREATE OR REPLACE FUNCTION history.keep_routing_rules() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of routing_rules that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.routing_rules h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.routing_rules ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "name", "description", "position", "is_active", "entity", "criteria", "match", "target", "pool_id", "user_id", "sla_minutes", "fallback_pool_id", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."name", n."description", n."position", n."is_active", n."entity", n."criteria", n."match", n."target", n."pool_id", n."user_id", n."sla_minutes", n."fallback_pool_id", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON routing_rules REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_routing_rules();

CREATE TRIGGER keep_update AFTER UPDATE ON routing_rules REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_routing_rules();

CREATE TABLE relationships (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    contact_id UUID NOT NULL,
    related_contact_id UUID,
    related_account_id UUID,
    type TEXT NOT NULL CONSTRAINT ck_relationships_type CHECK (type IN ('employee', 'former_employee', 'board_member', 'consultant', 'partner', 'investor', 'colleague', 'former_colleague', 'assistant', 'mentor', 'referrer', 'friend', 'family', 'other')),
    role TEXT,
    strength TEXT CONSTRAINT ck_relationships_strength CHECK (strength IN ('weak', 'medium', 'strong')),
    is_active BOOLEAN DEFAULT TRUE NOT NULL,
    start_date DATE,
    end_date DATE,
    description TEXT,
    CONSTRAINT pk_relationships PRIMARY KEY (id),
    CONSTRAINT fk_relationships_contact_id FOREIGN KEY(contact_id) REFERENCES contacts (id),
    CONSTRAINT fk_relationships_related_contact_id FOREIGN KEY(related_contact_id) REFERENCES contacts (id),
    CONSTRAINT fk_relationships_related_account_id FOREIGN KEY(related_account_id) REFERENCES accounts (id)
);

CREATE INDEX ix_relationships_external ON relationships USING gin (external_ids jsonb_path_ops);

CREATE INDEX ix_relationships_related_account_id ON relationships (related_account_id) WHERE deleted_at IS NULL AND related_account_id IS NOT NULL;

CREATE INDEX ix_relationships_related_contact_id ON relationships (related_contact_id) WHERE deleted_at IS NULL AND related_contact_id IS NOT NULL;

CREATE UNIQUE INDEX uq_relationships_pair ON relationships (contact_id, related_contact_id, related_account_id, type) NULLS NOT DISTINCT WHERE deleted_at IS NULL;

CREATE TABLE history.relationships (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "contact_id" UUID,
    "related_contact_id" UUID,
    "related_account_id" UUID,
    "type" TEXT,
    "role" TEXT,
    "strength" TEXT,
    "is_active" BOOLEAN,
    "start_date" DATE,
    "end_date" DATE,
    "description" TEXT,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_relationships_change ON history.relationships (change_id);

CREATE INDEX ix_history_relationships_contact_id ON history.relationships (contact_id) WHERE contact_id IS NOT NULL;

CREATE OR REPLACE FUNCTION history.keep_relationships() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of relationships that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.relationships h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.relationships ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "contact_id", "related_contact_id", "related_account_id", "type", "role", "strength", "is_active", "start_date", "end_date", "description", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."contact_id", n."related_contact_id", n."related_account_id", n."type", n."role", n."strength", n."is_active", n."start_date", n."end_date", n."description", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON relationships REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_relationships();

CREATE TRIGGER keep_update AFTER UPDATE ON relationships REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_relationships();

CREATE TABLE quotes (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    opportunity_id UUID NOT NULL,
    number TEXT NOT NULL,
    revision INTEGER NOT NULL,
    revises_id UUID,
    name TEXT,
    status TEXT DEFAULT 'draft' NOT NULL CONSTRAINT ck_quotes_status CHECK (status IN ('draft', 'sent', 'accepted', 'rejected', 'expired')),
    contact_id UUID,
    valid_until DATE,
    lines JSONB DEFAULT '[]' NOT NULL,
    total NUMERIC(19, 4),
    currency TEXT CONSTRAINT ck_quotes_currency CHECK (currency ~ '^[A-Z]{3}$'),
    terms TEXT,
    sent_at TIMESTAMP WITH TIME ZONE,
    closed_at TIMESTAMP WITH TIME ZONE,
    document_id UUID,
    CONSTRAINT pk_quotes PRIMARY KEY (id),
    CONSTRAINT fk_quotes_opportunity_id FOREIGN KEY(opportunity_id) REFERENCES opportunities (id),
    CONSTRAINT fk_quotes_revises_id FOREIGN KEY(revises_id) REFERENCES quotes (id),
    CONSTRAINT fk_quotes_contact_id FOREIGN KEY(contact_id) REFERENCES contacts (id)
);

CREATE INDEX ix_quotes_external ON quotes USING gin (external_ids jsonb_path_ops);

CREATE INDEX ix_quotes_opportunity_id ON quotes (opportunity_id) WHERE deleted_at IS NULL;

CREATE INDEX ix_quotes_valid_until ON quotes (valid_until) WHERE deleted_at IS NULL AND status = 'sent';

CREATE UNIQUE INDEX uq_quotes_number ON quotes (number, revision) WHERE deleted_at IS NULL;

CREATE TABLE history.quotes (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "opportunity_id" UUID,
    "number" TEXT,
    "revision" INTEGER,
    "revises_id" UUID,
    "name" TEXT,
    "status" TEXT,
    "contact_id" UUID,
    "valid_until" DATE,
    "lines" JSONB,
    "total" NUMERIC(19, 4),
    "currency" TEXT,
    "terms" TEXT,
    "sent_at" TIMESTAMP WITH TIME ZONE,
    "closed_at" TIMESTAMP WITH TIME ZONE,
    "document_id" UUID,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_quotes_change ON history.quotes (change_id);

CREATE INDEX ix_history_quotes_opportunity_id ON history.quotes (opportunity_id) WHERE opportunity_id IS NOT NULL;

CREATE INDEX ix_history_quotes_contact_id ON history.quotes (contact_id) WHERE contact_id IS NOT NULL;

CREATE OR REPLACE FUNCTION history.keep_quotes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of quotes that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.quotes h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.quotes ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "opportunity_id", "number", "revision", "revises_id", "name", "status", "contact_id", "valid_until", "lines", "total", "currency", "terms", "sent_at", "closed_at", "document_id", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."opportunity_id", n."number", n."revision", n."revises_id", n."name", n."status", n."contact_id", n."valid_until", n."lines", n."total", n."currency", n."terms", n."sent_at", n."closed_at", n."document_id", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON quotes REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_quotes();

CREATE TRIGGER keep_update AFTER UPDATE ON quotes REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_quotes();

CREATE TABLE splits (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    opportunity_id UUID NOT NULL,
    user_id UUID NOT NULL,
    percent DOUBLE PRECISION NOT NULL CONSTRAINT ck_splits_percent CHECK (percent > 0 AND percent <= 100),
    type TEXT DEFAULT 'revenue' NOT NULL CONSTRAINT ck_splits_type CHECK (type IN ('revenue', 'overlay')),
    note TEXT,
    CONSTRAINT pk_splits PRIMARY KEY (id),
    CONSTRAINT fk_splits_opportunity_id FOREIGN KEY(opportunity_id) REFERENCES opportunities (id),
    CONSTRAINT fk_splits_user_id FOREIGN KEY(user_id) REFERENCES users (id)
);

CREATE INDEX ix_splits_external ON splits USING gin (external_ids jsonb_path_ops);

CREATE INDEX ix_splits_user_id ON splits (user_id) WHERE deleted_at IS NULL;

CREATE UNIQUE INDEX uq_splits_person ON splits (opportunity_id, user_id, type) WHERE deleted_at IS NULL;

CREATE TABLE history.splits (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "opportunity_id" UUID,
    "user_id" UUID,
    "percent" DOUBLE PRECISION,
    "type" TEXT,
    "note" TEXT,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_splits_change ON history.splits (change_id);

CREATE INDEX ix_history_splits_opportunity_id ON history.splits (opportunity_id) WHERE opportunity_id IS NOT NULL;

CREATE INDEX ix_history_splits_user_id ON history.splits (user_id) WHERE user_id IS NOT NULL;

CREATE OR REPLACE FUNCTION history.keep_splits() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of splits that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.splits h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.splits ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "opportunity_id", "user_id", "percent", "type", "note", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."opportunity_id", n."user_id", n."percent", n."type", n."note", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON splits REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_splits();

CREATE TRIGGER keep_update AFTER UPDATE ON splits REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_splits();

ALTER TABLE opportunities ADD COLUMN price_book_id uuid;

ALTER TABLE history.opportunities ADD COLUMN price_book_id uuid;

ALTER TABLE leads ADD COLUMN consent_at timestamptz;

ALTER TABLE history.leads ADD COLUMN consent_at timestamptz;

ALTER TABLE pipelines ADD COLUMN reopen_roles text[] NOT NULL DEFAULT '{}', ADD COLUMN reopen_within_days integer,
    ADD COLUMN reopen_stage text;

ALTER TABLE history.pipelines ADD COLUMN reopen_roles text[] DEFAULT '{}', ADD COLUMN reopen_within_days integer,
    ADD COLUMN reopen_stage text;

ALTER TABLE stages ADD COLUMN entry_criteria jsonb NOT NULL DEFAULT '[]';

ALTER TABLE history.stages ADD COLUMN entry_criteria jsonb DEFAULT '[]';

-- The keys hold for what is written from now on; an id that an older version took unasked stays as it is.
ALTER TABLE opportunities
    ADD CONSTRAINT fk_opportunities_campaign_id FOREIGN KEY (campaign_id) REFERENCES campaigns (id) NOT VALID,
    ADD CONSTRAINT fk_opportunities_price_book_id FOREIGN KEY (price_book_id) REFERENCES price_books (id) NOT VALID;

ALTER TABLE leads
    ADD CONSTRAINT fk_leads_campaign_id FOREIGN KEY (campaign_id) REFERENCES campaigns (id) NOT VALID,
    ADD CONSTRAINT fk_leads_pool_id FOREIGN KEY (pool_id) REFERENCES pools (id) NOT VALID;

CREATE OR REPLACE FUNCTION history.keep_opportunities() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of opportunities that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.opportunities h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.opportunities ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "name", "account_id", "owner_id", "pipeline_id", "stage", "status", "primary_contact_id", "amount", "currency", "amount_home", "expected_revenue", "close_date", "next_step", "next_step_due", "closed_at", "closed_on", "forecast_category", "forecast_category_source", "probability", "type", "lead_source", "campaign_id", "price_book_id", "description", "loss_reason", "closed_note", "competitor_id", "competitor_ids", "territory_id", "stage_entered_at", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."name", n."account_id", n."owner_id", n."pipeline_id", n."stage", n."status", n."primary_contact_id", n."amount", n."currency", n."amount_home", n."expected_revenue", n."close_date", n."next_step", n."next_step_due", n."closed_at", n."closed_on", n."forecast_category", n."forecast_category_source", n."probability", n."type", n."lead_source", n."campaign_id", n."price_book_id", n."description", n."loss_reason", n."closed_note", n."competitor_id", n."competitor_ids", n."territory_id", n."stage_entered_at", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE OR REPLACE FUNCTION history.keep_leads() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of leads that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.leads h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.leads ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "last_name", "first_name", "company", "email", "title", "phone", "website", "industry", "number_of_employees", "annual_revenue", "currency", "address", "status", "rating", "unqualified_reason", "lead_source", "campaign_id", "mql_at", "mql_score", "email_opt_out", "do_not_call", "consent_at", "owner_id", "pool_id", "assigned_at", "response_due_at", "first_response_at", "converted_at", "converted_account_id", "converted_contact_id", "converted_opportunity_id", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."last_name", n."first_name", n."company", n."email", n."title", n."phone", n."website", n."industry", n."number_of_employees", n."annual_revenue", n."currency", n."address", n."status", n."rating", n."unqualified_reason", n."lead_source", n."campaign_id", n."mql_at", n."mql_score", n."email_opt_out", n."do_not_call", n."consent_at", n."owner_id", n."pool_id", n."assigned_at", n."response_due_at", n."first_response_at", n."converted_at", n."converted_account_id", n."converted_contact_id", n."converted_opportunity_id", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE OR REPLACE FUNCTION history.keep_pipelines() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of pipelines that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.pipelines h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.pipelines ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "key", "name", "is_default", "is_active", "reopen_roles", "reopen_within_days", "reopen_stage", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."key", n."name", n."is_default", n."is_active", n."reopen_roles", n."reopen_within_days", n."reopen_stage", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE OR REPLACE FUNCTION history.keep_stages() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of stages that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.stages h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.stages ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "pipeline_id", "key", "name", "position", "status", "probability", "forecast_category", "entry_criteria", "exit_criteria", "rotting_days", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."pipeline_id", n."key", n."name", n."position", n."status", n."probability", n."forecast_category", n."entry_criteria", n."exit_criteria", n."rotting_days", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

